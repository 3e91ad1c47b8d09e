//! A connection to the server, with or without TLS.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::socket;
pub(crate) use super::tls::ROOM;
use super::tls::{Agreed, ClientTls};
use crate::setup::plan::Plan;

/// Where there is no TLS each method is one system call.
#[derive(Debug)]
pub(crate) struct ClientLink {
    stream: TcpStream,
    tls: Option<Box<ClientTls>>,
    /// See [`is_emptied`](Self::is_emptied); where there is TLS it knows.
    is_emptied: bool,
}

impl ClientLink {
    /// Begins to connect; the socket becomes writable when that has ended.
    pub(crate) fn connect(plan: &Plan, member: u32) -> io::Result<Self> {
        Self::over(socket::connect(plan, member)?, plan)
    }

    fn over(stream: TcpStream, plan: &Plan) -> io::Result<Self> {
        let tls = plan.trust.as_ref().map(ClientTls::new).transpose();
        let tls = tls.map_err(io::Error::other)?.map(Box::new);
        Ok(Self { stream, tls, is_emptied: true })
    }

    /// What became of connecting.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.stream.take_error()
    }

    /// Reads once, at most so many bytes of the socket, into a buffer with [`ROOM`]; 0 is the end.
    ///
    /// # Errors
    ///
    /// As of the socket; `Interrupted` when what came brought nothing for the caller. Then, as after
    /// every read, there may be something to [`write`](Self::write).
    pub(crate) fn read(&mut self, buffer: &mut [u8], limit: usize) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => tls.read(&self.stream, buffer, limit),
            None => {
                let most = limit.min(buffer.len());
                self.is_emptied = true;
                let count = self.stream.read(&mut buffer[..most])?;
                self.is_emptied = count < most;
                Ok(count)
            }
        }
    }

    /// Whether the last read got less than it had room for: nothing more was there.
    pub(crate) fn is_emptied(&self) -> bool {
        self.tls.as_ref().map_or(self.is_emptied, |tls| tls.is_emptied())
    }

    /// Whether there is TLS, which is work for this side, too.
    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Writes what the socket takes and keeps the rest; whether the socket took all that it was
    /// given. What waits for the end of a TLS handshake is not given to it yet.
    pub(crate) fn write(&mut self, pending: &mut Vec<u8>) -> io::Result<bool> {
        if let Some(tls) = &mut self.tls {
            return tls.write(&self.stream, pending);
        }
        let mut written = 0;
        while written < pending.len() {
            match self.stream.write(&pending[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        pending.drain(..written);
        Ok(pending.is_empty())
    }

    /// Whether something waits to be written.
    pub(crate) fn has_to_write(&self, pending: &[u8]) -> bool {
        !pending.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.has_sealed())
    }

    /// Writes the last bytes, and ends. The connection goes either way; whether the server hears
    /// why is up to its buffers.
    pub(crate) fn end(mut self, pending: &mut Vec<u8>) {
        let _ = self.write(pending);
        if let Some(tls) = &mut self.tls {
            tls.say_end(&self.stream);
        }
    }

    /// Ends a connection as if its machine had died.
    pub(crate) fn reset(self) {
        // If the option cannot be set, the connection ends the ordinary way, which is all we can do.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// What TLS has agreed on, once it has.
    pub(crate) fn agreed(&self) -> Option<Agreed> {
        self.tls.as_ref()?.agreed()
    }
}

impl AsFd for ClientLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
