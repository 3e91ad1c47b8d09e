//! What an event stream is of, and from where on.

use std::collections::HashSet;

use crate::format::{Format, starts};
use crate::recovery::Start;
use crate::room_name::RoomName;

/// What an event stream is of, and from where on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    pub(super) rooms: Vec<(RoomName, Start)>,
}

impl Listening {
    /// Rooms that one stream may be of: the positions in all of them have to fit a header field.
    pub const ROOMS_MAX: usize = 128;

    /// The events of one room. `last_event_id` is the id that the client was sent last, of this or of
    /// any other stream: where it is not that of a message of the room's present life, the recovery is
    /// refused. An empty one is none.
    pub fn to_room(room: RoomName, last_event_id: Option<&str>) -> Listening {
        Listening::after(vec![room], last_event_id)
    }

    /// The events of these rooms, each of which counts once. None if these are no rooms, or more than
    /// [`ROOMS_MAX`](Listening::ROOMS_MAX).
    ///
    /// The messages of several rooms have no ids; the stream's own, which follow them, say where it is
    /// in all rooms. A client that is cut between a message and the next id is sent that message again.
    /// Rooms that `last_event_id` does not name are new to the client.
    pub fn to_rooms(
        rooms: impl IntoIterator<Item = RoomName>,
        last_event_id: Option<&str>,
    ) -> Option<Listening> {
        let mut known = HashSet::new();
        let distinct = rooms.into_iter().filter(|room| known.insert(room.clone()));
        let rooms: Vec<RoomName> = distinct.take(Listening::ROOMS_MAX + 1).collect();
        let count = 1..=Listening::ROOMS_MAX;
        count.contains(&rooms.len()).then(|| Listening::after(rooms, last_event_id))
    }

    fn after(rooms: Vec<RoomName>, last_event_id: Option<&str>) -> Listening {
        let id = last_event_id.filter(|id| !id.is_empty());
        let starts = match id {
            Some(id) => starts(&rooms, id),
            None => vec![Start::Live; rooms.len()],
        };
        Listening { rooms: rooms.into_iter().zip(starts).collect() }
    }

    /// The first of the rooms.
    pub fn first_room(&self) -> &RoomName {
        &self.rooms[0].0
    }

    pub(super) fn format(&self) -> Format {
        Format::of_stream(self.rooms.len())
    }
}

impl From<&RoomName> for Listening {
    /// The room's messages from now on.
    fn from(room: &RoomName) -> Listening {
        Listening::to_room(room.clone(), None)
    }
}
