//! One connection's TLS: its handshake, and its records in both directions.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

use corecast_shards::Time;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus,
};
use rustls::{Error, HandshakeKind};

use super::records::{
    Allowance, OVERHEAD, PLAIN_MAX, READ_MAX, RECORD_COST, RECORD_MAX, begins_handshake,
    whole_record,
};
use crate::runtime::sys;

/// The state of one TLS connection.
pub(crate) struct TlsSession {
    connection: UnbufferedServerConnection,
    /// The begin of what is not a whole record yet, or not a whole message of the handshake.
    part: Vec<u8>,
    /// How many bytes of the part rustls has seen: the whole records of a message that is not whole.
    /// It must be shown all of them again, and never fewer.
    seen: usize,
    /// Sealed bytes that the socket has not taken, from `sent` on.
    rest: Vec<u8>,
    sent: usize,
    stage: SessionStage,
    /// The client has said that it sends no more.
    ended: bool,
    /// Our side has said so.
    end_said: bool,
    /// Our side of the socket ends when the rest is out.
    pub(crate) ends_with_rest: bool,
    /// Its socket blocked over the last send.
    pub(super) blocked: bool,
    allowance: Allowance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionStage {
    /// Nothing has come.
    New,
    /// The begin of its first record has come.
    Begun,
    Handshaking,
    Open,
    /// Nothing can be read or written any more.
    Broken,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes of plaintext, which may be none, at the begin of the buffer.
    Plain {
        len: usize,
        /// What it cost of the budgets of a turn, in bytes.
        cost: usize,
        /// The socket has nothing more at the moment, unless its end.
        is_drained: bool,
    },
    /// The client's end: it said so, or the stream ended.
    End,
    /// The first byte is not a TLS client's, of so many.
    NotTls(usize),
}

/// What a socket took of sealed bytes that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    All,
    /// Some, and it is blocked.
    Some,
    /// None, and it is blocked.
    None,
}

/// Bytes are read behind so many, to which they are opened: a record's plaintext never reaches the
/// next record.
const GAP: usize = RECORD_MAX;

impl TlsSession {
    pub(super) fn new(connection: UnbufferedServerConnection) -> TlsSession {
        TlsSession {
            connection,
            part: Vec::new(),
            seen: 0,
            rest: Vec::new(),
            sent: 0,
            stage: SessionStage::New,
            ended: false,
            end_said: false,
            ends_with_rest: false,
            blocked: false,
            allowance: Allowance::default(),
        }
    }

