//! How a figure and a ratio are written on every page.

use super::metric::Metric;
use super::table::{Column, NoRatio, Spread, Table};

/// What both pages say of ratios.
pub(super) const RATIOS: &str = "by round, median (least … most); undecided where 1 is in between; of latencies the ends are \
     those that lateness of the generator leaves open, and where these are not within 15 % there \
     is a bound instead, that which is worst for the engine";

/// What the representation of a number may add to it.
const ROUNDING: f64 = 1e-9;

/// A rate at which the generator was the limit is a lower bound, and a latency of which more than a
/// tenth may be the generator's an upper one.
pub(super) fn figure(column: &Column, metric: Metric) -> String {
    let Some(Spread { min, median, max }) = column.spread(metric) else {
        let is_beyond = column.beyond.contains(&metric);
        return if is_beyond { "more than it delivers" } else { "–" }.to_owned();
    };
    let bound = metric == Metric::DeliveriesPerSecond && column.limited > 0;
    let sign = match (bound, column.is_doubted(metric)) {
        (true, _) => "≥ ",
        (_, true) => "≤ ",
        _ => "",
    };
    let [min, median, max] = [min, median, max].map(|value| metric.format(value));
    format!("{sign}{median} ({min} … {max})")
}

/// The first system's figure divided by that of another, or why there is no such figure. What cannot
/// be told as a ratio is told as the end that is least in the first one's favour, and where neither
/// of the two is ahead in all that may be, that is undecided.
pub(super) fn ratio(table: &Table, metric: Metric, other: usize) -> String {
    let ratio = match table.ratio(metric, other) {
        Ok(ratio) => ratio,
        Err(NoRatio::NoFigure) => return "–".to_owned(),
        Err(NoRatio::Unequal(ours, theirs)) => {
            return format!("none: {ours:.0} and {theirs:.0} messages per send");
        }
        Err(NoRatio::Limited) => return "none: the generator's limit".to_owned(),
        Err(NoRatio::Doubted) => return "none: the generator was late".to_owned(),
    };
    let Spread { min, median, max } = ratio.measured;
    let [min, median, max] = [min, median, max].map(number);
    let (least, most) = (no_more(ratio.least), no_less(ratio.most));
    let (has_least, has_most) = (ratio.least > 0.0, ratio.most.is_finite());
    match metric {
        metric if metric.better().is_some() && ratio.is_undecided() => {
            match has_least && has_most {
                true => format!("undecided ({least} … {most})"),
                false if has_most => format!("undecided (≤ {most})"),
                false => format!("undecided (≥ {least})"),
            }
        }
        Metric::DeliveriesPerSecond if !has_most => format!("≥ **{median}** ({min} … {max})"),
        _ if ratio.is_narrow => format!("**{median}** ({least} … {most})"),
        _ if ratio.most < 1.0 => format!("≤ **{most}**"),
        _ if has_most => format!("{least} … **{most}**"),
        _ => format!("≥ **{least}**"),
    }
}

fn number(value: f64) -> String {
    format!("{value:.*}", decimals(value))
}

/// The same, rounded up: a bound that is rounded down is none.
fn no_less(value: f64) -> String {
    let decimals = decimals(value);
    let unit = 10_f64.powi(decimals as i32);
    format!("{:.decimals$}", (value * unit - ROUNDING).ceil() / unit)
}

/// The same, rounded down.
fn no_more(value: f64) -> String {
    let decimals = decimals(value);
    let unit = 10_f64.powi(decimals as i32);
    format!("{:.decimals$}", (value * unit + ROUNDING).floor() / unit)
}

