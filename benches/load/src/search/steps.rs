//! Which rate is tried next: twice the one before until one does not hold, then between the two.

use serde::{Deserialize, Serialize};

/// What became of a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All that was asked for holds, nothing was lost, and everything was published in time.
    #[default]
    Held,
    /// The server did not hold it.
    Failed,
    /// It did not hold, and the generator was the limit: this says nothing about the server.
    Limited,
}

/// Rates, and what became of them.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// To begin with.
    start: f64,
    /// None is higher.
    most: f64,
    /// How far the greatest rate that held may be below one that did not, as a share.
    precision: f64,
    /// What was asked for: tried itself, where it is not known from others.
    wanted: Option<f64>,
    tried: Vec<(f64, Verdict)>,
}

/// What came of it so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    /// The greatest rate that held whenever the generator was not the limit.
    pub(super) low: Option<f64>,
    /// The smallest that did not, and who was the limit.
    pub(super) high: Option<(f64, Verdict)>,
}

/// Going up and down.
const FACTOR: f64 = 2.0;
/// Below it there is nothing to measure.
const LEAST: f64 = 1.0;
/// The rate that is told has held so often, unless the search ends before: one run may be lucky.
pub(super) const TIMES: usize = 2;
/// A rate at which the generator was the limit is tried so often before that counts: one run may be
/// unlucky, and it costs nothing to be sure.
const LIMITED_TIMES: usize = 2;
/// A rate is tried so often at most.
const TIMES_MAX: usize = 4;
/// Where runs differ much no rate may hold twice.
const TRIALS_MAX: usize = 60;

impl Search {
    pub(super) fn new(start: f64, most: f64, precision: f64) -> Self {
        Self { start, most, precision, wanted: None, tried: Vec::new() }
    }

    pub(super) fn wanting(self, wanted: Option<f64>) -> Self {
        Self { wanted, ..self }
    }

    pub(super) fn note(&mut self, rate: f64, verdict: Verdict) {
        self.tried.push((rate, verdict));
    }

    /// What became of a rate in all its trials; none if that is still open. What the generator did
    /// not reach says nothing about what holds.
    fn verdict(&self, rate: f64) -> Option<Verdict> {
        let of_rate = self.tried.iter().filter(|(other, _)| *other == rate);
        let count = |verdict| of_rate.clone().filter(|(_, it)| *it == verdict).count();
        let (held, limited) = (count(Verdict::Held), count(Verdict::Limited));
        match (count(Verdict::Failed), held) {
            (1.., _) => Some(Verdict::Failed),
            (0, 0) => (limited >= LIMITED_TIMES).then_some(Verdict::Limited),
            (0, ..TIMES) if held + limited >= TIMES_MAX => Some(Verdict::Limited),
            (0, _) => Some(Verdict::Held),
        }
    }

    pub(super) fn found(&self) -> Found {
        let known = self.tried.iter().filter_map(|&(rate, _)| Some((rate, self.verdict(rate)?)));
        let others = known.clone().filter(|(_, verdict)| *verdict != Verdict::Held);
        let high = others.min_by(|a, b| a.0.total_cmp(&b.0));
        let below = |rate: &f64| high.is_none_or(|(high, _)| *rate < high);
        let held = known.filter(|(_, verdict)| *verdict == Verdict::Held);
        let low = held.map(|(rate, _)| rate).filter(below).max_by(f64::total_cmp);
        Found { low, high }
    }

    /// None once it is known well enough.
    pub(super) fn next(&self) -> Option<f64> {
        if self.tried.len() >= TRIALS_MAX {
            return None;
        }
        if let Some(&(rate, _)) = self.tried.last().filter(|it| self.verdict(it.0).is_none()) {
            return Some(rate);
        }
        match self.found() {
            Found { low: None, high: None } => Some(self.start),
            Found { low: Some(low), high: None } if low >= self.most => self.again(low),
            Found { low: Some(low), high: None } => {
                let higher = round(low * FACTOR).min(self.most);
                self.wanted_within(low, higher).or(Some(higher))
            }
            Found { low: None, high: Some((high, _)) } => {
                let lower = round(high / FACTOR);
                self.wanted_within(lower, high).or(Some(lower)).filter(|&rate| rate >= LEAST)
            }
            Found { low: Some(low), high: Some((high, _)) } => {
                if let Some(wanted) = self.wanted_within(low, high) {
                    return Some(wanted);
                }
                let middle = round((low * high).sqrt());
                let is_close = high <= low * (1.0 + self.precision);
                match is_close || middle <= low || middle >= high {
                    true => self.again(low),
                    false => Some(middle),
                }
            }
        }
    }

    /// Between these nothing was tried yet.
    fn wanted_within(&self, from: f64, to: f64) -> Option<f64> {
        self.wanted.filter(|&wanted| from < wanted && wanted < to)
    }

