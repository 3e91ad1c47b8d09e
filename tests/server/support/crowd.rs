//! Thousands of clients in one thread: non-blocking sockets under one epoll.
//!
//! What a client does is a [`Member`]; the crowd upgrades its connection, takes the welcome, hands
//! it every message and sends what it answers. Several crowds in several threads share the work.

use super::frames::{self, CLOSE, FIN, PING, PONG, TEXT};
use super::{Envelope, LOAD_PATIENCE, upgrade_head};
use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Instant;

/// One client's behaviour. Whatever it does not expect it answers with a panic.
pub(crate) trait Member: Debug {
    /// The connection is open.
    fn on_welcome(&mut self, welcome: &Envelope, out: &mut Outbox);

    /// A text message came.
    fn on_message(&mut self, text: &str, out: &mut Outbox);

    /// The server says goodbye.
    fn on_close(&mut self, code: u16, reason: &str) {
        panic!("closed with {code} {reason}: {self:?}");
    }

    /// Whether this client has seen all it waits for.
    fn is_done(&self) -> bool;
}

/// What a client wants to send.
#[derive(Default)]
pub(crate) struct Outbox(Vec<u8>);

impl Outbox {
    pub(crate) fn send(&mut self, text: &str) {
        self.0.extend(frames::text(text));
    }
}

pub(crate) struct Crowd<M> {
    poll: Poll,
    peers: Vec<Peer<M>>,
    scratch: Vec<u8>,
    started: Instant,
}

impl<M: Member> Crowd<M> {
    /// Connects them all and takes every welcome.
    pub(crate) fn connect(address: SocketAddr, members: impl IntoIterator<Item = M>) -> Self {
        let mut crowd = Self {
            poll: Poll::new(),
            peers: Vec::new(),
            scratch: vec![0; 256 * 1024],
            started: Instant::now(),
        };
        for member in members {
            crowd.open(address, member);
            // Fewer than the listeners' backlog, so that no connection waits for a second SYN.
            while crowd.count(|peer| peer.phase == Phase::Upgrading) >= 200 {
                crowd.turn();
            }
        }
        while crowd.count(|peer| !peer.is_welcomed()) > 0 {
            crowd.turn();
        }
        crowd
    }

    /// Runs until every client is done.
    pub(crate) fn run(&mut self) {
        self.run_until(|crowd| crowd.peers.iter().all(|peer| peer.member.is_done()));
    }

    pub(crate) fn run_until(&mut self, condition: impl Fn(&Self) -> bool) {
        while !condition(self) {
            self.turn();
        }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &M> {
        self.peers.iter().map(|peer| &peer.member)
    }

    fn open(&mut self, address: SocketAddr, member: M) {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        self.poll.add(&stream, self.peers.len());
        let mut peer = Peer {
            stream,
            member,
            phase: Phase::Upgrading,
            inbox: Vec::new(),
            outbox: Outbox(upgrade_head("").into_bytes()),
            awaits_room: false,
        };
        peer.flush(&self.poll, self.peers.len());
        self.peers.push(peer);
    }

    /// One round: whatever is readable or writable now, or a short wait.
    fn turn(&mut self) {
        if self.started.elapsed() > LOAD_PATIENCE {
            let undone = self.peers.iter().filter(|peer| !peer.member.is_done());
            let sample: Vec<_> = undone.clone().take(3).map(|peer| &peer.member).collect();
            panic!("{} clients are not done, such as {sample:?}", undone.count());
        }
        for token in self.poll.wait() {
            let peer = &mut self.peers[token];
            peer.read(&mut self.scratch);
            peer.flush(&self.poll, token);
        }
    }

    fn count(&self, is_counted: impl Fn(&Peer<M>) -> bool) -> usize {
        self.peers.iter().filter(|peer| is_counted(peer)).count()
    }
}

#[derive(PartialEq)]
enum Phase {
    Upgrading,
    Greeting,
    Open,
    Closing,
    Ended,
}

struct Peer<M> {
    stream: TcpStream,
    member: M,
    phase: Phase,
    /// The beginning of a frame whose end has not come yet.
    inbox: Vec<u8>,
    outbox: Outbox,
    awaits_room: bool,
}

impl<M: Member> Peer<M> {
    fn is_welcomed(&self) -> bool {
        !matches!(self.phase, Phase::Upgrading | Phase::Greeting)
    }

