//! What a publisher is told.

use corecast_shards::Answer;

/// A message has its place in its room, and is on its way to every member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its position in the room, counted from 1 without holes.
    pub offset: u64,
    /// How many members the room had at that moment. For a broadcast: how many shards it went to.
    pub members: u32,
}

impl Receipt {
    pub(crate) fn of(answer: &Answer) -> Receipt {
        match answer {
            Answer::Published { offset, members } => Receipt { offset: *offset, members: *members },
            other => unreachable!("a publish is answered with its offset, not with {other:?}"),
        }
    }
}
