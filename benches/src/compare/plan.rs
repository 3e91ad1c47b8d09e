//! What is measured.

use std::fs;
use std::time::Duration;

use serde::Serialize;

use super::size::Size;
use super::system::System;
use crate::floor::Means;

/// The whole comparison.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Plan {
    /// Each system is measured once per round, in turn.
    pub(super) rounds: usize,
    pub(super) broadcasts: Vec<RoomPlan>,
    pub(super) connections: Connections,
    /// How long load is applied before and while it is measured.
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
    pub(super) shards: Vec<usize>,
}

/// A broadcast load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct RoomPlan {
    pub(super) rooms: usize,
    /// Of all rooms together.
    pub(super) members: usize,
    pub(super) payload_bytes: usize,
    /// Messages of each room that may be under way at saturation; none where that is not measured.
    pub(super) window: Option<usize>,
    /// Messages per second, of all rooms together, at which every system is measured that delivers
    /// as many.
    pub(super) rates: &'static [u32],
}

/// Two counts of idle connections; memory per connection is the slope between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Connections {
    pub(super) few: usize,
    pub(super) many: usize,
}

/// How many members the loads have together.
const MEMBERS: usize = 1000;

/// A payload of which one fills a send.
const FILLS_SEND: usize = 64 << 10;

impl Plan {
    pub(super) fn new(size: Size) -> Plan {
        let plan = |(rooms, members), payload_bytes, window, rates| RoomPlan {
            rooms,
            members,
            payload_bytes,
            window,
            rates,
        };
        let (one, hundred) = ((1, MEMBERS), (100, MEMBERS));
        match size {
            Size::Quick => Plan {
                rounds: 3,
                broadcasts: vec![
                    plan(one, 128, Some(256), &[50, 500, 2000]),
                    plan((1000, 3000), 128, None, &[10_000]),
                    plan(hundred, 128, None, &[2000]),
                    plan((1, 100), 64 << 10, Some(16), &[]),
                ],
                connections: Connections { few: 500, many: 2500 },
                warm_up: Duration::from_millis(300),
                duration: Duration::from_secs(1),
                shards: vec![1],
            },
            Size::Smoke => Plan {
                rounds: 1,
                broadcasts: vec![plan((2, 20), 128, Some(4), &[50])],
                connections: Connections { few: 10, many: 50 },
                warm_up: Duration::from_millis(50),
                duration: Duration::from_millis(200),
                shards: vec![1],
            },
            Size::Full => Plan {
                rounds: 3,
                // Beyond these rates the bytes are more than a core copies.
                broadcasts: vec![
                    plan(one, 128, Some(256), &[50, 500, 2000]),
                    plan(one, 4096, Some(64), &[50, 500]),
                    plan((1, 100), 64 << 10, Some(16), &[50, 500]),
                    plan(hundred, 128, Some(16), &[500, 2000]),
                    plan(hundred, 4096, Some(16), &[2000]),
                ],
                connections: Connections { few: 1000, many: 8000 },
                warm_up: Duration::from_millis(500),
                duration: Duration::from_secs(2),
                shards: vec![1, 2],
            },
        }
    }

    /// Who takes part. The floor has one thread, so that it is no line for two shards.
    pub(super) fn systems(&self, shards: usize) -> Vec<System> {
        let engine = System::Engine { shards };
        let mut systems = vec![engine, System::baseline(shards), System::usual(shards)];
        if shards == 1 {
            systems.push(System::Floor { means: Means::Send });
            if self.shards.len() > 1 {
                systems.push(System::Floor { means: Means::Uring });
            }
        }
        systems
    }
}

impl RoomPlan {
    /// Whether one message fills a send: what a delivery costs is its bytes then, however many
    /// messages a send carries, and the floor is cheapest with one.
    pub(super) fn fills_sends(&self) -> bool {
        self.payload_bytes >= FILLS_SEND
    }

    pub(super) fn title(&self) -> String {
        let rooms = match self.rooms {
            1 => "one room".to_owned(),
            rooms => format!("{rooms} rooms"),
        };
        format!("{rooms}, {} members, {} bytes", self.members, self.payload_bytes)
    }
}

/// Where everybody runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cores {
    pub(super) server: Vec<usize>,
    pub(super) load: Vec<usize>,
}

impl Cores {
    /// The first cores are the server's, the next one the load's. Where there is none left, the
    /// load shares the server's cores.
    pub(super) fn split(available: &[usize], server: usize) -> Cores {
        let (server, rest) = available.split_at(server.min(available.len()));
        let load = if rest.is_empty() { server } else { &rest[..1] };
        Cores { server: server.to_vec(), load: load.to_vec() }
    }

    /// Whether server and load run on the same ones.
    pub(super) fn are_shared(&self) -> bool {
        self.server.iter().any(|core| self.load.contains(core))
    }

    /// The cores that this process may use.
    pub(super) fn available() -> Vec<usize> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        parse_list(list.unwrap_or_default())
    }
}

/// `0-2,5` is 0, 1, 2, 5.
fn parse_list(list: &str) -> Vec<usize> {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_list("\t0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(parse_list("3"), [3]);
        assert!(parse_list("").is_empty());
    }

    #[test]
    fn load_has_a_core_of_its_own_if_there_is_one() {
        let split = |available: &[usize], server| {
            let cores = Cores::split(available, server);
            (cores.server, cores.load)
        };
        assert_eq!(split(&[0, 1], 1), (vec![0], vec![1]));
        assert_eq!(split(&[0, 1], 2), (vec![0, 1], vec![0, 1]));
        assert_eq!(split(&[2, 3, 4, 5], 2), (vec![2, 3], vec![4]));
    }

    #[test]
    fn quick_shows_a_large_room_small_ones_and_large_messages() {
        let plan = Plan::new(Size::Quick);
        assert_eq!((plan.broadcasts.len(), plan.shards.len(), plan.systems(1).len()), (4, 1, 4));
        let plan = Plan::new(Size::Full);
        assert_eq!((plan.systems(1).len(), plan.systems(2).len()), (5, 3));
    }
}
