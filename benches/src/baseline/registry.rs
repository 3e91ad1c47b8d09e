//! Who is connected, and who is in which room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use dashmap::DashMap;
use tokio::sync::Notify;

use super::protocol::{self, Joined};
use super::queue::{self, Queue, Receiver, Sender};

/// Names a connection; never used again.
pub(super) type ConnectionId = u64;

/// All connections and rooms of the process.
#[derive(Debug)]
pub(crate) struct Registry {
    queue: Queue,
    next_id: AtomicU64,
    next_life: AtomicU64,
    connections: DashMap<ConnectionId, Arc<Connection>>,
    rooms: DashMap<Box<str>, Arc<Mutex<BaselineRoom>>>,
    /// Held during a broadcast, so that all connections see broadcasts in one order.
    broadcasting: Mutex<()>,
}

/// One connection, as everybody else sees it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    queue: Sender,
    /// Its queue was full: the reader closes the socket, and until then nothing more is queued, so
    /// that the client never sees a hole.
    pub(super) evicted: Notify,
    is_evicted: AtomicBool,
}

/// A room's members, their queues beside them: a publish looks nobody up.
///
/// Its lock is held while a message is numbered and queued for everybody, so that all members see
/// one order.
#[derive(Debug)]
struct BaselineRoom {
    life: u64,
    offset: u64,
    members: HashMap<ConnectionId, Arc<Connection>>,
}

impl Registry {
    pub(crate) fn new(queue: Queue) -> Registry {
        Registry {
            queue,
            next_id: AtomicU64::new(1),
            next_life: AtomicU64::new(1),
            connections: DashMap::new(),
            rooms: DashMap::new(),
            broadcasting: Mutex::new(()),
        }
    }

    /// A new connection, its welcome queued before any broadcast can be.
    pub(super) fn register(&self) -> (Arc<Connection>, Receiver) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = queue::channel(self.queue);
        let connection = Arc::new(Connection {
            id,
            queue: sender,
            evicted: Notify::new(),
            is_evicted: AtomicBool::new(false),
        });
        connection.send(protocol::welcome(id).into());
        self.connections.insert(id, Arc::clone(&connection));
        (connection, receiver)
    }

    /// Takes a connection out of everything.
    pub(super) fn unregister(
        &self,
        connection: &Connection,
        rooms: impl Iterator<Item = Box<str>>,
    ) {
        self.connections.remove(&connection.id);
        rooms.for_each(|room| {
            self.leave(connection, &room);
        });
    }

    /// Makes a connection a member and queues the answer before any later message of the room.
    pub(super) fn join(
        &self,
        connection: &Arc<Connection>,
        name: &str,
        reply: impl FnOnce(Joined) -> String,
    ) {
        // The map's lock is held until the joiner is in: an empty room cannot be pruned meanwhile.
        let entry = self.rooms.entry(name.into()).or_insert_with(|| {
            let life = self.next_life.fetch_add(1, Ordering::Relaxed);
            Arc::new(Mutex::new(BaselineRoom { life, offset: 0, members: HashMap::new() }))
        });
        let mut room = lock(&entry);
        room.members.insert(connection.id, Arc::clone(connection));
        let joined = Joined { life: room.life, offset: room.offset, members: room.members.len() };
        connection.send(reply(joined).into());
    }

    /// Takes a connection out of a room, and the room away with its last member. Returns the last
    /// offset that it got.
    pub(super) fn leave(&self, connection: &Connection, name: &str) -> u64 {
        let Some(room) = self.room(name) else { return 0 };
        let (offset, is_empty) = {
            let mut room = lock(&room);
            room.members.remove(&connection.id);
            (room.offset, room.members.is_empty())
        };
        if is_empty {
            self.rooms.remove_if(name, |_, room| lock(room).members.is_empty());
        }
        offset
    }

    /// Numbers a message and queues it for every member but `except`; `encode` builds it from its
    /// offset, once for all. `ack` is called with the offset before anybody else can publish.
    pub(super) fn publish(
        &self,
        name: &str,
        except: Option<ConnectionId>,
        encode: impl FnOnce(u64) -> String,
        ack: impl FnOnce(u64),
    ) {
        let Some(room) = self.room(name) else { return ack(1) };
        let mut room = lock(&room);
        room.offset += 1;
        ack(room.offset);
        let text = Utf8Bytes::from(encode(room.offset));
        for (id, member) in &room.members {
            if Some(*id) != except {
                member.send(text.clone());
            }
        }
    }

    /// Queues a message for every connection.
    pub(super) fn broadcast(&self, text: String) {
        let _order = lock(&self.broadcasting);
        let text = Utf8Bytes::from(text);
        self.connections.iter().for_each(|connection| connection.send(text.clone()));
    }

    fn room(&self, name: &str) -> Option<Arc<Mutex<BaselineRoom>>> {
        self.rooms.get(name).map(|room| Arc::clone(&room))
    }
}

impl Connection {
    /// Queues a message; a connection that is too slow for it is evicted.
    pub(super) fn send(&self, text: Utf8Bytes) {
        if self.is_evicted.load(Ordering::Relaxed) {
            return;
        }
        if self.queue.send(text).is_err() {
            self.is_evicted.store(true, Ordering::Relaxed);
            self.evicted.notify_one();
        }
    }
}

/// A panic elsewhere leaves what these locks guard whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_lives_as_long_as_it_has_members() {
        let registry = Registry::new(Queue::Unbounded);
        let (connection, _receiver) = registry.register();
        let mut first = None;
        registry.join(&connection, "r", |joined| {
            first = Some(joined);
            String::new()
        });
        assert_eq!(first, Some(Joined { life: 1, offset: 0, members: 1 }));
        registry.publish("r", None, |offset| format!("{offset}"), |offset| assert_eq!(offset, 1));
        assert_eq!(registry.leave(&connection, "r"), 1);
        assert!(registry.rooms.is_empty());
        registry.unregister(&connection, std::iter::empty());
        assert!(registry.connections.is_empty());
    }

    #[test]
    fn an_excepted_publisher_gets_nothing() {
        let registry = Registry::new(Queue::Bounded);
        let (connection, mut receiver) = registry.register();
        registry.join(&connection, "r", |_| "joined".to_owned());
        registry.publish("r", Some(connection.id), |_| "m".to_owned(), |_| {});
        receiver.try_recv().unwrap();
        assert_eq!(receiver.try_recv().unwrap().as_str(), "joined");
        assert!(receiver.try_recv().is_none());
    }
}
