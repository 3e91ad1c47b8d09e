//! The descriptors of open connections.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use corecast_shards::ConnId;

use super::sys;

/// Descriptors by slot of the connection, beside what is known of their readiness.
///
/// Every event carries slot and generation, and a stale one finds nothing here: a descriptor that
/// was closed and reused never receives another's bytes.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    slots: Vec<Socket>,
}

/// One connection's descriptor; 12 bytes, so that five of them share a cache line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socket {
    fd: RawFd,
    generation: u32,
    /// Bytes, or the end of the stream, may be waiting in the kernel.
    pub(crate) readable: bool,
    /// It stands in the queue of those to be read.
    pub(crate) queued: bool,
    /// The kernel said that the stream ends: it is to be read up to there.
    pub(crate) ended: bool,
}

/// The descriptor of a slot without connection.
const CLOSED: RawFd = -1;

impl Sockets {
    pub(crate) fn insert(&mut self, id: ConnId, fd: OwnedFd) {
        let slot = id.slot as usize;
        if slot >= self.slots.len() {
            let vacant =
                Socket { fd: CLOSED, generation: 0, readable: false, queued: false, ended: false };
            self.slots.resize(slot + 1, vacant);
        }
        assert_eq!(self.slots[slot].fd, CLOSED, "a slot is closed before it is used again");
        let (fd, generation) = (fd.into_raw_fd(), id.generation);
        self.slots[slot] = Socket { fd, generation, readable: false, queued: false, ended: false };
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Socket> {
        let socket = self.slots.get_mut(id.slot as usize)?;
        (socket.fd != CLOSED && socket.generation == id.generation).then_some(socket)
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<Socket> {
        let socket = self.slots.get(id.slot as usize)?;
        (socket.fd != CLOSED && socket.generation == id.generation).then_some(*socket)
    }

    pub(crate) fn close(&mut self, id: ConnId) {
        if let Some(socket) = self.get_mut(id) {
            let fd = std::mem::replace(&mut socket.fd, CLOSED);
            sys::close(fd);
        }
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        let open = self.slots.iter().filter(|socket| socket.fd != CLOSED);
        open.for_each(|socket| sys::close(socket.fd));
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd
    }
}
