//! Lies about who is in a room.

use std::collections::BTreeSet;
use std::sync::Arc;

use corecast_shards::{FromHome, ToHome};
use serde_json::Value;

use super::{Lie, text_frame};
use crate::client::Client;
use crate::presence::Watch;
use crate::view::{Awaited, Line};
use crate::wire;
use crate::world::{World, trace};

impl World {
    /// Whether a client on this shard is in the first room, watches who is there and stays.
    fn has_watching_resident(&self, shard: usize) -> bool {
        self.open.iter().any(|client| {
            let client = &self.clients[*client];
            client.shard == shard && client.resident && client.view.watches.contains_key(&0)
        })
    }

    /// Whom clients know that watch the first room and stay, and are told of the next version now.
    fn known_by_residents(&self, shard: usize, next: Option<u64>) -> BTreeSet<String> {
        if self.lying.lie != Lie::LosePresenceLeave {
            return BTreeSet::new();
        }
        let here = self.open.iter().map(|client| &self.clients[*client]);
        let stay = here.filter(|client| client.shard == shard && client.stays());
        let watches = stay.filter_map(|client| client.view.watches.get(&0));
        watches.filter(|watch| next == Some(watch.version + 1)).flat_map(Watch::names).collect()
    }

    /// Those who stay in the first room.
    fn staying(&self) -> BTreeSet<String> {
        if self.lying.lie != Lie::OtherInfo {
            return BTreeSet::new();
        }
        let all = self.open.iter().map(|client| &self.clients[*client]);
        all.filter(|client| client.stays()).map(Client::name).collect()
    }

    /// Who is in a room, or joins it, may not be what its home hears.
    pub(super) fn lie_about_users(&mut self, from: usize, to: usize) {
        let is_awaited = self.open.iter().any(|client| {
            let client = &self.clients[*client];
            let mut asked = client.view.line(Line::Room(0));
            let watches =
                |awaited: &Awaited| matches!(awaited, Awaited::Joined { presence: Some(_), .. });
            client.stays() && asked.any(|asked| watches(&asked.answer))
        });
        match self.mesh.requests[from][to].queue.back_mut() {
            Some(ToHome::Census { room, members, .. }) if *room == self.names[0] => {
                let stays =
                    is_awaited && members.iter().any(|(conn, _)| self.lying.counted.contains(conn));
                if stays && self.lying.now(Lie::LoseCensus) {
                    members.clear();
                }
            }
            Some(ToHome::Join { conn, options, identity, again: false, .. }) => {
                let named = identity.as_ref().is_some_and(|identity| identity.subject.is_some());
                let here = self.open.iter().map(|client| &self.clients[*client]);
                let of_conn = here.clone().find(|client| client.conn == *conn).map(Client::name);
                let alone = here.filter(|client| of_conn == Some(client.name())).count() == 1;
                if options.presence && named && alone && self.lying.now(Lie::LoseIdentity) {
                    *identity = None;
                }
            }
            _ => {}
        }
    }

    /// What watchers are told may not be what happened. Returns whether it is so here, or this is what
    /// a lie about it needs.
    pub(super) fn lie_about_presence(&mut self, from: usize, to: usize) -> bool {
        let watched = self.has_watching_resident(to);
        let next = match self.mesh.outcomes[from][to].queue.back() {
            Some(FromHome::PresenceChange { version, .. }) => Some(*version),
            _ => None,
        };
        let known = self.known_by_residents(to, next);
        let staying = self.staying();
        let room = self.names[0].clone();
        let queue = &mut self.mesh.outcomes[from][to].queue;
        let Some(last) = queue.back() else { return false };
        if matches!(last, FromHome::Census { room: other, .. } if *other == room) {
            let stays = |client: &&Client| {
                client.lives() && client.stays() && client.view.rooms.contains_key(&0)
            };
            let stay = self.clients.iter().filter(stays).map(|client| client.conn);
            self.lying.counted = stay.collect();
            return true;
        }
        if let FromHome::PresenceChange { room: other, .. } = last
            && (watched && *other == room)
            && self.lying.now(Lie::LosePresenceChange)
        {
            trace!(self, "LIE: lost {:.100?}", queue.back());
            queue.pop_back();
            return true;
        }
        let FromHome::PresenceChange { room: other, frame, .. } = last else { return false };
        let (lie, changed) = match self.lying.lie {
            lie @ Lie::LosePresenceLeave => (lie, without_leaves(frame, &known)),
            lie @ Lie::OtherInfo => (lie, with_other_info(frame, &staying)),
            lie => (lie, None),
        };
        let changed = changed.filter(|_| watched && *other == room);
        let Some(changed) = changed.filter(|_| self.lying.now(lie)) else { return false };
        trace!(self, "LIE: {lie:?} in {last:.100?}");
        if let Some(FromHome::PresenceChange { frame, .. }) = queue.back_mut() {
            *frame = changed;
        }
        true
    }
}

/// A change of presence that says of nobody that it has left, if it says so of one that is known.
fn without_leaves(frame: &[u8], known: &BTreeSet<String>) -> Option<Arc<[u8]>> {
    let json = wire::read_frame(frame).expect("it is whole").0.payload;
    let mut change: Value = serde_json::from_slice(&json).expect("it is JSON");
    let left = std::mem::take(change["data"]["leave"].as_array_mut()?);
    let is_known = |user: &Value| user["user"].as_str().is_some_and(|name| known.contains(name));
    left.iter().any(is_known).then(|| text_frame(&change.to_string()).into())
}

/// A change of presence that shows something else of one of these, if one has come.
fn with_other_info(frame: &[u8], staying: &BTreeSet<String>) -> Option<Arc<[u8]>> {
    let json = wire::read_frame(frame).expect("it is whole").0.payload;
    let mut change: Value = serde_json::from_slice(&json).expect("it is JSON");
    let mut joined = change["data"]["join"].as_array_mut()?.iter_mut();
    let is_staying =
        |user: &Value| user["user"].as_str().is_some_and(|name| staying.contains(name));
    joined.find(|user| is_staying(user))?["info"] = Value::from("other");
    Some(text_frame(&change.to_string()).into())
}
