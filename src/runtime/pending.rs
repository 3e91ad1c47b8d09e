//! Connections whose first request is still to be read.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

use corecast_shards::{Opening, Time};

use super::addresses::AddressPlace;
use super::server_state::HttpPlace;
use super::tls::{Link, TlsSession};
use crate::http::{Prepaid, Upgrade};
use crate::program::Caller;

/// One connection before it is a WebSocket or a task of its own.
#[derive(Debug)]
pub(crate) struct PendingHandshake {
    pub(crate) link: Link,
    pub(crate) caller: Caller,
    /// None for one that found no place, and is only told so.
    pub(crate) place: Option<HttpPlace>,
    /// None where its client's address does not count.
    pub(crate) address_place: Option<AddressPlace>,
    /// Whether its TLS handshake was counted for its client's address.
    pub(crate) prepaid: Prepaid,
    /// What is to come before the first request.
    pub(crate) preface: Preface,
    /// The part of a head that has arrived; empty when a head comes in one piece, as most do.
    pub(crate) head: Vec<u8>,
    /// How much of that was looked at when it was last parsed.
    parsed: usize,
    /// It stands in the queue of those to be read.
    queued: bool,
    /// How much of what is held for all of them was counted for this one.
    held: usize,
    /// It was answered, and the rest of what it sends is discarded until its end, so that the
    /// answer is not torn away by a reset.
    pub(crate) answered: bool,
    /// A handshake that the program is deciding about, with the bytes behind its head. Nothing is
    /// read meanwhile.
    pub(crate) awaiting: Option<AwaitingAuthorization>,
}

/// What a proxy sends before the first request: the header of the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Preface {
    /// Nothing, or nothing more.
    #[default]
    Done,
    /// A header, of which the part that has arrived stands where a head's does.
    Header,
    /// So many bytes of a header that was understood.
    Skip(usize),
}

/// What is needed to answer a handshake later.
#[derive(Debug)]
pub(crate) struct AwaitingAuthorization {
    pub(crate) upgrade: Upgrade,
    pub(crate) rest: Vec<u8>,
    /// How the connection begins if the program says nothing of that.
    pub(crate) opening: Opening,
}

/// All pending handshakes of a shard, by key; a key is never used twice.
#[derive(Debug, Default)]
pub(crate) struct PendingHandshakes {
    open: std::collections::HashMap<u64, PendingHandshake>,
    next_key: u64,
    /// When they must be done; in order, because each limit is the same for all.
    handshake_deadlines: VecDeque<(Time, u64)>,
    close_deadlines: VecDeque<(Time, u64)>,
    /// Those to be read.
    readable: VecDeque<u64>,
    /// Bytes that are held for all of them for longer than a turn.
    held: usize,
}

impl PendingHandshake {
    pub(crate) fn new(link: Link, caller: Caller) -> PendingHandshake {
        PendingHandshake {
            link,
            caller,
            place: None,
            address_place: None,
            prepaid: Prepaid::default(),
            preface: Preface::Done,
            head: Vec::new(),
            parsed: 0,
            queued: false,
            held: 0,
            answered: false,
            awaiting: None,
        }
    }

    /// Adds `bytes` to the head. Returns whether it is worth parsing now: when a blank line has
    /// come, which may end it, or when it has doubled, so that one that comes in very small pieces
    /// is not parsed for each.
    pub(crate) fn extend_head(&mut self, bytes: &[u8]) -> bool {
        // A blank line begins at most three bytes before the news.
        let near = self.head.len().saturating_sub(3);
        self.head.extend_from_slice(bytes);
        let news = &self.head[near..];
        let blank = news.windows(2).any(|pair| pair == b"\n\n")
            || news.windows(3).any(|triple| triple == b"\n\r\n");
        blank || self.head.len() >= 2 * self.parsed
    }

    /// Keeps the part of a head that has been parsed without finding its end.
    pub(crate) fn keep_head(&mut self, head: Vec<u8>) {
        self.parsed = head.len();
        self.head = head;
    }

    /// Bytes of what it has said and is still to be looked at, and of what TLS keeps for it.
    fn bytes(&self) -> usize {
        let rest = self
            .awaiting
            .as_ref()
            .map_or(0, |awaiting| awaiting.rest.capacity() + awaiting.upgrade.rooms_bytes());
        let sealed = self.link.session().map_or(0, TlsSession::kept);
        self.head.capacity() + rest + sealed
    }
}

impl PendingHandshakes {
    /// The key that the next one will have.
    pub(crate) fn next_key(&self) -> u64 {
        self.next_key
    }

