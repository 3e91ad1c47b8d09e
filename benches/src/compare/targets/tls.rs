//! TLS beside plain connections: what a delivery, a handshake and an idle connection cost more.

use corecast_load::report::Report;

use super::goal::{Goal, Unit};
use super::row::Row;
use super::scale::Effort;
use super::site::{Seen, Side, ratio};
use crate::load::{Crowd, Pace};

/// Messages that may be under way at saturation.
const WINDOW: usize = 256;
/// Each message is a record and a send of its own.
const SINGLE_RATE: f64 = 50.0;

/// What rustls and we keep of an idle connection that has shaken hands.
const SESSION_BYTES_MAX: f64 = 4096.0;

pub(super) const WSS: Row = Row {
    name: "wss",
    title: "one room of {members}, 128 bytes, wss beside ws: as fast as it goes, then 50 messages/s",
    goals: &[
        Goal::shown("deliveries per second, ws", Unit::PerSecond),
        Goal::shown("deliveries per second, wss", Unit::PerSecond),
        Goal::shown("deliveries per second, wss ÷ ws", Unit::Ratio),
        Goal::shown("CPU per delivery, ws", Unit::Time),
        Goal::shown("CPU per delivery, wss", Unit::Time),
        Goal::shown("CPU per delivery, wss ÷ ws", Unit::Ratio),
        Goal::shown("messages per read of the generator, ws", Unit::Ratio),
        Goal::shown("messages per read of the generator, wss", Unit::Ratio),
        Goal::shown("CPU per delivery at 50 messages/s, ws", Unit::Time),
        Goal::shown("CPU per delivery at 50 messages/s, wss", Unit::Time),
        Goal::shown("CPU per delivery at 50 messages/s, wss ÷ ws", Unit::Ratio),
    ],
    effort: Effort::More,
    measure: |site| {
        let sides = [Side::engine(1), Side::engine(1).sealed()];
        let most = site.scale.room(128, Pace::Window(WINDOW));
        let quiet = site.scale.room(128, Pace::Rate(SINGLE_RATE));
        let seen = site.each(&sides, |_, running| {
            Ok((running.broadcast(&most)?, running.broadcast(&quiet)?))
        })?;
        let [(ws, quiet_ws), (wss, quiet_wss)] = [&seen[0], &seen[1]];
        let per_read = |seen: &Seen| seen.run.generator.messages_per_read;
        Ok(vec![
            Some(ws.rate()),
            Some(wss.rate()),
            ratio(Some(wss.rate()), Some(ws.rate())),
            ws.cpu,
            wss.cpu,
            ratio(wss.cpu, ws.cpu),
            per_read(ws),
            per_read(wss),
            quiet_ws.cpu,
            quiet_wss.cpu,
            ratio(quiet_wss.cpu, quiet_ws.cpu),
        ])
    },
};

pub(super) const IDLE: Row = Row {
    name: "wss-idle",
    title: "{crowd} idle connections in one room, wss beside ws, --ping-interval 0",
    goals: &[
        Goal::shown("memory per connection, ws", Unit::Bytes),
        Goal::shown("memory per connection, wss", Unit::Bytes),
        Goal::at_most("memory per connection, wss − ws", Unit::Bytes, SESSION_BYTES_MAX),
        Goal::shown("CPU per connect, ws", Unit::Time),
        Goal::shown("CPU per connect, wss", Unit::Time),
    ],
    effort: Effort::Usual,
    measure: |site| {
        let side = Side::engine(1).with(&["--ping-interval", "0"]);
        let sealed = side.clone().sealed();
        let sides = [side.clone(), side, sealed.clone(), sealed];
        let counts = [site.scale.few, site.scale.crowd];
        let runs = site.each(&sides, |index, running| {
            let crowd = Crowd { connections: counts[index % 2], rooms: 1 };
            running.hold(crowd, site.scale.rest)
        })?;
        let memory = |run: &Report| run.server.as_ref().map(|server| server.rss_end_bytes as f64);
        let further = (counts[1] - counts[0]) as f64;
        let each = |few: &Report, many: &Report| Some((memory(many)? - memory(few)?) / further);
        let (ws, wss) = (each(&runs[0], &runs[1]), each(&runs[2], &runs[3]));
        let cpu = |run: &Report| Some(run.server.as_ref()?.cpu_per_connect_ns? / 1e9);
        let added = wss.zip(ws).map(|(wss, ws)| wss - ws);
        Ok(vec![ws, wss, added, cpu(&runs[1]), cpu(&runs[3])])
    },
};
