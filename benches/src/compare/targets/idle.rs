//! Connections that do nothing: memory, CPU, and what they cost those that do something.

use std::time::Duration;

use corecast_load::report::{IntervalReport, Report};

use super::goal::{Goal, Unit};
use super::row::Row;
use super::scale::Effort;
use super::site::{Side, ratio};
use crate::load::{Broadcast, Crowd, Pace};

/// How long connections that came together take until their pings are spread, in intervals: nobody
/// is pinged in the first one, and each of the next four pings waits for its phase for a quarter of
/// an interval at most.
const SPREAD_AFTER: f64 = 5.0;

/// How long they are held.
const INTERVALS: f64 = 6.5;

/// The longest time between two pings, in intervals.
const LONGEST: f64 = 1.25;

pub(super) const IDLE: Row = Row {
    name: "idle",
    title: "{crowd} idle connections in one room, --ping-interval 0",
    goals: &[
        Goal::at_most("memory per connection", Unit::Bytes, 512.0),
        Goal::at_most("memory locked or pinned", Unit::AnyBytes, 4e6),
        Goal::at_most("CPU per connect", Unit::Time, 45e-6),
        Goal::at_most("CPU of a core", Unit::Percent, 0.005),
        Goal::shown("memory with few connections", Unit::Bytes),
    ],
    effort: Effort::Usual,
    measure: |site| {
        let counts = [site.scale.few, site.scale.crowd];
        let side = Side::engine(1).with(&["--ping-interval", "0"]);
        let held = site.each(&[side.clone(), side], |index, running| {
            let crowd = Crowd { connections: counts[index], rooms: 1 };
            let run = running.hold(crowd, site.scale.rest)?;
            Ok((run, running.server.pinned_bytes()? as f64))
        })?;
        let memory = |run: &Report| run.server.as_ref().map(|server| server.rss_end_bytes as f64);
        let ((few, _), (many, pinned)) = (&held[0], &held[1]);
        let growth = memory(many).zip(memory(few)).map(|(many, few)| many - few);
        let cpu = many.server.as_ref().and_then(|server| server.cpu_per_connect_ns);
        let end = site.scale.rest.as_secs_f64();
        Ok(vec![
            ratio(growth, Some((counts[1] - counts[0]) as f64)),
            Some(*pinned),
            cpu.map(|nanos| nanos / 1e9),
            mean(&shares(&many.series, end / 2.0)),
            memory(few),
        ])
    },
};

pub(super) const PINGS: Row = Row {
    name: "pings",
    title: "{crowd} idle connections that are pinged",
    goals: &[
        Goal::at_most("CPU of a core", Unit::Percent, 0.012),
        Goal::at_most("busiest moment ÷ mean", Unit::Ratio, 2.0),
        Goal::at_least("pings answered ÷ those due at least", Unit::Ratio, 0.9),
    ],
    effort: Effort::Once,
    measure: |site| {
        let interval = site.scale.ping_interval;
        let flag = |time: Duration| format!("{}ms", time.as_millis());
        // In the proportion of the defaults: the next ping comes an interval after the last.
        let (interval_flag, timeout_flag) = (flag(interval), flag(interval.mul_f64(0.8)));
        let flags = ["--ping-interval", &interval_flag, "--ping-timeout", &timeout_flag];
        let running = site.start(&Side::engine(1).with(&flags))?;
        let connections = site.scale.crowd;
        let run = running.hold(Crowd { connections, rooms: 1 }, interval.mul_f64(INTERVALS))?;
        let shares = shares(&run.series, interval.as_secs_f64() * SPREAD_AFTER);
        let busiest = shares.iter().copied().reduce(f64::max);
        let expected = connections as f64 * ((INTERVALS - 1.0) / LONGEST).floor();
        let answered = run.pings_answered as f64 / expected;
        Ok(vec![mean(&shares), ratio(busiest, mean(&shares)), Some(answered)])
    },
};

pub(super) const TURN: Row = Row {
    name: "turn",
    title: "one room of 10, 200 messages/s, beside idle connections",
    goals: &[
        Goal::shown("CPU per delivery beside 100", Unit::Time),
        Goal::at_most("beside {crowd} ÷ beside 100", Unit::Ratio, 1.10),
    ],
    effort: Effort::Usual,
    measure: |site| {
        let room = Broadcast { members: 10, ..site.scale.room(128, Pace::Rate(200.0)) };
        let beside = [100, site.scale.crowd];
        let side = Side::engine(1).with(&["--ping-interval", "0"]);
        let seen = site.each(&[side.clone(), side], |index, running| {
            let _held = running.hold_beside(Crowd { connections: beside[index], rooms: 1 })?;
            running.broadcast(&room)
        })?;
        Ok(vec![seen[0].cpu, ratio(seen[1].cpu, seen[0].cpu)])
    },
};

/// The server's share of a core in each moment after the first so many seconds.
fn shares(series: &[IntervalReport], after: f64) -> Vec<f64> {
    let intervals = series.iter().filter(|interval| interval.at_seconds > after);
    intervals.filter_map(|interval| interval.server_cpu).collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_left_out() {
        let interval = |(at_seconds, cpu)| IntervalReport {
            at_seconds,
            server_cpu: Some(cpu),
            ..IntervalReport::default()
        };
        let series = [(0.5, 9.0), (1.5, 1.0), (2.5, 3.0)].map(interval);
        assert_eq!(shares(&series, 1.0), [1.0, 3.0]);
        assert_eq!(mean(&shares(&series, 1.0)), Some(2.0));
        assert_eq!(mean(&[]), None);
    }
}
