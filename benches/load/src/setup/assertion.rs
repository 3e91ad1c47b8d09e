//! What has to hold of the figures: `--assert 'p99<10ms'`.

use std::str::FromStr;

/// A figure, and what it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assertion {
    /// As it was written.
    pub(crate) text: String,
    pub(crate) figure: Figure,
    comparison: Comparison,
    /// Of times in nanoseconds, of shares from 0 to 1.
    bound: f64,
}

/// What can be asserted of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    Time(Times, Quantile),
    Count(Count),
    /// Of what there could be of it.
    Share(Count),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// Of deliveries.
    Latency,
    Handshake,
    Joined,
    /// Of members that join in the place of others, since they were due to.
    Churn,
    /// Of messages, to the last of their members.
    LastMember,
    /// From the first member to the last.
    Skew,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantile {
    Mean,
    P50,
    P90,
    P99,
    P999,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Published,
    Unsent,
    Delivered,
    Lost,
    Repeated,
    Disordered,
    Damaged,
    Skipped,
    CutOff,
    Opened,
    Failed,
    Closed,
    Errors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Is,
    IsNot,
    AtLeast,
    Above,
}

const QUANTILES: [(&str, Quantile); 6] = [
    ("mean", Quantile::Mean),
    ("p50", Quantile::P50),
    ("p90", Quantile::P90),
    ("p99", Quantile::P99),
    ("p99.9", Quantile::P999),
    ("max", Quantile::Max),
];

const COUNTS: [(&str, Count); 13] = [
    ("published", Count::Published),
    ("unsent", Count::Unsent),
    ("delivered", Count::Delivered),
    ("lost", Count::Lost),
    ("repeated", Count::Repeated),
    ("disordered", Count::Disordered),
    ("damaged", Count::Damaged),
    ("skipped", Count::Skipped),
    ("cut_off", Count::CutOff),
    ("opened", Count::Opened),
    ("failed", Count::Failed),
    ("closed", Count::Closed),
    ("errors", Count::Errors),
];

/// Those that begin with another come before it.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Is),
    ("!=", Comparison::IsNot),
    ("<", Comparison::Below),
    (">", Comparison::Above),
];

const UNITS: [(&str, f64); 7] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

impl Assertion {
    /// Whether it holds of this value.
    pub(crate) fn holds(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Below => value < self.bound,
            Comparison::AtMost => value <= self.bound,
            Comparison::Is => value == self.bound,
            Comparison::IsNot => value != self.bound,
            Comparison::AtLeast => value >= self.bound,
            Comparison::Above => value > self.bound,
        }
    }
}

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.find(['<', '>', '=', '!']).ok_or_else(explain)?;
        let (name, rest) = text.split_at(at);
        let (sign, comparison) =
            *COMPARISONS.iter().find(|(sign, _)| rest.starts_with(sign)).ok_or_else(explain)?;
        let (name, value) = (name.trim(), rest[sign.len()..].trim());
        let (figure, bound) = match count(name) {
            Some(count) => counted(count, name, value)?,
            None => timed(name, value)?,
        };
        Ok(Self { text: text.trim().to_owned(), figure, comparison, bound })
    }
}

fn explain() -> String {
    "an assertion looks like p99<10ms, lost==0 or published>=99%".to_owned()
}

fn count(name: &str) -> Option<Count> {
    COUNTS.iter().find(|(other, _)| *other == name).map(|(_, count)| *count)
}

fn counted(count: Count, name: &str, value: &str) -> Result<(Figure, f64), String> {
    let advice = || format!("{name} is counted: compare it with a number, or a share such as 99%");
    let (number, figure) = match value.strip_suffix('%') {
        // Of what would a share of the errors be?
        Some(_) if count == Count::Errors => {
            return Err("errors are counted: compare them with a number".to_owned());
        }
        Some(percent) => (percent.trim(), Figure::Share(count)),
        None => (value, Figure::Count(count)),
    };
    let bound: f64 = number.parse().ok().filter(|n: &f64| n.is_finite()).ok_or_else(advice)?;
    Ok((figure, if matches!(figure, Figure::Share(_)) { bound / 100.0 } else { bound }))
}

