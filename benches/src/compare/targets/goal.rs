//! A figure, the bound that it has to keep, and the verdict.

use serde::Serialize;

use crate::compare::metric::scaled;
use crate::compare::table::Spread;

/// One figure of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    pub(super) what: &'static str,
    pub(super) unit: Unit,
    pub(super) bound: Bound,
}

/// What a figure has to keep.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// Nothing: it explains the others.
    Free,
}

/// How a figure is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    /// Seconds of CPU or of waiting.
    Time,
    PerSecond,
    Bytes,
    /// Bytes of which there may be none, or fewer than before.
    AnyBytes,
    BytesPerSecond,
    /// One figure divided by another.
    Ratio,
    /// A share of one.
    Percent,
    Count,
}

/// Whether a bound was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Met,
    Missed,
    /// Some rounds kept the bound and others did not.
    Undecided,
    /// There is no figure.
    Unmeasured,
    /// There is no bound.
    Shown,
}

impl Goal {
    pub(super) const fn at_least(what: &'static str, unit: Unit, bound: f64) -> Goal {
        Goal { what, unit, bound: Bound::AtLeast(bound) }
    }

    pub(super) const fn at_most(what: &'static str, unit: Unit, bound: f64) -> Goal {
        Goal { what, unit, bound: Bound::AtMost(bound) }
    }

    pub(super) const fn shown(what: &'static str, unit: Unit) -> Goal {
        Goal { what, unit, bound: Bound::Free }
    }

    pub(super) fn target(&self) -> String {
        match self.bound {
            Bound::AtLeast(bound) => format!("≥ {}", self.unit.format(bound)),
            Bound::AtMost(0.0) => self.unit.format(0.0),
            Bound::AtMost(bound) => format!("≤ {}", self.unit.format(bound)),
            Bound::Free => "–".to_owned(),
        }
    }

    /// What all rounds say together: a bound that lies between the least and the most was neither
    /// kept nor missed.
    pub(super) fn judge(&self, figures: Option<Spread>) -> Verdict {
        let Some(Spread { min, max, .. }) = figures else { return Verdict::Unmeasured };
        let is_kept = |figure: f64| match self.bound {
            Bound::AtLeast(bound) => figure >= bound,
            Bound::AtMost(bound) => figure <= bound,
            Bound::Free => true,
        };
        match (self.bound, is_kept(min), is_kept(max)) {
            (Bound::Free, ..) => Verdict::Shown,
            (_, true, true) => Verdict::Met,
            (_, false, false) => Verdict::Missed,
            _ => Verdict::Undecided,
        }
    }
}

impl Unit {
    /// Whether this can be measured. A time, a rate or a ratio that is not positive is noise, and
    /// so is a share or a number below none.
    pub(super) fn is_possible(self, value: f64) -> bool {
        match self {
            Unit::AnyBytes => value.is_finite(),
            Unit::Percent | Unit::Count => value.is_finite() && value >= 0.0,
            Unit::Time | Unit::PerSecond | Unit::Bytes | Unit::BytesPerSecond | Unit::Ratio => {
                value.is_finite() && value > 0.0
            }
        }
    }

    pub(super) fn format(self, value: f64) -> String {
        match self {
            Unit::Time if value == 0.0 => "0 s".to_owned(),
            Unit::Time => scaled(value * 1e9, &[" ns", " µs", " ms", " s"]),
            Unit::PerSecond => format!("{}/s", scaled(value, &["", " k", " M"])),
            Unit::Bytes | Unit::AnyBytes => scaled(value, &[" B", " kB", " MB", " GB"]),
            Unit::BytesPerSecond => format!("{}/s", scaled(value, &[" B", " kB", " MB", " GB"])),
            Unit::Ratio => format!("{value:.2}"),
            Unit::Percent => format!("{:.2} %", value * 100.0),
            Unit::Count => format!("{value:.0}"),
        }
    }
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::Undecided => "undecided",
            Verdict::Unmeasured => "not measured",
            Verdict::Shown => "–",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_include_themselves() {
        let judge = |goal: &Goal, figures: &[f64]| goal.judge(Spread::of(figures.iter().copied()));
        let most = Goal::at_most("cpu", Unit::Time, 90e-9);
        assert_eq!(most.target(), "≤ 90.0 ns");
        assert_eq!(judge(&most, &[90e-9]), Verdict::Met);
        assert_eq!(judge(&most, &[91e-9]), Verdict::Missed);
        let least = Goal::at_least("rate", Unit::PerSecond, 8e6);
        assert_eq!(least.target(), "≥ 8.00 M/s");
        assert_eq!(judge(&least, &[7.9e6]), Verdict::Missed);
        assert_eq!(judge(&least, &[]), Verdict::Unmeasured);
        assert_eq!(judge(&Goal::shown("n", Unit::Count), &[1.0]), Verdict::Shown);
    }

    #[test]
    fn a_spread_on_both_sides_of_a_bound_decides_nothing() {
        let rows: [(&[f64], Verdict); 4] = [
            (&[0.67, 0.87, 1.01], Verdict::Undecided),
            (&[0.67, 0.95, 1.01], Verdict::Undecided),
            (&[0.90, 0.95, 1.01], Verdict::Met),
            (&[0.67, 0.87, 0.89], Verdict::Missed),
        ];
        let goal = Goal::at_least("share", Unit::Ratio, 0.90);
        for (figures, verdict) in rows {
            assert_eq!(goal.judge(Spread::of(figures.iter().copied())), verdict, "{figures:?}");
        }
    }

    #[test]
    fn nothing_is_cheaper_than_for_nothing() {
        for unit in [Unit::Time, Unit::PerSecond, Unit::Bytes, Unit::BytesPerSecond, Unit::Ratio] {
            assert!(!unit.is_possible(0.0) && !unit.is_possible(-1.0), "{unit:?}");
            assert!(!unit.is_possible(f64::NAN) && unit.is_possible(1.0), "{unit:?}");
        }
        assert!(Unit::Count.is_possible(0.0) && !Unit::Count.is_possible(-1.0));
        assert!(Unit::AnyBytes.is_possible(-1.0));
    }

    #[test]
    fn figures_have_their_units() {
        assert_eq!(Unit::Percent.format(0.0051), "0.51 %");
        assert_eq!(Unit::Bytes.format(512.0), "512 B");
        assert_eq!(Unit::Time.format(0.0), "0 s");
    }
}
