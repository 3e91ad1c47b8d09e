//! One round of a shard's loop.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corecast_shards::{
    Answer, Call, CloseStep, ConnId, Disconnect, Format, Permissions, Query, RequestId,
    RoomMessage, RoomName, Shard, Time,
};

use super::alarms::Alarms;
use super::counts::Counts;
use super::eviction::Reserve;
use super::greeting::Greetings;
use super::hearing::{Hearing, InLine};
use super::inbox::{Foreign, Inbox};
use super::kernel::Syscall;
use super::mesh::Mesh;
use super::poller::{Event, Poller, Told};
use super::process::{HttpPlace, Process};
use super::promise::Resolver;
use super::sender::Sender;
use super::sockets::{Ending, Sockets};
use super::stalls::Stalls;
use super::sys;
use super::watches::Watches;
use crate::handshake::Handshake;
use crate::session::Session;
use crate::settings::Sends;

/// Everything that a shard's thread owns, and the work of one turn: rings, readable sockets,
/// accepts, direct frames, one slice of one room's pass, timers; each with a budget.
///
/// It moves bytes and wakes people. Who gets what is decided in the [`Shard`].
pub(crate) struct Core {
    pub(crate) shard: Shard,
    mesh: Mesh,
    pub(super) poller: Poller,
    pub(super) listener: TcpListener,
    /// When to accept again after the process had run out of descriptors.
    pub(super) accepts_again: Option<Time>,
    pub(super) reserve: Reserve,
    timer: OwnedFd,
    timer_set: Option<Time>,
    turn_began: Time,
    /// Up to when nothing that came is unread.
    pub(super) hearing: Hearing,
    /// What others ring; they hold it weakly, so that it ends with the shard.
    _doorbell: Arc<OwnedFd>,
    inbox: Inbox,
    /// What came from foreign threads for rooms that take nothing at the moment.
    stalls: Stalls<Publication>,
    pub(super) sockets: Sockets,
    pub(super) greetings: Greetings,
    pub(crate) watches: Watches,
    pub(crate) alarms: Alarms,
    /// Connections to be read.
    readable: VecDeque<ConnId>,
    pub(super) buffer: Box<[u8]>,
    pub(super) sender: Sender,
    /// The connections whose sends are begun.
    pub(super) begun: Vec<ConnId>,
    pub(super) counts: Counts,
    pub(crate) waiting: HashMap<RequestId, Resolver<Answer>>,
    /// At how many waiting callers those are looked for who wait no more.
    sweep_at: usize,
    next_token: u64,
    /// What is to become a task when the turn is over and nobody borrows the core.
    pub(crate) births: Vec<Birth>,
    /// Handlers that are at work, or about to be.
    pub(super) handlers: usize,
    /// False once commands are read no longer.
    reading: bool,
    /// What the program keeps about connections, if it has handlers.
    pub(crate) sessions: HashMap<ConnId, Rc<Session>>,
    pub(super) keeping: Keeping,
    /// What clients may do by their own commands.
    pub(super) permissions: Permissions,
    /// What the client of a WebSocket connection reads.
    pub(super) format: Format,
    pub(super) process: Arc<Process>,
    /// The thread is to end.
    pub(crate) stopped: bool,
}

/// What a shard's thread brings along.
pub(crate) struct Parts {
    pub(crate) shard: Shard,
    pub(crate) mesh: Mesh,
    pub(crate) listener: TcpListener,
    pub(crate) doorbell: Arc<OwnedFd>,
    pub(crate) inbox: Inbox,
    pub(crate) process: Arc<Process>,
    pub(crate) keeping: Keeping,
    pub(crate) permissions: Permissions,
    pub(crate) format: Format,
    pub(crate) sends: Sends,
}

/// Something that becomes a task.
#[derive(Debug)]
pub(crate) enum Birth {
    /// A connection that speaks plain HTTP, and what it has said so far.
    Http { fd: OwnedFd, watch: u64, place: HttpPlace, head: Vec<u8> },
    /// A message for a handler.
    Call(Call),
    /// A frame that waits for capacity of its connection.
    Emit { connection: ConnId, frame: Vec<u8>, reply: Resolver<Answer> },
    /// A client has gone.
    Gone(ConnId),
    /// A connection has ended.
    Parted(ConnId, Disconnect),
    /// A handshake that the program decides about.
    Authorize { key: u64, handshake: Handshake },
}

/// What the program wants to know about connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// Nothing: it has no handlers.
    Nothing,
    /// Each one's handshake.
    Sessions,
    /// The same, and it decides who may connect.
    Verdicts,
}

