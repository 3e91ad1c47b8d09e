//! What one client's commands do.

use std::collections::HashSet;
use std::sync::Arc;

use super::protocol::{self, Command, Publication};
use super::queue::Receiver;
use super::registry::{Connection, Registry};

/// One connection's commands.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    registry: &'a Registry,
    connection: Arc<Connection>,
    rooms: HashSet<Box<str>>,
}

impl<'a> Session<'a> {
    /// A new connection, and the queue that its writer empties.
    pub(crate) fn open(registry: &'a Registry) -> (Session<'a>, Receiver) {
        let (connection, queue) = registry.register();
        (Session { registry, connection, rooms: HashSet::new() }, queue)
    }

    pub(super) fn close(&mut self) {
        self.registry.unregister(&self.connection, self.rooms.drain());
    }

    pub(super) fn connection(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }

    pub(crate) fn handle(&mut self, text: &str) {
        let Ok(command) = serde_json::from_str::<Command<'_>>(text) else {
            return self.reply(protocol::error("bad_envelope", None));
        };
        let done = match (&*command.event, command.room.as_deref()) {
            ("cast:publish", Some(room)) => self.publish(room, &command),
            ("cast:broadcast", _) => self.broadcast(&command),
            ("cast:join", Some(room)) => self.join(room, &command),
            ("cast:leave", Some(room)) => self.leave(room, &command),
            ("cast:ping", _) => self.ping(&command),
            _ => Err("unknown_event"),
        };
        if let Err(code) = done {
            self.reply(protocol::error(code, command.id));
        }
    }

    fn publish(&self, room: &str, command: &Command<'_>) -> Result<(), &'static str> {
        let publication = Publication::of(command).ok_or("bad_envelope")?;
        let except = (publication.echo == Some(false)).then_some(self.connection.id);
        self.registry.publish(
            room,
            except,
            |offset| publication.encode(Some((room, offset))),
            |offset| {
                if let Some(id) = command.id {
                    self.reply(protocol::ack(id, Some(offset)));
                }
            },
        );
        Ok(())
    }

    fn broadcast(&self, command: &Command<'_>) -> Result<(), &'static str> {
        let publication = Publication::of(command).ok_or("bad_envelope")?;
        self.registry.broadcast(publication.encode(None));
        if let Some(id) = command.id {
            self.reply(protocol::ack(id, None));
        }
        Ok(())
    }

    fn join(&mut self, room: &str, command: &Command<'_>) -> Result<(), &'static str> {
        self.rooms.insert(room.into());
        let reply = |joined| protocol::joined(room, command.id, &joined);
        self.registry.join(&self.connection, room, reply);
        Ok(())
    }

    fn leave(&mut self, room: &str, command: &Command<'_>) -> Result<(), &'static str> {
        if !self.rooms.remove(room) {
            return Err("not_a_member");
        }
        let offset = self.registry.leave(&self.connection, room);
        self.reply(protocol::left(room, command.id, offset));
        Ok(())
    }

    fn ping(&self, command: &Command<'_>) -> Result<(), &'static str> {
        self.reply(protocol::pong(command.id));
        Ok(())
    }

    fn reply(&self, text: String) {
        self.connection.send(text.into());
    }
}
