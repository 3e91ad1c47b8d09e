//! What a shard keeps of its event streams besides their connections.

use std::collections::{HashMap, VecDeque};

use crate::epoch::Epoch;
use crate::format::{Format, Place, tag_of};
use crate::memory::{HeapBytes, Sum, block, map_bytes, shared_bytes, vec_bytes};
use crate::place::{MembershipIndex, Slot};
use crate::recovery::Start;
use crate::room_name::RoomName;

/// The event streams that are in their rooms, or about to be.
#[derive(Debug, Default)]
pub(super) struct Streams {
    by_slot: HashMap<Slot, Stream>,
    /// Bytes that they own.
    owned: Sum,
}

#[derive(Debug)]
enum Stream {
    Joining(Box<Joining>),
    /// The life of its one room.
    InRoom(Epoch),
    InRooms(Box<Positions>),
}

/// A stream that is not in all of its rooms: nothing is sent to it.
#[derive(Debug)]
struct Joining {
    /// How its response begins.
    head: Box<[u8]>,
    /// What follows the head, besides messages.
    begin: Vec<u8>,
    /// Rooms whose joins were not begun.
    rooms: VecDeque<(RoomName, Start)>,
    /// Rooms that it is not in.
    missing: usize,
    positions: Positions,
}

/// What the client of a stream of several rooms is sent of where it is.
#[derive(Debug, Default)]
pub(super) struct Positions {
    /// Its rooms, in the order of its memberships, and where it was sent last that it is.
    rooms: Vec<Place>,
    /// Whether it was sent that once.
    is_sent: bool,
    /// The event that the begun send carries.
    pub(super) event: Vec<u8>,
}

/// What a stream begins with that is in its rooms.
pub(super) struct Begin {
    pub(super) head: Box<[u8]>,
    /// What follows the head, besides messages.
    pub(super) rest: Vec<u8>,
}

impl HeapBytes for Stream {
    fn heap_bytes(&self) -> usize {
        match self {
            Stream::Joining(joining) => vec_bytes::<Joining>(1) + joining.heap_bytes(),
            Stream::InRoom(_) => 0,
            Stream::InRooms(positions) => vec_bytes::<Positions>(1) + positions.heap_bytes(),
        }
    }
}

impl HeapBytes for Joining {
    fn heap_bytes(&self) -> usize {
        let of_room = |(room, start): &(RoomName, Start)| {
            shared_bytes(room.as_str().len()) + block(start.len())
        };
        block(self.head.len())
            + vec_bytes::<u8>(self.begin.capacity())
            + vec_bytes::<(RoomName, Start)>(self.rooms.capacity())
            + self.rooms.iter().map(of_room).sum::<usize>()
            + self.positions.heap_bytes()
    }
}

impl HeapBytes for Positions {
    fn heap_bytes(&self) -> usize {
        vec_bytes::<Place>(self.rooms.capacity()) + vec_bytes::<u8>(self.event.capacity())
    }
}

impl Streams {
    /// A stream begins to join these rooms, with this head.
    pub(super) fn open(&mut self, slot: Slot, head: &[u8], rooms: Vec<(RoomName, Start)>) {
        let joining = Joining {
            head: head.into(),
            begin: Vec::new(),
            missing: rooms.len(),
            positions: Positions::default(),
            rooms: rooms.into(),
        };
        let stream = Stream::Joining(Box::new(joining));
        self.owned.add(stream.heap_bytes());
        let before = self.by_slot.insert(slot, stream);
        debug_assert!(before.is_none(), "a slot has one occupant");
    }

    /// The next room that a stream is to join.
    pub(super) fn next_join(&mut self, slot: Slot) -> Option<(RoomName, Start)> {
        self.change(slot, |stream| match stream {
            Stream::Joining(joining) => joining.rooms.pop_front(),
            _ => None,
        })?
    }

