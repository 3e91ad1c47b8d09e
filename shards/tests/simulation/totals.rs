//! Limits on all shards together: a shard refuses exactly what is too much by what it knows of the
//! others, and they know that of each other when they learn the time.

use corecast_shards::{Answer, Query, RoomName, Totals};

use crate::world::World;

/// What each shard has of what is limited over all, and when that was as much as may be.
pub(crate) struct Places {
    /// By shard: what the others had when it learned of that last.
    others: Vec<Totals>,
    /// By shard: what it had when it was looked at last.
    seen: Vec<Totals>,
    /// The last steps in which a home had no place for one more room, and a shard none for one more
    /// membership.
    no_room: Vec<Option<u64>>,
    no_membership: Vec<Option<u64>>,
}

impl Places {
    pub(crate) fn new(shards: usize) -> Places {
        Places {
            others: vec![Totals::default(); shards],
            seen: vec![Totals::default(); shards],
            no_room: vec![None; shards],
            no_membership: vec![None; shards],
        }
    }

    /// Whether this home had no place for one more room in that step, or after it.
    pub(crate) fn lacked_room(&self, home: usize, step: u64) -> bool {
        self.no_room[home] >= Some(step)
    }

    /// Whether this shard had no place for one more membership in that step, or after it.
    pub(crate) fn lacked_membership(&self, shard: usize, step: u64) -> bool {
        self.no_membership[shard] >= Some(step)
    }
}

impl World {
    /// A shard learns what the others have; what it has let in until then was judged without that.
    pub(crate) fn tell_totals(&mut self, shard: usize) {
        self.check_totals(shard);
        let mut totals = Totals::default();
        for other in (0..self.shards.len()).filter(|other| *other != shard) {
            let others = self.shards[other].totals();
            totals.rooms += others.rooms;
            totals.memberships += others.memberships;
        }
        self.places.others[shard] = totals;
        self.shards[shard].on_totals_of_others(totals);
        self.note_lack(shard);
    }

    /// Whether rooms in all are so few that they may be too many.
    pub(crate) fn limits_rooms(&self) -> bool {
        self.setup.config.limits.total_rooms <= self.names.len()
    }

    /// Whether a home has no place for one more room now.
    pub(crate) fn lacks_room(&self, home: usize) -> bool {
        let rooms = self.shards[home].totals().rooms + self.places.others[home].rooms;
        rooms >= self.setup.config.limits.total_rooms as u64
    }

    /// Whether a home has a room whose members were refused and have not left yet: until then it
    /// refuses all others, whatever the place.
    fn has_refused_room(&mut self, home: usize) -> bool {
        if !self.limits_rooms() {
            return false;
        }
        let mut with_members = 0;
        for room in 0..self.names.len() {
            let name = self.names[room].clone();
            let has_members = self.homes[room] == home && self.members_at_home(home, &name).1 > 0;
            with_members += u64::from(has_members);
        }
        with_members > self.shards[home].totals().rooms
    }

    /// Whether a shard has no place for one more membership now.
    pub(crate) fn lacks_membership(&self, shard: usize) -> bool {
        let own = self.shards[shard].totals().memberships;
        let memberships = own + self.places.others[shard].memberships;
        memberships >= self.setup.config.limits.memberships as u64
    }

    /// The most memberships that a shard had at once since it was looked at last: within one event one
    /// may be taken, another refused for it, and the one given back.
    #[cfg(debug_assertions)]
    fn most_memberships(&mut self, shard: usize) -> u64 {
        self.shards[shard].take_most_memberships().max(self.shards[shard].totals().memberships)
    }

    #[cfg(not(debug_assertions))]
    fn most_memberships(&mut self, shard: usize) -> u64 {
        self.shards[shard].totals().memberships
    }

    fn note_lack(&mut self, shard: usize) {
        if self.lacks_room(shard) || self.has_refused_room(shard) {
            self.places.no_room[shard] = Some(self.step);
        }
        let most = self.most_memberships(shard) + self.places.others[shard].memberships;
        if most >= self.setup.config.limits.memberships as u64 {
            self.places.no_membership[shard] = Some(self.step);
        }
    }

    /// What a shard has grows up to the limit, and not beyond. To be called after everything that can
    /// bring a room or a membership.
    pub(crate) fn check_totals(&mut self, shard: usize) {
        let limits = &self.setup.config.limits;
        let (seen, others) = (self.places.seen[shard], self.places.others[shard]);
        let totals = self.shards[shard].totals();
        let rooms = totals.rooms + others.rooms;
        let may = totals.rooms <= seen.rooms || rooms <= limits.total_rooms as u64;
        assert!(may, "shard {shard}: {rooms} rooms have members");
        let memberships = totals.memberships + others.memberships;
        let may =
            totals.memberships <= seen.memberships || memberships <= limits.memberships as u64;
        assert!(may, "shard {shard}: there are {memberships} memberships");
        self.places.seen[shard] = totals;
        self.note_lack(shard);
    }

    /// Which streams are members of their rooms by now, and in which lives of these.
    pub(crate) fn note_members(&mut self, shard: usize) {
        let mut entered = Vec::new();
        for client in &self.open {
            let player = &mut self.clients[*client];
            let Some(stream) = player.view.stream.as_mut().filter(|_| player.shard == shard) else {
                continue;
            };
            if stream.was_member {
                continue;
            }
            let rooms = self.shards[shard].rooms_of(player.conn);
            stream.was_member = rooms.len() == stream.parts.len();
            let place = |room: &RoomName| self.names.iter().position(|name| name == room);
            entered.extend(rooms.iter().filter_map(place).map(|room| (*client, room)));
        }
        for (client, room) in entered {
            // It does not end while it has a member.
            let query = Query::Room(self.names[room].clone());
            let Answer::Room(Some(info)) = self.shards[self.homes[room]].answer(query) else {
                panic!("room {room} has a member and is not there");
            };
            let stream = self.clients[client].view.stream.as_mut().expect("it has a stream");
            let part = stream.part_mut(room).expect("its stream is of the room");
            part.epoch.get_or_insert_with(|| info.epoch.to_string().into());
        }
    }
}
