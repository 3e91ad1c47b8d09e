//! What arrived from one connection and could not be handled yet.

use std::borrow::Cow;
use std::sync::Arc;

use crate::envelope::ErrorCode;
use crate::format::RoomMessage;
use crate::handler::{AskedKind, Credentials, Message, Token};
use crate::memory::{HeapBytes, block, shared_bytes, vec_bytes};
use crate::permissions::Permissions;
use crate::recovery::JoinOptions;
use crate::room_name::RoomName;
use crate::time::Time;
use crate::wire::Decoder;

/// What arrived and could not be handled yet, in order: what is `pending`, then the undecoded
/// bytes, then what the decoder holds of a message whose end has not arrived.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    pub(crate) decoder: Decoder,
    /// The message that waits.
    pub(crate) pending: Option<Pending>,
    /// How long the message is under way whose end has not arrived.
    begun: Option<Begun>,
    bytes: Vec<u8>,
    /// How many of the bytes are decoded.
    used: usize,
}

/// How long a message is under way. Only time in which its client is read counts.
#[derive(Clone, Copy, Debug)]
enum Begun {
    /// The client is read, as if it had been ever since then.
    Since(Time),
    /// The client is not read now, and was for so many nanoseconds.
    For(u64),
}

/// A message that must wait, in the form in which the least is left to do.
#[derive(Debug)]
pub(crate) enum Pending {
    /// A text message that was not looked at yet.
    Text(String),
    Binary(Vec<u8>),
    /// The payload of a ping, which the pong will carry.
    Ping(Vec<u8>),
    /// A text message that was read.
    Errand(Box<Errand>),
    /// A message that is much smaller while it is compressed.
    Deflated(Deflated),
}

/// A compressed message that was inflated, had to wait, and is kept as it came.
#[derive(Debug)]
pub(crate) struct Deflated {
    pub(crate) is_text: bool,
    /// It was read, and counted against the rates of its connection.
    pub(crate) is_read: bool,
    pub(crate) payload: Vec<u8>,
    /// How many frames it came in.
    pub(crate) frames: usize,
}

/// What is kept inflated for a connection: less than this, a compressed message may cost in any case.
const INFLATED_BYTES_KEPT: usize = 1 << 10;

/// What a client asks for, read and not yet carried out. It owns what it needs, so that the text
/// is read once and kept no longer.
#[derive(Debug)]
pub(crate) struct Errand {
    /// The room that it names: commands for one room take effect in the order sent.
    pub(crate) room: Option<RoomName>,
    /// The client's id for the reply, as written.
    pub(crate) id: Option<Box<str>>,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// Join the room, from there if the client says where it stopped.
    Join(JoinOptions),
    /// Leave the room.
    Leave,
    /// Say who is in the room.
    Presence,
    /// Publish to the room; without `echo` not to the sender.
    Publish {
        message: RoomMessage,
        echo: bool,
    },
    /// Publish to everybody.
    Broadcast(RoomMessage),
    Ping,
    /// Have this token verified.
    Refresh(Token),
    /// Have the permissions and the end of a verified token.
    Renew(Credentials),
    /// Leave the rooms that these permissions allowed and the present ones do not.
    Evict(Arc<Permissions>),
    /// Hand it to a handler of the program.
    Call(Message),
    /// Ask the program whether this may be done.
    Ask(AskedKind),
    /// Say that it is refused, and why.
    Refuse(ErrorCode, Cow<'static, str>),
}

impl HeapBytes for Inbound {
    fn heap_bytes(&self) -> usize {
        let pending = self.pending.as_ref().map_or(0, Pending::heap_bytes);
        pending + vec_bytes::<u8>(self.bytes.capacity()) + block(self.decoder.heap_bytes())
    }
}

impl Pending {
    fn heap_bytes(&self) -> usize {
        match self {
            Pending::Text(text) => block(text.capacity()),
            Pending::Binary(bytes) | Pending::Ping(bytes) => block(bytes.capacity()),
            Pending::Errand(errand) => vec_bytes::<Errand>(1) + errand.heap_bytes(),
            Pending::Deflated(deflated) => block(deflated.payload.capacity()),
        }
    }

