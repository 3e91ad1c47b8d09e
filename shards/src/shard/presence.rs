//! What the host does for presence: it names its members to homes that ask, and tells the changes to
//! the members that watch.

use std::sync::Arc;

use super::directory::Directory;
use super::host::Host;
use super::intake::Intake;
use crate::connection::{MembershipState, Wait, WriteState};
use crate::envelope::ErrorCode;
use crate::format::{Fact, Refusal};
use crate::id::{ConnId, ShardId};
use crate::identity::Identity;
use crate::mesh::ToHome;
use crate::place::{MembershipIndex, Slot};
use crate::presence::{NamedMembers, Presence};
use crate::room::table::RoomKey;
use crate::room_name::RoomName;

pub(super) const NO_MEMORY_FOR_PRESENCE: &str =
    "memory is short, and presence is refused; try again later";

impl Intake<'_> {
    /// A member asks who is in the room. Its next command for the room waits for the answer.
    pub(super) fn push_question(&mut self, slot: Slot, room: RoomName, id: Option<Box<str>>) {
        let home = self.0.directory.home(room.as_str());
        let at = self.0.directory.membership(slot, room.as_str()).expect("it is a member");
        let change_id = self.0.directory[slot].next_change_id();
        let membership = &mut self.0.directory[slot].memberships[at];
        membership.begin_change(MembershipState::Asking, change_id);
        self.0.expect_presence(slot);
        let conn = self.0.directory.id(slot);
        self.0.outboxes.push_to_home(home, ToHome::Presence { room, conn, change_id, id });
    }
}

impl Host {
    /// A connection is to be sent who is in a room, which may be half of what may wait for it: of two
    /// that are on their way the third command waits.
    pub(super) fn expect_presence(&mut self, slot: Slot) {
        let bytes = self.config.limits.own_bytes / 8;
        self.directory[slot].expect_reply(bytes);
    }

    /// What was expected has come, or does not come.
    pub(super) fn note_presence(&mut self, slot: Slot) {
        self.directory[slot].count_reply();
        let connection = &self.directory[slot];
        if connection.wait() == Some(&Wait::Replies)
            && !connection.has_unread_replies(&self.config.limits)
        {
            self.resume_later(slot);
        }
    }

    /// A home has said who is in a room, or that it cannot.
    pub(super) fn on_presence(
        &mut self,
        name: &RoomName,
        conn: ConnId,
        change_id: u32,
        id: Option<Box<str>>,
        presence: Option<&Presence>,
    ) {
        let Some((slot, at)) = self.directory.find_change(name, conn, change_id) else { return };
        self.directory[slot].memberships[at].end_question();
        let key = self.directory[slot].memberships[at].room;
        // What leads to the version that it is given comes first.
        for frame in self.directory.watchers.catch_up(key, slot) {
            self.push_shared(slot, &frame);
        }
        match presence {
            Some(presence) => {
                self.say(slot, &Fact::Presence { room: name, id: id.as_deref(), presence });
            }
            None => {
                let (code, message) = (ErrorCode::Overloaded, NO_MEMORY_FOR_PRESENCE.into());
                let room = Some(name.clone());
                self.say(slot, &Fact::Error(&Refusal { code, message, id, room }));
            }
        }
        self.note_presence(slot);
        self.on_change_ended(slot, key);
    }

    /// The members of a room that watch it are to be told of a change.
    pub(super) fn on_presence_change(&mut self, name: &RoomName, version: u64, frame: Arc<[u8]>) {
        if let Some(key) = self.directory.rooms.find(name.as_str()) {
            self.directory.watchers.push_change(key, version, frame);
        }
    }

    /// Tells watchers of changes, as many as one turn may: more where changes come faster than they
    /// are told. One for which much waits, and whose socket takes bytes, is sent that first.
    pub(super) fn tell_watchers(&mut self) {
        use WriteState::{Begun, Idle};
        // Beside that, answers of as many bytes may come at any time.
        let most = self.config.limits.own_bytes / 2;
        let waiting = self.directory.watchers.changes();
        for _ in 0..self.config.tuning.presence_members.max(waiting) {
            let Directory { watchers, connections, .. } = &mut self.directory;
            let told = watchers.next_told(|slot, bytes| {
                let connection = &connections[slot];
                let is_sent_to = matches!(connection.write_state(), Idle | Begun);
                let goes_out = is_sent_to && connection.is_open();
                let waiting = connection.direct_bytes();
                !goes_out || waiting == 0 || waiting + bytes <= most
            });
            let Some((slot, frame)) = told else { return };
            self.push_shared(slot, &frame);
        }
    }

    /// Names members to homes that ask for them, some to each that can take a message.
    pub(super) fn name_members(&mut self) {
        if !self.outboxes.may_name() {
            return;
        }
        for home in self.outboxes.shards() {
            if let Some(named) = self.outboxes.next_named(home) {
                self.name_some(home, named);
            }
        }
    }

    fn name_some(&mut self, home: ShardId, named: NamedMembers) {
        let NamedMembers { room, census, left } = named;
        let key = self.directory.rooms.find(room.as_str());
        let count = key.map_or(0, |key| self.directory[key].members.len());
        let end = left.unwrap_or(count).min(count);
        let begin = end.saturating_sub(self.config.tuning.presence_members);
        let members = key.map_or_else(Vec::new, |key| self.counted_members(key, begin, end));
        let is_last = begin == 0;
        let message = ToHome::Census { room: room.clone(), census, members, is_last };
        self.outboxes.push_to_home(home, message);
        if !is_last {
            self.outboxes.defer_named(home, NamedMembers { room, census, left: Some(begin) });
        }
    }

    /// Those of a room's members that its home counts, and whose leaves it has not been sent.
    fn counted_members(
        &self,
        key: RoomKey,
        begin: usize,
        end: usize,
    ) -> Vec<(ConnId, Option<Arc<Identity>>)> {
        use MembershipState::{Asking, Joined, Rejoining};
        let counted = self.directory[key].members[begin..end].iter().filter_map(|member| {
            let connection = &self.directory[member.slot];
            let state = connection.memberships[member.membership].state();
            let is_counted = matches!(state, Joined | Rejoining | Asking);
            let id = self.directory.id(member.slot);
            is_counted.then(|| (id, connection.identity.clone()))
        });
        counted.collect()
    }

    /// A member knows who is in the room, and is told of changes from here on.
    pub(super) fn begin_to_watch(&mut self, slot: Slot, at: MembershipIndex, version: u64) {
        let key = self.directory[slot].memberships[at].room;
        self.directory.watchers.watch(key, slot, version);
    }
}
