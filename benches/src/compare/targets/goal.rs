//! A figure, the bound that it has to keep, and the verdict.

use serde::Serialize;

use crate::compare::metric::scaled;

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

    pub(super) fn judge(&self, figure: Option<f64>) -> Verdict {
        let is_kept = match (self.bound, figure) {
            (Bound::Free, Some(_)) => return Verdict::Shown,
            (_, None) => return Verdict::Unmeasured,
            (Bound::AtLeast(bound), Some(figure)) => figure >= bound,
            (Bound::AtMost(bound), Some(figure)) => figure <= bound,
        };
        if is_kept { Verdict::Met } else { Verdict::Missed }
    }
}

impl Unit {
    pub(super) fn format(self, value: f64) -> String {
        match self {
            Unit::Time if value == 0.0 => "0 s".to_owned(),
            Unit::Time => scaled(value * 1e9, &[" ns", " µs", " ms", " s"]),
            Unit::PerSecond => format!("{}/s", scaled(value, &["", " k", " M"])),
            Unit::Bytes => scaled(value, &[" B", " kB", " MB", " GB"]),
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
        let most = Goal::at_most("cpu", Unit::Time, 90e-9);
        assert_eq!(most.target(), "≤ 90.0 ns");
        assert_eq!(most.judge(Some(90e-9)), Verdict::Met);
        assert_eq!(most.judge(Some(91e-9)), Verdict::Missed);
        let least = Goal::at_least("rate", Unit::PerSecond, 8e6);
        assert_eq!(least.target(), "≥ 8.00 M/s");
        assert_eq!(least.judge(Some(7.9e6)), Verdict::Missed);
        assert_eq!(least.judge(None), Verdict::Unmeasured);
        assert_eq!(Goal::shown("n", Unit::Count).judge(Some(1.0)), Verdict::Shown);
    }

    #[test]
    fn figures_have_their_units() {
        assert_eq!(Unit::Percent.format(0.0051), "0.51 %");
        assert_eq!(Unit::Bytes.format(512.0), "512 B");
        assert_eq!(Unit::Time.format(0.0), "0 s");
    }
}
