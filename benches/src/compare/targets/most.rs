//! The most that is delivered while nobody waits long: the rate steps down from what the closed
//! loop shows until 99 % of the messages arrive in time.

use std::io;

use super::goal::{Goal, Unit};
use super::row::Row;
use super::scale::Effort;
use super::site::{Running, Side, Site, ratio};
use crate::floor::Means;
use crate::load::{Broadcast, Pace};

/// Messages under way in the closed loop.
const WINDOW: usize = 256;
/// Seconds within which 99 % have to arrive.
const IN_TIME: f64 = 10e-3;
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
        Ok(vec![most[0], most[1], most[2], most[3], ratio(most[0], most[1])])
    },
};

/// Deliveries per second at the first rate at which they are in time.
fn most(site: &Site<'_>, running: &Running<'_>) -> io::Result<Option<f64>> {
    let room = |pace| site.scale.room(128, pace);
    let top = running.broadcast(&room(Pace::Window(running.window(WINDOW))))?;
    let top = top.rate() / site.scale.members as f64;
    let found = step_down(top, site.scale.steps, |rate| {
        // What is too much is seen soon.
        let room = Broadcast { duration: site.scale.duration / 2, ..room(Pace::Rate(rate)) };
        let seen = running.try_broadcast(&room)?;
        let seen = seen.filter(|seen| seen.p99().is_some_and(|p99| p99 <= IN_TIME));
        Ok(seen.map(|seen| seen.rate()))
    })?;
    if found.is_none() {
        site.remark(format!("{} is late at every rate", running.name()));
    }
    Ok(found)
}

/// What the first rate that will do shows.
fn step_down(
    top: f64,
    steps: usize,
    mut offer: impl FnMut(f64) -> io::Result<Option<f64>>,
) -> io::Result<Option<f64>> {
    let mut rate = top * FIRST;
    for _ in 0..steps {
        if let Some(seen) = offer(rate)? {
            return Ok(Some(seen));
        }
        rate *= STEP;
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
            Ok((rate < 600.0).then_some(rate * 2.0))
        });
        assert_eq!(found.unwrap().map(f64::round), Some(1152.0));
        assert_eq!(offered, [900.0, 720.0, 576.0]);
        assert_eq!(step_down(1000.0, 3, |_| Ok(None)).unwrap(), None);
    }
}