/// Where a descriptor that is no connection stands among the tokens of the poller. Connections
/// have their slot in the upper half, below 2^30, and their generation in the lower.
pub(super) const LISTENER: u64 = u64::MAX;
const DOORBELL: u64 = u64::MAX - 1;
const TIMER: u64 = u64::MAX - 2;
pub(super) const GREETING: u64 = 1 << 63;
pub(super) const WATCH: u64 = 1 << 62;

/// Bytes read from a socket at once, into a buffer that the whole shard shares. The buffer is larger
/// by a head, so that one which came in pieces can be put together in it.
pub(super) const READ_BYTES: usize = 64 << 10;

/// Sockets read in one turn.
const READS_PER_TURN: usize = 64;

/// Bytes read in one turn, give or take one socket's: some thousand small commands, which take less
/// than the 500 µs of a slice.
const READ_BYTES_PER_TURN: usize = 64 << 10;

/// Messages that a shard handles of those to itself, and of foreign threads, in one turn.
const OWN_MESSAGES_PER_TURN: usize = 256;
const FOREIGN_PER_TURN: usize = 256;

/// Fewer waiting callers than this are not looked through.
const SWEEP_MIN: usize = 64;

impl Core {
    pub(crate) fn new(parts: Parts) -> io::Result<Core> {
        let Parts {
            shard,
            mesh,
            listener,
            doorbell,
            inbox,
            process,
            keeping,
            permissions,
            format,
            sends,
        } = parts;
        let poller = Poller::new()?;
        let timer = sys::timer_fd()?;
        poller.add_listener(&listener, LISTENER)?;
        poller.add_signal(&*doorbell, DOORBELL)?;
        poller.add_signal(&timer, TIMER)?;
        let sender = Sender::new(sends)?;
        process.gauges(shard.id()).set_sends_on_ring(sender.has_ring());
        Ok(Core {
            shard,
            mesh,
            poller,
            listener,
            accepts_again: None,
            reserve: Reserve::Spare(sys::event_fd()?),
            timer,
            timer_set: None,
            turn_began: Time::default(),
            hearing: Hearing::default(),
            _doorbell: doorbell,
            stalls: inbox.stalls(),
            inbox,
            sockets: Sockets::default(),
            greetings: Greetings::default(),
            watches: Watches::default(),
            alarms: Alarms::default(),
            readable: VecDeque::new(),
            buffer: vec![0; READ_BYTES + corecast_shards::HEAD_BYTES_MAX].into_boxed_slice(),
            sender,
            begun: Vec::new(),
            counts: Counts::default(),
            waiting: HashMap::new(),
            sweep_at: SWEEP_MIN,
            next_token: 0,
            births: Vec::new(),
            handlers: 0,
            reading: true,
            sessions: HashMap::new(),
            keeping,
            permissions,
            format,
            process,
            stopped: false,
        })
    }

    /// One round. Returns whether the next one has work of this shard's own; what others have
    /// brought meanwhile is asked for before sleep.
    pub(crate) fn turn(&mut self) -> bool {
        self.counts.turns += 1;
        self.tell_time();
        let mut accepts = false;
        while let Some(event) = self.poller.next() {
            accepts |= event.token == LISTENER;
            self.note(event);
        }
        self.hearing.on_noted(InLine {
            sockets: self.readable.len(),
            greetings: self.greetings.readable_count(),
        });
        self.mesh.take(&mut self.shard);
        self.take_foreign();
        self.read_sockets();
        if accepts {
            self.accept();
        }
        self.greet();
        // After everything that makes such messages: a publish is sent in the turn that reads it.
        self.shard.take_loopback(OWN_MESSAGES_PER_TURN);
        // A room may go on, or have capacity, because of one of these: nothing else would say so.
        self.retry_stalled();
        self.take_outputs();
        self.flush_own();
        self.flush_slice();
        self.on_deadlines();
        self.take_outputs();
        self.mesh.give(&mut self.shard);
        self.publish_gauges();
        self.has_local_work()
    }

    fn tell_time(&mut self) {
        self.turn_began = self.now();
        self.shard.on_time_with_backlog(self.turn_began, self.hearing.heard());
    }

    pub(crate) fn now(&self) -> Time {
        self.process.now()
    }