    /// What is kept of a message that came as this compressed payload, in so many frames: the
    /// payload, where the message is large and larger than that. So what waits is no more than what
    /// was read.
    pub(crate) fn or_deflated(self, (payload, frames): (&[u8], usize)) -> Pending {
        let most = block(payload.len()).max(INFLATED_BYTES_KEPT);
        let (is_text, is_read) = match &self {
            Pending::Text(_) => (true, false),
            Pending::Binary(_) => (false, false),
            // What is refused is not judged again.
            Pending::Errand(errand) if !matches!(errand.what, What::Refuse(..)) => (true, true),
            _ => return self,
        };
        match self.heap_bytes() > most {
            true => {
                Pending::Deflated(Deflated { is_text, is_read, payload: payload.to_vec(), frames })
            }
            false => self,
        }
    }
}

impl HeapBytes for Errand {
    fn heap_bytes(&self) -> usize {
        let room = self.room.as_ref().map_or(0, |room| shared_bytes(room.as_str().len()));
        let id = self.id.as_ref().map_or(0, |id| block(id.len()));
        let what = match &self.what {
            What::Join(options) => block(options.len()),
            What::Publish { message, .. } | What::Broadcast(message) => {
                let key = message.key().map_or(0, |key| block(key.as_str().len()));
                block(message.capacity()) + key
            }
            What::Call(message) => block(message.len()),
            What::Ask(kind) => block(kind.len()),
            What::Refuse(_, words) => block(words.len()),
            What::Refresh(token) => block(token.as_str().len()),
            // What they refer to is shared, and counted with its connections.
            What::Renew(_) | What::Evict(_) | What::Leave | What::Presence | What::Ping => 0,
        };
        room + id + what
    }
}

impl Inbound {
    /// Whether nothing waits in it.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_none() && self.bytes.is_empty() && self.decoder.is_idle()
    }

    /// When the message began whose end has not arrived; while its client is not read, when it would
    /// have begun if that ended now.
    pub(crate) fn begun(&self, now: Time) -> Option<Time> {
        self.begun.map(|begun| match begun {
            Begun::Since(at) => at,
            Begun::For(nanos) => Time::from_nanos(now.as_nanos().saturating_sub(nanos)),
        })
    }

    /// A message has begun, or none is under way any more.
    pub(crate) fn set_begun(&mut self, at: Option<Time>) {
        self.begun = at.map(Begun::Since);
    }

    /// From now on its client is not read, and cannot end its message.
    pub(crate) fn stop_clock(&mut self, now: Time) {
        let under_way = |at: Time| now.as_nanos().saturating_sub(at.as_nanos());
        self.begun = self.begun(now).map(|at| Begun::For(under_way(at)));
    }

    /// Its client is read again.
    pub(crate) fn go_on(&mut self, now: Time) {
        self.set_begun(self.begun(now));
    }

    /// Bytes that wait to be decoded.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn undecoded(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// Keeps bytes that arrived after everything else.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.used);
        self.used = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Lends the kept bytes out, from which the decoder goes on; to be given back with
    /// [`Inbound::give_back`]. They stay where they are, however often their decoding stops.
    pub(crate) fn lend(&mut self) -> (Vec<u8>, usize) {
        (std::mem::take(&mut self.bytes), self.used)
    }

    /// The first `used` of these bytes are decoded.
    pub(crate) fn give_back(&mut self, bytes: Vec<u8>, used: usize) {
        debug_assert!(self.bytes.is_empty() && used <= bytes.len());
        if used < bytes.len() {
            (self.bytes, self.used) = (bytes, used);
        } else {
            self.used = 0;
        }
    }
}
