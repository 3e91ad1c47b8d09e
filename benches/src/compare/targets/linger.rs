//! Messages that wait for others: what that saves at each rate, and what it costs in latency.

use std::io;

use super::goal::{Bound, Goal, Unit};
use super::row::Row;
use super::scale::Effort;
use super::site::{Seen, Side, Site, ratio};
use crate::load::Pace;

/// What `--room` says, but for the side without.
const LINGERS: [&str; 3] = ["*:linger=1ms", "*:linger=5ms", "*:linger=20ms"];

/// As much as two runs of the same differ by.
const SAME: f64 = 1.05;

pub(super) const FEW: Row = Row {
    name: "linger-50",
    title: "one room of {members}, 128 bytes, 50 messages/s: without a linger and with one",
    goals: &goals([Bound::AtMost(SAME); 3]),
    effort: Effort::Usual,
    measure: |site| measure(site, 50.0),
};

pub(super) const SOME: Row = Row {
    name: "linger-500",
    title: "one room of {members}, 128 bytes, 500 messages/s: without a linger and with one",
    goals: &goals([Bound::AtMost(SAME), Bound::AtMost(0.5), Bound::AtMost(0.15)]),
    effort: Effort::Usual,
    measure: |site| measure(site, 500.0),
};

pub(super) const MANY: Row = Row {
    name: "linger-1000",
    title: "one room of {members}, 128 bytes, 1,000 messages/s: without a linger and with one",
    goals: &goals([Bound::AtMost(SAME), Bound::AtMost(0.5), Bound::AtMost(0.15)]),
    effort: Effort::Usual,
    measure: |site| measure(site, 1_000.0),
};

pub(super) const BUSY: Row = Row {
    name: "linger-8000",
    title: "one room of {members}, 128 bytes, 8,000 messages/s: without a linger and with one",
    goals: &goals([Bound::AtMost(SAME); 3]),
    effort: Effort::Usual,
    measure: |site| measure(site, 8_000.0),
};

/// With bounds for the CPU of each linger, compared with none.
const fn goals(most: [Bound; 3]) -> [Goal; 19] {
    let [short, usual, long] = most;
    [
        share("CPU per delivery, 1 ms ÷ none", short),
        share("CPU per delivery, 5 ms ÷ none", usual),
        share("CPU per delivery, 20 ms ÷ none", long),
        Goal::shown("none: CPU per delivery", Unit::Time),
        Goal::shown("none: messages per send", Unit::Ratio),
        Goal::shown("none: latency, 50 %", Unit::Time),
        Goal::shown("none: latency, 99 %", Unit::Time),
        Goal::shown("1 ms: CPU per delivery", Unit::Time),
        Goal::shown("1 ms: messages per send", Unit::Ratio),
        Goal::shown("1 ms: latency, 50 %", Unit::Time),
        Goal::shown("1 ms: latency, 99 %", Unit::Time),
        Goal::shown("5 ms: CPU per delivery", Unit::Time),
        Goal::shown("5 ms: messages per send", Unit::Ratio),
        Goal::shown("5 ms: latency, 50 %", Unit::Time),
        Goal::shown("5 ms: latency, 99 %", Unit::Time),
        Goal::shown("20 ms: CPU per delivery", Unit::Time),
        Goal::shown("20 ms: messages per send", Unit::Ratio),
        Goal::shown("20 ms: latency, 50 %", Unit::Time),
        Goal::shown("20 ms: latency, 99 %", Unit::Time),
    ]
}

const fn share(what: &'static str, bound: Bound) -> Goal {
    Goal { what, unit: Unit::Ratio, bound }
}

fn measure(site: &Site<'_>, rate: f64) -> io::Result<Vec<Option<f64>>> {
    let room = site.scale.room(128, Pace::Rate(rate));
    let lingering = LINGERS.map(|policy| Side::engine(1).with(&["--room", policy]));
    let sides: Vec<Side> = std::iter::once(Side::engine(1)).chain(lingering).collect();
    let seen = site.each(&sides, |_, running| running.broadcast(&room))?;
    for (name, seen) in ["none", "1 ms", "5 ms", "20 ms"].iter().zip(&seen) {
        site.doubt(name, seen);
    }
    let shares = seen[1..].iter().map(|with| ratio(with.cpu, seen[0].cpu));
    Ok(shares.chain(seen.iter().flat_map(figures)).collect())
}

fn figures(seen: &Seen) -> [Option<f64>; 4] {
    let latency = &seen.run.latency_us.latency;
    let seconds = |micros: Option<f64>| micros.map(|micros| micros / 1e6);
    [seen.cpu, seen.messages_per_send, seconds(latency.p50), seconds(latency.p99)]
}