    fn read(&mut self, scratch: &mut [u8]) {
        match self.stream.read(scratch) {
            Ok(0) => self.end(),
            Ok(length) => self.take(&scratch[..length]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => panic!("the connection broke ({error}): {:?}", self.member),
        }
    }

    fn end(&mut self) {
        assert!(
            matches!(self.phase, Phase::Closing | Phase::Ended),
            "the connection ended without a goodbye: {:?}",
            self.member
        );
        assert!(self.inbox.is_empty(), "the end cut a frame");
        if self.phase == Phase::Closing {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
        self.phase = Phase::Ended;
    }

    /// Handles all whole frames; only a cut one is copied.
    fn take(&mut self, bytes: &[u8]) {
        if self.inbox.is_empty() {
            let used = self.consume(bytes);
            self.inbox.extend_from_slice(&bytes[used..]);
        } else {
            let mut inbox = std::mem::take(&mut self.inbox);
            inbox.extend_from_slice(bytes);
            let used = self.consume(&inbox);
            inbox.drain(..used);
            self.inbox = inbox;
        }
    }

    fn consume(&mut self, bytes: &[u8]) -> usize {
        let mut used = if self.phase == Phase::Upgrading { self.upgraded(bytes) } else { 0 };
        while self.phase != Phase::Upgrading
            && let Some(frame) = frames::decode(&bytes[used..])
        {
            let payload = &bytes[used..][frame.payload.clone()];
            self.on_frame(frame.opcode, payload);
            used += frame.payload.end;
        }
        used
    }

    fn upgraded(&mut self, bytes: &[u8]) -> usize {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return 0;
        };
        let head = String::from_utf8_lossy(&bytes[..end]);
        assert!(head.starts_with("HTTP/1.1 101 "), "not upgraded: {head}");
        self.phase = Phase::Greeting;
        end + 4
    }

    fn on_frame(&mut self, opcode: u8, payload: &[u8]) {
        assert!(self.phase != Phase::Closing, "a frame follows the goodbye: {:?}", self.member);
        match opcode {
            TEXT => self.on_text(std::str::from_utf8(payload).expect("the server sends UTF-8")),
            PING => self.outbox.0.extend(frames::frame(FIN | PONG, payload)),
            PONG => {}
            CLOSE => {
                let (code, reason) = frames::close_payload(payload);
                self.member.on_close(code, &reason);
                self.outbox.0.extend(frames::close(code, ""));
                self.phase = Phase::Closing;
            }
            other => panic!("opcode {other} from the server"),
        }
    }

    fn on_text(&mut self, text: &str) {
        if self.phase == Phase::Open {
            return self.member.on_message(text, &mut self.outbox);
        }
        let welcome = Envelope::parse(text);
        assert_eq!(welcome.event(), "cast:welcome", "the welcome is the first message");
        self.phase = Phase::Open;
        self.member.on_welcome(&welcome, &mut self.outbox);
    }

    /// Sends what the socket takes; epoll tells when the rest may follow.
    fn flush(&mut self, poll: &Poll, token: usize) {
        while !self.outbox.0.is_empty() {
            match self.stream.write(&self.outbox.0) {
                Ok(length) => drop(self.outbox.0.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // A goodbye need not reach a server that has already gone.
                Err(_) if matches!(self.phase, Phase::Closing | Phase::Ended) => {
                    self.outbox.0.clear()
                }
                Err(error) => panic!("cannot write ({error}): {:?}", self.member),
            }
        }
        let awaits_room = !self.outbox.0.is_empty();
        if awaits_room != self.awaits_room {
            self.awaits_room = awaits_room;
            poll.watch(libc::EPOLL_CTL_MOD, &self.stream, token, awaits_room);
        }
        if self.phase == Phase::Ended {
            poll.watch(libc::EPOLL_CTL_DEL, &self.stream, token, false);
        }
    }
}

struct Poll(OwnedFd);

impl Poll {
    fn new() -> Self {
        // SAFETY: epoll_create1 takes no pointer; the result is checked before it is owned.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(descriptor >= 0, "epoll is available");
        // SAFETY: the descriptor was just created and nothing else owns it.
        Self(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    fn add(&self, stream: &TcpStream, token: usize) {
        self.watch(libc::EPOLL_CTL_ADD, stream, token, false);
    }

    fn watch(&self, operation: i32, stream: &TcpStream, token: usize, for_room: bool) {
        let events = if for_room { libc::EPOLLIN | libc::EPOLLOUT } else { libc::EPOLLIN };
        let mut event = libc::epoll_event { events: events as u32, u64: token as u64 };
        // SAFETY: both descriptors are open and `event` lives through the call.
        let done = unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), operation, stream.as_raw_fd(), &mut event)
        };
        assert_eq!(done, 0, "epoll takes the socket");
    }

    /// The tokens that are ready. The wait is short because other threads' flags are looked at
    /// between two waits.
    fn wait(&self) -> Vec<usize> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 512];
        let room = events.len() as i32;
        // SAFETY: the kernel writes at most `room` events into the array.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), room, 20) };
        let ready = &events[..usize::try_from(count).unwrap_or(0)];
        ready.iter().map(|event| event.u64 as usize).collect()
    }
}
