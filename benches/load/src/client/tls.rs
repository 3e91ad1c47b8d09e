//! The records of one TLS connection, on the side of the client.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use rustls::client::UnbufferedClientConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus,
};
use rustls::{Error, ProtocolVersion};

use crate::setup::trust::Trust;

/// One connection's TLS. What has arrived is opened into the buffer of the caller, so that an idle
/// connection owns no buffer here either.
pub(crate) struct ClientTls {
    connection: UnbufferedClientConnection,
    /// The begin of what is not a whole record yet, or not a whole message of the handshake.
    part: Vec<u8>,
    /// Sealed bytes that the socket has not taken.
    sealed: Vec<u8>,
    /// The server has said that it sends no more.
    ended: bool,
    /// The last read got less of the socket than it had room for.
    is_emptied: bool,
}

/// What the two sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// `1.2` or `1.3`.
    pub(crate) version: &'static str,
    pub(crate) suite: String,
    pub(crate) key_exchange: String,
}

/// What is read from a socket at once at most.
const READ_MAX: usize = 256 * 1024;

/// The largest message of a handshake, which may be cut into records.
const PART_MAX: usize = 80 * 1024;

/// A caller's buffer has room for this at least: a whole record.
pub(crate) const ROOM: usize = 20 * 1024;

/// What a record adds to its content, in any suite.
const OVERHEAD: usize = 64;

/// The most plaintext of one record.
const PLAIN_MAX: usize = 16 * 1024;

thread_local! {
    /// What has arrived, before it is opened: shared by all connections of a thread.
    static ARRIVED: RefCell<Vec<u8>> = RefCell::new(vec![0; PART_MAX + READ_MAX]);
}

impl ClientTls {
    pub(crate) fn new(trust: &Trust) -> Result<Self, Error> {
        let (config, name) = (trust.config.clone(), trust.name.clone());
        let connection = UnbufferedClientConnection::new(config, name)?;
        let (part, sealed) = (Vec::new(), Vec::new());
        Ok(Self { connection, part, sealed, ended: false, is_emptied: true })
    }

    /// Reads at most so many bytes once, and opens all records that are whole. `buffer` has
    /// [`ROOM`].
    ///
    /// # Errors
    ///
    /// As of the socket; `Interrupted` when what came brought no data; `InvalidData` when the server
    /// breaks the rules of TLS, or is not believed.
    pub(crate) fn read(
        &mut self,
        mut socket: &TcpStream,
        buffer: &mut [u8],
        limit: usize,
    ) -> io::Result<usize> {
        self.is_emptied = true;
        if self.ended {
            return Ok(0);
        }
        ARRIVED.with_borrow_mut(|arrived| {
            let kept = self.part.len();
            // Plaintext is shorter than the records that it comes in.
            let most = limit.min(READ_MAX).min(buffer.len().saturating_sub(kept)).max(1);
            arrived[..kept].copy_from_slice(&self.part);
            let count = socket.read(&mut arrived[kept..kept + most])?;
            self.is_emptied = count < most;
            if count == 0 {
                return Ok(0);
            }
            let opened = self.open(&mut arrived[..kept + count], buffer);
            let opened = opened.map_err(|error| self.fail(socket, error))?;
            self.flush(socket)?;
            match opened == 0 && !self.ended {
                true => Err(io::ErrorKind::Interrupted.into()),
                false => Ok(opened),
            }
        })
    }

