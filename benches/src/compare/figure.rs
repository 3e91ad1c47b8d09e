//! How a figure and a ratio are written on every page.

use super::metric::Metric;
use super::table::{Column, Spread};

/// A rate at which the generator was the limit is a lower bound.
pub(super) fn figure(column: &Column, metric: Metric) -> String {
    let Some(Spread { min, median, max }) = column.spread(metric) else { return "–".to_owned() };
    let bound = metric == Metric::DeliveriesPerSecond && column.limited > 0;
    let sign = if bound { "≥ " } else { "" };
    let [min, median, max] = [min, median, max].map(|value| metric.format(value));
    format!("{sign}{median} ({min} … {max})")
}

pub(super) fn ratio(spread: Option<Spread>) -> String {
    let Some(Spread { min, median, max }) = spread else { return "–".to_owned() };
    let format = |value: f64| match value {
        value if value >= 9.95 => format!("{value:.1}"),
        value if value >= 0.0995 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    };
    format!("**{}** ({} … {})", format(median), format(min), format(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_generator_makes_a_lower_bound() {
        let mut column = Column::default();
        column.push(Metric::DeliveriesPerSecond, 1, Some(2e6));
        assert_eq!(figure(&column, Metric::DeliveriesPerSecond), "2.00 M/s (2.00 M/s … 2.00 M/s)");
        column.limited = 1;
        assert!(figure(&column, Metric::DeliveriesPerSecond).starts_with("≥ "));
        assert_eq!(figure(&column, Metric::CpuAtHalf), "–");
    }
}