    /// Reads once from the socket, at most so many bytes, into the buffer, which has room for a few
    /// records, and opens what is whole. What TLS itself has to answer is flushed.
    ///
    /// What was opened may be more than what was read by the begin of its first record, which was
    /// kept. The handshake begins if it is admitted, which is asked for when its first record is there.
    ///
    /// # Errors
    ///
    /// As of the socket; `InvalidData` when the client breaks the rules of TLS, and
    /// `ConnectionRefused` when its handshake is not admitted, both of which end the connection.
    pub(crate) fn receive(
        &mut self,
        socket: &impl AsFd,
        buffer: &mut [u8],
        most: usize,
        now: Time,
        admit: impl FnOnce() -> bool,
    ) -> io::Result<Received> {
        if self.ended {
            return Ok(Received::End);
        }
        if self.stage == SessionStage::Broken {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let begin = GAP + self.part.len();
        let room = (buffer.len() - begin).min(READ_MAX).min(most);
        let len = match sys::receive(socket, &mut buffer[begin..begin + room])? {
            0 => return Ok(Received::End),
            len => len,
        };
        let received = self.take_in(socket, &mut buffer[..begin + len], now, admit)?;
        Ok(match received {
            Received::Plain { len: plain, cost, .. } => {
                let is_drained = len < room && !self.ended;
                Received::Plain { len: plain, cost: cost + len, is_drained }
            }
            other => other,
        })
    }

    /// Begins with bytes that were read already, as [`TlsSession::receive`] does with those that it
    /// reads. The buffer is made as large as that takes.
    pub(super) fn begin(
        &mut self,
        socket: &impl AsFd,
        bytes: &[u8],
        buffer: &mut Vec<u8>,
        now: Time,
        admit: impl FnOnce() -> bool,
    ) -> io::Result<Received> {
        buffer.clear();
        buffer.resize(GAP, 0);
        buffer.extend_from_slice(bytes);
        self.take_in(socket, buffer, now, admit)
    }

    /// Opens what has arrived behind the gap and behind the part that is kept.
    fn take_in(
        &mut self,
        socket: &impl AsFd,
        buffer: &mut [u8],
        now: Time,
        admit: impl FnOnce() -> bool,
    ) -> io::Result<Received> {
        let begin = GAP + self.part.len();
        if self.stage == SessionStage::New {
            if !begins_handshake(&buffer[begin..]) {
                let len = buffer.len() - begin;
                return Ok(Received::NotTls(len));
            }
            self.stage = SessionStage::Begun;
        }
        buffer[GAP..begin].copy_from_slice(&self.part);
        if self.stage == SessionStage::Begun && whole_record(&buffer[GAP..]).is_some() {
            if !admit() {
                self.stage = SessionStage::Broken;
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            self.stage = SessionStage::Handshaking;
        }
        let waited = !self.rest.is_empty();
        let opened = self.open(buffer, now);
        // What waited before is flushed when the socket says that it takes bytes.
        let flushed = if waited { Ok(Flushed::None) } else { self.flush(socket) };
        let (len, records) = opened.map_err(|error| {
            tracing::debug!(%error, "TLS");
            io::Error::new(io::ErrorKind::InvalidData, error)
        })?;
        flushed?;
        Ok(Received::Plain { len, cost: records * RECORD_COST, is_drained: false })
    }

    /// Opens the records behind the gap to the begin of the buffer, and keeps what is not whole.
    /// Returns how many bytes of plaintext there were, and how many records.
    fn open(&mut self, buffer: &mut [u8], now: Time) -> Result<(usize, usize), Error> {
        let (mut at, mut end, mut plain, mut count) = (GAP, GAP + self.seen, 0, 0);
        while !self.ended
            && let Some(len) = whole_record(&buffer[end..])
        {
            end += len;
            let was_open = self.stage == SessionStage::Open;
            let (front, records) = buffer[..end].split_at_mut(at);
            let (taken, opened) = match self.process(records, &mut front[plain..]) {
                Ok(processed) => processed,
                Err(error) => return Err(self.alert(error)),
            };
            (at, plain, count) = (at + taken, plain + opened, count + 1);
            if was_open && opened == 0 && !self.ended && !self.allowance.take(now) {
                return Err(self.break_with("too many records without data"));
            }
        }
        let part = if self.ended { &[] } else { &buffer[at..] };
        self.seen = if self.ended { 0 } else { end - at };
        if part.len() > RECORD_MAX {
            return Err(self.break_with("a record or a message of the handshake is too large"));
        }
        if part.is_empty() {
            self.part = Vec::new();
        } else {
            self.part.clear();
            self.part.extend_from_slice(part);
        }
        Ok((plain, count))
    }

    /// Hands whole records to rustls. Returns how many of their bytes are done with, and how many of
    /// plaintext they brought.
    fn process(&mut self, records: &mut [u8], plain: &mut [u8]) -> Result<(usize, usize), Error> {
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
                    encode(data, &mut self.rest)?;
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
                _ => return Err(Error::General("early data was not offered".to_owned())),
            };
            at += discard;
            if is_done {
                break;
            }
        }
        if self.stage == SessionStage::Handshaking && !self.connection.is_handshaking() {
            self.stage = SessionStage::Open;
        }
        Ok((at, opened))
    }

    /// Seals these bytes behind what is sealed already.
    pub(super) fn seal(&mut self, plain: &[u8], sealed: &mut Vec<u8>) -> Result<(), Error> {
        self.seal_outgoing(ToSeal::Data(plain), sealed)
    }

    /// Says that our side sends no more, if it can say so, behind the rest.
    pub(crate) fn say_end(&mut self) {
        if std::mem::replace(&mut self.end_said, true) || self.stage != SessionStage::Open {
            return;
        }
        let mut rest = std::mem::take(&mut self.rest);
        if self.seal_outgoing(ToSeal::End, &mut rest).is_err() {
            self.stage = SessionStage::Broken;
        }
        self.rest = rest;
    }

