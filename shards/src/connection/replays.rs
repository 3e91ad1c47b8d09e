//! What a connection is still to be sent of its rooms' histories.

use std::collections::VecDeque;

use crate::epoch::Epoch;
use crate::history::{Kept, Part, Parts};
use crate::log::{Rest, Space};
use crate::memory::{HeapBytes, vec_bytes};
use crate::room::table::RoomKey;
use crate::time::Time;

/// Messages of before its joins that one connection is still to be sent, in the order in which its
/// joins were answered. Those of a room go before any other message of it.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    /// Each has messages left.
    queue: VecDeque<Replay>,
    /// Parts that the begun send carries, from the first on.
    in_flight: usize,
    /// Bytes of these.
    offered: usize,
    /// Since when the connection is in the queue of those that are sent histories, if it is.
    pub(crate) queued_at: Option<Time>,
}

#[derive(Debug)]
struct Replay {
    room: RoomKey,
    epoch: Epoch,
    parts: VecDeque<Part>,
}

impl HeapBytes for Replays {
    /// Without the blocks, which their home counts.
    fn heap_bytes(&self) -> usize {
        let parts = self.queue.iter().map(|replay| vec_bytes::<Part>(replay.parts.capacity()));
        vec_bytes::<Replay>(self.queue.capacity()) + parts.sum::<usize>()
    }
}

/// What a send brought of histories.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// Messages taken, the one that was cut included.
    pub(crate) messages: u64,
    pub(crate) complete: bool,
    /// The rest of the message that was cut.
    pub(crate) rest: Option<Rest>,
    /// Bytes of these messages, and what it carried besides.
    pub(crate) taken: usize,
    pub(crate) untaken: usize,
}

impl Replays {
    /// Queues messages of a room; there are some.
    pub(crate) fn push(&mut self, room: RoomKey, epoch: Epoch, messages: Parts) {
        let parts = VecDeque::from(messages.into_parts());
        self.queue.push_back(Replay { room, epoch, parts });
    }

    /// Nothing of it is sent any more.
    pub(crate) fn drop_all(&mut self) {
        self.queue.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The rooms of which messages are still to come.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = RoomKey> {
        self.queue.iter().map(|replay| replay.room)
    }

    /// How many rooms these are.
    pub(crate) fn count(&self) -> usize {
        self.queue.len()
    }

    /// The offset of the next message of this room, if any is still to come.
    pub(crate) fn next_of(&self, room: RoomKey) -> Option<u64> {
        let replay = self.queue.iter().find(|replay| replay.room == room)?;
        replay.parts.front().map(Part::first)
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.queue.iter().flat_map(|replay| &replay.parts)
    }

    /// Bytes of the messages that are still to come.
    pub(crate) fn bytes(&self) -> usize {
        self.parts().map(|part| part.frames().len()).sum()
    }

    /// Bytes that are free once it is dropped: of blocks that nothing else refers to.
    pub(crate) fn own_bytes(&self) -> usize {
        let own = self.parts().filter(|part| !part.block.is_shared());
        own.map(|part| part.block.memory_bytes()).sum()
    }

    /// Makes as many parts of the send that begins as there is space for.
    pub(crate) fn begin(&mut self, space: &mut Space) {
        self.in_flight = 0;
        for part in self.queue.iter().flat_map(|replay| &replay.parts) {
            if space.is_used_up() {
                break;
            }
            space.iovecs -= 1;
            space.used += part.frames().len();
            self.in_flight += 1;
        }
        self.offered = space.used;
    }

    /// The memory of the send that was begun, in order.
    pub(crate) fn iovecs(&self) -> impl Iterator<Item = &[u8]> {
        self.parts().take(self.in_flight).map(Part::frames)
    }

    /// Ends a send: takes what was taken of its messages off them and off `taken`.
    pub(crate) fn end_send(&mut self, taken: &mut usize) -> Replayed {
        let (before, offered) = (*taken, std::mem::take(&mut self.offered));
        let mut replayed =
            Replayed { messages: 0, complete: true, rest: None, taken: 0, untaken: 0 };
        for _ in 0..std::mem::take(&mut self.in_flight) {
            let part = self.front_mut().expect("what a send carries is there when it ends");
            let bytes = part.frames().len();
            if *taken < bytes {
                let cut = part.cut(std::mem::take(taken));
                replayed.messages += cut.messages as u64;
                (replayed.complete, replayed.rest) = (false, cut.rest);
                self.drop_finished();
                break;
            }
            *taken -= bytes;
            replayed.messages += part.messages.len() as u64;
            part.messages.start = part.messages.end;
            self.drop_finished();
        }
        let rest = replayed.rest.as_ref().map_or(0, Rest::len);
        replayed.taken = before - *taken + rest;
        replayed.untaken = offered - replayed.taken;
        replayed
    }

    /// The next message, which counts as sent from here on, for `each`, which may not keep it.
    pub(crate) fn take_one(&mut self, each: impl FnOnce(Epoch, Kept<'_>)) -> bool {
        let Some(replay) = self.queue.front_mut() else { return false };
        let part = replay.parts.front_mut().expect("a replay has messages left");
        each(replay.epoch, part.block.message(part.messages.start));
        part.messages.start += 1;
        self.drop_finished();
        true
    }

    fn front_mut(&mut self) -> Option<&mut Part> {
        self.queue.front_mut()?.parts.front_mut()
    }

    /// Drops the first part if all of its messages were taken.
    fn drop_finished(&mut self) {
        let Some(replay) = self.queue.front_mut() else { return };
        replay.parts.pop_front_if(|part| part.messages.is_empty());
        if replay.parts.is_empty() {
            self.queue.pop_front();
        }
    }
}
