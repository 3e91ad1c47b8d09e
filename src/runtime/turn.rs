//! One round of a shard's loop.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use corecast_shards::{Answer, Call, ConnId, Disconnect, Goodbye, SendEnd, Shard, Time, Token};
use crossbeam_channel::Receiver;

use super::alarms::Alarms;
use super::greeting::Greetings;
use super::inbox::Foreign;
use super::mesh::Mesh;
use super::poller::{Event, Poller};
use super::promise::Resolver;
use super::sockets::Sockets;
use super::start::Process;
use super::sys::{self, Pieces};
use super::watches::Watches;
use crate::http::{Accept, Head, HttpError};
use crate::settings::HEAD_BYTES_MAX;

/// Everything that a shard's thread owns, and the work of one turn: rings, readable sockets,
/// accepts, direct frames, one slice of one room's pass, timers; each with a budget.
///
/// It moves bytes and wakes people. Who gets what is decided in the [`Shard`].
pub(crate) struct Core {
    pub(crate) shard: Shard,
    mesh: Mesh,
    poller: Poller,
    listener: TcpListener,
    /// When to accept again after the process had run out of descriptors.
    accepts_again: Option<Time>,
    timer: OwnedFd,
    timer_set: Option<Time>,
    inbox: Receiver<Foreign>,
    /// What came from a foreign thread and did not fit; nothing behind it is looked at.
    stalled: Option<Foreign>,
    sockets: Sockets,
    greetings: Greetings,
    pub(crate) watches: Watches,
    pub(crate) alarms: Alarms,
    /// Connections to be read.
    readable: VecDeque<ConnId>,
    buffer: Box<[u8]>,
    pieces: Pieces,
    pub(crate) waiting: HashMap<Token, Resolver<Answer>>,
    next_token: u64,
    /// What is to become a task when the turn is over and nobody borrows the core.
    pub(crate) births: Vec<Birth>,
    clock: Instant,
    process: Arc<Process>,
    /// The thread is to end.
    pub(crate) stopped: bool,
}

/// Something that becomes a task.
#[derive(Debug)]
pub(crate) enum Birth {
    /// A connection that speaks plain HTTP, and what it has said so far.
    Http { fd: OwnedFd, watch: u32, head: Vec<u8> },
    /// A message for a handler.
    Call(Call),
    /// A connection has ended.
    Parted(ConnId, Disconnect),
}

/// Where a descriptor that is no connection stands among the tokens of the poller. Connections
/// have their slot in the upper half, below 2^30, and their generation in the lower.
const LISTENER: u64 = u64::MAX;
const DOORBELL: u64 = u64::MAX - 1;
const TIMER: u64 = u64::MAX - 2;
const GREETING: u64 = 1 << 63;
const WATCH: u64 = 1 << 62;

/// Bytes read from a socket at once, into a buffer that the whole shard shares. The buffer is larger
/// by a head, so that one which came in pieces can be put together in it.
const READ_BYTES: usize = 64 << 10;

/// Sockets read, connections accepted and connections flushed for their own frames in one turn.
const READS_PER_TURN: usize = 64;
const ACCEPTS_PER_TURN: usize = 64;
const OWN_SENDS_PER_TURN: usize = 64;

/// Bytes read in one turn, give or take one socket's: some thousand small commands, which take less
/// than the 500 µs of a slice.
const READ_BYTES_PER_TURN: usize = 64 << 10;

/// Messages that a shard handles of those to itself, and of foreign threads, in one turn.
const OWN_MESSAGES_PER_TURN: usize = 256;
const FOREIGN_PER_TURN: usize = 256;

/// The longest that one slice of a pass keeps everybody else waiting.
const SLICE_TIME_MAX: Duration = Duration::from_micros(500);

/// Reading the clock costs some 25 ns and a send at least 80, so it is read once per eight.
const SENDS_PER_CLOCK: usize = 8;

