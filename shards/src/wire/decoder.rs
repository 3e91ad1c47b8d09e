//! Messages from a client's bytes, in whatever pieces these come.

use super::assembly::Assembly;
use super::frame::Opcode;
use super::header::{self, CLIENT_HEADER_MAX, Header};
use super::incoming::Incoming;
use super::mask::unmask;
use super::violation::Violation;

/// What a message may be.
#[derive(Clone, Copy, Debug)]
pub struct MessageRules {
    /// Bytes that it may have.
    pub bytes_max: usize,
    /// Frames that it may have.
    pub frames_max: usize,
    /// Whether it may be compressed (RFC 7692).
    pub deflate: bool,
}

impl MessageRules {
    /// Bytes that the payload may have that a message is compressed to. What a compressor makes larger
    /// is still a message of its own size: so much is what a small one of them adds to noise.
    fn deflated_max(self) -> usize {
        self.bytes_max.saturating_add(self.bytes_max / 16).saturating_add(64)
    }
}

/// Turns a client's bytes, in whatever pieces they come, into messages (RFC 6455 sections 5 and 6).
///
/// A message in one frame that has arrived whole is unmasked where it lies and borrowed from the
/// input. Only what is cut, by the client's fragments or by the network, is copied together here.
///
/// After a [`Violation`] the connection is to be closed; what the decoder would say of later bytes
/// has no meaning then, though it never panics.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The first `header_len` bytes are a header whose end has not arrived.
    header: [u8; CLIENT_HEADER_MAX],
    header_len: usize,
    /// The frame whose header has arrived, and whose payload has not.
    frame: Option<Frame>,
    /// The data message whose last byte has not arrived, if some of its payload has.
    message: Option<Assembly>,
    /// The same of a control frame, which may stand between the fragments of `message`.
    control: Option<Assembly>,
    /// How many frames the last data message has, or has had so far.
    frames: usize,
    /// How many of them carried nothing and did not end it.
    empty_frames: u32,
    /// What the last call lent to its caller.
    returned: Option<Assembly>,
}

/// Frames of one message that carry nothing and do not end it. RFC 6455 section 5.4 allows them; a
/// sender that flushes without data sends a few. Frames with data are bounded by the message's size,
/// and without a bound these could follow each other for ever.
const EMPTY_FRAMES_MAX: u32 = 128;

/// A frame on its way. Invariant: `received <= header.payload_len`, less whenever it is stored.
#[derive(Debug, Clone, Copy)]
struct Frame {
    header: Header,
    received: usize,
}

impl Decoder {
    /// A decoder at the start of a connection, or between two messages; allocates nothing.
    pub const fn new() -> Decoder {
        Decoder {
            header: [0; CLIENT_HEADER_MAX],
            header_len: 0,
            frame: None,
            message: None,
            control: None,
            frames: 0,
            empty_frames: 0,
            returned: None,
        }
    }

