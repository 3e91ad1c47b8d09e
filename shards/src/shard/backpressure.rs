//! Back-pressure: publishers of a room pause while they are faster than its writable members here.
//!
//! ```text
//! log above half its limit ─▶ update for the home ─▶ the home pauses the room on every shard
//! log below a quarter      ─▶ update for the home ─▶ the home resumes it, publishers go on
//! ```

use super::host::Host;
use crate::connection::Wait;
use crate::room::table::RoomKey;
use crate::room_name::RoomName;

impl Host {
    /// Defers an update for the room's home when publishers became too fast, or are so no longer.
    pub(super) fn judge_back_pressure(&mut self, key: RoomKey) {
        let room = &mut self.directory[key];
        if room.judge_back_pressure() && !room.back_pressure.queued {
            room.back_pressure.queued = true;
            self.outboxes.defer_update(room.home, key);
        }
    }

    /// The connections that waited go to the end of the home's queue, so that they go on as fast as
    /// it has capacity.
    pub(super) fn resume_room(&mut self, room: RoomName) {
        let Some(mut queue) = self.paused_rooms.remove(&room) else { return };
        let home = self.directory.home(room.as_str());
        let paused = Wait::Paused(room.into());
        while let Some(id) = queue.pop() {
            if let Some(slot) = self.directory.find(id)
                && self.directory[slot].wait() == Some(&paused)
            {
                self.directory.set_wait(slot, Some(Wait::Capacity(home)));
                self.outboxes.wait(home, id);
            }
        }
        self.queues.homes_to_resume.push_back(home);
    }
}