fn timed(name: &str, value: &str) -> Result<(Figure, f64), String> {
    let (times, quantile) = match name.split_once('.').filter(|(of, _)| *of != "p99") {
        Some(("handshake", quantile)) => (Times::Handshake, quantile),
        Some(("joined", quantile)) => (Times::Joined, quantile),
        Some(("churn", quantile)) => (Times::Churn, quantile),
        Some(("last", quantile)) => (Times::LastMember, quantile),
        Some(("skew", quantile)) => (Times::Skew, quantile),
        _ => (Times::Latency, name),
    };
    let quantile = QUANTILES.iter().find(|(other, _)| *other == quantile);
    let (_, quantile) = *quantile.ok_or_else(|| {
        let (times, counts) = (QUANTILES.map(|(name, _)| name), COUNTS.map(|(name, _)| name));
        format!(
            "there is no figure {name:?}; there are {} (also as handshake.p99, joined.p99, churn.p99, last.p99 and skew.p99), {}",
            times.join(", "),
            counts.join(", ")
        )
    })?;
    let number = value.trim_end_matches(char::is_alphabetic);
    let unit = UNITS.iter().find(|(unit, _)| *unit == &value[number.len()..]);
    let bound = unit.zip(number.trim().parse::<f64>().ok()).map(|((_, nanos), n)| n * nanos);
    let bound = bound.filter(|bound| bound.is_finite());
    let bound =
        bound.ok_or_else(|| format!("{name} is a time: compare it with one such as 10ms"))?;
    Ok((Figure::Time(times, quantile), bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assertions_are_read_with_their_units() {
        let rows = [
            ("p99<10ms", Figure::Time(Times::Latency, Quantile::P99), 9.99e6, 1e7),
            ("p99.9 <= 1.5s", Figure::Time(Times::Latency, Quantile::P999), 1.5e9, 1.6e9),
            ("handshake.p99.9<5us", Figure::Time(Times::Handshake, Quantile::P999), 4.0e3, 5e3),
            ("joined.max<5µs", Figure::Time(Times::Joined, Quantile::Max), 4.0e3, 5e3),
            ("churn.p99<5ms", Figure::Time(Times::Churn, Quantile::P99), 4.0e6, 5e6),
            ("last.p99.9<5us", Figure::Time(Times::LastMember, Quantile::P999), 4.0e3, 5e3),
            ("skew.mean<5us", Figure::Time(Times::Skew, Quantile::Mean), 4.0e3, 5e3),
            ("lost==0", Figure::Count(Count::Lost), 0.0, 1.0),
            ("closed != 0", Figure::Count(Count::Closed), 1.0, 0.0),
            ("published>=99%", Figure::Share(Count::Published), 0.99, 0.98),
            ("delivered>1000", Figure::Count(Count::Delivered), 1001.0, 1000.0),
        ];
        for (text, figure, good, bad) in rows {
            let assertion: Assertion = text.parse().unwrap();
            assert_eq!((&*assertion.text, assertion.figure), (text, figure));
            assert!(assertion.holds(good) && !assertion.holds(bad), "{text}");
        }
    }

    #[test]
    fn what_is_no_assertion_is_explained() {
        let rows = [
            ("p99", "looks like p99<10ms"),
            ("p99=10ms", "looks like"),
            ("p98<10ms", "there is no figure \"p98\"; there are mean, p50"),
            ("<10ms", "there is no figure"),
            ("p99<10", "p99 is a time"),
            ("p99<10%", "p99 is a time"),
            ("p99<fast", "p99 is a time"),
            ("lost<1ms", "lost is counted"),
            ("lost<", "lost is counted"),
            ("errors<1%", "compare them with a number"),
        ];
        for (text, part) in rows {
            let error = text.parse::<Assertion>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
