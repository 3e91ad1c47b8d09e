//! The descriptors of open connections.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use corecast_shards::ConnId;

use super::addresses::AddressPlace;

/// Descriptors by slot of the connection, beside what is known of their readiness.
///
/// Every event carries slot and generation, and a stale one finds nothing here: a descriptor that
/// was closed and reused never receives another's bytes.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    slots: Vec<Option<Socket>>,
    /// The places of those whose client's address counts, by slot.
    places: HashMap<u32, AddressPlace>,
}

/// One connection's descriptor, which is closed with it.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    generation: u32,
    /// Bytes, or the end of the stream, may be waiting in the kernel.
    pub(crate) readable: bool,
    /// It stands in the queue of those to be read.
    pub(crate) queued: bool,
    pub(crate) ending: Ending,
}

/// How far the end of a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    Unknown,
    /// The kernel said that it ends: it is to be read up to there.
    Announced,
    /// A send has failed: it ends where nothing more is to be read.
    Broken,
    /// It was read up to there, or to an error.
    Read,
}

// No descriptor is -1, which marks a vacant slot: five slots share a cache line.
const _: () = assert!(size_of::<Option<Socket>>() == 12, "a slot is small");

impl Sockets {
    /// Slots, and so connections at most.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn insert(&mut self, id: ConnId, fd: OwnedFd, address_place: Option<AddressPlace>) {
        let slot = id.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        let before = self.slots[slot].replace(Socket {
            fd,
            generation: id.generation,
            readable: false,
            queued: false,
            ending: Ending::Unknown,
        });
        assert!(before.is_none(), "a slot is closed before it is used again");
        if let Some(place) = address_place {
            self.places.insert(id.slot, place);
        }
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Socket> {
        let socket = self.slots.get_mut(id.slot as usize)?.as_mut()?;
        (socket.generation == id.generation).then_some(socket)
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Socket> {
        let socket = self.slots.get(id.slot as usize)?.as_ref()?;
        (socket.generation == id.generation).then_some(socket)
    }

    pub(crate) fn close(&mut self, id: ConnId) {
        if self.get(id).is_some() {
            self.slots[id.slot as usize] = None;
            self.places.remove(&id.slot);
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
