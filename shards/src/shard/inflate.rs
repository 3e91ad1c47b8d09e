//! What becomes of messages that clients have compressed (RFC 7692 section 7.2.2), and how much of that
//! a turn may have.

use crate::connection::inbound::Deflated;
use crate::deflate::{Codecs, Inflater, NotInflated};
use crate::memory::vec_bytes;
use crate::shard_stats::InflateCounters;
use crate::wire::{Incoming, Violation};

/// What inflates messages, if any may be compressed.
#[derive(Debug)]
pub(super) struct Inflation {
    inflater: Option<Box<dyn Inflater>>,
    /// For the next message.
    buffer: Vec<u8>,
    /// What was spent on that in this turn, in bytes that messages were inflated to.
    spent: usize,
    /// What was spent when the connection was taken up whose turn it is to have one message.
    one_from: Option<usize>,
    pub(super) counters: InflateCounters,
}

/// So many bytes are inflated in the time that one byte of the most laborious payloads takes.
const PAYLOAD_COST: usize = 8;

/// What the buffer may keep between two messages.
const BUFFER_BYTES_KEPT: usize = 64 << 10;

/// A message, if there is one.
pub(super) struct Weighed<'a> {
    pub(super) incoming: Option<Incoming<'a>>,
    /// What counts against the rates of its connection.
    pub(super) weight: usize,
    /// The payload that it was inflated from, if it was, and how many frames that came in.
    pub(super) payload: Option<(&'a [u8], usize)>,
}

impl Inflation {
    pub(super) fn new(codecs: Option<Codecs>) -> Inflation {
        let inflater = codecs.map(|codecs| (codecs.inflater)());
        Inflation {
            inflater,
            buffer: Vec::new(),
            spent: 0,
            one_from: None,
            counters: InflateCounters::default(),
        }
    }

    /// Whether a connection may agree to compression.
    pub(super) fn is_there(&self) -> bool {
        self.inflater.is_some()
    }

    /// Bytes of memory that it holds.
    pub(super) fn heap_bytes(&self) -> usize {
        let inflater = self.inflater.as_ref().map_or(0, |inflater| inflater.heap_bytes());
        inflater + vec_bytes::<u8>(self.buffer.capacity())
    }

    /// Lends out the buffer for the next message, to be given back with [`Inflation::keep`].
    pub(super) fn lend(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    pub(super) fn keep(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= BUFFER_BYTES_KEPT {
            buffer.clear();
            self.buffer = buffer;
        }
    }

    /// Inflates a message into the buffer if it is compressed. It weighs as much as it is inflated to,
    /// or as the bytes that were `used` for it where these are more: what sends little that becomes
    /// much is held to the same rates as the others.
    pub(super) fn inflate<'a>(
        &mut self,
        used: usize,
        incoming: Option<Incoming<'a>>,
        most: usize,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Weighed<'a>, Violation> {
        let Some(Incoming::Deflated { is_text, payload, frames }) = incoming else {
            return Ok(Weighed { incoming, weight: used, payload: None });
        };
        if let Err(violation) = self.fill((payload, frames), most, buffer) {
            self.counters.refused += 1;
            return Err(violation);
        }
        self.counters.messages += 1;
        self.counters.bytes_before += payload.len() as u64;
        self.counters.bytes_after += buffer.len() as u64;
        let weight = used + buffer.len().saturating_sub(payload.len());
        let incoming = Some(Incoming::inflated(is_text, buffer)?);
        Ok(Weighed { incoming, weight, payload: Some((payload, frames)) })
    }

    /// Inflates a message into the buffer that was inflated before, and is counted.
    pub(super) fn inflate_again<'a>(
        &mut self,
        deflated: &Deflated,
        most: usize,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Incoming<'a>, Violation> {
        self.fill((&deflated.payload, deflated.frames), most, buffer)?;
        Incoming::inflated(deflated.is_text, buffer)
    }

    fn fill(
        &mut self,
        (payload, frames): (&[u8], usize),
        most: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let inflater = self.inflater.as_mut().expect("nothing compressed is read without");
        let done = inflater.inflate(payload, frames, most, buffer);
        self.spent += PAYLOAD_COST * payload.len() + buffer.len();
        done.map_err(|refused| match refused {
            NotInflated::Corrupt => Violation::BadDeflate,
            NotInflated::TooLarge => Violation::TooBig,
        })?;
        assert!(buffer.len() <= most, "a message is no larger than it may be");
        Ok(())
    }

    /// Whether a compressed message may still be inflated in this turn. A client that sends little
    /// that becomes much would hold up its shard otherwise.
    pub(super) fn is_left(&self, per_turn: usize) -> bool {
        self.spent < per_turn
    }

    pub(super) fn begin_turn(&mut self) {
        self.spent = 0;
    }

    /// A connection that has waited is taken up, up to [`Inflation::end_one`]: it has one message, so
    /// that those behind it need not wait for all that it has sent.
    pub(super) fn begin_one(&mut self) {
        self.one_from = Some(self.spent);
    }

    pub(super) fn end_one(&mut self) {
        self.one_from = None;
    }

    /// Whether something was inflated for the connection that is to have one message.
    pub(super) fn has_had_its_message(&self) -> bool {
        self.one_from.is_some_and(|from| self.spent > from)
    }
}
