//! The most that is delivered while nobody waits long: the rate steps down from what the closed
//! loop shows until 99 % of the messages arrive in time.

use std::io;

use corecast_load::report::{LatencyReport, Report};

use super::goal::{Goal, Unit};
use super::row::Row;
use super::scale::Effort;
use super::site::{Running, Side, Site, ratio};
use crate::floor::Means;
use crate::load::{Broadcast, Pace, fault, is_rate_reached};

/// Messages under way in the closed loop.
const WINDOW: usize = 256;
/// Seconds within which 99 % have to arrive.
const IN_TIME: f64 = 10e-3;
/// Of that, what may be the generator's own.
const OWN_SHARE_MAX: f64 = 0.1;
/// The first rate that is offered, of the closed loop's; then each next one, of the last.
const FIRST: f64 = 0.9;
const STEP: f64 = 0.8;

pub(super) const MOST: Row = Row {
    name: "in-time",
    title: "one room of {members}, 128 bytes: the most with 99 % within 10 ms, in steps of a fifth",
    goals: &[
        Goal::shown("deliveries per second", Unit::PerSecond),
        Goal::shown("baseline's deliveries per second", Unit::PerSecond),
        Goal::shown("deliveries per second of the registry as usual", Unit::PerSecond),
        Goal::shown("floor's deliveries per second", Unit::PerSecond),
        Goal::at_least("deliveries per second ÷ baseline's", Unit::Ratio, 4.0),
    ],
    effort: Effort::Usual,
    measure: |site| {
        let floor = Side::floor(Means::Send);
        let sides = [Side::engine(1), Side::baseline_on(1), Side::usual(), floor];
        let most = site.each(&sides, |_, running| most(site, running))?;
        let rate = |nth: usize| most[nth].map(|it| it.rate);
        Ok(vec![rate(0), rate(1), rate(2), rate(3), share(site, most[0], most[1])])
    },
};

/// The most deliveries per second that were in time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Most {
    rate: f64,
    /// More may be: no higher rate was offered, or the generator itself may have been its limit.
    is_bound: bool,
}

/// What became of one rate.
#[derive(Clone, Copy, Debug)]
enum Offer {
    InTime(f64),
    Late { is_doubted: bool },
}

/// One ÷ the other; none where more may be possible to the other.
fn share(site: &Site<'_>, ours: Option<Most>, theirs: Option<Most>) -> Option<f64> {
    if theirs.is_some_and(|it| it.is_bound) {
        site.remark("no ratio: more may be possible to the baseline");
        return None;
    }
    ratio(ours.map(|it| it.rate), theirs.map(|it| it.rate))
}

/// Deliveries per second at the first rate at which they are in time.
fn most(site: &Site<'_>, running: &Running<'_>) -> io::Result<Option<Most>> {
    let room = |pace| site.scale.room(128, pace);
    let top = running.broadcast(&room(Pace::Window(running.window(WINDOW))))?;
    let top = top.rate() / site.scale.members as f64;
    let found = step_down(top, site.scale.steps, |rate| {
        // What is too much is seen soon.
        let room = Broadcast { duration: site.scale.duration / 2, ..room(Pace::Rate(rate)) };
        Ok(judge(&running.try_broadcast(&room)?.run))
    })?;
    let name = running.name();
    match found {
        None => site.remark(format!("{name} is late at every rate")),
        Some(Most { is_bound: true, .. }) => site.remark(format!("{name}: at least this rate")),
        Some(_) => {}
    }
    Ok(found)
}

/// What became of the rate that was offered in a run.
fn judge(run: &Report) -> Offer {
    let in_time = run.latency_us.latency.p99.is_some_and(|p99| p99 <= IN_TIME * 1e6);
    match in_time && fault(run).is_none() {
        true => Offer::InTime(run.messages.deliveries_per_second),
        false => Offer::Late { is_doubted: !is_limited_by_server(run) },
    }
}

