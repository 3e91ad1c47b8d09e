//! One round of a shard's loop.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corecast_shards::{
    Answer, AnswerToken, Call, CloseStep, ConnId, Disconnect, Format, Name, Refresh, RoomEvent,
    RoomMessage, Shard, Time,
};

use super::event_progress::{EventProgress, Queued};
use super::held_back::HeldBack;
use super::inbox::Inbox;
use super::kernel::Syscall;
use super::mesh::Mesh;
use super::oneshot::OneshotSender;
use super::poller::{IoEvent, Polled, Poller};
use super::process_memory::{ShardHeld, Statm};
use super::reception::{HttpConnection, Reception, ReceptionCounts};
use super::sealed_sockets::SealedSockets;
use super::sender::BatchSender;
use super::server_state::ServerState;
use super::settings::Sends;
use super::sockets::{Ending, Sockets};
use super::timers::Timers;
use super::tokens::{DOORBELL, LISTENER, PENDING, REGISTRATION, TIMER};
use super::{sys, tokens};
use crate::program::{Handshake, Needs, Session};
use crate::values::{Claims, Counts};

/// Everything that a shard's thread owns, and the work of one turn: rings, readable sockets,
/// accepts, direct frames, one quantum of one room's pass, timers; each with a budget.
///
/// It moves bytes and wakes people. Who gets what is decided in the [`Shard`].
pub(crate) struct ShardDriver {
    pub(crate) shard: Shard,
    mesh: Mesh,
    pub(super) poller: Poller,
    timer: OwnedFd,
    timer_set: Option<Time>,
    /// None where the kernel is not asked what the process holds.
    statm: Option<Statm>,
    pub(super) turn_began: Time,
    /// Up to when nothing that came is unread.
    pub(super) event_progress: EventProgress,
    /// What others ring; they hold it weakly, so that it ends with the shard.
    _shard_waker: Arc<OwnedFd>,
    pub(super) inbox: Inbox,
    /// What came from external threads for rooms that take nothing at the moment.
    pub(super) held_back: HeldBack<ExternalPublication>,
    pub(super) sockets: Sockets,
    /// Their sessions, if this server speaks TLS.
    pub(super) sealed: Option<SealedSockets>,
    pub(super) reception: Reception,
    pub(crate) timers: Timers,
    /// Connections to be read.
    readable: VecDeque<ConnId>,
    pub(super) buffer: Box<[u8]>,
    pub(super) sender: BatchSender,
    /// The connections whose sends are begun.
    pub(super) begun: Vec<ConnId>,
    pub(super) counts: Counts,
    pub(crate) waiting: HashMap<AnswerToken, OneshotSender<Answer>>,
    /// At how many waiting callers those are looked for who wait no more.
    purge_at: usize,
    next_token: u64,
    /// What is to become a task when the turn is over and nothing borrows the driver.
    pub(crate) spawn_requests: Vec<SpawnRequest>,
    /// Handlers that are at work, or about to be.
    pub(super) handlers: usize,
    /// False once commands are read no longer.
    pub(super) reading: bool,
    /// What the program keeps about connections, if it has handlers.
    pub(crate) sessions: HashMap<ConnId, Rc<Session>>,
    /// The claims of fresh tokens that have not taken effect, for those; of one that is refused after
    /// all, until the next one or the end.
    pub(super) renewals: HashMap<ConnId, Claims>,
    /// Fresh tokens that are to be verified, one of a connection at most.
    pub(super) refreshes: VecDeque<(ConnId, Refresh)>,
    /// What the client of a WebSocket connection reads.
    pub(super) format: Format,
    pub(super) state: Arc<ServerState>,
    /// The thread is to end.
    pub(crate) stopped: bool,
}

/// What a shard's thread brings along.
pub(crate) struct DriverInit {
    pub(crate) shard: Shard,
    pub(crate) mesh: Mesh,
    pub(crate) listener: TcpListener,
    pub(crate) shard_waker: Arc<OwnedFd>,
    pub(crate) inbox: Inbox,
    pub(crate) state: Arc<ServerState>,
    pub(crate) needs: Needs,
    pub(crate) sends: Sends,
}

/// Something that becomes a task.
#[derive(Debug)]
pub(crate) enum SpawnRequest {
    /// A connection that speaks plain HTTP, and what it has said so far.
    Http { connection: HttpConnection, registration: u64, head: Vec<u8> },
    /// A message for a handler.
    Call(Call),
    /// A frame that waits for capacity of its connection.
    Emit { connection: ConnId, frame: Vec<u8>, reply: OneshotSender<Answer> },
    /// A frame for the rest of a user's connections.
    EmitToUser(UserEmit),
    /// A client has gone.
    HungUp(ConnId),
    /// Something happened to the members of a room.
    Room(RoomEvent),
    /// A connection has ended.
    Disconnected(ConnId, Disconnect),
    /// A handshake that the program decides about.
    Authorize { key: u64, handshake: Handshake },
}

