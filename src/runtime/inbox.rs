//! How foreign threads reach a shard.

use std::sync::Arc;

use corecast_shards::{Answer, Close, Query, RoomName, ShardId, Unnumbered};
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use event_listener::Event;

use super::promise::Resolver;
use super::ring::Doorbell;

/// What a foreign thread asks of a shard.
#[derive(Debug)]
pub(crate) enum Foreign {
    /// Publish to a room that is at home here, or broadcast.
    Publish {
        /// The room of everybody for a broadcast.
        room: RoomName,
        /// Encoded by the caller, so that the shard is not kept.
        message: Unnumbered,
        /// Who wants to know the offset.
        reply: Option<Resolver<Answer>>,
    },
    /// A question, or something for one connection of this shard.
    Ask {
        /// What.
        query: Query,
        /// Who wants to know.
        reply: Resolver<Answer>,
    },
    /// Close every connection for this reason when it was sent everything that waits for it.
    CloseAll(Close),
    /// Read no more commands.
    StopReading,
    /// End: close what is left, and the thread.
    Stop,
}

/// Messages of foreign threads that wait for one shard at most. Then callers are told `Full`.
const INBOX_ITEMS: usize = 1024;

/// The senders' ends of all shards' inboxes. Usable from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Inboxes(Arc<[Sending]>);

#[derive(Debug)]
struct Sending {
    sender: Sender<Foreign>,
    doorbell: Doorbell,
    /// Told when room appears.
    room: Arc<Event>,
}

/// A shard's end of its inbox.
#[derive(Debug)]
pub(crate) struct Inbox {
    receiver: Receiver<Foreign>,
    room: Arc<Event>,
}

/// Something that was not handed over.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// There is no room; the message is given back.
    Full(Foreign),
    /// The shard has ended.
    Closed,
}

impl Inboxes {
    /// One inbox per doorbell, and the shards' ends of them.
    pub(crate) fn new(doorbells: &[Doorbell]) -> (Inboxes, Vec<Inbox>) {
        let ends = doorbells.iter().map(|doorbell| {
            let (sender, receiver) = bounded(INBOX_ITEMS);
            let room = Arc::new(Event::new());
            let sending = Sending { sender, doorbell: doorbell.clone(), room: Arc::clone(&room) };
            (sending, Inbox { receiver, room })
        });
        let (senders, inboxes): (Vec<_>, _) = ends.unzip();
        (Inboxes(senders.into()), inboxes)
    }

    /// Hands something over without waiting.
    pub(crate) fn try_send(&self, to: ShardId, foreign: Foreign) -> Result<(), Unsent> {
        let inbox = &self.0[to.index()];
        match inbox.sender.try_send(foreign) {
            Ok(()) => {
                inbox.doorbell.ring();
                Ok(())
            }
            Err(TrySendError::Full(foreign)) => Err(Unsent::Full(foreign)),
            Err(TrySendError::Disconnected(_)) => Err(Unsent::Closed),
        }
    }

    /// Listens for room. Whoever finds the inbox full listens first and tries once more, so that
    /// room which appears in between is not missed.
    pub(crate) fn room(&self, to: ShardId) -> event_listener::EventListener {
        self.0[to.index()].room.listen()
    }

    /// Wakes everybody who waits for room, because there will be none.
    pub(crate) fn wake_all(&self) {
        for inbox in self.0.iter() {
            inbox.room.notify(usize::MAX);
        }
    }

    /// Hands the same to every shard, waiting while an inbox is full. A shard that has ended is
    /// passed over: it wants nothing any more.
    pub(crate) fn send_to_all(&self, make: impl Fn() -> Foreign) {
        for inbox in self.0.iter() {
            if inbox.sender.send(make()).is_ok() {
                inbox.doorbell.ring();
            }
        }
    }
}

impl Inbox {
    /// The next message, if there is one; somebody who waits for its place is told.
    pub(crate) fn try_recv(&self) -> Result<Foreign, TryRecvError> {
        let foreign = self.receiver.try_recv()?;
        self.room.notify(1);
        Ok(foreign)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}
