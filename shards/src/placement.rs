//! Where a connection lives whose first room is known before it begins.
//!
//! Members of a small room that live on its home's shard cost no hop between cores. So a connection
//! is handed to the home of its first room, unless that would be too much for it: consistent hashing
//! with bounded loads (Mirrokni, Thorup, Zadimoghaddam; SODA 2018). One room of very many members
//! spreads by itself, since its home is full soon.

use crate::id::ShardId;

/// Where a connection that has not begun is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On the shard that accepted it.
    Here(Stay),
    /// On this other one, which it is handed to.
    There(ShardId),
}

/// Why a connection stays on the shard that accepted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// That is the home of its first room.
    AtHome,
    /// The home has as many connections as it is to have.
    Loaded,
    /// The ring to the home is full, or others wait for it.
    RingFull,
    /// The server drains.
    Draining,
}

impl Stay {
    /// How many reasons there are.
    pub const COUNT: usize = Stay::ALL.len();

    /// All of them, each at its [index](Stay::index).
    pub const ALL: [Stay; 4] = [Stay::AtHome, Stay::Loaded, Stay::RingFull, Stay::Draining];

    /// A number below [`COUNT`](Stay::COUNT).
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The reason as one word.
    pub const fn name(self) -> &'static str {
        match self {
            Stay::AtHome => "at_home",
            Stay::Loaded => "loaded",
            Stay::RingFull => "ring_full",
            Stay::Draining => "draining",
        }
    }
}

/// How many connections a shard is to have at most, with one more than these in all: a quarter more
/// than the mean, rounded up.
pub(crate) fn most_held(total: u64, shards: u64) -> u64 {
    (5 * (total + 1)).div_ceil(4 * shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a shard with so many of all is to have one more.
    fn has_place(held: u64, total: u64, shards: u64) -> bool {
        held < most_held(total, shards)
    }

    #[test]
    fn a_shard_has_a_quarter_more_than_the_mean_at_most() {
        // With the new one there are 1,000 on 4 shards: 250 each, 312.5 at most, rounded up.
        assert!(has_place(312, 999, 4));
        assert!(!has_place(313, 999, 4));
        // 1,024 on 4: 320 exactly.
        assert!(has_place(319, 1_023, 4));
        assert!(!has_place(320, 1_023, 4));
    }

    #[test]
    fn small_numbers_are_rounded_up() {
        for shards in 1..=64 {
            assert!(has_place(0, 0, shards), "the first one finds a place on {shards}");
        }
        assert!(!has_place(1, 1, 64), "the second one goes elsewhere: one each is enough");
        // Two on two shards: a quarter above one is two.
        assert!(has_place(1, 1, 2));
        assert!(!has_place(2, 2, 2), "three on two shards: 1.875, rounded up to two");
    }

    /// Where all come in elsewhere, the home has what it may, and the others the rest.
    #[test]
    fn one_room_of_very_many_spreads_by_itself() {
        for shards in [2, 3, 7, 64_u64] {
            let (mut at_home, all) = (0, 10_000);
            for total in 0..all {
                at_home += u64::from(has_place(at_home, total, shards));
                assert!(4 * shards * at_home < 5 * (total + 1) + 4 * shards, "{at_home}");
            }
            assert_eq!(at_home, (5 * all).div_ceil(4 * shards), "of {shards}");
        }
    }

    #[test]
    fn the_reasons_have_names_of_their_own() {
        for (index, reason) in Stay::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
        let names: std::collections::BTreeSet<_> = Stay::ALL.iter().map(|why| why.name()).collect();
        assert_eq!(names.len(), Stay::COUNT);
    }
}