/// A frame on its way to the connections of a user.
#[derive(Debug)]
pub(crate) struct UserEmit {
    pub(super) user: Name,
    /// Those whose ids are greater than this are to get it.
    pub(super) after: Option<ConnId>,
    pub(super) except: Option<ConnId>,
    pub(super) frame: Arc<[u8]>,
}

/// Bytes read from a socket at once, into a buffer that the whole shard shares.
const READ_BYTES: usize = 96 << 10;

/// Sockets read in one turn.
const READS_PER_TURN: usize = 64;

/// Bytes read in one turn, give or take one socket's: some thousand small commands, which take less
/// than the 500 µs of a quantum. Fresh tokens among them are verified later, within a budget of their
/// own.
const READ_BYTES_PER_TURN: usize = 64 << 10;

/// Messages that a shard handles of those to itself in one turn.
const LOOPBACK_PER_TURN: usize = 256;

/// Fewer waiting callers than this are not looked through.
const PURGE_MIN: usize = 64;

impl ShardDriver {
    pub(crate) fn new(init: DriverInit) -> io::Result<ShardDriver> {
        let DriverInit { shard, mesh, listener, shard_waker, inbox, state, needs, sends } = init;
        let poller = Poller::new()?;
        let timer = sys::timer_fd()?;
        let (epoll, shared) = (Rc::clone(poller.epoll()), Arc::clone(&state));
        let reception = Reception::new(shard.id(), shared, epoll, listener, &needs)?;
        poller.epoll().add_signal(&*shard_waker, DOORBELL)?;
        poller.epoll().add_signal(&timer, TIMER)?;
        let sender = BatchSender::new(sends)?;
        state.gauges(shard.id()).set_sends_on_ring(sender.has_ring());
        Ok(ShardDriver {
            shard,
            mesh,
            poller,
            timer,
            timer_set: None,
            statm: state.memory().open_statm(),
            turn_began: Time::default(),
            event_progress: EventProgress::default(),
            _shard_waker: shard_waker,
            held_back: inbox.held_back(),
            inbox,
            sockets: Sockets::default(),
            sealed: state.tls().map(|_| SealedSockets::default()),
            reception,
            timers: Timers::default(),
            readable: VecDeque::new(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            sender,
            begun: Vec::new(),
            counts: Counts::default(),
            waiting: HashMap::new(),
            purge_at: PURGE_MIN,
            next_token: 0,
            spawn_requests: Vec::new(),
            handlers: 0,
            reading: true,
            sessions: HashMap::new(),
            renewals: HashMap::new(),
            refreshes: VecDeque::new(),
            format: needs.format,
            state,
            stopped: false,
        })
    }

    /// One round. Returns whether the next one has work of this shard's own; what others have
    /// brought meanwhile is asked for before sleep.
    pub(crate) fn turn(&mut self) -> bool {
        self.counts.turns += 1;
        self.update_time();
        let mut accepts = false;
        while let Some(event) = self.poller.next() {
            accepts |= event.token == LISTENER;
            self.note(event);
        }
        self.event_progress.on_noted(Queued {
            sockets: self.readable.len(),
            pending: self.reception.pending.readable_count(),
        });
        self.shard.on_totals_of_others(self.state.totals_of_others(self.shard.id()));
        self.mesh.take(&mut self.shard);
        self.take_parcels();
        self.take_external();
        self.read_sockets();
        if accepts {
            self.reception.accept();
        }
        self.read_handshakes();
        self.verify_refreshes();
        // After everything that makes such messages: a publish is sent in the turn that reads it.
        self.shard.take_loopback(LOOPBACK_PER_TURN);
        // A room may go on, or have capacity, because of one of these: nothing else would say so.
        self.retry_held_back();
        self.take_outputs();
        // A client that has read its welcome counts, whatever it asks then.
        self.state.gauges(self.shard.id()).set_connections(&self.shard);
        self.state.gauges(self.shard.id()).set_totals(self.shard.totals());
        self.flush_direct();
        self.flush_quantum();
        self.on_deadlines();
        self.take_outputs();
        self.mesh.give(&mut self.shard);
        self.publish_gauges();
        self.has_local_work()
    }

    fn update_time(&mut self) {
        self.turn_began = self.now();
        let sealed = self.sealed.as_ref().map_or(0, |sealed| sealed.kept() as usize);
        let buffers = self.buffer.len() + self.reception.buffer.len();
        self.shard.on_outside_memory(buffers + self.reception.held() + sealed);
        let held = ShardHeld {
            bytes: self.shard.memory().total(),
            logs: self.shard.log_bytes(),
            given_way: self.shard.given_way(),
        };
        let (memory, statm) = (self.state.memory(), self.statm.as_ref());
        let others = memory.exchange(self.shard.id(), held, statm, self.turn_began);
        self.shard.on_others_memory(others);
        self.shard.on_time_with_backlog(self.turn_began, self.event_progress.events_until());
        if self.state.memory().announce(self.shard.memory_stage()) {
            // A shard that sleeps may hold what is to go.
            self.mesh.wake_all();
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.state.now()
    }

    /// Takes events from the kernel: those that are there, or after waiting for the first.
    pub(crate) fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.counts.polls += 1;
        match self.poller.wait(timeout)? {
            Polled::All => self.event_progress.on_polled(self.turn_began),
            Polled::Some(events) => {
                let descriptors = self.descriptors();
                self.event_progress.on_partly_polled(self.turn_began, events, descriptors);
            }
        }
        Ok(())
    }

    /// Descriptors that the poller watches, at most.
    fn descriptors(&self) -> usize {
        const OWN: usize = 2;
        OWN + self.sockets.len() + self.reception.descriptors()
    }

    /// Whether there is work that came since the last turn. To be asked between
    /// [`ShardWaker::announce_park`](super::ring::ShardWaker::announce_park) and sleep.
    pub(crate) fn has_work(&mut self) -> bool {
        self.mesh.has_work(&self.shard)
            || self.inbox.has_news(!self.held_back.is_full())
            || self.has_local_work()
    }

    fn has_local_work(&self) -> bool {
        self.shard.has_loopback()
            || self.shard.has_sends()
            || self.shard.has_parcels()
            || !self.readable.is_empty()
            || !self.refreshes.is_empty()
            || self.reception.pending.has_readable()
    }

    /// Counts a failed system call that costs a connection at most.
    pub(super) fn note_failure(&self, call: Syscall, error: &io::Error) {
        self.state.note_failure(self.shard.id(), call, error);
    }

    /// Makes the timer fire when the next deadline comes. Returns how long it may be slept without
    /// one, if it cannot be set.
    pub(crate) fn set_timer(&mut self) -> Option<Duration> {
        let deadlines = [
            self.shard.next_deadline(),
            self.reception.next_deadline(),
            self.timers.next_deadline(),
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

    fn note(&mut self, event: IoEvent) {
        match event.token {
            LISTENER | DOORBELL => {}
            TIMER => self.timer_set = None,
            token if token & PENDING != 0 => self.reception.pending.queue(token & !PENDING),
            token if token & REGISTRATION != 0 => {
                self.reception.registrations.note(token & !REGISTRATION, event)
            }
            token => self.note_socket(tokens::connection(self.shard.id(), token), event),
        }
    }

    fn note_socket(&mut self, id: ConnId, event: IoEvent) {
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
        if event.writable && self.sealed.is_some() {
            self.on_sealed_writable(id);
        } else if event.writable {
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
            self.event_progress.on_socket_read();
            let Some(socket) = self.sockets.get_mut(id) else { continue };
            socket.queued = false;
            bytes += self.read_socket(id);
            self.queue_read(id);
            if bytes > READ_BYTES_PER_TURN {
                return;
            }
        }
    }

    /// Reads a socket once; returns what that cost, in bytes.
    fn read_socket(&mut self, id: ConnId) -> usize {
        let Some(socket) = self.sockets.get(id) else { return 0 };
        self.counts.reads += 1;
        let (ending, most) = (socket.ending, self.shard.read_max(id));
        if self.sealed.is_some() {
            return self.read_sealed(id, most);
        }
        let most = most.min(self.buffer.len());
        match sys::receive(socket, &mut self.buffer[..most]) {
            Ok(0) => self.end_of_input(id),
            Ok(len) => {
                self.shard.receive(id, &mut self.buffer[..len]);
                // A read that did not fill the buffer has emptied the socket, unless its end
                // stands behind: that is seen only by reading on.
                if len < most && ending == Ending::Unknown {
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

    pub(super) fn end_of_input(&mut self, id: ConnId) {
        if let Some(socket) = self.sockets.get_mut(id) {
            (socket.readable, socket.ending) = (false, Ending::Read);
        }
        self.shard.on_end(id);
    }

    pub(super) fn set_readable(&mut self, id: ConnId, readable: bool) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.readable = readable;
        }
    }

    fn read_handshakes(&mut self) {
        let read = self.reception.read_handshakes(&mut self.shard);
        (0..read).for_each(|_| self.event_progress.on_handshake_read());
        self.admit_arrivals();
    }

    fn on_deadlines(&mut self) {
        let now = self.now();
        self.timers.fire_due(now);
        self.take_late();
        self.reception.on_deadlines(now, self.event_progress.events_until());
    }

    pub(super) fn take_outputs(&mut self) {
        while let Some(id) = self.shard.outputs().next_renewed() {
            self.renew_session(id);
        }
        // A message that came before its connection's end is handed on before it.
        while let Some(call) = self.shard.outputs().next_call() {
            self.handlers += 1;
            self.spawn_requests.push(SpawnRequest::Call(call));
        }
        while let Some(id) = self.shard.outputs().next_hung_up() {
            self.spawn_requests.push(SpawnRequest::HungUp(id));
        }
        while let Some(event) = self.shard.outputs().next_room_event() {
            self.spawn_requests.push(SpawnRequest::Room(event));
        }
        while let Some((id, rooms)) = self.shard.outputs().next_ended() {
            if let Some(session) = self.sessions.get(&id) {
                session.set_last_rooms(rooms);
            }
        }
        while let Some(goodbye) = self.shard.outputs().next_close_step() {
            match goodbye {
                CloseStep::LeftRooms(id, reason) => {
                    self.renewals.remove(&id);
                    self.spawn_requests.push(SpawnRequest::Disconnected(id, reason))
                }
                CloseStep::ShutdownWrite(id) => self.end_our_side(id),
                CloseStep::Close(id) => {
                    self.close_socket(id);
                    self.state.release_connection(self.shard.id());
                }
            }
        }
        while let Some(id) = self.shard.outputs().next_resumed() {
            self.queue_read(id);
        }
        while let Some((token, answer)) = self.shard.outputs().next_answer() {
            self.give_answer(token, answer);
        }
    }

    pub(super) fn give_answer(&mut self, token: AnswerToken, answer: Answer) {
        if let Some(sender) = self.waiting.remove(&token) {
            sender.send(answer);
        }
    }

    /// Closes a socket. What a peer that was cut has not taken the kernel would offer it for many
    /// minutes, with memory that no limit knows of; it is told to stop after the close timeout.
    fn close_socket(&mut self, id: ConnId) {
        self.close_session(id);
        if let Some(socket) = self.sockets.get(id).filter(|socket| socket.ending < Ending::Read) {
            let patience = self.state.limits().close_timeout;
            if let Err(error) = sys::set_user_timeout(socket, patience) {
                self.note_failure(Syscall::SetSockOpt, &error);
            }
        }
        self.sockets.close(id);
    }

    /// A name for a caller's question, and the place where its answer will be delivered.
    pub(crate) fn expect_answer(&mut self, sender: OneshotSender<Answer>) -> AnswerToken {
        if self.waiting.len() >= self.purge_at {
            self.waiting.retain(|_, sender| !sender.is_closed());
            self.purge_at = PURGE_MIN.max(2 * self.waiting.len());
        }
        self.next_token += 1;
        let token = AnswerToken(self.next_token);
        self.waiting.insert(token, sender);
        token
    }

    fn publish_gauges(&mut self) {
        // What was taken from threads before the end began is still to be published.
        let is_silent = !self.reading
            && self.handlers == 0
            && self.held_back.is_empty()
            && !self.shard.has_decided_commands()
            && !self.inbox.has_news(true);
        let ReceptionCounts { accepts, evicted, refused, .. } = self.reception.counts;
        let ReceptionCounts { handshakes, resumed, failed_handshakes, .. } = self.reception.counts;
        let counts = Counts {
            accepts,
            evicted,
            refused,
            tls_handshakes: handshakes,
            tls_resumed: resumed,
            tls_failed: failed_handshakes,
            http_bytes: self.reception.held() as u64,
            tls_bytes: self.sealed.as_ref().map_or(0, |sealed| sealed.kept()),
            ..self.counts
        };
        self.state.gauges(self.shard.id()).set(&self.shard, &counts, is_silent);
    }
}

/// A message of an external thread, the connection that does not get it, and the name of the caller
/// that waits for its offset.
pub(super) type ExternalPublication = (RoomMessage, Option<ConnId>, Option<AnswerToken>);
