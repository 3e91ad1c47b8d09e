//! One send of a shard, sealed on its way to the socket.

use std::io;
use std::os::fd::AsFd;

use corecast_shards::SendEnd;

use super::records::{CHUNK, PLAIN_MAX, Scratch};
use super::session::{Flushed, TlsSession};
use crate::runtime::sys;

/// A begun send of one connection: takes its memory piece by piece, seals a chunk whenever there is
/// one, and hands it to the socket. From where that blocks nothing more is sealed: a sealed record
/// can only go out, however long that takes.
pub(crate) struct Sealing<'a, S> {
    session: &'a mut TlsSession,
    socket: &'a S,
    scratch: &'a mut Scratch,
    chunk: usize,
    /// Bytes of plaintext that were sealed.
    taken: usize,
    socket_is: SocketIs,
    /// System calls.
    sends: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketIs {
    Free,
    /// It blocks over something that was sealed before this send.
    Blocked,
    /// It blocks over the last chunk.
    Holding,
    Dead,
}

impl<'a, S: AsFd> Sealing<'a, S> {
    pub(crate) fn begin(
        session: &'a mut TlsSession,
        socket: &'a S,
        scratch: &'a mut Scratch,
    ) -> Sealing<'a, S> {
        let socket_is = match session.flush(socket) {
            _ if !session.is_open() => SocketIs::Dead,
            Ok(Flushed::All) => SocketIs::Free,
            Ok(Flushed::Some | Flushed::None) => SocketIs::Blocked,
            Err(_) => SocketIs::Dead,
        };
        let chunk = if session.blocked { PLAIN_MAX } else { CHUNK };
        scratch.plain.clear();
        Sealing { session, socket, scratch, chunk, taken: 0, socket_is, sends: 0 }
    }

    /// The next piece of the send's memory.
    pub(crate) fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() && self.socket_is == SocketIs::Free {
            if self.scratch.plain.is_empty() && piece.len() >= self.chunk {
                let (chunk, rest) = piece.split_at(self.chunk);
                self.seal_and_send(chunk);
                piece = rest;
                continue;
            }
            let room = self.chunk - self.scratch.plain.len();
            let (now, rest) = piece.split_at(piece.len().min(room));
            self.scratch.plain.extend_from_slice(now);
            piece = rest;
            if self.scratch.plain.len() == self.chunk {
                self.send_gathered();
            }
        }
    }

    /// The last piece was pushed. Returns how the send ended, and how many system calls it made.
    pub(crate) fn end(mut self) -> (SendEnd, u64) {
        if self.socket_is == SocketIs::Free && !self.scratch.plain.is_empty() {
            self.send_gathered();
        }
        self.session.blocked = self.socket_is != SocketIs::Free;
        let end = match self.socket_is {
            SocketIs::Free => SendEnd::Taken(self.taken),
            SocketIs::Blocked => SendEnd::Blocked,
            SocketIs::Holding => SendEnd::Held(self.taken),
            SocketIs::Dead => SendEnd::Failed,
        };
        (end, self.sends)
    }

    fn send_gathered(&mut self) {
        let plain = std::mem::take(&mut self.scratch.plain);
        self.seal_and_send(&plain);
        self.scratch.plain = plain;
        self.scratch.plain.clear();
    }

    fn seal_and_send(&mut self, plain: &[u8]) {
        self.scratch.sealed.clear();
        if self.session.seal(plain, &mut self.scratch.sealed).is_err() {
            self.socket_is = SocketIs::Dead;
            return self.session.break_off();
        }
        self.taken += plain.len();
        self.sends += 1;
        let sealed = &self.scratch.sealed;
        self.socket_is = match sys::send(self.socket, sealed) {
            Ok(len) if len == sealed.len() => SocketIs::Free,
            Ok(len) => self.hold(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.hold(0),
            Err(_) => {
                self.session.break_off();
                SocketIs::Dead
            }
        };
    }

    /// Keeps what the socket has not taken.
    fn hold(&mut self, sent: usize) -> SocketIs {
        self.session.hold(&self.scratch.sealed[sent..]);
        SocketIs::Holding
    }
}
