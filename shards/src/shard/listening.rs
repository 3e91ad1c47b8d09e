//! What an event stream is of, and from where on.

use crate::format::start_of_room;
use crate::recovery::Start;
use crate::room_name::RoomName;

/// What an event stream is of, and from where on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    pub(super) room: RoomName,
    pub(super) start: Start,
}

impl Listening {
    /// The events of one room. `last_event_id` is the id that the client was sent last, of this or of
    /// any other stream: where it is not that of a message of the room's present life, the recovery is
    /// refused. An empty one is none.
    pub fn to_room(room: RoomName, last_event_id: Option<&str>) -> Listening {
        let id = last_event_id.filter(|id| !id.is_empty());
        Listening { room, start: id.map_or(Start::Live, start_of_room) }
    }
}

impl From<&RoomName> for Listening {
    /// The room's messages from now on.
    fn from(room: &RoomName) -> Listening {
        Listening::to_room(room.clone(), None)
    }
}
