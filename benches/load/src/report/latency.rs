//! Latencies as they are told: over everything that was due, whether it came or not.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::units::print::{small_percent, time, whole};

/// What was recorded, and what there is no record of because it never came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread<'a> {
    /// In nanoseconds; of everything that came, or of a sample of it.
    pub(crate) histogram: &'a Histogram<u64>,
    /// The longest of everything that came.
    pub(crate) longest: u64,
    /// Messages that these are deliveries of: what makes one late makes all of its deliveries late.
    pub(crate) messages: u64,
    pub(crate) arrived: u64,
    pub(crate) missing: u64,
    /// How long was waited for what is missing.
    pub(crate) patience: Duration,
}

/// What a share of everything did not take longer than.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantile {
    /// So many nanoseconds.
    Took(u64),
    /// It falls on what is missing.
    Missing,
    /// Too few values lie beyond it, so that it says nothing about others than those.
    Few,
}

/// With fewer values beyond a quantile it is that of a few, and another run has another.
const BEYOND_MIN: f64 = 10.0;
/// What a quotient of whole numbers may be beside them.
const ROUNDING: f64 = 1e-12;

impl<'a> Spread<'a> {
    /// Of things of which each has a record.
    pub(crate) fn whole(histogram: &'a Histogram<u64>) -> Self {
        let (longest, arrived) = (histogram.max(), histogram.len());
        let (messages, missing, patience) = (arrived, 0, Duration::ZERO);
        Self { histogram, longest, messages, arrived, missing, patience }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.histogram.is_empty() && self.missing == 0
    }

    /// What is missing took longer than everything that came.
    pub(crate) fn at(&self, share: f64) -> Quantile {
        let all = (self.arrived + self.missing) as f64;
        let rank = share * all / self.arrived as f64;
        if self.arrived == 0 || rank > 1.0 + ROUNDING {
            return Quantile::Missing;
        }
        let recorded = self.histogram.len() as f64 * all / self.arrived as f64;
        match (1.0 - share + ROUNDING) * recorded < BEYOND_MIN {
            true => Quantile::Few,
            false => Quantile::Took(self.histogram.value_at_quantile(rank - ROUNDING)),
        }
    }

    /// The same as a number however few values there are, and endless for what is missing.
    pub(crate) fn value(&self, share: f64) -> f64 {
        let rank = share * (self.arrived + self.missing) as f64 / self.arrived as f64;
        match self.at(share) {
            Quantile::Missing => f64::INFINITY,
            Quantile::Took(_) | Quantile::Few => self.histogram.value_at_quantile(rank) as f64,
        }
    }

    /// Whether a quantile is there, but fewer messages lie beyond it than make it that of more than
    /// those. A delay of one message is one, however many members wait for it.
    pub(crate) fn is_of_few(&self, share: f64) -> bool {
        let beyond = (1.0 - share + ROUNDING) * self.messages as f64;
        beyond < BEYOND_MIN && matches!(self.at(share), Quantile::Took(_))
    }

    pub(crate) fn missing_share(&self) -> f64 {
        self.missing as f64 / (self.arrived + self.missing).max(1) as f64
    }

    /// A quantile for people: `1.20 ms`, or `> 2 s (14 % missing)`.
    pub(crate) fn text(&self, share: f64) -> String {
        match self.at(share) {
            Quantile::Took(nanos) if self.is_of_few(share) => {
                format!("{}, with fewer than ten messages beyond", time(nanos as f64))
            }
            Quantile::Took(nanos) => time(nanos as f64),
            Quantile::Missing => self.missing_text(),
            Quantile::Few => format!("n/a: too few of {} values", whole(self.histogram.len())),
        }
    }

    fn missing_text(&self) -> String {
        let waited = time(self.patience.as_nanos() as f64).replace(".00 ", " ");
        let missing = small_percent(self.missing_share());
        format!("> {} ({missing} missing)", waited.replace(".0 ", " "))
    }

    /// The longest, in the same way.
    pub(crate) fn max_text(&self) -> String {
        let max = time(self.longest as f64);
        match (self.missing, self.arrived) {
            (0, _) => max,
            (_, 0) => self.missing_text(),
            _ => format!("{}, {max} of what came", self.missing_text()),
        }
    }
}

/// A percentile of a report for people, of which those that fall on what never came are named.
pub(super) fn told(name: &str, micros: Option<f64>, missing_at: &[String]) -> String {
    let more = if missing_at.iter().any(|it| it == name) { "> " } else { "" };
    micros.map_or_else(|| "n/a".to_owned(), |micros| format!("{more}{}", time(micros * 1e3)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::histogram::histogram;

    #[test]
    fn what_is_missing_took_longest() {
        let mut latencies = histogram(3);
        for micros in 1..=860 {
            latencies.record(micros * 1_000).unwrap();
        }
        let patience = Duration::from_secs(2);
        let all = Spread::whole(&latencies);
        let spread = Spread { missing: 140, patience, ..all };
        assert_eq!([spread.text(0.5), spread.text(0.86)], ["500 µs", "860 µs"]);
        assert_eq!(spread.text(0.9), "> 2 s (14 % missing)");
        assert_eq!(spread.max_text(), "> 2 s (14 % missing), 860 µs of what came");
        assert_eq!(all.text(0.9), "774 µs");
        let nothing = histogram(3);
        let nothing = Spread { missing: 5, patience, ..Spread::whole(&nothing) };
        assert_eq!(nothing.text(0.0), "> 2 s (100 % missing)");
        assert!(Spread::whole(&histogram(3)).is_empty() && !nothing.is_empty());
        // Eight lie beyond it.
        assert_eq!(all.text(0.99), "n/a: too few of 860 values");
        assert_eq!((all.at(0.99), all.value(0.99)), (Quantile::Few, 852_479.0));
    }

    /// Ten messages to a hundred members each are a thousand deliveries, but ten messages.
    #[test]
    fn percentiles_of_few_messages_are_marked() {
        let mut latencies = histogram(3);
        for micros in 1..=1_000 {
            latencies.record_n(micros * 1_000, 10).unwrap();
        }
        let all = Spread::whole(&latencies);
        assert_eq!(all.text(0.99), "990 µs");
        let spread = |messages| Spread { messages, ..all };
        assert_eq!(spread(1_000).text(0.99), "990 µs");
        assert_eq!(spread(999).text(0.99), "990 µs, with fewer than ten messages beyond");
        assert_eq!((spread(999).is_of_few(0.9), spread(99).is_of_few(0.9)), (false, true));
    }

    /// A sample of one in ten says the same about everything.
    #[test]
    fn a_sample_stands_for_everything_that_came() {
        let mut latencies = histogram(3);
        for micros in 1..=90 {
            latencies.record(micros * 1_000).unwrap();
        }
        let (patience, longest) = (Duration::from_millis(500), 95_000);
        let spread = Spread {
            histogram: &latencies,
            longest,
            messages: 10_000,
            arrived: 900,
            missing: 100,
            patience,
        };
        assert_eq!([spread.text(0.5), spread.text(0.89)], ["50.0 µs", "89.0 µs"]);
        assert_eq!(spread.max_text(), "> 500 ms (10 % missing), 95.0 µs of what came");
        assert_eq!(spread.text(0.95), "> 500 ms (10 % missing)");
    }
}
