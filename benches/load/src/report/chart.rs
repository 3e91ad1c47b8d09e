//! Line charts as inline SVG. Colours come from the page, so that dark, light and print share them.

/// Lines over two axes.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug)]
pub(crate) struct Axis {
    /// What it shows, with its unit.
    pub(crate) label: &'static str,
    pub(crate) scale: Scale,
    /// How a value is written at a tick.
    pub(crate) write: fn(f64) -> String,
}

#[derive(Debug)]
pub(crate) enum Scale {
    /// From 0 to a round number.
    Linear,
    /// From 0 to the largest value, as time passes.
    Exact,
    /// Over whole decades.
    Decades,
    /// From 0 %, each further nine the same way: for percentiles, given as 0 to 1.
    Nines,
}

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// `None` where the line is interrupted.
    pub(crate) points: Vec<Option<(f64, f64)>>,
}

impl Line {
    fn known(&self) -> impl Iterator<Item = (f64, f64)> {
        self.points.iter().copied().flatten()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known().next().is_none()
    }
}

/// An axis with its range and ticks, in the chart's own units.
struct Range {
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

// The size in the chart's own units: small, so that text stays readable on a phone.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 42.0;
const TICKS: f64 = 5.0;

impl Chart {
    /// A figure with legend; nothing, if there is nothing to show.
    pub(crate) fn svg(&self) -> String {
        if self.lines.iter().all(Line::is_empty) {
            return String::new();
        }
        let x = self.x.range(self.lines.iter().flat_map(Line::known).map(|point| point.0));
        let y = self.y.range(self.lines.iter().flat_map(Line::known).map(|point| point.1));
        let mut svg = format!(
            "<figure><h3>{}</h3>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{0}\">\n",
            self.title
        );
        self.push_axes(&mut svg, &x, &y);
        for (nth, line) in self.lines.iter().enumerate() {
            push_line(&mut svg, nth, line, self, (&x, &y));
        }
        svg.push_str("</svg>\n");
        self.push_legend(&mut svg);
        svg.push_str("</figure>\n");
        svg
    }

    fn push_axes(&self, svg: &mut String, x: &Range, y: &Range) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in &y.ticks {
            let at = place_y(y, *value);
            svg.push_str(&format!(
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>\n",
                LEFT - 6.0,
                at + 4.0
            ));
        }
        for (value, text) in &x.ticks {
            let at = place_x(x, *value);
            svg.push_str(&format!(
                "<path class=\"tick\" d=\"M{at:.1} {bottom}v4\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>\n",
                bottom + 17.0
            ));
        }
        svg.push_str(&format!(
            "<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>\n\
             <text class=\"label\" x=\"4\" y=\"14\">{}</text>\n\
             <text class=\"label\" x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            self.y.label,
            HEIGHT - 6.0,
            self.x.label
        ));
    }

    fn push_legend(&self, svg: &mut String) {
        if self.lines.len() < 2 {
            return;
        }
        svg.push_str("<ul class=\"legend\">");
        for (nth, line) in self.lines.iter().enumerate() {
            svg.push_str(&format!(
                "<li><svg viewBox=\"0 0 26 8\" aria-hidden=\"true\"><path class=\"line l{nth}\" \
                 d=\"M0 4H26\"/></svg>{}</li>",
                line.name
            ));
        }
        svg.push_str("</ul>\n");
    }
}

fn push_line(svg: &mut String, nth: usize, line: &Line, chart: &Chart, (x, y): (&Range, &Range)) {
    let mut path = String::new();
    for piece in line.points.split(Option::is_none) {
        for (nth, &(px, py)) in piece.iter().flatten().enumerate() {
            let (px, py) = (place_x(x, chart.x.scale.bend(px)), place_y(y, chart.y.scale.bend(py)));
            path.push_str(&format!("{}{px:.1} {py:.1}", if nth == 0 { 'M' } else { 'L' }));
        }
        if let [_] = piece {
            // A single value would be invisible.
            path.push_str("h3");
        }
    }
    svg.push_str(&format!("<path class=\"line l{nth}\" d=\"{path}\"/>\n"));
}

fn place_x(range: &Range, value: f64) -> f64 {
    LEFT + (value - range.low) / (range.high - range.low) * (WIDTH - LEFT - RIGHT)
}

fn place_y(range: &Range, value: f64) -> f64 {
    HEIGHT - BOTTOM - (value - range.low) / (range.high - range.low) * (HEIGHT - TOP - BOTTOM)
}