    /// A stream is in one more of its rooms, in this life of it, and begins with what `push` appends.
    /// Returns its begin if that was the last one.
    pub(super) fn enter(
        &mut self,
        slot: Slot,
        (at, room, epoch): (MembershipIndex, &RoomName, Epoch),
        push: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Begin> {
        self.change(slot, |stream| {
            let Stream::Joining(joining) = stream else { return None };
            joining.missing -= 1;
            push(&mut joining.begin);
            let places = &mut joining.positions.rooms;
            if places.len() <= at.get() {
                let unknown = Place { tag: 0, epoch, offset: 0 };
                places.resize(at.get() + 1, unknown);
            }
            places[at.get()] = Place { tag: tag_of(room), epoch, offset: 0 };
            (joining.missing == 0).then(|| stream.begin(epoch))
        })?
    }

    /// A stream is out of its rooms. Returns its head, if it was never in all of them.
    pub(super) fn close(&mut self, slot: Slot) -> Option<Box<[u8]>> {
        let stream = self.by_slot.remove(&slot)?;
        self.owned.take_off(stream.heap_bytes());
        match stream {
            Stream::Joining(joining) => Some(joining.head),
            Stream::InRoom(_) | Stream::InRooms(_) => None,
        }
    }

    /// Whether a stream is still to be let into rooms.
    pub(super) fn is_joining(&self, slot: Slot) -> bool {
        matches!(self.by_slot.get(&slot), Some(Stream::Joining(_)))
    }

    /// The life of the one room that a stream is in.
    pub(super) fn epoch(&self, slot: Slot) -> Option<Epoch> {
        match self.by_slot.get(&slot)? {
            Stream::InRoom(epoch) => Some(*epoch),
            Stream::Joining(_) | Stream::InRooms(_) => None,
        }
    }

    /// What is said of where a stream is that is in its several rooms.
    pub(super) fn positions(&self, slot: Slot) -> Option<&Positions> {
        match self.by_slot.get(&slot)? {
            Stream::InRooms(positions) => Some(positions),
            Stream::Joining(_) | Stream::InRoom(_) => None,
        }
    }

    /// Changes that.
    pub(super) fn change_positions<R>(
        &mut self,
        slot: Slot,
        change: impl FnOnce(&mut Positions) -> R,
    ) -> Option<R> {
        self.change(slot, |stream| match stream {
            Stream::InRooms(positions) => Some(change(positions)),
            Stream::Joining(_) | Stream::InRoom(_) => None,
        })?
    }

    fn change<R>(&mut self, slot: Slot, change: impl FnOnce(&mut Stream) -> R) -> Option<R> {
        let stream = self.by_slot.get_mut(&slot)?;
        let before = stream.heap_bytes();
        let result = change(stream);
        self.owned.change(before, stream.heap_bytes());
        Some(result)
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> usize {
        map_bytes::<Slot, Stream>(self.by_slot.capacity()) + self.owned.get()
    }

    /// Asserts that what is kept is counted, and nothing else.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check_bytes(&self) {
        let owned: usize = self.by_slot.values().map(HeapBytes::heap_bytes).sum();
        assert_eq!(self.owned.get(), owned, "bytes of event streams");
    }
}

impl Stream {
    /// Joining to in its rooms, the last of which has this life.
    fn begin(&mut self, epoch: Epoch) -> Begin {
        let Stream::Joining(joining) = std::mem::replace(self, Stream::InRoom(epoch)) else {
            unreachable!("a stream begins once")
        };
        let Joining { head, begin, mut positions, .. } = *joining;
        if positions.rooms.len() > 1 {
            positions.rooms.shrink_to_fit();
            *self = Stream::InRooms(Box::new(positions));
        }
        Begin { head, rest: begin }
    }
}

impl Positions {
    /// Whether its client was sent that it is at these offsets, in the order of its memberships.
    pub(super) fn are_sent(&self, offsets: impl Iterator<Item = u64>) -> bool {
        self.is_sent && self.rooms.iter().map(|place| place.offset).eq(offsets)
    }

    /// Makes the event which says that it is at these offsets.
    pub(super) fn begin(&mut self, offsets: &[u64]) {
        debug_assert_eq!(offsets.len(), self.rooms.len(), "a stream stays in all of its rooms");
        let places = self.rooms.iter().zip(offsets);
        let places = places.map(|(place, offset)| Place { offset: *offset, ..*place });
        Format::push_positions(places, &mut self.event);
    }

    /// That event was sent.
    pub(super) fn note_sent(&mut self, offsets: &[u64]) {
        self.is_sent = true;
        for (place, offset) in self.rooms.iter_mut().zip(offsets) {
            place.offset = *offset;
        }
    }
}
