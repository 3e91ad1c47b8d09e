//! Figures of all rounds, and what follows from them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::metric::Metric;

/// One subject: every metric of every system in every round.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) notes: Vec<String>,
    /// Column by column; the first is the one that the others are compared with.
    pub(super) systems: Vec<Column>,
}

/// One system's figures.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Column {
    pub(super) system: String,
    /// By round; none where the run failed.
    pub(super) figures: BTreeMap<Metric, Vec<Option<f64>>>,
    /// Rounds in which the load generator was the limit.
    pub(super) limited: usize,
    pub(super) failed: bool,
}

/// How far apart several measurements of one thing are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Table {
    pub(super) fn new(title: String, systems: impl Iterator<Item = String>) -> Table {
        let column = |system| Column { system, ..Column::default() };
        Table { title, notes: Vec::new(), systems: systems.map(column).collect() }
    }

    /// All metrics that somebody has a figure of, in order.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let all = self.systems.iter().flat_map(|column| column.figures.keys().copied());
        all.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    /// The first system's figure divided by that of another, of the same round each.
    pub(super) fn ratio(&self, metric: Metric, other: usize) -> Option<Spread> {
        let first = self.systems[0].figures.get(&metric)?;
        let other = self.systems[other].figures.get(&metric)?;
        let pairs = first.iter().zip(other);
        Spread::of(pairs.filter_map(|(first, other)| Some((*first)? / (*other)?)))
    }
}

impl Column {
    /// Notes the figure of this round, counted from 1.
    pub(super) fn push(&mut self, metric: Metric, round: usize, value: Option<f64>) {
        let values = self.figures.entry(metric).or_default();
        values.resize(round - 1, None);
        values.push(value);
    }

    pub(super) fn spread(&self, metric: Metric) -> Option<Spread> {
        Spread::of(self.figures.get(&metric)?.iter().copied().flatten())
    }
}

impl Spread {
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Spread { min, median: f64::midpoint(low, high), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_its_ends_and_its_middle() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        let expected = Spread { min: 1.0, median: 2.0, max: 9.0 };
        assert_eq!(spread(&[9.0, 1.0, 2.0]), Some(expected));
        assert_eq!(spread(&[4.0, 2.0]), Some(Spread { min: 2.0, median: 3.0, max: 4.0 }));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn ratios_pair_what_was_measured_in_the_same_round() {
        let mut table = Table::new(String::new(), ["a".to_owned(), "b".to_owned()].into_iter());
        for (round, first, other) in [(1, Some(2.0), 1.0), (2, None, 1.0), (3, Some(9.0), 3.0)] {
            if first.is_some() {
                table.systems[0].push(Metric::CpuAtHalf, round, first);
            }
            table.systems[1].push(Metric::CpuAtHalf, round, Some(other));
        }
        let expected = Spread { min: 2.0, median: 2.5, max: 3.0 };
        assert_eq!(table.ratio(Metric::CpuAtHalf, 1), Some(expected));
        assert_eq!(table.metrics(), [Metric::CpuAtHalf]);
    }
}
