//! The registry that the crate's interface replaces, in the form in which it is usually published.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::{DashMap, DashSet};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Connections with an unbounded queue each, and rooms as sets of their numbers.
#[derive(Debug, Default)]
pub struct PlainRegistry {
    next_id: AtomicU64,
    connections: DashMap<u64, Entry>,
    rooms: DashMap<String, DashSet<u64>>,
}

#[derive(Debug)]
struct Entry {
    queue: UnboundedSender<Arc<str>>,
    rooms: DashSet<String>,
}

impl PlainRegistry {
    /// A new connection, and the end of its queue that a writer task would empty.
    pub fn register(&self) -> (u64, UnboundedReceiver<Arc<str>>) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (queue, receiver) = unbounded_channel();
        self.connections.insert(id, Entry { queue, rooms: DashSet::new() });
        (id, receiver)
    }

    /// Takes a connection out of everything.
    pub fn unregister(&self, id: u64) {
        let Some((_, entry)) = self.connections.remove(&id) else { return };
        entry.rooms.iter().for_each(|room| self.forget(id, room.key()));
    }

    /// Open connections.
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// Makes a connection a member of a room.
    pub fn join_room(&self, id: u64, room: &str) {
        let Some(entry) = self.connections.get(&id) else { return };
        entry.rooms.insert(room.to_owned());
        self.rooms.entry(room.to_owned()).or_default().insert(id);
    }

    /// Takes a connection out of a room.
    pub fn leave_room(&self, id: u64, room: &str) {
        let Some(entry) = self.connections.get(&id) else { return };
        entry.rooms.remove(room);
        self.forget(id, room);
    }

    /// Queues a text for one connection.
    pub fn send_text(&self, id: u64, text: Arc<str>) {
        if let Some(entry) = self.connections.get(&id) {
            // A queue without receiver belongs to a connection that is just ending.
            let _ = entry.queue.send(text);
        }
    }

    /// Queues a text for every member of a room.
    pub fn broadcast_room_text(&self, room: &str, text: &str) {
        let Some(members) = self.rooms.get(room) else { return };
        let text: Arc<str> = text.into();
        members.iter().for_each(|id| self.send_text(*id, Arc::clone(&text)));
    }

    fn forget(&self, id: u64, room: &str) {
        if let Some(members) = self.rooms.get(room) {
            members.remove(&id);
        }
        self.rooms.remove_if(room, |_, members| members.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_sent_what_their_room_is() {
        let registry = PlainRegistry::default();
        let (one, mut queue) = registry.register();
        let (other, mut others) = registry.register();
        registry.join_room(one, "r");
        registry.broadcast_room_text("r", "hi");
        registry.send_text(other, "you".into());
        assert_eq!(queue.try_recv().as_deref(), Ok("hi"));
        assert_eq!(others.try_recv().as_deref(), Ok("you"));
        registry.leave_room(one, "r");
        registry.broadcast_room_text("r", "nobody");
        assert!(queue.try_recv().is_err() && registry.rooms.is_empty());
        registry.join_room(one, "r");
        registry.unregister(one);
        assert_eq!((registry.connection_count(), registry.rooms.len()), (1, 0));
    }
}
