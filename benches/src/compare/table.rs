//! Figures of all rounds, and what follows from them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::metric::Metric;
use super::quotient::{Quotient, Taken};

/// One subject: every metric of every system in every round.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) notes: Vec<String>,
    /// One message fills a send, so that systems compare however many messages theirs carry.
    pub(super) fills_sends: bool,
    /// Column by column; the first is the one that the others are compared with.
    pub(super) systems: Vec<Column>,
}

/// One system's figures.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Column {
    pub(super) system: String,
    /// By round; none where the run failed.
    pub(super) figures: BTreeMap<Metric, Vec<Option<f64>>>,
    /// What was not measured, because more is offered there than it delivers at all.
    pub(super) beyond: BTreeSet<Metric>,
    /// By round, of latencies: the least that was the system's, and not the generator's.
    pub(super) least: BTreeMap<Metric, Vec<f64>>,
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
        Table {
            title,
            notes: Vec::new(),
            fills_sends: false,
            systems: systems.map(column).collect(),
        }
    }

    /// All metrics that somebody has a figure of, in order.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let all = self.systems.iter().flat_map(|column| column.figures.keys().copied());
        all.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    /// What is to be known of saturated servers that the generator kept from being faster.
    pub(super) fn who_met_a_limited_generator(&self) -> Option<String> {
        let limited = self.systems.iter().filter(|column| column.limited > 0);
        let rounds = |column: &Column| format!("{} ({})", column.system, column.limited);
        let who: Vec<String> = limited.map(rounds).collect();
        (!who.is_empty()).then(|| {
            format!(
                "The generator was the limit, and not the server, in some rounds of {}: what was \
                 delivered there is a lower bound, and CPU per delivery at saturation is what it is \
                 at the generator's rate.",
                who.join(", ")
            )
        })
    }

    /// The first system's figure divided by that of another, of the same round each.
    pub(super) fn ratio(&self, metric: Metric, other: usize) -> Result<Ratio, NoRatio> {
        let (first, other) = (&self.systems[0], &self.systems[other]);
        if metric == Metric::DeliveriesPerSecond && other.limited > 0 {
            return Err(NoRatio::Limited);
        }
        let rounds = first.rounds(metric).max(other.rounds(metric));
        let is_by_sends = metric.is_of_saturation() && !self.fills_sends;
        let mut unequal = None;
        let pairs = (1..=rounds).filter_map(|round| {
            let pair = first.taken(metric, round).zip(other.taken(metric, round))?;
            let sends = |column: &Column| column.at(Metric::MessagesPerSend, round);
            match sends(first).zip(sends(other)) {
                Some((ours, theirs)) if is_by_sends && !is_equal(ours, theirs) => {
                    unequal = Some(NoRatio::Unequal(ours, theirs));
                    None
                }
                _ => Some(pair.0.by(pair.1)),
            }
        });
        let ratio = Ratio::of(&pairs.collect::<Vec<_>>());
        let Some(ratio) = ratio else { return Err(unequal.unwrap_or(NoRatio::NoFigure)) };
        match (ratio.least <= 0.0, ratio.most.is_finite()) {
            (true, false) => Err(NoRatio::Doubted),
            _ if metric == Metric::DeliveriesPerSecond && first.limited > 0 => {
                Ok(Ratio { most: f64::INFINITY, ..ratio })
            }
            _ => Ok(ratio),
        }
    }
}

/// The ratios of all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio {
    /// As they were measured.
    pub(super) measured: Spread,
    /// What all of them are no less than, and no more than, whatever the generator did.
    pub(super) least: f64,
    pub(super) most: f64,
    /// In each round it is near what was measured.
    pub(super) is_narrow: bool,
}

impl Ratio {
    fn of(rounds: &[Quotient]) -> Option<Ratio> {
        let measured = Spread::of(rounds.iter().map(|round| round.measured))?;
        Some(Ratio {
            measured,
            least: rounds.iter().map(|round| round.least).fold(f64::INFINITY, f64::min),
            most: rounds.iter().map(|round| round.most).fold(0.0, f64::max),
            is_narrow: rounds.iter().all(|round| round.is_narrow()),
        })
    }

    /// Whether either of the two may be ahead.
    pub(super) fn is_undecided(&self) -> bool {
        self.least <= 1.0 && self.most >= 1.0
    }
}