    fn open(&mut self, records: &mut [u8], plain: &mut [u8]) -> Result<usize, Error> {
        let (mut at, mut opened) = (0, 0);
        loop {
            let UnbufferedStatus { mut discard, state, .. } =
                self.connection.process_tls_records(&mut records[at..]);
            let is_done = match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        let end = opened + record.payload.len();
                        plain[opened..end].copy_from_slice(record.payload);
                        (opened, discard) = (end, discard + record.discard);
                    }
                    false
                }
                ConnectionState::EncodeTlsData(data) => {
                    encode(data, &mut self.sealed)?;
                    false
                }
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    false
                }
                ConnectionState::PeerClosed | ConnectionState::Closed => {
                    self.ended = true;
                    true
                }
                ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake => true,
                _ => return Err(Error::General("a server sends no early data".to_owned())),
            };
            at += discard;
            if is_done {
                break;
            }
        }
        let part = if self.ended { &[] } else { &records[at..] };
        if part.len() > PART_MAX {
            return Err(Error::General("a message of the handshake is too large".to_owned()));
        }
        if part.is_empty() {
            self.part = Vec::new();
        } else {
            self.part.clear();
            self.part.extend_from_slice(part);
        }
        Ok(opened)
    }

    /// Seals what waits, unless the handshake is not done yet, and hands it to the socket. Returns
    /// whether the socket took everything that it could be given.
    ///
    /// # Errors
    ///
    /// When the connection is dead.
    pub(crate) fn write(&mut self, socket: &TcpStream, pending: &mut Vec<u8>) -> io::Result<bool> {
        if !self.flush(socket)? {
            return Ok(false);
        }
        if !self.connection.is_handshaking() && pending.is_empty() {
            return Ok(true);
        }
        self.seal(pending).map_err(invalid)?;
        self.flush(socket)
    }

    fn seal(&mut self, pending: &mut Vec<u8>) -> Result<(), Error> {
        loop {
            // What was seen and not finished is shown again each time.
            match self.connection.process_tls_records(&mut self.part).state? {
                ConnectionState::EncodeTlsData(data) => encode(data, &mut self.sealed)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::BlockedHandshake | ConnectionState::Closed => return Ok(()),
                ConnectionState::PeerClosed => self.ended = true,
                ConnectionState::WriteTraffic(mut traffic) => {
                    let room = pending.len() + (pending.len() / PLAIN_MAX + 2) * OVERHEAD;
                    append(&mut self.sealed, room, |out| traffic.encrypt(pending, out))?;
                    pending.clear();
                    return Ok(());
                }
                _ => return Err(Error::HandshakeNotComplete),
            }
        }
    }

    /// Says that no more comes, as far as the socket takes that.
    pub(crate) fn say_end(&mut self, socket: &TcpStream) {
        let state = self.connection.process_tls_records(&mut self.part).state;
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            let said = append(&mut self.sealed, OVERHEAD, |out| traffic.queue_close_notify(out));
            // The connection goes either way.
            let _ = said.map(|()| self.flush(socket));
        }
    }

    /// The server hears why, if it can.
    fn fail(&mut self, socket: &TcpStream, error: Error) -> io::Error {
        // Asked for nothing but what it has to say, it does not look at the same records again.
        while self.connection.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(data)) =
                self.connection.process_tls_records(&mut []).state
            && encode(data, &mut self.sealed).is_ok()
        {}
        let _ = self.flush(socket);
        invalid(error)
    }

    /// Whether the last read got less than it had room for.
    pub(crate) fn is_emptied(&self) -> bool {
        self.is_emptied
    }

    /// Whether sealed bytes wait for the socket.
    pub(crate) fn has_sealed(&self) -> bool {
        !self.sealed.is_empty()
    }

    fn flush(&mut self, mut socket: &TcpStream) -> io::Result<bool> {
        let mut sent = 0;
        while sent < self.sealed.len() {
            match socket.write(&self.sealed[sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.sealed.drain(..sent);
        if self.sealed.is_empty() {
            self.sealed = Vec::new();
        }
        Ok(self.sealed.is_empty())
    }

    /// What was agreed on, once it was.
    pub(crate) fn agreed(&self) -> Option<Agreed> {
        let connection = &self.connection;
        Some(Agreed {
            version: match connection.protocol_version()? {
                ProtocolVersion::TLSv1_2 => "1.2",
                _ => "1.3",
            },
            suite: format!("{:?}", connection.negotiated_cipher_suite()?.suite()),
            key_exchange: format!("{:?}", connection.negotiated_key_exchange_group()?.name()),
        })
    }
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Appends what TLS itself has to say.
fn encode<Data>(mut data: EncodeTlsData<'_, Data>, out: &mut Vec<u8>) -> Result<(), Error> {
    append(out, OVERHEAD, |out| {
        data.encode(out).map_err(|error| match error {
            EncodeError::InsufficientSize(size) => EncryptError::InsufficientSize(size),
            EncodeError::AlreadyEncoded => EncryptError::EncryptExhausted,
        })
    })
}

/// Appends what `write` writes, which first tries with this much room.
fn append(
    out: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), Error> {
    let begin = out.len();
    loop {
        out.resize(begin + room, 0);
        match write(&mut out[begin..]) {
            Ok(len) => {
                out.truncate(begin + len);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size }))
                if required_size > room =>
            {
                room = required_size;
            }
            Err(_) => return Err(Error::EncryptError),
        }
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = (self.part.len(), self.sealed.len());
        f.debug_struct("ClientTls").field("kept", &kept).field("ended", &self.ended).finish()
    }
}
