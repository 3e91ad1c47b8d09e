//! How a figure and a ratio are written on every page.

use super::metric::Metric;
use super::table::{Column, NoRatio, Spread, Table};

/// A rate at which the generator was the limit is a lower bound.
pub(super) fn figure(column: &Column, metric: Metric) -> String {
    let Some(Spread { min, median, max }) = column.spread(metric) else {
        let is_beyond = column.beyond.contains(&metric);
        return if is_beyond { "more than it delivers" } else { "–" }.to_owned();
    };
    let bound = metric == Metric::DeliveriesPerSecond && column.limited > 0;
    let sign = match (bound, column.doubted.contains(&metric)) {
        (true, _) => "≥ ",
        (_, true) => "≤ ",
        _ => "",
    };
    let [min, median, max] = [min, median, max].map(|value| metric.format(value));
    format!("{sign}{median} ({min} … {max})")
}

/// The first system's figure divided by that of another, or why there is no such figure.
pub(super) fn ratio(table: &Table, metric: Metric, other: usize) -> String {
    let Spread { min, median, max } = match table.ratio(metric, other) {
        Ok(spread) => spread,
        Err(NoRatio::NoFigure) => return "–".to_owned(),
        Err(NoRatio::Unequal(ours, theirs)) => {
            return format!("none: {ours:.0} and {theirs:.0} messages per send");
        }
        Err(NoRatio::Limited) => return "none: the generator's limit".to_owned(),
        Err(NoRatio::Doubted) => return "none: the generator was late".to_owned(),
    };
    let first = &table.systems[0];
    let sign = match metric {
        Metric::DeliveriesPerSecond if first.limited > 0 => "≥ ",
        metric if first.doubted.contains(&metric) => "≤ ",
        _ => "",
    };
    let format = |value: f64| match value {
        value if value >= 9.95 => format!("{value:.1}"),
        value if value >= 0.0995 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    };
    format!("{sign}**{}** ({} … {})", format(median), format(min), format(max))
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
        assert_eq!(figure(&column, Metric::CpuAt(50)), "–");
        column.beyond.insert(Metric::CpuAt(50));
        assert_eq!(figure(&column, Metric::CpuAt(50)), "more than it delivers");
    }

    #[test]
    fn where_there_is_no_ratio_it_is_said_why() {
        let mut table = Table::new(String::new(), ["a".to_owned(), "b".to_owned()].into_iter());
        for (column, sends) in table.systems.iter_mut().zip([143.2, 98.9]) {
            column.push(Metric::MessagesPerSend, 1, Some(sends));
            column.push(Metric::CpuAtSaturation, 1, Some(1.0 / sends));
        }
        let of = |table: &Table, metric| ratio(table, metric, 1);
        let expected = "none: 143 and 99 messages per send";
        assert_eq!(of(&table, Metric::CpuAtSaturation), expected);
        assert_eq!(of(&table, Metric::CpuAt(50)), "–");
        let mut table = Table::new(String::new(), ["a".to_owned(), "b".to_owned()].into_iter());
        for column in &mut table.systems {
            column.push(Metric::DeliveriesPerSecond, 1, Some(1e6));
        }
        table.systems[0].limited = 1;
        assert_eq!(of(&table, Metric::DeliveriesPerSecond), "≥ **1.00** (1.00 … 1.00)");
        table.systems[1].limited = 1;
        assert_eq!(of(&table, Metric::DeliveriesPerSecond), "none: the generator's limit");
        let p99 = Metric::P99At(50);
        for column in &mut table.systems {
            column.push(p99, 1, Some(1e-3));
        }
        table.systems[0].doubted.insert(p99);
        assert_eq!(figure(&table.systems[0], p99), "≤ 1.00 ms (1.00 ms … 1.00 ms)");
        assert_eq!(of(&table, p99), "≤ **1.00** (1.00 … 1.00)");
        table.systems[1].doubted.insert(p99);
        assert_eq!(of(&table, p99), "none: the generator was late");
    }
}
