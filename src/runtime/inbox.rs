//! How foreign threads reach a shard.

use corecast_shards::{RoomName, ShardId};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::ring::Doorbell;
use crate::payload::Payload;

/// What a foreign thread asks of a shard.
#[derive(Debug)]
pub(crate) enum Foreign {
    /// Publish to a room, or broadcast.
    Publish { room: RoomName, payload: Payload },
    /// Read no more commands.
    StopReading,
    /// Close every connection when it was sent everything that waits for it.
    CloseAll,
    /// End: close what is left, and the thread.
    Stop,
}

/// Messages of foreign threads that wait for one shard at most. Then callers are told `Full`.
const INBOX_ITEMS: usize = 1024;

/// The senders' ends of all shards' inboxes. Usable from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Inboxes {
    inboxes: std::sync::Arc<[(Sender<Foreign>, Doorbell)]>,
}

impl Inboxes {
    /// One inbox per doorbell, and the shards' ends of them.
    pub(crate) fn new(doorbells: &[Doorbell]) -> (Inboxes, Vec<Receiver<Foreign>>) {
        let (senders, receivers): (Vec<_>, _) =
            doorbells.iter().map(|_| bounded(INBOX_ITEMS)).unzip();
        let inboxes = senders.into_iter().zip(doorbells.iter().cloned()).collect();
        (Inboxes { inboxes }, receivers)
    }

    pub(crate) fn len(&self) -> usize {
        self.inboxes.len()
    }

    /// Hands something over without waiting; gives it back when the inbox is full or the shard has
    /// ended.
    pub(crate) fn try_send(&self, to: ShardId, foreign: Foreign) -> Result<(), Foreign> {
        let (sender, doorbell) = &self.inboxes[to.index()];
        match sender.try_send(foreign) {
            Ok(()) => {
                doorbell.ring();
                Ok(())
            }
            Err(TrySendError::Full(foreign) | TrySendError::Disconnected(foreign)) => Err(foreign),
        }
    }

    /// Hands the same to every shard, waiting while an inbox is full. A shard that has ended is
    /// passed over: it wants nothing any more.
    pub(crate) fn send_to_all(&self, make: impl Fn() -> Foreign) {
        for (sender, doorbell) in self.inboxes.iter() {
            if sender.send(make()).is_ok() {
                doorbell.ring();
            }
        }
    }
}
