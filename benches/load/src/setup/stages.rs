//! A rate that changes while messages are measured: `--stage 10s:500,30s:500..2000`.

use std::str::FromStr;
use std::time::Duration;

use crate::units::parse::{duration, number};

/// One after the other; there is at least one, and one of them publishes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stages {
    all: Vec<Stage>,
}

/// A time in which the rate stays or goes evenly from one to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stage {
    pub(crate) time: Duration,
    /// Messages per second and room when it begins.
    pub(crate) begin: f64,
    /// The same when it ends.
    pub(crate) end: f64,
}

/// A row for each is to be read.
const STAGES_MAX: usize = 100;
const TIME_MAX: Duration = Duration::from_secs(86_400);
/// Between two messages is a nanosecond.
const RATE_MAX: f64 = 1e9;
/// What is one message of the area below a rate: half of it for either end of the stage, and a
/// nanosecond for a second.
pub(crate) const AREA: f64 = 2e9;

const EXPLAINED: &str = "a stage looks like 10s:500 or, where the rate goes from one to another, \
                         30s:500..2000: a time, and messages per second and room";

impl Stages {
    /// None if none was asked for; why they cannot be, as a sentence.
    pub(crate) fn new(all: Vec<Stage>) -> Result<Option<Self>, String> {
        if all.is_empty() {
            return Ok(None);
        }
        if all.len() > STAGES_MAX {
            return Err(format!("--stage is given for at most {STAGES_MAX} stages"));
        }
        let stages = Self { all };
        match stages.greatest() > 0.0 {
            true => Ok(Some(stages)),
            false => {
                Err("--stage publishes nothing: give at least one stage a rate above 0".to_owned())
            }
        }
    }

    pub(crate) fn all(&self) -> &[Stage] {
        &self.all
    }

    /// How long all of them are.
    pub(crate) fn duration(&self) -> Duration {
        self.all.iter().map(|stage| stage.time).sum()
    }

    /// Messages that are due in a room in all of them.
    pub(crate) fn messages(&self) -> f64 {
        self.all.iter().map(Stage::area).sum::<f64>() / AREA
    }

    /// The rate that the first one begins with.
    pub(crate) fn first(&self) -> f64 {
        self.all.first().map_or(0.0, |stage| stage.begin)
    }

    pub(crate) fn least(&self) -> f64 {
        self.rates().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn greatest(&self) -> f64 {
        self.rates().fold(0.0, f64::max)
    }

    /// The rate over all of them.
    pub(crate) fn mean(&self) -> f64 {
        self.messages() / self.duration().as_secs_f64()
    }

    fn rates(&self) -> impl Iterator<Item = f64> {
        self.all.iter().flat_map(|stage| [stage.begin, stage.end])
    }
}

impl Stage {
    /// Messages that are due in a room, times [`AREA`]: a whole number where rates are whole, so
    /// that sums of it are exact.
    pub(crate) fn area(&self) -> f64 {
        self.time.as_nanos() as f64 * (self.begin + self.end)
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (time, rates) = text.trim().split_once(':').ok_or(EXPLAINED)?;
        let time = duration(time)?;
        let (begin, end) = rates.split_once("..").unwrap_or((rates, rates));
        let [begin, end] = [begin, end].map(|rate| number(rate.strip_suffix("/s").unwrap_or(rate)));
        let stage = Self { time, begin: begin?, end: end? };
        if time.is_zero() || time > TIME_MAX {
            return Err("a stage takes more than no time, and at most a day".to_owned());
        }
        match [stage.begin, stage.end].iter().all(|rate| (0.0..=RATE_MAX).contains(rate)) {
            true => Ok(stage),
            false => Err("the rate of a stage is 0 or more, and at most 1,000,000,000".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(text: &str) -> Stages {
        let all = text.split(',').map(|stage| stage.parse().unwrap()).collect();
        Stages::new(all).unwrap().unwrap()
    }

    #[test]
    fn stages_are_times_with_rates() {
        let stages = stages("1500ms:500, 2:500..2000/s,500ms:0,1m:0.5/s");
        let of = |stage: &Stage| (stage.time.as_secs_f64(), stage.begin, stage.end);
        let expected =
            [(1.5, 500.0, 500.0), (2.0, 500.0, 2_000.0), (0.5, 0.0, 0.0), (60.0, 0.5, 0.5)];
        assert_eq!(stages.all().iter().map(of).collect::<Vec<_>>(), expected);
        assert_eq!(stages.duration(), Duration::from_secs(64));
        assert_eq!(stages.messages(), 750.0 + 2_500.0 + 30.0);
        assert_eq!(self::stages(&["100ms:1"; 20].join(",")).messages(), 2.0);
        assert_eq!(stages.mean(), 3_280.0 / 64.0);
        assert_eq!((stages.first(), stages.least(), stages.greatest()), (500.0, 0.0, 2_000.0));
        assert_eq!(Stages::new(Vec::new()), Ok(None));
    }

    #[test]
    fn what_is_no_stage_is_explained() {
        let rows = [
            ("", "looks like"),
            ("10s", "looks like"),
            ("0s:500", "more than no time"),
            ("25h:500", "at most a day"),
            ("10s:-1", "0 or more"),
            ("10s:nan", "0 or more"),
            ("10s:5..inf", "at most 1,000,000,000"),
            ("1s:1e300", "at most 1,000,000,000"),
            ("10x:5", "unit of time"),
            ("10s:fast", "write a number"),
            ("10s:5..", "write a number"),
            ("10s:5..6..7", "write a number"),
        ];
        for (text, part) in rows {
            let error = text.parse::<Stage>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let refused =
            |stage: &str, count| Stages::new(vec![stage.parse().unwrap(); count]).unwrap_err();
        assert!(refused("1s:1", 101).contains("at most 100"));
        assert!(refused("1s:0", 2).contains("publishes nothing"));
    }
}
