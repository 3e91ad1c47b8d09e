//! What is measured.

use std::fs;
use std::time::Duration;

use serde::Serialize;

use super::size::Size;
use super::system::System;
use crate::baseline::Queue;
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
    /// Whether few messages are measured, too, when waking up dominates.
    pub(super) quiet: bool,
    pub(super) shards: Vec<usize>,
}

/// A broadcast load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct RoomPlan {
    pub(super) rooms: usize,
    /// Of all rooms together.
    pub(super) members: usize,
    pub(super) payload_bytes: usize,
    /// Messages of each room that may be under way at saturation.
    pub(super) window: usize,
}

/// Two counts of idle connections; memory per connection is the slope between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Connections {
    pub(super) few: usize,
    pub(super) many: usize,
}

/// Messages per second of a load that leaves everybody asleep most of the time.
pub(super) const QUIET_RATE: f64 = 50.0;

/// How many members the loads have together.
const MEMBERS: usize = 1000;

impl Plan {
    pub(super) fn new(size: Size) -> Plan {
        let big =
            |payload_bytes, window| RoomPlan { rooms: 1, members: MEMBERS, payload_bytes, window };
        let small =
            |payload_bytes| RoomPlan { rooms: 100, members: MEMBERS, payload_bytes, window: 16 };
        match size {
            Size::Quick => Plan {
                rounds: 3,
                broadcasts: vec![big(128, 256)],
                connections: Connections { few: 500, many: 2500 },
                warm_up: Duration::from_millis(500),
                duration: Duration::from_secs(2),
                quiet: false,
                shards: vec![1],
            },
            Size::Smoke => Plan {
                rounds: 1,
                broadcasts: vec![RoomPlan { rooms: 2, members: 20, payload_bytes: 128, window: 4 }],
                connections: Connections { few: 10, many: 50 },
                warm_up: Duration::from_millis(50),
                duration: Duration::from_millis(200),
                quiet: false,
                shards: vec![1],
            },
            Size::Full => Plan {
                rounds: 3,
                broadcasts: vec![big(128, 256), big(4096, 64), small(128), small(4096)],
                connections: Connections { few: 1000, many: 8000 },
                warm_up: Duration::from_secs(1),
                duration: Duration::from_secs(2),
                quiet: true,
                shards: vec![1, 2],
            },
        }
    }

    /// Who takes part. The floor has one thread, so that it is no line for two shards.
    pub(super) fn systems(&self, shards: usize) -> Vec<System> {
        let engine = System::Engine { shards };
        let baseline = |queue| System::Baseline { queue, threads: shards };
        let floor = |means| System::Floor { means };
        if self.shards.len() == 1 {
            return vec![engine, baseline(Queue::Bounded), floor(Means::Send)];
        }
        let mut systems = vec![engine, baseline(Queue::Bounded), baseline(Queue::Unbounded)];
        if shards == 1 {
            systems.extend([floor(Means::Send), floor(Means::Uring)]);
        }
        systems
    }
}

impl RoomPlan {
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
    fn quick_is_three_systems_and_one_load() {
        let plan = Plan::new(Size::Quick);
        assert_eq!((plan.broadcasts.len(), plan.shards.len(), plan.systems(1).len()), (1, 1, 3));
        let plan = Plan::new(Size::Full);
        assert_eq!((plan.systems(1).len(), plan.systems(2).len()), (5, 3));
    }
}
