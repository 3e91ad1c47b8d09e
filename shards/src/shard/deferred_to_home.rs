//! What is deferred until a home's ring has capacity: leaves of closed connections, and updates of
//! back-pressure.

use super::directory::Directory;
use crate::id::ShardId;
use crate::mesh::{Outboxes, ToHome};
use crate::place::Slot;
use crate::room::table::RoomKey;

/// Takes the connection out of all rooms, and defers a leave for each home that counts it as a member.
pub(super) fn defer_leaves(outboxes: &mut Outboxes, directory: &mut Directory, slot: Slot) {
    for key in directory.leave_all(slot) {
        defer_leave(outboxes, directory, slot, key);
    }
}

/// Defers a leave. The reference to the room is kept until it is sent.
pub(super) fn defer_leave(
    outboxes: &mut Outboxes,
    directory: &mut Directory,
    slot: Slot,
    key: RoomKey,
) {
    outboxes.defer_leave(directory[key].home, directory.id(slot), key);
    directory[slot].deferred_leaves += 1;
}

/// Sends what is deferred, as far as there is capacity: the leaves of closed connections, then the
/// updates of back-pressure. A home whose ring is full delays no other.
pub(super) fn send_deferred(outboxes: &mut Outboxes, directory: &mut Directory) {
    if !outboxes.has_deferred() {
        return;
    }
    for home in outboxes.shards() {
        while send_leave(outboxes, directory, home) {}
        while send_update(outboxes, directory, home) {}
    }
}

/// Sends the first deferred leave for this home, if there is capacity.
fn send_leave(outboxes: &mut Outboxes, directory: &mut Directory, home: ShardId) -> bool {
    let Some((conn, key)) = outboxes.next_deferred_leave(home) else { return false };
    let room = directory[key].name.clone();
    let slot = directory.find(conn).expect("a slot is kept while a leave is deferred");
    let encoding = directory.encoding(slot, key);
    directory.rooms.unrefer(key);
    outboxes.push_to_home(home, ToHome::Leave { room, conn, encoding, request: None });
    directory[slot].deferred_leaves -= 1;
    directory.vacate(slot);
    true
}

/// Sends this home the first update, if there is capacity. Rooms that are forgotten, or whose state the
/// home knows, need none.
fn send_update(outboxes: &mut Outboxes, directory: &mut Directory, home: ShardId) -> bool {
    let Some((key, has_capacity)) = outboxes.first_deferred_update(home) else { return false };
    // The room may be forgotten, and its key may be another room's, which has its own entry.
    let room = directory.rooms.get_mut(key);
    if let Some(room) = room.filter(|room| room.back_pressure.queued && room.home == home) {
        let paused = room.back_pressure.wanted;
        if room.back_pressure.announced != Some(paused) {
            if !has_capacity {
                return false;
            }
            room.back_pressure.announced = Some(paused);
            outboxes.push_to_home(home, ToHome::Pause { room: room.name.clone(), paused });
        }
        room.back_pressure.queued = false;
    }
    outboxes.drop_deferred_update(home);
    true
}