    /// Decodes from the front of `input`, unmasking in place, up to the end of the first whole
    /// message or control frame (RFC 6455 sections 5.4 and 5.5).
    ///
    /// Returns how many bytes were consumed and what they completed; without the latter, all of the
    /// input was consumed and more is needed. Consumed bytes must not be passed in again. What the
    /// decoder assembled itself is freed by the next call.
    pub fn decode<'a>(
        &'a mut self,
        input: &'a mut [u8],
        rules: MessageRules,
    ) -> Result<(usize, Option<Incoming<'a>>), Violation> {
        self.returned = None;
        let mut consumed = 0;
        loop {
            if self.frame.is_none() {
                consumed += self.take_header(&input[consumed..], rules)?;
            }
            let Some(frame) = self.frame.take() else { return Ok((consumed, None)) };
            let end = input.len().min(consumed + frame.missing());
            let piece = consumed..end;
            unmask(&mut input[piece.clone()], frame.header.mask, frame.received);
            if frame.is_message(piece.len()) {
                return Ok((end, Some(frame.header.incoming(&input[piece])?)));
            }
            if let Some(assembly) = self.take_piece(frame, &input[piece])? {
                return Ok((end, Some(self.returned.insert(assembly).incoming(self.frames)?)));
            }
            consumed = end;
            if self.frame.is_some() {
                return Ok((consumed, None));
            }
        }
    }

    /// Bytes of memory that it holds, by capacity.
    pub fn heap_bytes(&self) -> usize {
        let assemblies = [&self.message, &self.control, &self.returned];
        assemblies.into_iter().flatten().map(Assembly::capacity).sum()
    }

    /// Whether the decoder stands between two messages and holds no bytes, so that it may be
    /// dropped and a new one take over. What the last call returned does not count.
    pub fn is_idle(&self) -> bool {
        debug_assert!(
            self.control.is_none() || self.frame.is_some(),
            "a control frame has no fragments"
        );
        self.header_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Whether the next call may hand out a compressed message, when it gets this input.
    pub(crate) fn is_at_compressed(&self, input: &[u8]) -> bool {
        let goes_on = self.message.as_ref().is_some_and(Assembly::is_compressed);
        match (&self.frame, self.header_len) {
            (Some(frame), _) => {
                let continues = frame.header.opcode == Opcode::Continuation;
                frame.header.compressed || (goes_on && continues)
            }
            (None, 0) => input.first().is_some_and(|first| header::is_compressed(*first, goes_on)),
            (None, _) => header::is_compressed(self.header[0], goes_on),
        }
    }

    /// Reads a header, or more of one, and sets `frame` once it is complete. Returns how many bytes
    /// it took, which is all there are unless the header is complete.
    fn take_header(&mut self, input: &[u8], rules: MessageRules) -> Result<usize, Violation> {
        let held = self.header_len;
        let copied = input.len().min(CLIENT_HEADER_MAX - held);
        self.header[held..held + copied].copy_from_slice(&input[..copied]);
        let bytes = &self.header[..held + copied];
        let Some(header) = Header::parse(bytes, self.message.is_some(), rules.deflate)? else {
            debug_assert!(copied == input.len() && bytes.len() < CLIENT_HEADER_MAX);
            self.header_len = bytes.len();
            return Ok(copied);
        };
        self.check_size(&header, rules)?;
        self.check_progress(&header, rules.frames_max)?;
        self.header_len = 0;
        self.frame = Some(Frame { header, received: 0 });
        debug_assert!(header.header_len > held, "a complete header was taken before");
        Ok(header.header_len - held)
    }

    /// Refuses a message by what it declares, before any of it is stored. Control frames are small
    /// by themselves and have no limit to obey.
    fn check_size(&self, header: &Header, rules: MessageRules) -> Result<(), Violation> {
        // Between frames, what has been assembled is what the frames before have declared.
        let assembled = self.message.as_ref().map_or(0, Assembly::len);
        let begun_compressed = self.message.as_ref().is_some_and(Assembly::is_compressed);
        let most = match header.compressed || begun_compressed {
            true => rules.deflated_max(),
            false => rules.bytes_max,
        };
        let room = most.saturating_sub(assembled);
        match header.opcode.is_control() || header.payload_len <= room {
            true => Ok(()),
            false => Err(Violation::TooBig),
        }
    }

    /// Refuses a message that never gets on, or in too many steps.
    fn check_progress(&mut self, header: &Header, frames_max: usize) -> Result<(), Violation> {
        if header.opcode.is_control() {
            return Ok(());
        }
        if header.opcode != Opcode::Continuation {
            (self.frames, self.empty_frames) = (0, 0);
        }
        self.frames += 1;
        self.empty_frames += u32::from(!header.fin && header.payload_len == 0);
        if self.frames > frames_max {
            return Err(Violation::TooBig);
        }
        match self.empty_frames > EMPTY_FRAMES_MAX {
            true => Err(Violation::Protocol("a message of too many empty frames")),
            false => Ok(()),
        }
    }

    /// Adds a piece to what its frame belongs to, which is returned once it is whole. Sets `frame`
    /// again if more of it is to come.
    fn take_piece(
        &mut self,
        mut frame: Frame,
        piece: &[u8],
    ) -> Result<Option<Assembly>, Violation> {
        if piece.is_empty() && frame.missing() > 0 {
            // Nothing has been copied yet, so the payload may still be lent from the next input.
            self.frame = Some(frame);
            return Ok(None);
        }
        let opcode = frame.header.opcode;
        let slot = if opcode.is_control() { &mut self.control } else { &mut self.message };
        debug_assert!(slot.is_some() || opcode != Opcode::Continuation);
        slot.get_or_insert_with(|| Assembly::new(opcode, frame.header.compressed)).push(piece)?;
        frame.received += piece.len();
        if frame.missing() > 0 {
            self.frame = Some(frame);
            return Ok(None);
        }
        Ok(slot.take_if(|_| frame.header.fin))
    }
}

impl Frame {
    fn missing(&self) -> usize {
        debug_assert!(self.received <= self.header.payload_len);
        self.header.payload_len - self.received
    }

    /// Whether a piece of this length is all of the frame, and the frame all of its message.
    fn is_message(&self, piece_len: usize) -> bool {
        let unfragmented = self.header.fin && self.header.opcode != Opcode::Continuation;
        unfragmented && piece_len == self.header.payload_len
    }
}

#[cfg(test)]
mod tests;
