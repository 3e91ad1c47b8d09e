//! One bar chart as inline SVG.

use std::fmt::Write as _;

use super::figure::figure;
use super::metric::Metric;
use super::table::{Spread, Table};

/// The drawing's width in its own units: narrow, so that its text is legible on a phone.
const WIDTH: f64 = 360.0;
const ROW: f64 = 38.0;
const AXIS: f64 = 22.0;
/// Room to the right of the longest bar's whisker.
const MARGIN: f64 = 24.0;

/// A bar per system, with a whisker from the least to the most.
pub(super) fn render(table: &Table, metric: Metric) -> String {
    let spreads = table.systems.iter().map(|column| column.spread(metric));
    let max = spreads.flatten().map(|spread| spread.max).fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| value / max * (WIDTH - MARGIN);
    let height = ROW * table.systems.len() as f64 + AXIS;
    let title = metric.title();
    let mut svg = format!(
        r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}"><title>{title}</title>"#
    );
    for (row, column) in table.systems.iter().enumerate() {
        let top = ROW * row as f64;
        let label = escape(&format!("{}: {}", column.system, figure(column, metric)));
        let _ = write!(svg, r#"<text x="0" y="{:.0}">{label}</text>"#, top + 12.0);
        if let Some(spread) = column.spread(metric) {
            push_bar(&mut svg, top + 17.0, spread, row == 0, x);
        }
    }
    push_axis(&mut svg, ROW * table.systems.len() as f64, max, metric);
    svg.push_str("</svg>");
    svg
}

fn push_bar(svg: &mut String, top: f64, spread: Spread, first: bool, x: impl Fn(f64) -> f64) {
    let class = if first { "first" } else { "other" };
    let (least, bar, most) = (x(spread.min), x(spread.median), x(spread.max));
    let middle = top + 6.0;
    let _ = write!(
        svg,
        r#"<rect class="{class}" x="0" y="{top:.0}" width="{:.1}" height="12"/><path d="M{least:.1} {middle:.0}H{most:.1}M{least:.1} {top:.0}v12M{most:.1} {top:.0}v12"/>"#,
        bar.max(1.0)
    );
}

/// Zero, the middle and the end, with units.
fn push_axis(svg: &mut String, top: f64, max: f64, metric: Metric) {
    let end = WIDTH - MARGIN;
    let _ = write!(svg, r#"<path class="axis" d="M0 {top:.0}H{end}"/>"#);
    for (share, anchor) in [(0.0, "start"), (0.5, "middle"), (1.0, "end")] {
        let at = end * share;
        let label = if share == 0.0 { "0".to_owned() } else { metric.format(max * share) };
        let _ = write!(
            svg,
            r#"<path class="axis" d="M{at} {top:.0}v4"/><text class="axis" x="{at}" y="{:.0}" text-anchor="{anchor}">{label}</text>"#,
            top + 16.0
        );
    }
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stay_inside_and_axes_have_units() {
        let mut table = Table::new(String::new(), ["a<b".to_owned(), "c".into()].into_iter());
        table.systems[0].push(Metric::CpuAt(50), 1, Some(100e-9));
        table.systems[1].push(Metric::CpuAt(50), 1, Some(50e-9));
        let svg = render(&table, Metric::CpuAt(50));
        assert!(svg.contains(">a&lt;b: 100 ns") && svg.contains(">50.0 ns</text>"));
        assert!(svg.contains(r#"width="336.0""#) && svg.contains(r#"width="168.0""#));
        assert!(svg.ends_with("</svg>"));
    }
}
