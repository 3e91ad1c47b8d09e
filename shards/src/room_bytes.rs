//! What rooms take of memory, by arithmetic: what [`MemoryUse::rooms`](crate::MemoryUse::rooms) then
//! says, without running them.
//!
//! Members' connections are not counted, nor are logs, histories and who is in a room.

use crate::home;
use crate::room::table;

/// Bytes that so many rooms take at their home, with names of this length and members on so many
/// shards each, of which there is one at least. One shard is home to the room of everybody, too.
///
/// Lists of rooms grow by an eighth, so that one room takes most just after that and least just before.
pub fn room_bytes_at_home(rooms: usize, name: usize, shards: usize) -> usize {
    home::bytes_at_home(rooms, name, shards)
}

/// Bytes that so many rooms take on one shard that has so many members of each, with names of this
/// length; the home of a room is such a shard, too, if members are there. The room of everybody is
/// counted with them, and has no member.
pub fn room_bytes_with_members(rooms: usize, name: usize, members: usize) -> usize {
    table::bytes_with_members(rooms, name, members)
}
