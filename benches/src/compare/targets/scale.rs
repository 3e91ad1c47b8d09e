//! How large everything is.

use std::time::Duration;

use crate::compare::metric::grouped;
use crate::compare::size::Size;
use crate::load::{Broadcast, Pace};

/// The sizes that rows are written in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// Whether rows are measured more than once.
    repeats: bool,
    /// Of the usual room.
    pub(super) members: usize,
    /// Connections where there are many.
    pub(super) crowd: usize,
    /// Connections where there are few, for slopes.
    pub(super) few: usize,
    /// Rooms where there are many; each has three members.
    pub(super) rooms: usize,
    /// How long load is applied before and while it is measured.
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
    /// Rest after the last handshake, until memory and CPU of idle connections are looked at.
    pub(super) rest: Duration,
    /// The server's `--ping-interval` where pings count. Below full size it shrinks with the
    /// crowd, so that there are as many pings per second.
    pub(super) ping_interval: Duration,
    /// Rates that are tried at most, where one is looked for.
    pub(super) steps: usize,
}

/// How many rounds a row needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    Once,
    Usual,
    More,
}

impl Scale {
    pub(super) fn new(size: Size) -> Scale {
        match size {
            Size::Full => Scale {
                repeats: true,
                members: 1000,
                crowd: 15_000,
                few: 1000,
                rooms: 5000,
                warm_up: Duration::from_secs(1),
                duration: Duration::from_secs(3),
                rest: Duration::from_secs(10),
                ping_interval: Duration::from_secs(25),
                steps: 14,
            },
            Size::Quick => Scale {
                repeats: false,
                members: 1000,
                crowd: 3000,
                few: 200,
                rooms: 1000,
                warm_up: Duration::from_millis(300),
                duration: Duration::from_secs(1),
                rest: Duration::from_secs(2),
                ping_interval: Duration::from_secs(5),
                steps: 14,
            },
            Size::Smoke => Scale {
                repeats: false,
                members: 10,
                crowd: 40,
                few: 10,
                rooms: 10,
                warm_up: Duration::from_millis(20),
                duration: Duration::from_millis(100),
                rest: Duration::from_millis(100),
                ping_interval: Duration::from_millis(100),
                steps: 2,
            },
        }
    }

    /// How often a row is measured.
    pub(super) fn rounds(&self, effort: Effort) -> usize {
        match effort {
            Effort::Usual if self.repeats => 3,
            Effort::More if self.repeats => 5,
            _ => 1,
        }
    }

    /// One room of the usual number of members.
    pub(super) fn room(&self, payload_bytes: usize, pace: Pace) -> Broadcast {
        let Scale { members, warm_up, duration, .. } = *self;
        let (rooms, event_streams, publishers) = (1, 0.0, 1);
        Broadcast {
            members,
            rooms,
            event_streams,
            publishers,
            place: false,
            payload_bytes,
            is_json: false,
            pace,
            warm_up,
            duration,
        }
    }

    /// More than the server takes: without warm-up, of which most would still be under way when
    /// measuring begins.
    pub(super) fn flood(&self, rate: f64) -> Broadcast {
        Broadcast { warm_up: Duration::ZERO, ..self.room(128, Pace::Rate(rate)) }
    }

    /// A title with the numbers that this size has.
    pub(super) fn fill(&self, title: &str) -> String {
        [("{members}", self.members), ("{crowd}", self.crowd), ("{rooms}", self.rooms)].iter().fold(
            title.to_owned(),
            |title, (name, value)| {
                title.replace(name, &grouped(u32::try_from(*value).unwrap_or(u32::MAX)))
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_are_as_frequent_at_every_size_that_counts() {
        let per_second = |size| {
            let scale = Scale::new(size);
            scale.crowd as f64 / scale.ping_interval.as_secs_f64()
        };
        assert!((per_second(Size::Full) - per_second(Size::Quick)).abs() < 1e-9);
    }

    #[test]
    fn titles_name_the_real_size() {
        let title = Scale::new(Size::Quick).fill("{crowd} connections, {rooms} rooms");
        assert_eq!(title, "3,000 connections, 1,000 rooms");
    }
}