fn decimals(value: f64) -> usize {
    match value {
        value if value >= 9.95 => 1,
        value if value >= 0.0995 => 2,
        _ => 4,
    }
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
        assert_eq!(table.who_met_a_limited_generator(), None);
        let of = |table: &Table, metric| ratio(table, metric, 1);
        let expected = "none: 143 and 99 messages per send";
        assert_eq!(of(&table, Metric::CpuAtSaturation), expected);
        assert_eq!(of(&table, Metric::CpuAt(50)), "–");
        let mut table = Table::new(String::new(), ["a".to_owned(), "b".to_owned()].into_iter());
        for column in &mut table.systems {
            column.push(Metric::DeliveriesPerSecond, 1, Some(1e6));
        }
        table.systems[0].limited = 1;
        assert_eq!(of(&table, Metric::DeliveriesPerSecond), "undecided (≥ 1.00)");
        let note = table.who_met_a_limited_generator().unwrap();
        assert!(note.contains("in some rounds of a (1): what"), "{note}");
        table.systems[0].push(Metric::DeliveriesPerSecond, 2, Some(3e6));
        table.systems[0].figures.get_mut(&Metric::DeliveriesPerSecond).unwrap()[0] = Some(2e6);
        table.systems[1].push(Metric::DeliveriesPerSecond, 2, Some(1e6));
        assert_eq!(of(&table, Metric::DeliveriesPerSecond), "≥ **2.50** (2.00 … 3.00)");
        table.systems[1].limited = 1;
        assert_eq!(of(&table, Metric::DeliveriesPerSecond), "none: the generator's limit");
    }

    const P99: Metric = Metric::P99At(50);

    /// Of each of two systems, what was measured and the least that was its own.
    type Round = [(f64, f64); 2];

    /// In milliseconds.
    fn latencies(rounds: &[Round]) -> Table {
        let mut table = Table::new(String::new(), ["a".to_owned(), "b".to_owned()].into_iter());
        for (round, pair) in rounds.iter().enumerate() {
            for (column, (measured, least)) in table.systems.iter_mut().zip(pair) {
                column.push(P99, round + 1, Some(measured / 1e3));
                column.push_least(P99, round + 1, least / 1e3);
            }
        }
        table
    }

    #[test]
    fn a_latency_that_is_partly_the_generators_is_no_longer() {
        let table = latencies(&[[(10.0, 9.1), (10.0, 8.9)]]);
        assert_eq!(figure(&table.systems[0], P99), "10.0 ms (10.0 ms … 10.0 ms)");
        assert_eq!(figure(&table.systems[1], P99), "≤ 10.0 ms (10.0 ms … 10.0 ms)");
    }

    #[test]
    fn ratios_of_latencies_are_never_better_than_what_is_sure() {
        let rows: [(&[Round], &str); 13] = [
            (&[[(4.0, 4.0), (10.0, 10.0)]], "**0.40** (0.40 … 0.40)"),
            (&[[(4.0, 3.7), (10.0, 9.2)]], "**0.40** (0.37 … 0.44)"),
            // One end too far away, then the other one.
            (&[[(4.0, 3.3), (10.0, 9.2)]], "≤ **0.44**"),
            (&[[(4.0, 4.0), (10.0, 8.0)]], "≤ **0.50**"),
            (&[[(4.0, 0.0), (10.0, 8.0)]], "≤ **0.50**"),
            // Just below one, and just not.
            (&[[(4.0, 0.0), (10.0, 4.1)]], "≤ **0.98**"),
            (&[[(4.0, 0.0), (10.0, 4.0)]], "undecided (≤ 1.00)"),
            (&[[(4.0, 2.0), (10.0, 0.0)]], "undecided (≥ 0.20)"),
            (&[[(4.0, 0.0), (10.0, 0.0)]], "none: the generator was late"),
            // The engine is behind.
            (&[[(10.0, 7.0), (4.0, 2.0)]], "1.75 … **5.00**"),
            (&[[(10.0, 7.0), (4.0, 0.0)]], "≥ **1.75**"),
            // One round is enough for a bound, and for doubt.
            (&[[(4.0, 4.0), (10.0, 9.5)], [(4.0, 4.0), (10.0, 5.0)]], "≤ **0.80**"),
            (&[[(4.0, 4.0), (4.2, 4.2)], [(4.2, 4.2), (4.0, 4.0)]], "undecided (0.95 … 1.05)"),
        ];
        for (rounds, expected) in rows {
            assert_eq!(ratio(&latencies(rounds), P99, 1), expected, "{rounds:?}");
        }
    }
}
