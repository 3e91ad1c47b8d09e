//! epoll, level-triggered: a socket that was not emptied comes back at the next turn.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// Belongs to the thread that made it.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// A socket that has something to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    pub(crate) writable: bool,
    pub(crate) readable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    /// A connection being made, or bytes that did not fit.
    Write,
}

/// Sockets that one wait shows at most.
const EVENTS_PER_TURN: usize = 1024;

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS_PER_TURN) })
    }

    pub(crate) fn add(&self, source: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(token), flags(interest))?)
    }

    pub(crate) fn modify(
        &self,
        source: impl AsFd,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, source, EventData::new_u64(token), flags(interest))?)
    }

    pub(crate) fn remove(&self, source: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, source)?)
    }

    /// Waits until something is ready or the time is over; how many are ready.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<usize> {
        let timeout = Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, spare, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(self.events.len()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the last wait showed as many sockets as it can, so that more may be ready.
    pub(crate) fn is_full(&self) -> bool {
        self.events.len() == self.events.capacity()
    }

    /// What the nth ready socket has to say.
    #[inline]
    pub(crate) fn ready(&self, nth: usize) -> Ready {
        let Event { flags, data, .. } = self.events[nth];
        // An error or the end is found by reading.
        let ended = flags.intersects(EventFlags::ERR | EventFlags::HUP | EventFlags::RDHUP);
        Ready {
            token: data.u64(),
            writable: flags.contains(EventFlags::OUT) || ended,
            readable: flags.contains(EventFlags::IN) || ended,
        }
    }
}

/// Another poller may wait for this one.
impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn flags(interest: Interest) -> EventFlags {
    match interest {
        Interest::Read => EventFlags::IN,
        Interest::Write => EventFlags::IN | EventFlags::OUT,
    }
}
