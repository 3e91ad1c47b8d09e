//! Compressed messages beside plain ones: what a delivery costs, and how many bytes that saves.
//!
//! The baseline sends plain ones only: axum's WebSockets are tungstenite's, which has no extension.

use std::io;

use super::goal::{Goal, Unit};
use super::row::Row;
use super::scale::Effort;
use super::site::{Seen, Side, Site, ratio};
use crate::baseline::Queue;
use crate::load::{Broadcast, Pace};

/// Messages per second at which each is a send of its own, and at which a send takes several.
const SINGLE_RATE: f64 = 50.0;
const BUSY_RATE: f64 = 1_000.0;

const MESSAGE_BYTES: usize = 1 << 10;

/// Of a message that is compressed once, each member pays a little.
const DEARER_MAX: f64 = 1.10;
/// What JSON of this size has to become smaller by.
const SAVED_MIN: f64 = 0.4;

pub(super) const SINGLE: Row = Row {
    name: "deflate",
    title: "one room of {members}, JSON of 1 KB, 50 messages/s: permessage-deflate, plain, and the \
            baseline, whose tungstenite 0.29 cannot compress",
    goals: &GOALS,
    effort: Effort::More,
    measure: |site| measure(site, SINGLE_RATE),
};

pub(super) const BUSY: Row = Row {
    name: "deflate-busy",
    title: "one room of {members}, JSON of 1 KB, 1,000 messages/s: permessage-deflate, plain, and \
            the baseline, whose tungstenite 0.29 cannot compress",
    goals: &GOALS,
    effort: Effort::More,
    measure: |site| measure(site, BUSY_RATE),
};

const GOALS: [Goal; 10] = [
    Goal::at_least("bytes of messages saved", Unit::Percent, SAVED_MIN),
    Goal::shown("bytes per delivery, compressed", Unit::Bytes),
    Goal::shown("bytes per delivery, plain", Unit::Bytes),
    Goal::shown("CPU per delivery, compressed", Unit::Time),
    Goal::shown("CPU per delivery, plain", Unit::Time),
    Goal::shown("CPU per delivery, baseline, plain", Unit::Time),
    Goal::at_most("CPU per delivery, compressed ÷ plain", Unit::Ratio, DEARER_MAX),
    Goal::at_most("CPU per delivery, compressed ÷ baseline", Unit::Ratio, 1.0),
    Goal::shown("messages per send, compressed", Unit::Ratio),
    Goal::shown("messages per send, plain", Unit::Ratio),
];

fn measure(site: &Site<'_>, rate: f64) -> io::Result<Vec<Option<f64>>> {
    let room = Broadcast { is_json: true, ..site.scale.room(MESSAGE_BYTES, Pace::Rate(rate)) };
    let sides = [
        Side::engine(1).with(&["--deflate", "on"]).compressed(),
        Side::engine(1),
        Side::baseline(Queue::Unbounded),
    ];
    let seen = site.each(&sides, |_, running| running.broadcast(&room))?;
    let [compressed, plain, baseline] = [&seen[0], &seen[1], &seen[2]];
    let saved = compressed.run.compression.as_ref().and_then(|it| it.saved_share);
    Ok(vec![
        saved,
        bytes(compressed),
        bytes(plain),
        compressed.cpu,
        plain.cpu,
        baseline.cpu,
        ratio(compressed.cpu, plain.cpu),
        ratio(compressed.cpu, baseline.cpu),
        compressed.messages_per_send,
        plain.messages_per_send,
    ])
}

/// What members read for a delivery, frames included.
fn bytes(seen: &Seen) -> Option<f64> {
    ratio(Some(seen.run.messages.bytes_per_second), Some(seen.rate()))
}
