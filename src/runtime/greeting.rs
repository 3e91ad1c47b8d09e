//! Connections whose first request is still to be read.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use corecast_shards::Time;

use crate::http::Accept;

/// One connection before it is a WebSocket or a task of its own.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) fd: OwnedFd,
    /// The part of a head that has arrived; empty when a head comes in one piece, as most do.
    pub(crate) head: Vec<u8>,
    /// It was answered, and the rest of what it sends is discarded until its end, so that the
    /// answer is not torn away by a reset.
    pub(crate) answered: bool,
    /// A handshake that the program is deciding about, with the bytes behind its head. Nothing is
    /// read meanwhile.
    pub(crate) undecided: Option<Undecided>,
}

/// What is needed to answer a handshake later.
#[derive(Debug)]
pub(crate) struct Undecided {
    pub(crate) accept: Accept,
    pub(crate) rest: Vec<u8>,
}

/// All greetings of a shard, by key; a key is never used twice.
#[derive(Debug, Default)]
pub(crate) struct Greetings {
    open: std::collections::HashMap<u64, Greeting>,
    next_key: u64,
    /// When they must be done; in order, because each limit is the same for all.
    handshake_deadlines: VecDeque<(Time, u64)>,
    close_deadlines: VecDeque<(Time, u64)>,
}

impl Greetings {
    /// The key that the next greeting will have.
    pub(crate) fn next_key(&self) -> u64 {
        self.next_key
    }

    pub(crate) fn insert(&mut self, fd: OwnedFd, deadline: Time) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        self.handshake_deadlines.push_back((deadline, key));
        let greeting = Greeting { fd, head: Vec::new(), answered: false, undecided: None };
        self.open.insert(key, greeting);
        key
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut Greeting> {
        self.open.get_mut(&key)
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<Greeting> {
        self.open.remove(&key)
    }

    /// Notes that a greeting was answered and is to be cut at `deadline`.
    pub(crate) fn set_answered(&mut self, key: u64, deadline: Time) {
        if let Some(greeting) = self.open.get_mut(&key) {
            greeting.answered = true;
            greeting.undecided = None;
            greeting.head = Vec::new();
            self.close_deadlines.push_back((deadline, key));
        }
    }

    /// A greeting that has taken too long to say what it wants.
    pub(crate) fn next_late(&mut self, now: Time) -> Option<u64> {
        self.forget_done();
        let (_, key) = pop_due(&mut self.handshake_deadlines, now)?;
        Some(key)
    }

    /// A greeting that has not ended its side after the answer.
    pub(crate) fn next_overdue(&mut self, now: Time) -> Option<u64> {
        let (_, key) = pop_due(&mut self.close_deadlines, now)?;
        Some(key)
    }

    pub(crate) fn next_deadline(&mut self) -> Option<Time> {
        self.forget_done();
        let fronts = [self.handshake_deadlines.front(), self.close_deadlines.front()];
        fronts.into_iter().flatten().map(|(time, _)| *time).min()
    }

    /// Most are done long before their deadline, and an idle shard should not wake for them.
    fn forget_done(&mut self) {
        let open = &self.open;
        let waits = |key: &u64| open.get(key).is_some_and(|greeting| !greeting.answered);
        while self.handshake_deadlines.front().is_some_and(|(_, key)| !waits(key)) {
            self.handshake_deadlines.pop_front();
        }
        while self.close_deadlines.front().is_some_and(|(_, key)| !open.contains_key(key)) {
            self.close_deadlines.pop_front();
        }
        if self.open.is_empty() {
            self.open.shrink_to_fit();
            self.handshake_deadlines = VecDeque::new();
        }
    }
}

fn pop_due(deadlines: &mut VecDeque<(Time, u64)>, now: Time) -> Option<(Time, u64)> {
    let due = deadlines.front().is_some_and(|(deadline, _)| *deadline <= now);
    due.then(|| deadlines.pop_front()).flatten()
}

impl AsFd for Greeting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