/// Why there is no ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NoRatio {
    /// One of the two has no figure.
    NoFigure,
    /// They put so many messages into one send, in the last such round.
    Unequal(f64, f64),
    /// The other one may be capable of more than the generator is.
    Limited,
    /// All of what both took may be the generator's.
    Doubted,
}

/// Messages per send that differ by no more leave CPU per delivery comparable.
const UNEQUAL_FROM: f64 = 1.10;

/// Whether two numbers of messages per send are near enough for what a delivery costs to be
/// compared.
pub(super) fn is_equal(one: f64, other: f64) -> bool {
    one.max(other) <= UNEQUAL_FROM * one.min(other)
}

impl Column {
    /// Notes the figure of this round, counted from 1. All are of things that there are more of than
    /// none: what is not positive is noise, and no figure.
    pub(super) fn push(&mut self, metric: Metric, round: usize, value: Option<f64>) {
        let values = self.figures.entry(metric).or_default();
        values.resize(round - 1, None);
        values.push(value.filter(|value| *value > 0.0));
    }

    fn rounds(&self, metric: Metric) -> usize {
        self.figures.get(&metric).map_or(0, Vec::len)
    }

    fn at(&self, metric: Metric, round: usize) -> Option<f64> {
        *self.figures.get(&metric)?.get(round - 1)?
    }

    /// Notes how much of this round's latency was the system's at least.
    pub(super) fn push_least(&mut self, metric: Metric, round: usize, least: f64) {
        let values = self.least.entry(metric).or_default();
        values.resize(round - 1, 0.0);
        values.push(least);
    }

    /// A round's figure; of one that is no latency nothing is the generator's.
    fn taken(&self, metric: Metric, round: usize) -> Option<Taken> {
        let measured = self.at(metric, round)?;
        let least = self.least.get(&metric).map(|rounds| rounds.get(round - 1));
        let least = least.map_or(measured, |least| least.copied().unwrap_or_default());
        Some(Taken { measured, least: least.min(measured) })
    }

    /// Whether more than a small part of a latency may be the generator's, in some round.
    pub(super) fn is_doubted(&self, metric: Metric) -> bool {
        let mut rounds = (1..=self.rounds(metric)).filter_map(|round| self.taken(metric, round));
        rounds.any(|round| !round.is_told())
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
                table.systems[0].push(Metric::CpuAt(50), round, first);
            }
            table.systems[1].push(Metric::CpuAt(50), round, Some(other));
        }
        let expected = Spread { min: 2.0, median: 2.5, max: 3.0 };
        assert_eq!(table.ratio(Metric::CpuAt(50), 1).unwrap().measured, expected);
        assert_eq!(table.metrics(), [Metric::CpuAt(50)]);
    }

    #[test]
    fn saturated_systems_are_compared_where_sends_are_as_full() {
        let mut table = Table::new(String::new(), ["a".to_owned(), "b".to_owned()].into_iter());
        for (round, sends) in [(1, [144.0, 96.0]), (2, [144.0, 136.0])] {
            for (column, sends) in table.systems.iter_mut().zip(sends) {
                column.push(Metric::MessagesPerSend, round, Some(sends));
                column.push(Metric::CpuAtSaturation, round, Some(sends));
            }
            let (cpu, sends) = (Metric::CpuAtSaturation, Metric::MessagesPerSend);
            assert_eq!(table.ratio(cpu, 1).is_ok(), round == 2, "{:?}", table.ratio(cpu, 1));
            assert!(table.ratio(sends, 1).is_ok());
        }
        assert_eq!(table.ratio(Metric::CpuAtSaturation, 1).unwrap().most, 144.0 / 136.0);
        table.fills_sends = true;
        assert_eq!(table.ratio(Metric::CpuAtSaturation, 1).unwrap().most, 1.5);
    }

    #[test]
    fn what_is_not_positive_is_no_figure() {
        let mut table = Table::new(String::new(), ["a".to_owned(), "b".to_owned()].into_iter());
        table.systems[0].push(Metric::MemoryPerConnection, 1, Some(-4.0));
        table.systems[1].push(Metric::MemoryPerConnection, 1, Some(0.0));
        assert_eq!(table.systems[0].spread(Metric::MemoryPerConnection), None);
        assert_eq!(table.ratio(Metric::MemoryPerConnection, 1), Err(NoRatio::NoFigure));
    }
}