    fn again(&self, rate: f64) -> Option<f64> {
        let held = |&&(other, verdict): &&(f64, Verdict)| other == rate && verdict == Verdict::Held;
        (self.tried.iter().filter(held).count() < TIMES).then_some(rate)
    }
}

/// To three digits: more would say that it is known better.
fn round(rate: f64) -> f64 {
    let step = 10f64.powf(rate.log10().floor() - 2.0);
    (rate / step).round() * step
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches with a server that does as it is said for the nth trial of a rate.
    fn search(mut of: impl FnMut(usize, f64) -> Verdict) -> (Found, Vec<f64>) {
        let mut search = Search::new(100.0, 50_000.0, 0.05);
        let mut rates = Vec::new();
        while let Some(rate) = search.next() {
            search.note(rate, of(rates.len(), rate));
            rates.push(rate);
        }
        (search.found(), rates)
    }

    fn up_to(most: f64, beyond: Verdict) -> impl FnMut(usize, f64) -> Verdict {
        move |_, rate| if rate <= most { Verdict::Held } else { beyond }
    }

    #[test]
    fn the_greatest_rate_is_found_from_below_and_from_above() {
        for most in [3.0, 77.0, 100.0, 1_234.0, 43_000.0] {
            let (found, rates) = search(up_to(most, Verdict::Failed));
            let (low, (high, verdict)) = (found.low.unwrap(), found.high.unwrap());
            assert!(low <= most && most < high && high <= low * 1.06, "{most}: {found:?}");
            assert_eq!(verdict, Verdict::Failed);
            assert!(rates.len() < 20, "{rates:?}");
            let times = rates.iter().filter(|&&rate| rate == low).count();
            assert_eq!((times, rates.last()), (2, Some(&low)), "{rates:?}");
        }
    }

    #[test]
    fn what_the_generator_did_not_reach_is_no_bound_of_the_server() {
        let (found, _) = search(up_to(900.0, Verdict::Limited));
        assert!(matches!(found.high, Some((_, Verdict::Limited))), "{found:?}");
        // Below that the server fails by itself.
        let (found, _) = search(|_, rate| match rate {
            ..500.0 => Verdict::Held,
            ..700.0 => Verdict::Failed,
            _ => Verdict::Limited,
        });
        assert!(matches!(found.high, Some((_, Verdict::Failed))), "{found:?}");
        assert!(found.low.unwrap() >= 470.0, "{found:?}");
    }

    /// Every third run is spoilt by something else on the machine of the generator.
    #[test]
    fn a_generator_that_is_disturbed_now_and_then_bounds_nothing() {
        let (found, rates) = search(|nth, rate| match rate {
            _ if nth % 3 == 1 => Verdict::Limited,
            ..1_234.0 => Verdict::Held,
            _ => Verdict::Failed,
        });
        let (low, high) = (found.low.unwrap(), found.high.unwrap());
        assert!((1_160.0..1_234.0).contains(&low), "{found:?} {rates:?}");
        assert_eq!(high.1, Verdict::Failed, "{found:?} {rates:?}");
    }

    #[test]
    fn a_rate_that_holds_once_and_not_again_is_none() {
        // The first time nothing fails below 1,000, and then all that is above 600.
        let lucky = |nth: usize, rate: f64| match nth {
            ..9 if rate < 1_000.0 => Verdict::Held,
            _ if rate < 600.0 => Verdict::Held,
            _ => Verdict::Failed,
        };
        let (found, rates) = search(lucky);
        assert!((500.0..600.0).contains(&found.low.unwrap()), "{found:?} {rates:?}");
    }

    #[test]
    fn it_ends_where_nothing_holds_or_all_does() {
        let (found, rates) = search(up_to(0.0, Verdict::Failed));
        assert_eq!((found.low, rates.len()), (None, 7), "{rates:?}");
        let (found, rates) = search(up_to(1e9, Verdict::Failed));
        assert_eq!((found.low, found.high), (Some(50_000.0), None));
        assert_eq!(rates[rates.len() - 2..], [50_000.0; 2]);
    }

    /// However near the rates are that were tried beside it.
    #[test]
    fn a_rate_that_was_asked_for_is_tried_itself() {
        for (wanted, most) in [(997.3, 1_000.0), (997.3, 990.0), (1.5, 1.0), (49_999.0, 1e9)] {
            let mut search = Search::new(100.0, 50_000.0, 0.05).wanting(Some(wanted));
            while let Some(rate) = search.next() {
                search.note(rate, up_to(most, Verdict::Failed)(0, rate));
            }
            let held = search.found().low.is_some_and(|low| low >= wanted);
            assert_eq!(held, wanted <= most, "{wanted}: {:?}", search.found());
            assert!(search.tried.iter().any(|(rate, _)| *rate == wanted), "{:?}", search.tried);
        }
    }

    #[test]
    fn rates_have_three_digits() {
        assert_eq!([1.0, 141.42, 14_142.0, 3.456].map(round), [1.0, 141.0, 14_100.0, 3.46]);
    }
}
