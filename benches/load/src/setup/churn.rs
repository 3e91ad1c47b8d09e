//! Members that leave while messages are published, and are replaced.

use std::time::Duration;

use crate::units::parse::number;

/// How often, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Churn {
    /// Members per second, of all rooms together.
    pub(crate) rate: f64,
    /// A member says `cast:leave` first, and the answer says up to where messages are due to it.
    pub(crate) says_leave: bool,
}

/// What matters of a run in which members shall come and go.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChurnedRun {
    pub(super) is_broadcast: bool,
    /// And no window.
    pub(super) has_rate: bool,
    pub(super) says_leave: bool,
    pub(super) has_ready: bool,
}

/// Reads `5` or `5/s`.
pub(super) fn per_second(text: &str) -> Result<f64, String> {
    let rate = number(text.strip_suffix("/s").unwrap_or(text))?;
    match rate > 0.0 && rate <= RATE_MAX {
        true => Ok(rate),
        false => Err(format!("a churn is above 0 and at most {RATE_MAX} members per second")),
    }
}

/// More is a storm.
const RATE_MAX: f64 = 100_000.0;
/// So long Linux keeps the port of a connection that was closed here.
const TIME_WAIT_SECS: f64 = 60.0;
/// Of those that are replaced at once, at most.
const SPARE_MAX: f64 = 20_000.0;

impl Churn {
    /// Of a run that is asked for so; why it cannot be, as a sentence.
    pub(super) fn new(rate: f64, run: ChurnedRun) -> Result<Self, String> {
        let ChurnedRun { is_broadcast, has_rate, says_leave, has_ready } = run;
        let why = match (is_broadcast, has_rate, says_leave || has_ready) {
            (true, true, true) => return Ok(Self { rate, says_leave }),
            (false, ..) => "--churn is for broadcast: slow members do not leave by themselves",
            (_, false, _) => "--churn needs --rate: a window waits for the members that there are",
            (.., false) => {
                "--churn with --hello needs --ready: a message is due to who has joined, and \
                 nothing else says when that is"
            }
        };
        Err(why.to_owned())
    }

    /// When the nth member leaves, in nanoseconds since measuring began.
    pub(crate) fn due(self, nth: u64) -> u64 {
        (nth as f64 * 1e9 / self.rate) as u64
    }

    /// How many ports of connections that have ended are not given out again yet.
    pub(crate) fn ports_in_wait(self) -> u32 {
        (self.rate * TIME_WAIT_SECS).ceil() as u32
    }

    /// Connections beside those of the members, of which each may take so long to leave or to join.
    pub(crate) fn spare(self, timeout: Duration) -> u64 {
        (2.0 * self.rate * timeout.as_secs_f64()).min(SPARE_MAX).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_churn_is_so_many_members_per_second() {
        assert_eq!((per_second("5/s"), per_second("0.5")), (Ok(5.0), Ok(0.5)));
        for text in ["0", "-1/s", "nan", "inf", "5/m", "1e9"] {
            assert!(per_second(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        let run =
            ChurnedRun { is_broadcast: true, has_rate: true, says_leave: true, has_ready: false };
        let refusal = |run| Churn::new(5.0, run).unwrap_err();
        assert!(Churn::new(5.0, run).is_ok());
        assert!(refusal(ChurnedRun { has_rate: false, ..run }).contains("--rate"));
        assert!(refusal(ChurnedRun { is_broadcast: false, ..run }).contains("broadcast"));
        assert!(refusal(ChurnedRun { says_leave: false, ..run }).contains("--ready"));
    }

    #[test]
    fn members_leave_at_even_times() {
        let churn = Churn { rate: 4.0, says_leave: true };
        assert_eq!([0, 1, 6].map(|nth| churn.due(nth)), [0, 250_000_000, 1_500_000_000]);
        assert_eq!(churn.spare(Duration::from_secs(10)), 80);
        assert_eq!(churn.ports_in_wait(), 240);
        assert_eq!(Churn { rate: RATE_MAX, ..churn }.ports_in_wait(), 6_000_000);
    }
}