    /// Takes events from the kernel: those that are there, or after waiting for the first.
    pub(crate) fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.counts.polls += 1;
        match self.poller.wait(timeout)? {
            Told::Everything => self.hearing.on_told(self.turn_began),
            Told::Part(events) => {
                let descriptors = self.descriptors();
                self.hearing.on_part_told(self.turn_began, events, descriptors);
            }
        }
        Ok(())
    }

    /// Descriptors that the poller watches, at most.
    fn descriptors(&self) -> usize {
        const OWN: usize = 3;
        OWN + self.sockets.len() + self.greetings.len() + self.watches.len()
    }

    /// Whether there is work that came since the last turn. To be asked between
    /// [`Doorbell::doze`](super::ring::Doorbell::doze) and sleep.
    pub(crate) fn has_work(&mut self) -> bool {
        self.mesh.has_work(&self.shard)
            || self.inbox.has_news(!self.stalls.is_full())
            || self.has_local_work()
    }

    fn has_local_work(&self) -> bool {
        self.shard.has_loopback()
            || self.shard.has_sends()
            || !self.readable.is_empty()
            || self.greetings.has_readable()
    }

    /// Counts a failed system call that costs a connection at most.
    pub(super) fn note_failure(&self, call: Syscall, error: &io::Error) {
        self.process.gauges(self.shard.id()).failures().note(call, error, self.now());
    }

    /// Makes the timer go off when the next deadline comes. Returns how long it may be slept without
    /// one, if it cannot be set.
    pub(crate) fn set_timer(&mut self) -> Option<Duration> {
        let deadlines = [
            self.shard.next_deadline(),
            self.greetings.next_deadline(),
            self.alarms.next_deadline(),
            self.accepts_again,
        ];
        let next = deadlines.into_iter().flatten().min();
        let mut left = None;
        if next != self.timer_set
            && let Some(next) = next
        {
            self.counts.timer_sets += 1;
            let after = next.since(self.now());
            if let Err(error) = sys::set_timer(&self.timer, after) {
                self.note_failure(Syscall::SetTimer, &error);
                left = Some(after);
            }
        }
        self.timer_set = next.filter(|_| left.is_none());
        left
    }

    fn note(&mut self, event: Event) {
        match event.token {
            LISTENER | DOORBELL => {}
            TIMER => self.timer_set = None,
            token if token & GREETING != 0 => self.greetings.queue(token & !GREETING),
            token if token & WATCH != 0 => self.watches.note(token & !WATCH, event),
            token => {
                let (slot, generation) = ((token >> 32) as u32, token as u32);
                let id = ConnId { shard: self.shard.id(), slot, generation };
                self.note_socket(id, event);
            }
        }
    }

    fn note_socket(&mut self, id: ConnId, event: Event) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if event.ended {
            socket.ending = socket.ending.max(Ending::Announced);
            // Seen here because a connection whose handler is at work is not read.
            self.shard.on_hang_up(id);
        }
        if event.readable {
            socket.readable = true;
            self.queue_read(id);
        }
        if event.writable {
            self.shard.on_writable(id);
        }
    }

    /// Puts a connection in line to be read, if it wants to be.
    pub(super) fn queue_read(&mut self, id: ConnId) {
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
            self.hearing.on_socket_read();
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
        self.counts.reads += 1;
        let ending = socket.ending;
        match sys::receive(socket, &mut self.buffer) {
            Ok(0) => self.end_of_input(id),
            Ok(len) => {
                self.shard.receive(id, &mut self.buffer[..len]);
                // A read that did not fill the buffer has emptied the socket, unless its end
                // stands behind: that is seen only by reading on.
                if len < self.buffer.len() && ending == Ending::Unknown {
                    self.set_readable(id, false);
                }
                return len;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && ending < Ending::Broken => {
                self.set_readable(id, false);
            }
            Err(_) => self.end_of_input(id),
        }
        0
    }

    fn end_of_input(&mut self, id: ConnId) {
        if let Some(socket) = self.sockets.get_mut(id) {
            (socket.readable, socket.ending) = (false, Ending::Read);
        }
        self.shard.on_end(id);
    }

    fn set_readable(&mut self, id: ConnId, readable: bool) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.readable = readable;
        }
    }

    fn take_foreign(&mut self) {
        // Both together no more than the shard takes of its own messages in a turn, so that there
        // is room for what handlers publish.
        let tried = self.retry_stalled();
        for _ in tried..FOREIGN_PER_TURN {
            if self.stalls.is_full() {
                break;
            }
            let Some(foreign) = self.inbox.next_publication() else { break };
            self.obey(foreign);
        }
        for _ in 0..FOREIGN_PER_TURN {
            let Some(foreign) = self.inbox.next_question() else { break };
            self.obey(foreign);
        }
        // Last, so that what one caller published before is, as a rule, on its way.
        while let Some(foreign) = self.inbox.next_order() {
            self.obey(foreign);
        }
    }

    fn obey(&mut self, foreign: Foreign) {
        match foreign {
            Foreign::Publish { room, message, except, reply } => {
                self.publish_foreign(room, message, except, reply);
            }
            Foreign::Ask { query, reply } => reply.resolve(self.shard.answer(query)),
            Foreign::Emit { connection, frame, reply } => {
                self.emit_foreign(connection, frame, reply);
            }
            Foreign::CloseAll(reason) => self.shard.close_all_when_flushed(reason),
            Foreign::StopReading => {
                self.shard.stop_reading();
                self.reading = false;
            }
            Foreign::Stop => self.stopped = true,
        }
    }

    /// Publishes for a foreign thread, at once or when the room takes it.
    fn publish_foreign(
        &mut self,
        room: RoomName,
        message: RoomMessage,
        except: Option<ConnId>,
        reply: Option<Resolver<Answer>>,
    ) {
        let token = reply.map(|reply| self.expect_answer(reply));
        let shard = &mut self.shard;
        let publication = (message, except, token);
        self.stalls.pass(room, publication, |room, publication| publish(shard, room, publication));
    }

    /// Queues a frame for one connection, at once or when there is capacity for it.
    fn emit_foreign(&mut self, connection: ConnId, frame: Vec<u8>, reply: Resolver<Answer>) {
        match self.shard.answer(Query::Emit(connection, frame)) {
            Answer::Full(frame) => self.births.push(Birth::Emit { connection, frame, reply }),
            answer => reply.resolve(answer),
        }
    }

    /// Returns how many messages were tried.
    fn retry_stalled(&mut self) -> usize {
        if self.stalls.is_empty() {
            return 0;
        }
        let shard = &mut self.shard;
        let retry = |room: &RoomName, publication| publish(shard, room, publication);
        let retried = self.stalls.retry(FOREIGN_PER_TURN, retry);
        if retried.freed {
            self.inbox.tell_of_room();
        }
        retried.tried
    }

    pub(super) fn take_outputs(&mut self) {
        // A message that came before its connection's end is handed on before it.
        while let Some(call) = self.shard.next_call() {
            self.handlers += 1;
            self.births.push(Birth::Call(call));
        }
        while let Some(id) = self.shard.next_gone() {
            self.births.push(Birth::Gone(id));
        }
        while let Some((id, rooms)) = self.shard.next_left() {
            if let Some(session) = self.sessions.get(&id) {
                session.set_last_rooms(rooms);
            }
        }
        while let Some(goodbye) = self.shard.next_close_step() {
            match goodbye {
                CloseStep::LeftRooms(id, reason) => self.births.push(Birth::Parted(id, reason)),
                CloseStep::ShutdownWrite(id) => {
                    if let Some(socket) = self.sockets.get(id) {
                        sys::shutdown_write(socket);
                    }
                }
                CloseStep::Close(id) => {
                    self.close_socket(id);
                    self.process.release_connection();
                }
            }
        }
        while let Some(id) = self.shard.next_resumed() {
            self.queue_read(id);
        }
        while let Some((token, answer)) = self.shard.next_answer() {
            if let Some(resolver) = self.waiting.remove(&token) {
                resolver.resolve(answer);
            }
        }
    }

    /// Closes a socket. What a peer that was cut has not taken the kernel would offer it for many
    /// minutes, with memory that no limit knows of; it is told to stop after the close timeout.
    fn close_socket(&mut self, id: ConnId) {
        if let Some(socket) = self.sockets.get(id).filter(|socket| socket.ending < Ending::Read) {
            let patience = self.process.limits().close_timeout;
            if let Err(error) = sys::set_user_timeout(socket, patience) {
                self.note_failure(Syscall::SetSockOpt, &error);
            }
        }
        self.sockets.close(id);
    }

    /// A name for a caller's question, and the place where its answer will be delivered.
    pub(crate) fn expect_answer(&mut self, resolver: Resolver<Answer>) -> RequestId {
        if self.waiting.len() >= self.sweep_at {
            self.waiting.retain(|_, resolver| !resolver.is_abandoned());
            self.sweep_at = SWEEP_MIN.max(2 * self.waiting.len());
        }
        self.next_token += 1;
        let token = RequestId(self.next_token);
        self.waiting.insert(token, resolver);
        token
    }

    fn publish_gauges(&mut self) {
        // What was taken from threads before the end began is still to be published.
        let is_silent = !self.reading
            && self.handlers == 0
            && self.stalls.is_empty()
            && !self.inbox.has_news(true);
        self.process.gauges(self.shard.id()).set(&self.shard, &self.counts, is_silent);
    }
}

/// A message of a foreign thread, the connection that does not get it, and the name of the caller
/// that waits for its offset.
type Publication = (RoomMessage, Option<ConnId>, Option<RequestId>);

/// Gives the message back when its room takes none at the moment.
fn publish(
    shard: &mut Shard,
    room: &RoomName,
    (message, except, token): Publication,
) -> Result<(), Publication> {
    shard.publish(room, message, except, token).map_err(|(_, message)| (message, except, token))
}