/// Whether the generator was not what made a rate too much. Where less was published than was due,
/// sockets were full then.
fn is_limited_by_server(run: &Report) -> bool {
    let (times, generator) = (&run.latency_us, &run.generator);
    if !run.latency_trusted || generator.limited || generator.limited_intervals > 0 {
        return false;
    }
    if fault(run).is_none() {
        return true;
    }
    // Beside what never came, lateness is no part of a latency that could be doubted.
    let is_late = |times: &LatencyReport| slowest(times) > IN_TIME * OWN_SHARE_MAX;
    let is_own = is_late(&times.own_lateness) || is_late(&times.reader_lateness);
    !is_own && (is_rate_reached(run) || slowest(&times.socket_full) > IN_TIME)
}

/// Seconds that 99 % did not take longer than or, of few, all.
fn slowest(times: &LatencyReport) -> f64 {
    times.p99.or(times.max).unwrap_or_default() / 1e6
}

/// What the first rate that will do shows.
fn step_down(
    top: f64,
    steps: usize,
    mut offer: impl FnMut(f64) -> io::Result<Offer>,
) -> io::Result<Option<Most>> {
    let (mut offered, mut is_bound) = (top * FIRST, true);
    for _ in 0..steps {
        match offer(offered)? {
            Offer::InTime(rate) => return Ok(Some(Most { rate, is_bound })),
            Offer::Late { is_doubted } => is_bound = is_doubted,
        }
        offered *= STEP;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_until_messages_are_in_time() {
        let mut offered = Vec::new();
        let found = step_down(1000.0, 3, |rate| {
            offered.push(rate.round());
            Ok(if rate < 600.0 { Offer::InTime(rate.round()) } else { LATE })
        });
        assert_eq!(found.unwrap(), Some(Most { rate: 576.0, is_bound: false }));
        assert_eq!(offered, [900.0, 720.0, 576.0]);
        assert_eq!(step_down(1000.0, 3, |_| Ok(LATE)).unwrap(), None);
    }

    const LATE: Offer = Offer::Late { is_doubted: false };

    /// A run in which 99 % came within so many milliseconds, and this share was published.
    fn run(p99: f64, published_share: f64) -> Report {
        let mut run = Report { seconds: 2.0, latency_trusted: true, ..Report::default() };
        run.latency_us.latency.p99 = Some(p99 * 1e3);
        run.messages.published_share = Some(published_share);
        run.messages.deliveries_per_second = 7.0;
        run
    }

    fn is_doubted(run: &Report) -> Option<bool> {
        match judge(run) {
            Offer::InTime(_) => None,
            Offer::Late { is_doubted } => Some(is_doubted),
        }
    }

    #[test]
    fn what_is_late_is_the_servers_unless_the_generator_was() {
        assert_eq!(is_doubted(&run(9.0, 1.0)), None);
        let mut late = run(20.0, 1.0);
        assert_eq!(is_doubted(&late), Some(false));
        late.latency_trusted = false;
        assert_eq!(is_doubted(&late), Some(true));
    }

    #[test]
    fn a_rate_that_is_not_reached_is_the_servers_where_its_sockets_were_full() {
        let mut short = run(9.0, 0.5);
        assert_eq!(is_doubted(&short), Some(true), "nothing shows why");
        short.latency_us.socket_full.p99 = Some(50e3);
        assert_eq!(is_doubted(&short), Some(false));
        let mut limited = short.clone();
        limited.generator.limited = true;
        assert_eq!(is_doubted(&limited), Some(true));
        let [mut published, mut read] = [short.clone(), short];
        published.latency_us.own_lateness.p99 = Some(2e3);
        read.latency_us.reader_lateness.max = Some(2e3);
        assert_eq!([is_doubted(&published), is_doubted(&read)], [Some(true); 2]);
    }

    /// Nothing shows that a higher rate would have been too much for the server.
    #[test]
    fn what_may_be_more_is_a_bound() {
        let found = step_down(1000.0, 3, |rate| Ok(Offer::InTime(rate))).unwrap();
        assert_eq!(found, Some(Most { rate: 900.0, is_bound: true }));
        for is_doubted in [true, false] {
            let found = step_down(1000.0, 3, |rate| {
                Ok(if rate < 800.0 { Offer::InTime(1.0) } else { Offer::Late { is_doubted } })
            });
            assert_eq!(found.unwrap(), Some(Most { rate: 1.0, is_bound: is_doubted }));
        }
    }
}
