//! All clients, on one thread.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::member::{Heard, Member};

/// Clients of several rooms, and what they have heard.
#[derive(Debug)]
pub(super) struct Crowd {
    address: SocketAddr,
    epoll: OwnedFd,
    members: Vec<Member>,
    pub(super) heard: Heard,
    buffer: Vec<u8>,
}

const READ_BYTES: usize = 256 << 10;
const EVENTS: usize = 1024;

/// How long one look for messages takes at most.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// How long what is owed to a client may take.
const PATIENCE: Duration = Duration::from_secs(60);

impl Crowd {
    pub(super) fn new(address: SocketAddr, clients: usize, rooms: usize) -> io::Result<Crowd> {
        let members = (0..clients).map(|client| Member::new(client % rooms)).collect();
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let (heard, buffer) = (Heard::default(), vec![0; READ_BYTES]);
        Ok(Crowd { address, epoll, members, heard, buffer })
    }

    /// Connects all, evenly spread over this time, and waits until they are members. Returns after how
    /// long they were.
    pub(super) fn connect(&mut self, within: Duration, since: bool) -> io::Result<Duration> {
        let begin = Instant::now();
        let joined = self.heard.joined + self.members.len() as u64;
        for client in 0..self.members.len() {
            self.members[client].connect(self.address, since)?;
            if let Some(stream) = self.members[client].stream() {
                epoll::add(&self.epoll, stream, EventData::new_u64(client as u64), EventFlags::IN)?;
            }
            let due = within.mul_f64(client as f64 / self.members.len() as f64);
            while begin.elapsed() < due {
                self.look()?;
            }
            if client % EVENTS == 0 {
                self.look()?;
            }
        }
        self.wait("joins", |crowd| crowd.heard.joined >= joined)?;
        Ok(begin.elapsed())
    }

    /// Cuts all connections at once.
    pub(super) fn cut(&mut self) -> io::Result<()> {
        self.members.iter_mut().try_for_each(Member::cut)
    }

    /// Reads for so long.
    pub(super) fn listen(&mut self, time: Duration) -> io::Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < time {
            self.look()?;
        }
        Ok(())
    }

    /// Reads until each client has read its room up to this offset.
    pub(super) fn catch_up(&mut self, offsets: &[u64]) -> io::Result<()> {
        self.wait("messages", |crowd| {
            crowd.members.iter().all(|member| member.place.offset >= offsets[member.room])
        })
    }

    fn wait(&mut self, what: &str, is_done: impl Fn(&Crowd) -> bool) -> io::Result<()> {
        let begin = Instant::now();
        while !is_done(self) {
            if begin.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("{what} are missing: {:?}", self.heard)));
            }
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&LOOK))?;
        for event in &events {
            let member = &mut self.members[event.data.u64() as usize];
            member.read(&mut self.buffer, &mut self.heard)?;
        }
        Ok(())
    }
}
