//! The sockets of a shard that speak TLS: what it reads from them and sends to them.

use std::io;

use corecast_shards::{ConnId, SendEnd};

use super::driver::ShardDriver;
use super::sockets::Ending;
use super::sys;
use super::tls::{Flushed, Received, Sealing};

impl ShardDriver {
    /// Seals the begun sends, one after the other, and ends each.
    pub(super) fn send_sealed(&mut self) {
        for place in 0..self.begun.len() {
            let id = self.begun[place];
            let end = self.seal_send(id);
            self.shard.end_send(id, end);
            if end == SendEnd::Failed {
                self.on_failed_send(id);
            }
        }
    }

    fn seal_send(&mut self, id: ConnId) -> SendEnd {
        let (Some(sealed), Some(socket)) = (&mut self.sealed, self.sockets.get(id)) else {
            return SendEnd::Failed;
        };
        let shard = &self.shard;
        let sent = sealed.with(id, |session, scratch| {
            let mut sealing = Sealing::begin(session, socket, scratch);
            shard.for_each_iovec(id, |piece| sealing.push(piece));
            sealing.end()
        });
        let (end, sends) = sent.unwrap_or((SendEnd::Failed, 0));
        self.counts.sends += sends;
        end
    }

    /// A socket takes bytes again: first those that are sealed already.
    pub(super) fn on_sealed_writable(&mut self, id: ConnId) {
        let (Some(sealed), Some(socket)) = (&mut self.sealed, self.sockets.get(id)) else { return };
        let flushed = sealed.with(id, |session, _| {
            let flushed = session.flush(socket);
            (flushed, std::mem::take(&mut session.ends_with_rest))
        });
        let Some((flushed, ends)) = flushed else { return };
        match flushed {
            Ok(Flushed::All) => {
                if ends {
                    sys::shutdown_write(socket);
                }
                self.shard.on_writable(id);
            }
            Ok(flushed) => {
                sealed.with(id, |session, _| session.ends_with_rest = ends);
                if flushed == Flushed::Some {
                    self.shard.on_held_progress(id);
                }
            }
            Err(_) => {
                // The next send fails, and until then it is read to its end.
                self.on_failed_send(id);
                self.shard.on_writable(id);
            }
        }
    }

    /// Reads a socket once, at most so many bytes; returns what that cost, in bytes.
    pub(super) fn read_sealed(&mut self, id: ConnId, most: usize) -> usize {
        let (Some(sealed), Some(socket)) = (&mut self.sealed, self.sockets.get(id)) else {
            return 0;
        };
        let (ending, now) = (socket.ending, self.turn_began);
        let buffer = &mut self.buffer;
        let received =
            sealed.with(id, |session, _| session.receive(socket, buffer, most, now, || true));
        match received.unwrap_or(Ok(Received::End)) {
            Ok(Received::Plain { len, cost, is_drained }) => {
                if len > 0 {
                    self.shard.receive(id, &mut self.buffer[..len]);
                }
                if is_drained && ending == Ending::Unknown {
                    self.set_readable(id, false);
                }
                cost
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && ending < Ending::Broken => {
                self.set_readable(id, false);
                0
            }
            Ok(Received::End | Received::NotTls(_)) | Err(_) => {
                self.end_of_input(id);
                0
            }
        }
    }

    /// Ends our side of a connection, behind everything that is sealed.
    pub(super) fn end_our_side(&mut self, id: ConnId) {
        let may_end = match &mut self.sealed {
            Some(sealed) => sealed.say_end(id, &self.sockets),
            None => true,
        };
        if let Some(socket) = self.sockets.get(id).filter(|_| may_end) {
            sys::shutdown_write(socket);
        }
    }

    /// Lets go of the session of a connection that is about to be closed.
    pub(super) fn close_session(&mut self, id: ConnId) {
        if let Some(sealed) = &mut self.sealed {
            sealed.say_end(id, &self.sockets);
            sealed.remove(id);
        }
    }
}
