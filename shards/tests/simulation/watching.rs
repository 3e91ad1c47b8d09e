//! What the program hears of rooms and their members, where it watches them.

use std::collections::BTreeSet;

use corecast_shards::{ConnId, RoomEvent, RoomName};

use crate::count::Happened;
use crate::world::{World, trace};

/// What the program was told last.
#[derive(Default)]
pub(crate) struct Watching {
    members: BTreeSet<(ConnId, RoomName)>,
    occupied: BTreeSet<RoomName>,
    /// How many joins it was told, by client.
    joins: Vec<usize>,
}

impl World {
    /// The program hears of everything that its shard has to say of rooms.
    pub(crate) fn watch(&mut self, shard: usize) {
        while let Some(event) = self.shards[shard].outputs().next_room_event() {
            trace!(self, "shard {shard}: {event:?}");
            let watching = &mut self.watching;
            match event {
                RoomEvent::Joined(conn, room) => {
                    let client = self.by_conn[&conn];
                    let player = &self.clients[client];
                    assert!(player.view.stream.is_none(), "the program knows no stream");
                    assert!(player.shard == shard && player.parted.is_none(), "{conn} is there");
                    watching.joins.resize(self.clients.len(), 0);
                    watching.joins[client] += 1;
                    assert!(watching.members.insert((conn, room)), "{conn} was a member");
                    self.count.add(Happened::WatchedJoin);
                }
                RoomEvent::Left(conn, room) => {
                    let lives = self.clients[self.by_conn[&conn]].parted.is_none();
                    assert!(lives, "a leave comes before the end of its connection");
                    assert!(watching.members.remove(&(conn, room)), "{conn} was no member");
                    self.count.add(Happened::WatchedLeave);
                }
                RoomEvent::Occupied(room) => {
                    assert_eq!(self.shards[shard].home(&room).index(), shard, "its home says it");
                    assert!(watching.occupied.insert(room), "it was occupied");
                    self.count.add(Happened::WatchedOccupied);
                }
                RoomEvent::Vacated(room) => {
                    assert_eq!(self.shards[shard].home(&room).index(), shard, "its home says it");
                    assert!(watching.occupied.remove(&room), "it was vacant");
                    self.count.add(Happened::WatchedVacated);
                }
            }
        }
        self.check_occupied(shard);
    }

    /// Occupied are as many rooms as the home counts.
    fn check_occupied(&self, shard: usize) {
        if !self.setup.config.hooks.occupancy {
            return assert!(self.watching.occupied.is_empty(), "nothing is said unasked");
        }
        let is_here = |room: &&RoomName| self.shards[shard].home(room).index() == shard;
        let occupied = self.watching.occupied.iter().filter(is_here).count() as u64;
        assert_eq!(occupied, self.shards[shard].totals().rooms, "occupied rooms of shard {shard}");
    }

    /// A connection that ends has left all rooms.
    pub(crate) fn check_left(&self, client: usize) {
        let conn = self.clients[client].conn;
        let is_its = |(member, _): &&(ConnId, RoomName)| *member == conn;
        let member = self.watching.members.iter().find(is_its);
        assert_eq!(member, None, "client {client} ends and is a member");
    }

    /// In quiet, the program knows exactly the members that there are, and was told each join.
    pub(crate) fn check_watching(&self) {
        let hooks = &self.setup.config.hooks;
        let known = |client: &&usize| {
            let player = &self.clients[**client];
            hooks.members && player.lives() && player.view.stream.is_none()
        };
        let all: Vec<usize> = (0..self.clients.len()).collect();
        let mut members = BTreeSet::new();
        for client in all.iter().filter(known) {
            let player = &self.clients[*client];
            let rooms = player.view.rooms.keys().map(|room| self.names[*room].clone());
            members.extend(rooms.map(|room| (player.conn, room)));
            let told = self.watching.joins.get(*client).copied().unwrap_or(0);
            assert_eq!(told, player.view.stays, "joins of client {client}");
        }
        assert_eq!(self.watching.members, members, "members that the program knows");
        let rooms = self.asking.rooms.values().flatten();
        let rooms = rooms.filter(|info| hooks.occupancy && info.members > 0);
        let occupied: BTreeSet<RoomName> = rooms.map(|info| info.room.clone()).collect();
        assert_eq!(self.watching.occupied, occupied, "occupied rooms that the program knows");
    }

    /// At the end nothing is left.
    pub(crate) fn check_all_left(&self) {
        assert!(self.watching.members.is_empty() && self.watching.occupied.is_empty());
    }
}
