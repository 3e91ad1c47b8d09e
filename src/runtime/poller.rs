//! Which descriptors are ready.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::kernel::{self, Syscall};

/// One edge-triggered epoll for all descriptors of a shard.
///
/// An idle connection costs the kernel one entry here and the shard nothing: no task, no waker, no
/// pending operation on a ring, so that a turn costs the same at 100 and at 15,000 connections.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: Rc<Epoll>,
    events: Vec<libc::epoll_event>,
}

/// Which descriptors a [`Poller`] watches.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

/// What happened to one descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IoEvent {
    /// What it was added with.
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has ended its side, or the connection is dead.
    pub(crate) ended: bool,
}

/// What [`Poller::wait`] took.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Polled {
    /// All that was ready.
    All,
    /// So many events, and there may be more.
    Some(usize),
}

/// Events taken at once; a busy shard comes back for more in its next turn.
const EVENTS_MAX: usize = 256;

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let epoll = Rc::new(Epoll(epoll));
        Ok(Poller { epoll, events: Vec::with_capacity(EVENTS_MAX) })
    }

    /// To have descriptors watched.
    pub(crate) fn epoll(&self) -> &Rc<Epoll> {
        &self.epoll
    }

    /// Takes what is ready, waiting for at most `timeout`; for ever when there is none.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Polled> {
        self.events.clear();
        let (count, room) = match self.take(timeout.map_or(-1, whole_millis)) {
            // A process that was stopped hears this when it goes on (signal(7)).
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (0, 0),
            taken => taken?,
        };
        // SAFETY: the kernel has just written the first `count` events.
        unsafe { self.events.set_len(count) };
        Ok(if count < room { Polled::All } else { Polled::Some(count) })
    }

    /// Makes the kernel write events into the vector's memory; returns how many it wrote, and for
    /// how many there was room.
    fn take(&mut self, millis: i32) -> io::Result<(usize, usize)> {
        let epoll = self.epoll.0.as_raw_fd();
        kernel::pay_edges(epoll);
        kernel::enter(Syscall::EpollWait, epoll)?;
        let room = kernel::shorten(Syscall::EpollWait, epoll, EVENTS_MAX);
        let start = self.events.as_mut_ptr();
        // Not by rustix: with its feature `linux_5_11`, which another package may enable for all,
        // it calls epoll_pwait2, which filters of system calls may not know.
        // SAFETY: the vector owns memory for EVENTS_MAX events, and the kernel writes at most so
        // many.
        let count = unsafe { libc::epoll_wait(epoll, start, room as libc::c_int, millis) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        Ok((count, room))
    }

    /// The next event taken by [`Poller::wait`].
    pub(crate) fn next(&mut self) -> Option<IoEvent> {
        let event = self.events.pop()?;
        let bits = event.events as i32;
        let ended = bits & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0;
        Some(IoEvent {
            token: event.u64,
            readable: bits & libc::EPOLLIN != 0 || ended,
            writable: bits & (libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) != 0,
            ended,
        })
    }
}

/// Rounded up: rounded down, the last millisecond would be no wait at all, again and again until it
/// is over.
fn whole_millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_nanos().div_ceil(NANOS_PER_MILLI)).unwrap_or(i32::MAX)
}

const NANOS_PER_MILLI: u128 = 1_000_000;

impl Epoll {
    /// Watches a socket for everything, edge-triggered.
    pub(crate) fn add_socket(&self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        self.add(fd, EVERYTHING, token)
    }

    /// Gives a watched socket another token.
    pub(crate) fn rename_socket(&self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        self.control(fd, EVERYTHING, token, |epoll, fd, data| {
            epoll::modify(epoll, fd, data, EVERYTHING)
        })
    }

    /// Watches something that is written to, edge-triggered, so that it need not be read.
    pub(crate) fn add_signal(&self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        self.add(fd, EventFlags::IN | EventFlags::ET, token)
    }

    /// Watches a listener, level-triggered: what one turn does not accept is seen by the next.
    pub(crate) fn add_listener(&self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        self.add(fd, EventFlags::IN, token)
    }

    /// Stops watching. A descriptor that is closed needs this only if another handle keeps it open.
    pub(crate) fn remove(&self, fd: &impl AsFd) -> io::Result<()> {
        self.control(fd, EventFlags::empty(), 0, |epoll, fd, _| epoll::delete(epoll, fd))
    }

    fn add(&self, fd: &impl AsFd, events: EventFlags, token: u64) -> io::Result<()> {
        self.control(fd, events, token, |epoll, fd, data| epoll::add(epoll, fd, data, events))
    }

    fn control(
        &self,
        fd: &impl AsFd,
        events: EventFlags,
        token: u64,
        call: impl FnOnce(&OwnedFd, BorrowedFd<'_>, EventData) -> rustix::io::Result<()>,
    ) -> io::Result<()> {
        let fd = fd.as_fd();
        kernel::enter(Syscall::EpollCtl, fd.as_raw_fd())?;
        call(&self.0, fd, EventData::new_u64(token))?;
        kernel::watched(fd.as_raw_fd(), events.bits(), token);
        Ok(())
    }
}

/// All that may happen to a socket, edge-triggered.
const EVERYTHING: EventFlags =
    EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_rounded_up_to_what_epoll_knows() {
        let rows = [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)];
        for (nanos, millis) in rows {
            assert_eq!(whole_millis(Duration::from_nanos(nanos)), millis, "{nanos} ns");
        }
        assert_eq!(whole_millis(Duration::MAX), i32::MAX);
    }
}