impl Axis {
    fn range(&self, values: impl Iterator<Item = f64>) -> Range {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        match self.scale {
            Scale::Linear => self.linear(high.max(0.0)),
            Scale::Exact => self.exact(high.max(0.0)),
            Scale::Decades => self.decades(low, high),
            Scale::Nines => self.nines(high),
        }
    }

    fn linear(&self, high: f64) -> Range {
        let step = round_step(high / TICKS);
        let steps = (high / step).ceil().max(1.0);
        let ticks = (0..=steps as u32).map(|nth| f64::from(nth) * step);
        Range {
            low: 0.0,
            high: steps * step,
            ticks: ticks.map(|value| (value, (self.write)(value))).collect(),
        }
    }

    fn exact(&self, high: f64) -> Range {
        let mut range = self.linear(high);
        if high > 0.0 {
            range.ticks.retain(|(value, _)| *value <= high);
            range.high = high;
        }
        range
    }

    fn decades(&self, low: f64, high: f64) -> Range {
        let low = low.max(1.0).log10().floor();
        let high = high.max(1.0).log10().ceil().max(low + 1.0);
        // Few decades leave room for ticks within them.
        let steps: &[f64] = if high - low <= 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers = (low as i32..=high as i32).map(|power| 10f64.powi(power));
        let values = powers.flat_map(|power| steps.iter().map(move |step| step * power));
        let ticks = values.filter(|value| value.log10() <= high);
        let ticks = ticks.map(|value| (value.log10(), (self.write)(value))).collect();
        Range { low, high, ticks }
    }

    fn nines(&self, high: f64) -> Range {
        let high = Scale::Nines.bend(high).max(1.0);
        let ticks = (0..=high as i32).map(f64::from);
        let ticks = ticks.map(|nines| (nines, (self.write)(1.0 - 10f64.powf(-nines)))).collect();
        Range { low: 0.0, high, ticks }
    }
}

impl Scale {
    /// A value in the units that the scale is even in.
    fn bend(&self, value: f64) -> f64 {
        match self {
            Self::Linear | Self::Exact => value,
            Self::Decades => value.max(1.0).log10(),
            Self::Nines => -(1.0 - value).log10(),
        }
    }
}

/// 1, 2 or 5 of some power of ten, at least so much.
fn round_step(least: f64) -> f64 {
    if least <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    // Rounding must not skip a step that fits exactly.
    steps.into_iter().find(|&step| step >= least * 0.999_999).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale) -> Axis {
        Axis { label: "time (s)", scale, write: |value| format!("{value:.4}") }
    }

    #[test]
    fn axes_hold_all_values_and_have_ticks() {
        for (scale, values) in [
            (Scale::Linear, [0.0, 7.3]),
            (Scale::Linear, [0.0, 0.0]),
            (Scale::Linear, [3.0, 1e7]),
            (Scale::Exact, [0.0, 7.3]),
            (Scale::Exact, [0.0, 0.0]),
            (Scale::Decades, [900.0, 1.2e6]),
            (Scale::Decades, [5.0, 5.0]),
            (Scale::Nines, [0.0, 0.9999]),
        ] {
            let axis = axis(scale);
            let range = axis.range(values.into_iter());
            for value in values {
                let bent = axis.scale.bend(value);
                assert!((range.low..=range.high).contains(&bent), "{value} in {:?}", axis.scale);
            }
            assert!((2..=8).contains(&range.ticks.len()), "{:?}", range.ticks);
        }
    }

    #[test]
    fn a_gap_interrupts_its_line() {
        let at = |x: f64| Some((x, 1.0));
        let points = vec![at(0.0), at(1.0), None, None, at(4.0), None, at(6.0), at(7.0)];
        let (x, y) = (axis(Scale::Exact), axis(Scale::Linear));
        let chart = Chart { title: "t", x, y, lines: vec![Line { name: "l", points }] };
        let svg = chart.svg();
        let (_, path) = svg.split_once("class=\"line l0\" d=\"").unwrap();
        let (path, _) = path.split_once('"').unwrap();
        let count = |command| path.matches(command).count();
        assert_eq!((count('M'), count('L'), count('h')), (3, 2, 1), "{path}");
    }

    #[test]
    fn steps_are_round() {
        assert_eq!([0.0, 1.0, 1.1, 3.0, 70.0].map(round_step), [1.0, 1.0, 2.0, 5.0, 100.0]);
    }
}