/// How long to wait for descriptors to become free before accepting again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Core {
    pub(crate) fn new(
        shard: Shard,
        mesh: Mesh,
        listener: TcpListener,
        doorbell: &OwnedFd,
        inbox: Receiver<Foreign>,
        process: Arc<Process>,
    ) -> io::Result<Core> {
        let poller = Poller::new()?;
        let timer = sys::timer_fd()?;
        poller.add_listener(listener.as_raw_fd(), LISTENER)?;
        poller.add_signal(doorbell.as_raw_fd(), DOORBELL)?;
        poller.add_signal(timer.as_raw_fd(), TIMER)?;
        Ok(Core {
            shard,
            mesh,
            poller,
            listener,
            accepts_again: None,
            timer,
            timer_set: None,
            inbox,
            stalled: None,
            sockets: Sockets::default(),
            greetings: Greetings::default(),
            watches: Watches::default(),
            alarms: Alarms::default(),
            readable: VecDeque::new(),
            buffer: vec![0; READ_BYTES + HEAD_BYTES_MAX].into_boxed_slice(),
            pieces: Pieces::default(),
            waiting: HashMap::new(),
            next_token: 0,
            births: Vec::new(),
            clock: Instant::now(),
            process,
            stopped: false,
        })
    }

    /// One round. Returns whether the next one has work at once.
    pub(crate) fn turn(&mut self) -> io::Result<bool> {
        self.tell_time();
        let mut accepts = false;
        while let Some(event) = self.poller.next() {
            accepts |= event.token == LISTENER;
            self.note(event);
        }
        let news = self.mesh.take(&mut self.shard);
        self.shard.take_own(OWN_MESSAGES_PER_TURN);
        let foreign_news = self.take_foreign();
        self.read_sockets();
        if accepts {
            self.accept()?;
        }
        self.take_outputs();
        self.flush_own();
        self.flush_slice();
        self.on_deadlines();
        self.take_outputs();
        self.mesh.give(&mut self.shard);
        self.publish_gauges();
        Ok(news || foreign_news || self.has_local_work())
    }

    fn tell_time(&mut self) {
        let now = self.now();
        self.shard.on_time(now);
    }

    pub(crate) fn now(&self) -> Time {
        Time::from_nanos(u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Takes events from the kernel: those that are there, or after waiting for the first.
    pub(crate) fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.poller.wait(timeout)
    }

    /// Whether there is work that came since the last turn. To be asked between
    /// [`Doorbell::doze`](super::ring::Doorbell::doze) and sleep.
    pub(crate) fn has_work(&mut self) -> bool {
        self.mesh.has_work(&self.shard)
            || (!self.inbox.is_empty() && self.stalled.is_none())
            || self.has_local_work()
    }

    fn has_local_work(&self) -> bool {
        self.shard.has_own() || self.shard.has_sends() || !self.readable.is_empty()
    }

    /// Makes the timer go off when the next deadline comes.
    pub(crate) fn set_timer(&mut self) -> io::Result<()> {
        let deadlines = [
            self.shard.next_deadline(),
            self.greetings.next_deadline(),
            self.alarms.next_deadline(),
            self.accepts_again,
        ];
        let next = deadlines.into_iter().flatten().min();
        if next != self.timer_set
            && let Some(next) = next
        {
            sys::set_timer(&self.timer, next.since(self.now()))?;
        }
        self.timer_set = next;
        Ok(())
    }

    fn note(&mut self, event: Event) {
        match event.token {
            LISTENER | DOORBELL => {}
            TIMER => self.timer_set = None,
            token if token & GREETING != 0 => self.greet(token as u32),
            token if token & WATCH != 0 => self.watches.note(token as u32, event),
            token => {
                let (slot, generation) = ((token >> 32) as u32, token as u32);
                let id = ConnId { shard: self.shard.id(), slot, generation };
                self.note_socket(id, event);
            }
        }
    }

    fn note_socket(&mut self, id: ConnId, event: Event) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.ended |= event.ended;
        if event.readable {
            socket.readable = true;
            self.queue_read(id);
        }
        if event.writable {
            self.shard.on_writable(id);
        }
    }

    /// Puts a connection in line to be read, if it wants to be.
    fn queue_read(&mut self, id: ConnId) {
        let wanted = self.shard.wants_read(id);
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if wanted && socket.readable && !socket.queued {
            socket.queued = true;
            self.readable.push_back(id);
        }
    }

    fn read_sockets(&mut self) {
        let mut bytes = 0;
        for _ in 0..READS_PER_TURN {
            let Some(id) = self.readable.pop_front() else { return };
            let Some(socket) = self.sockets.get_mut(id) else { continue };
            socket.queued = false;
            bytes += self.read_socket(id);
            self.queue_read(id);
            if bytes > READ_BYTES_PER_TURN {
                return;
            }
        }
    }

    /// Reads a socket once; returns how many bytes there were.
    fn read_socket(&mut self, id: ConnId) -> usize {
        let Some(socket) = self.sockets.get(id) else { return 0 };
        match sys::receive(&socket, &mut self.buffer) {
            Ok(0) => self.end_of_input(id),
            Ok(len) => {
                self.shard.receive(id, &mut self.buffer[..len]);
                // A read that did not fill the buffer has emptied the socket, unless its end
                // stands behind: that is seen only by reading on.
                if len < self.buffer.len() && !socket.ended {
                    self.set_readable(id, false);
                }
                return len;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.set_readable(id, false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.end_of_input(id),
        }
        0
    }

    fn end_of_input(&mut self, id: ConnId) {
        self.set_readable(id, false);
        self.shard.on_end(id);
    }

    fn set_readable(&mut self, id: ConnId, readable: bool) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.readable = readable;
        }
    }

    fn take_foreign(&mut self) -> bool {
        for _ in 0..FOREIGN_PER_TURN {
            let foreign = self.stalled.take().or_else(|| self.inbox.try_recv().ok());
            let Some(foreign) = foreign else { return false };
            match foreign {
                Foreign::Publish { room, payload } => {
                    if self.shard.publish(&room, &payload.publication(), None).is_err() {
                        self.stalled = Some(Foreign::Publish { room, payload });
                        return false;
                    }
                }
                Foreign::StopReading => {
                    self.shard.stop_reading();
                    self.process.gauges(self.shard.id()).set_stopped_reading();
                }
                Foreign::CloseAll => self.shard.close_all_when_flushed(Disconnect::Shutdown),
                Foreign::Stop => self.stopped = true,
            }
        }
        true
    }

    fn flush_own(&mut self) {
        for _ in 0..OWN_SENDS_PER_TURN {
            let Some(id) = self.shard.next_own_send() else { return };
            self.send(id);
        }
    }

    fn flush_slice(&mut self) {
        let begin = Instant::now();
        self.shard.start_slice();
        for count in 1.. {
            let Some(id) = self.shard.next_room_send() else { return };
            self.send(id);
            if count % SENDS_PER_CLOCK == 0 && begin.elapsed() > SLICE_TIME_MAX {
                return;
            }
        }
    }

    fn send(&mut self, id: ConnId) {
        let Some(socket) = self.sockets.get(id) else {
            unreachable!("a connection keeps its descriptor while a send is under way");
        };
        let shard = &self.shard;
        let sent = self.pieces.send(&socket, |each| shard.for_each_slice(id, each));
        let end = match sent {
            Ok(bytes) => SendEnd::Taken(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => SendEnd::Blocked,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => SendEnd::Taken(0),
            Err(_) => SendEnd::Failed,
        };
        self.shard.end_send(id, end);
        if end == SendEnd::Failed {
            // What has arrived can still be read, and then comes the end.
            sys::shutdown_both(&socket);
            self.set_readable(id, true);
            self.queue_read(id);
        }
    }

    fn take_outputs(&mut self) {
        while let Some(goodbye) = self.shard.next_goodbye() {
            match goodbye {
                Goodbye::Parted(id, reason) => self.births.push(Birth::Parted(id, reason)),
                Goodbye::ShutdownWrite(id) => {
                    if let Some(socket) = self.sockets.get(id) {
                        sys::shutdown_write(&socket);
                    }
                }
                Goodbye::Close(id) => {
                    self.sockets.close(id);
                    self.process.release_connection();
                }
            }
        }
        while let Some(id) = self.shard.next_resumed() {
            self.queue_read(id);
        }
        while let Some(call) = self.shard.next_call() {
            self.births.push(Birth::Call(call));
        }
        while let Some((token, answer)) = self.shard.next_answer() {
            if let Some(resolver) = self.waiting.remove(&token) {
                resolver.resolve(answer);
            }
        }
    }

    /// A name for a caller's question, and the place where its answer will be delivered.
    pub(crate) fn expect_answer(&mut self, resolver: Resolver<Answer>) -> Token {
        self.waiting.retain(|_, resolver| !resolver.is_abandoned());
        self.next_token += 1;
        let token = Token(self.next_token);
        self.waiting.insert(token, resolver);
        token
    }

    fn publish_gauges(&mut self) {
        self.process.gauges(self.shard.id()).set(&self.shard);
    }

    fn accept(&mut self) -> io::Result<()> {
        for _ in 0..ACCEPTS_PER_TURN {
            let fd = match sys::accept(&self.listener) {
                Ok(fd) => fd,
                Err(error) => return self.on_accept_error(&error),
            };
            let deadline = self.now() + self.process.limits().handshake_timeout;
            let raw = fd.as_raw_fd();
            let key = self.greetings.insert(fd, deadline);
            self.poller.add_socket(raw, GREETING | u64::from(key))?;
            self.greet(key);
        }
        Ok(())
    }

    fn on_accept_error(&mut self, error: &io::Error) -> io::Result<()> {
        match error.raw_os_error() {
            // Nobody is left, or somebody has hung up already (accept(2)).
            Some(libc::EAGAIN | libc::ECONNABORTED | libc::EINTR | libc::EPROTO) => Ok(()),
            _ => {
                tracing::warn!(%error, "cannot accept connections; trying again in 100 ms");
                self.accepts_again = Some(self.now() + ACCEPT_PAUSE);
                self.poller.remove(self.listener.as_raw_fd())
            }
        }
    }

    /// Reads what a connection says before it is a WebSocket.
    fn greet(&mut self, key: u32) {
        loop {
            let Some(greeting) = self.greetings.get_mut(key) else { return };
            let len = match sys::receive(greeting, &mut self.buffer[..READ_BYTES]) {
                Ok(len @ 1..) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(_) | Err(_) => return drop(self.greetings.remove(key)),
            };
            if !greeting.answered {
                self.on_head(key, len);
            }
        }
    }

    /// Looks at the first `len` bytes of the buffer, and what came before them.
    fn on_head(&mut self, key: u32, len: usize) {
        let Some(greeting) = self.greetings.get_mut(key) else { return };
        if greeting.head.is_empty() {
            let head = Head::parse(&self.buffer[..len]);
            return self.on_parsed(key, head, len);
        }
        greeting.head.extend_from_slice(&self.buffer[..len]);
        let head = Head::parse(&greeting.head);
        let whole = std::mem::take(&mut greeting.head);
        // What came in pieces is put together in the buffer, where the rest of the way expects it.
        let fits = whole.len() <= self.buffer.len();
        match fits {
            true => {
                self.buffer[..whole.len()].copy_from_slice(&whole);
                self.on_parsed(key, head, whole.len());
            }
            false => self.answer(key, &HttpError::head_too_large(self.process.limits().head_bytes)),
        }
    }

    fn on_parsed(&mut self, key: u32, head: Head, len: usize) {
        let head_max = self.process.limits().head_bytes;
        match head {
            Head::Upgrade { len: head, .. } if head > head_max => {
                self.answer(key, &HttpError::head_too_large(head_max));
            }
            Head::Upgrade { len: head, accept } => self.upgrade(key, &accept, head..len),
            Head::Partial | Head::Request if self.head_len(len) > head_max => {
                self.answer(key, &HttpError::head_too_large(head_max));
            }
            Head::Partial => {
                let Some(greeting) = self.greetings.get_mut(key) else { return };
                greeting.head.extend_from_slice(&self.buffer[..len]);
            }
            Head::Request => self.hand_to_http(key, len),
            Head::Garbage => self.answer(key, &HttpError::garbage()),
            Head::TooLarge => self.answer(key, &HttpError::head_too_large(head_max)),
        }
    }

    /// Bytes of the head among the first `len` bytes of the buffer.
    fn head_len(&self, len: usize) -> usize {
        let bytes = &self.buffer[..len];
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        end.map_or(len, |end| end + 4)
    }

    /// Answers a handshake. What follows its head in the buffer is the first frame's.
    fn upgrade(&mut self, key: u32, accept: &Accept, rest: std::ops::Range<usize>) {
        if self.process.is_draining() {
            return self.answer(key, &HttpError::draining());
        }
        if !self.process.claim_connection() {
            return self.answer(key, &HttpError::capacity(self.process.limits().connections));
        }
        let Some(greeting) = self.greetings.remove(key) else { return };
        const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Accept: ";
        let mut response = [0; HEAD.len() + 28 + 4];
        response[..HEAD.len()].copy_from_slice(HEAD);
        response[HEAD.len()..HEAD.len() + 28].copy_from_slice(accept);
        response[HEAD.len() + 28..].copy_from_slice(b"\r\n\r\n");
        // A new socket's buffer is empty, so that it takes these bytes or is dead.
        if sys::send(&greeting.fd, &response).ok() != Some(response.len()) {
            return self.process.release_connection();
        }
        self.open(greeting.fd, rest);
    }

    fn open(&mut self, fd: OwnedFd, rest: std::ops::Range<usize>) {
        // A slot may be vacant in the engine whose descriptor is not closed yet.
        self.take_outputs();
        let id = self.shard.open();
        let token = u64::from(id.slot) << 32 | u64::from(id.generation);
        let renamed = self.poller.rename_socket(fd.as_raw_fd(), token);
        self.sockets.insert(id, fd);
        if renamed.is_err() {
            return self.shard.on_end(id);
        }
        if !rest.is_empty() {
            self.shard.receive(id, &mut self.buffer[rest]);
        }
    }

    /// Leaves a connection to a task of its own, which the poller wakes from here on.
    fn hand_to_http(&mut self, key: u32, len: usize) {
        let Some(greeting) = self.greetings.remove(key) else { return };
        let watch = self.watches.insert();
        let token = WATCH | u64::from(watch);
        match self.poller.rename_socket(greeting.as_raw_fd(), token) {
            Ok(()) => {
                let head = self.buffer[..len].to_vec();
                self.births.push(Birth::Http { fd: greeting.fd, watch, head });
            }
            Err(_) => self.watches.remove(watch),
        }
    }

    /// Answers what never becomes a request, and waits for its end.
    fn answer(&mut self, key: u32, error: &HttpError) {
        let Some(greeting) = self.greetings.get_mut(key) else { return };
        // A socket that has just connected takes a few hundred bytes, or nobody reads them.
        let _ = sys::send(greeting, &error.to_bytes());
        sys::shutdown_write(greeting);
        let deadline = self.now() + self.process.limits().close_timeout;
        self.greetings.set_answered(key, deadline);
    }

    fn on_deadlines(&mut self) {
        let now = self.now();
        self.alarms.go_off(now);
        while let Some(key) = self.greetings.next_late(now) {
            let begun =
                self.greetings.get_mut(key).is_some_and(|greeting| !greeting.head.is_empty());
            match begun {
                true => self.answer(key, &HttpError::head_timeout()),
                false => drop(self.greetings.remove(key)),
            }
        }
        while let Some(key) = self.greetings.next_overdue(now) {
            self.greetings.remove(key);
        }
        if self.accepts_again.is_some_and(|again| again <= now) {
            self.accepts_again = None;
            let again = self.poller.add_listener(self.listener.as_raw_fd(), LISTENER);
            if again.is_err() {
                self.accepts_again = Some(now + ACCEPT_PAUSE);
            }
        }
    }
}