    pub(crate) fn insert(&mut self, handshake: PendingHandshake, deadline: Time) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        self.handshake_deadlines.push_back((deadline, key));
        self.open.insert(key, handshake);
        key
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut PendingHandshake> {
        self.open.get_mut(&key)
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<PendingHandshake> {
        let handshake = self.open.remove(&key)?;
        self.held -= handshake.held;
        Some(handshake)
    }

    /// Counts anew what is held for one. To be called when that may be more or less.
    pub(crate) fn count_held(&mut self, key: u64) {
        let Some(handshake) = self.open.get_mut(&key) else { return };
        let bytes = handshake.bytes();
        self.held = self.held + bytes - std::mem::replace(&mut handshake.held, bytes);
    }

    /// Bytes that are held for all of them.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Puts one in line to be read.
    pub(crate) fn queue(&mut self, key: u64) {
        if let Some(handshake) = self.open.get_mut(&key)
            && !handshake.queued
        {
            handshake.queued = true;
            self.readable.push_back(key);
        }
    }

    /// Takes the next one to be read out of the line.
    pub(crate) fn next_readable(&mut self) -> Option<u64> {
        loop {
            let key = self.readable.pop_front()?;
            if let Some(handshake) = self.open.get_mut(&key) {
                handshake.queued = false;
                return Some(key);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// How many are in line, some of which may have gone.
    pub(crate) fn readable_count(&self) -> usize {
        self.readable.len()
    }

    pub(crate) fn has_readable(&self) -> bool {
        !self.readable.is_empty()
    }

    /// The one that is missed least: one that was answered, or else the one that has said nothing,
    /// or no whole head, for longest. One that is still to be read is not idle.
    pub(crate) fn most_idle(&self) -> Option<u64> {
        let find = |deadlines: &VecDeque<(Time, u64)>, idle: fn(&PendingHandshake) -> bool| {
            let mut keys = deadlines.iter().map(|(_, key)| *key);
            keys.find(|key| self.open.get(key).is_some_and(idle))
        };
        find(&self.close_deadlines, |_| true).or_else(|| {
            find(&self.handshake_deadlines, |one| {
                !one.answered && one.awaiting.is_none() && !one.queued
            })
        })
    }

    /// The one that has said nothing for longest.
    pub(crate) fn most_silent(&self) -> Option<u64> {
        let is_silent = |one: &PendingHandshake| {
            one.head.is_empty() && !one.answered && one.awaiting.is_none() && !one.queued
        };
        let mut keys = self.handshake_deadlines.iter().map(|(_, key)| *key);
        keys.find(|key| self.open.get(key).is_some_and(is_silent))
    }

    /// The one whose head has been incomplete for longest, if it must be done by this time.
    pub(crate) fn slowest_head(&self, due: Time) -> Option<u64> {
        let is_slow = |one: &PendingHandshake| {
            !one.head.is_empty() && !one.answered && one.awaiting.is_none() && !one.queued
        };
        let mut due = self.handshake_deadlines.iter().take_while(|(deadline, _)| *deadline <= due);
        due.find(|(_, key)| self.open.get(key).is_some_and(is_slow)).map(|(_, key)| *key)
    }

    /// How many were answered and have not ended their side, at most.
    pub(crate) fn answered(&self) -> usize {
        self.close_deadlines.len()
    }

    /// Records that one was answered and is to be cut at `deadline`.
    pub(crate) fn set_answered(&mut self, key: u64, deadline: Time) {
        if let Some(handshake) = self.open.get_mut(&key) {
            handshake.answered = true;
            handshake.awaiting = None;
            handshake.head = Vec::new();
            self.close_deadlines.push_back((deadline, key));
        }
        self.count_held(key);
    }

    /// One that has taken too long to say what it wants.
    pub(crate) fn next_late(&mut self, now: Time) -> Option<u64> {
        self.forget_done();
        let (_, key) = pop_due(&mut self.handshake_deadlines, now)?;
        Some(key)
    }

    /// One that has not ended its side after the answer.
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
        let waits = |key: &u64| open.get(key).is_some_and(|handshake| !handshake.answered);
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

impl AsFd for PendingHandshake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> PendingHandshake {
        let (remote_addr, client_addr) = (([127, 0, 0, 1], 7).into(), [127, 0, 0, 1].into());
        let caller = Caller { remote_addr, client_addr };
        let link = Link::new(crate::runtime::sys::event_fd().unwrap(), None);
        PendingHandshake::new(link, caller)
    }

    #[test]
    fn a_head_in_single_bytes_is_parsed_a_few_times() {
        let mut handshake = handshake();
        let head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(16 << 10));
        let mut parsed = 0;
        for byte in head.as_bytes() {
            if handshake.extend_head(&[*byte]) {
                parsed += 1;
                let head = std::mem::take(&mut handshake.head);
                handshake.keep_head(head);
            }
        }
        assert!((2..=17).contains(&parsed), "{parsed} times");
    }

    #[test]
    fn a_blank_line_is_found_however_it_is_cut() {
        for end in ["\r\n\r\n", "\n\n", "\n\r\n"] {
            let head = format!("GET / HTTP/1.1\r\nHost: corecast{end}");
            for cut in 1..head.len() {
                let (first, last) = head.as_bytes().split_at(cut);
                let mut handshake = handshake();
                handshake.keep_head(first.to_vec());
                assert!(handshake.extend_head(last), "{end:?} cut at {cut}");
            }
        }
    }
}
