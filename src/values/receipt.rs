//! What a publisher learns of its message.

use corecast_shards::{Answer, RoomName};

/// A message was published, and this is what is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its position in its room, counted from 1 without holes. None for a message to all
    /// connections, to one or to those of a user, which have no offset.
    pub offset: Option<u64>,
    /// How many connections there were for it: the room's members at that moment; all open
    /// connections at about that moment, event streams included, though they get no broadcasts; those
    /// of the user that took it; or one.
    pub members: Option<u32>,
    /// The message has the [key](crate::Message::with_key) of an earlier one, and is not delivered:
    /// the offset is that one's. The room may have begun anew since, and count from 1 again.
    pub repeated: bool,
}

impl Receipt {
    /// Nothing is known, because the publisher did not wait for it.
    pub(crate) fn unconfirmed() -> Receipt {
        Receipt::default()
    }

    /// What its home says of a message that was published to a room, or to all connections, of
    /// which there were so many.
    pub(crate) fn of_answer(room: &RoomName, answer: &Answer, connections: u64) -> Receipt {
        match answer {
            Answer::Published { .. } if room.is_everybody() => Receipt::of_all(connections),
            Answer::Published { offset, members, repeated } => {
                Receipt { offset: Some(*offset), members: Some(*members), repeated: *repeated }
            }
            other => unreachable!("a publish is answered with its offset, not with {other:?}"),
        }
    }

    fn of_all(connections: u64) -> Receipt {
        let members = u32::try_from(connections).unwrap_or(u32::MAX);
        Receipt { members: Some(members), ..Receipt::default() }
    }

    /// So many connections of a user took it.
    pub(crate) fn of_user(connections: u32) -> Receipt {
        Receipt { members: Some(connections), ..Receipt::default() }
    }

    pub(crate) fn of_connection() -> Receipt {
        Receipt { members: Some(1), ..Receipt::default() }
    }
}
