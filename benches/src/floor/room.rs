//! A room: a buffer and the sockets that it goes to.

use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::message;
use super::ring::Ring;

/// How bytes get to the sockets.
#[derive(Debug)]
pub(super) enum FloorSender {
    Plain,
    Ring(Box<Ring>),
}

/// What was sent so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FloorCounters {
    pub(super) delivered: u64,
    pub(super) sends: u64,
}

/// A room's members and the frames that wait for them.
#[derive(Debug)]
pub(super) struct FloorRoom {
    pub(super) name: Box<str>,
    pub(super) offset: u64,
    members: Vec<Member>,
    buffer: Vec<u8>,
    pub(super) waiting: usize,
}

#[derive(Debug)]
struct Member {
    token: u64,
    stream: Arc<TcpStream>,
}

impl FloorRoom {
    pub(super) fn new(name: &str) -> FloorRoom {
        let (members, buffer) = (Vec::new(), Vec::new());
        FloorRoom { name: name.into(), offset: 0, members, buffer, waiting: 0 }
    }

    /// Adds a member and returns how many there are. What waits is to be sent before.
    pub(super) fn join(&mut self, token: u64, stream: &Arc<TcpStream>) -> usize {
        debug_assert_eq!(self.waiting, 0, "a member gets nothing from before its join");
        self.members.push(Member { token, stream: Arc::clone(stream) });
        self.members.len()
    }

    pub(super) fn part(&mut self, token: u64) {
        self.members.retain(|member| member.token != token);
    }

    /// Numbers a message and writes its frame.
    pub(super) fn push(&mut self, event: &str, data: &str) -> u64 {
        self.offset += 1;
        self.waiting += 1;
        message::push_message(&mut self.buffer, event, data, &self.name, self.offset);
        self.offset
    }

    /// Sends what waits to every member: the whole of what is measured.
    pub(super) fn send(
        &mut self,
        sender: &mut FloorSender,
        counters: &mut FloorCounters,
    ) -> io::Result<()> {
        if self.waiting == 0 {
            return Ok(());
        }
        match sender {
            FloorSender::Plain => self.send_plain(),
            FloorSender::Ring(ring) => {
                ring.send(
                    &self.buffer,
                    self.members.iter().map(|member| member.stream.as_raw_fd()),
                )?;
            }
        }
        counters.sends += self.members.len() as u64;
        counters.delivered += (self.members.len() * self.waiting) as u64;
        self.buffer.clear();
        self.waiting = 0;
        Ok(())
    }

    /// One `send(2)` per member; a socket that refuses bytes is waited for. One that has died is
    /// noticed where it is read.
    fn send_plain(&self) {
        for member in &self.members {
            let _ = (&*member.stream).write_all(&self.buffer);
        }
    }
}