    /// Appends what is to go out, behind what TLS itself has to say.
    fn seal_outgoing(&mut self, outgoing: ToSeal<'_>, sealed: &mut Vec<u8>) -> Result<(), Error> {
        loop {
            // What rustls has seen and not finished is shown to it each time.
            match self.connection.process_tls_records(&mut self.part).state? {
                ConnectionState::EncodeTlsData(data) => encode(data, sealed)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.ended = true,
                ConnectionState::WriteTraffic(mut traffic) => {
                    let len = outgoing.len();
                    let room = len + (len / PLAIN_MAX + 2) * OVERHEAD;
                    return append(sealed, room, |out| match outgoing {
                        ToSeal::Data(plain) => traffic.encrypt(plain, out),
                        ToSeal::End => traffic.queue_close_notify(out),
                    });
                }
                _ => return Err(Error::HandshakeNotComplete),
            }
        }
    }

    /// Nothing more can be read; the client hears why, if it can. rustls is asked for nothing but
    /// what it has to say: it would stumble over the same records again.
    fn alert(&mut self, error: Error) -> Error {
        self.stage = SessionStage::Broken;
        while self.connection.wants_write() {
            match self.connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    if encode(data, &mut self.rest).is_err() {
                        return error;
                    }
                }
                _ => return error,
            }
        }
        error
    }

    fn break_with(&mut self, why: &str) -> Error {
        self.stage = SessionStage::Broken;
        Error::General(why.to_owned())
    }

    /// Hands the socket the sealed bytes that wait.
    ///
    /// # Errors
    ///
    /// When the socket is dead. Nothing waits any more then.
    pub(crate) fn flush(&mut self, socket: &impl AsFd) -> io::Result<Flushed> {
        if self.rest.is_empty() {
            return Ok(Flushed::All);
        }
        match sys::send(socket, &self.rest[self.sent..]) {
            Ok(len) => {
                self.sent += len;
                if self.sent < self.rest.len() {
                    return Ok(Flushed::Some);
                }
                self.forget_rest();
                Ok(Flushed::All)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Flushed::None),
            Err(error) => {
                self.break_off();
                Err(error)
            }
        }
    }

    /// Seals up to a record's worth of bytes and hands them to the socket; keeps what it does not
    /// take. Returns how many bytes were sealed.
    ///
    /// # Errors
    ///
    /// `WouldBlock` while what was sealed before still waits; others when the connection is dead.
    pub(super) fn send(&mut self, socket: &impl AsFd, plain: &[u8]) -> io::Result<usize> {
        if self.flush(socket)? != Flushed::All {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let plain = &plain[..plain.len().min(PLAIN_MAX)];
        let mut rest = std::mem::take(&mut self.rest);
        let sealed = match self.is_open() {
            true => self.seal(plain, &mut rest),
            false => Err(Error::HandshakeNotComplete),
        };
        self.rest = rest;
        sealed.map_err(io::Error::other)?;
        self.flush(socket)?;
        Ok(plain.len())
    }

    /// Keeps sealed bytes that the socket has not taken.
    pub(super) fn hold(&mut self, sealed: &[u8]) {
        debug_assert!(self.rest.is_empty(), "what waits goes before anything else");
        self.rest = sealed.to_vec();
        self.sent = 0;
    }

    /// Sealed bytes that the socket has not taken.
    pub(crate) fn held(&self) -> usize {
        self.rest.len() - self.sent
    }

    /// What it keeps for longer than a turn, beside itself.
    pub(crate) fn kept(&self) -> usize {
        self.rest.capacity() + self.part.capacity()
    }

    /// The socket is dead, or the client broke the rules.
    pub(super) fn break_off(&mut self) {
        self.stage = SessionStage::Broken;
        self.forget_rest();
    }

    fn forget_rest(&mut self) {
        (self.rest, self.sent) = (Vec::new(), 0);
    }

    /// Whether application data may travel.
    pub(crate) fn is_open(&self) -> bool {
        self.stage == SessionStage::Open
    }

    /// Whether the client has said that it sends no more. The socket will not say so.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the handshake was a short one, because the client came back with a ticket.
    pub(crate) fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// What is to be sealed.
#[derive(Clone, Copy)]
enum ToSeal<'a> {
    Data(&'a [u8]),
    /// Our side sends no more (close_notify).
    End,
}

impl ToSeal<'_> {
    fn len(self) -> usize {
        match self {
            ToSeal::Data(plain) => plain.len(),
            ToSeal::End => 0,
        }
    }
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

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = (self.part.len(), self.held());
        f.debug_struct("TlsSession").field("stage", &self.stage).field("kept", &kept).finish()
    }
}
