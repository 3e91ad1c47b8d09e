//! The receive path: from bytes of a socket to what it means. Every message passes here, so it parses
//! no JSON, copies nothing but the last partial frame, and reads the clock once per read.

use super::fan_out::FanOut;
use super::member::Member;
use super::numbers::Numbers;
use super::offsets::Offsets;
use super::recorder::Recorder;
use super::verifier::{Arrival, Verifier};
use crate::client::chunks::{Chunks, comment};
use crate::client::frames::{BINARY, COMPRESSED, FRAME_MAX, Frames, TEXT};
use crate::client::inflater::Inflater;
use crate::setup::payload::{self, HEAD, Marker, PayloadContent, PayloadForm, Stamp};
use crate::setup::plan::Transport;
use crate::watch::damage::Damage;
use crate::watch::tally::Tally;

/// What one thread knows about what its members received.
#[derive(Debug)]
pub(crate) struct ReceivePath {
    marker: Marker,
    form: PayloadForm,
    /// Of the payload from its head on.
    size: usize,
    sample_mask: u32,
    content: PayloadContent,
    numbers: Numbers,
    /// Where messages may be compressed.
    pub(crate) inflater: Option<Box<Inflater>>,
    /// Where messages are followed to the last of their members.
    pub(crate) fan_out: Option<FanOut>,
    /// Where members come and go.
    pub(crate) offsets: Option<Offsets>,
    pub(crate) verifiers: Vec<Verifier>,
    pub(crate) tally: Tally,
    pub(crate) recorder: Recorder,
}

/// A frame or message that carries no payload of ours.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Text(Vec<u8>),
    Ping(Vec<u8>),
    Close(Vec<u8>),
    /// An event stream ended, for this reason.
    End(String),
    /// The server broke RFC 6455, or RFC 9112; what it did.
    Violation(&'static str),
}

/// What a message holds.
#[derive(Debug)]
pub(crate) struct Content<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) is_text: bool,
}

impl<'a> Content<'a> {
    fn text(bytes: &'a [u8]) -> Self {
        Self { bytes, is_text: true }
    }

    /// Whether text is UTF-8 (RFC 6455 section 5.6), which it nearly always is as ASCII.
    #[inline]
    fn is_legal(&self) -> bool {
        !self.is_text || is_ascii(self.bytes) || std::str::from_utf8(self.bytes).is_ok()
    }
}

/// As the method of slices, which looks at what is left of 64 bytes one by one: here that was a
/// tenth of a reader's time with 128 bytes of payload.
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks();
    let all = words.iter().fold(0, |all, &word| all | u64::from_ne_bytes(word));
    all & 0x8080_8080_8080_8080 == 0 && rest.iter().all(u8::is_ascii)
}

// Bits and values of a frame's first byte (RFC 6455 section 5.2).
const FIN: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const CLOSE: u8 = 0x88;

/// What an event stream says when there is nothing to say.
const HEARTBEAT: &[u8] = b": ping\n\n";

impl ReceivePath {
    pub(crate) fn new(
        marker: Marker,
        content: PayloadContent,
        sampled_one_in: u32,
        numbers: Numbers,
    ) -> Self {
        let form = content.form;
        Self {
            marker,
            form,
            size: form.size_from_head(),
            sample_mask: sampled_one_in - 1,
            content,
            numbers,
            inflater: None,
            fan_out: None,
            offsets: None,
            verifiers: Vec::new(),
            tally: Tally::default(),
            recorder: Recorder::new(),
        }
    }

    /// Takes whole frames, or chunks; what is left over is the beginning of one. Notices are for the
    /// caller.
    pub(crate) fn receive<'a>(
        &mut self,
        member: &mut Member,
        bytes: &'a [u8],
        now: u64,
        notices: &mut Vec<Notice>,
    ) -> &'a [u8] {
        match member.transport {
            Transport::WebSocket => self.receive_frames(member, bytes, now, notices),
            Transport::Events => self.receive_events(member, bytes, now, notices),
        }
    }

    fn receive_events<'a>(
        &mut self,
        member: &mut Member,
        bytes: &'a [u8],
        now: u64,
        notices: &mut Vec<Notice>,
    ) -> &'a [u8] {
        let mut chunks = Chunks::new(bytes);
        for chunk in chunks.by_ref() {
            match chunk.first() {
                Some(b'i' | b'd' | b'e') => {
                    self.on_message(member, &Content::text(chunk), now, notices);
                }
                Some(b'r') => {}
                Some(b':') if chunk == HEARTBEAT => {}
                _ => {
                    // The reason of the end is said in the last comment, and nothing may follow.
                    notices.push(Notice::End(comment(chunk).unwrap_or_default()));
                    return &[];
                }
            }
        }
        if let Some(fault) = chunks.fault {
            notices.push(Notice::Violation(fault));
            return &[];
        }
        chunks.rest
    }

    fn receive_frames<'a>(
        &mut self,
        member: &mut Member,
        bytes: &'a [u8],
        now: u64,
        notices: &mut Vec<Notice>,
    ) -> &'a [u8] {
        let mut frames = Frames::new(bytes).compressed(self.inflater.is_some());
        for frame in frames.by_ref() {
            let content = Content { bytes: frame.payload, is_text: frame.first & OPCODE == 1 };
            if (frame.first == TEXT || frame.first == BINARY) && !member.is_fragmented {
                self.on_plain(member, &content, now, notices);
                continue;
            }
            if is_compressed(frame.first) && !member.is_fragmented {
                self.on_compressed(member, &content, now, notices);
            } else {
                self.on_other_frame(member, frame.first, frame.payload, now, notices);
            }
            if matches!(notices.last(), Some(Notice::Close(_) | Notice::Violation(_))) {
                // Nothing may follow, so nothing that follows counts.
                return &[];
            }
        }
        if let Some(fault) = frames.fault {
            notices.push(Notice::Violation(fault));
            return &[];
        }
        frames.rest
    }

    #[inline]
    fn on_plain(
        &mut self,
        member: &mut Member,
        message: &Content<'_>,
        now: u64,
        notices: &mut Vec<Notice>,
    ) {
        let received = self.tally.received;
        self.on_message(member, message, now, notices);
        if self.tally.received > received {
            self.tally.compression.plain_bytes += message.bytes.len() as u64;
        }
    }

    #[inline]
    pub(crate) fn on_message(
        &mut self,
        member: &mut Member,
        message: &Content<'_>,
        now: u64,
        notices: &mut Vec<Notice>,
    ) {
        if let Some(text) = message.bytes.get(member.distance..)
            && let Some(stamp) = Stamp::read(text, self.marker)
        {
            if self.content.has_turn(stamp, member.number) && !message.is_legal() {
                return self.tally.damaged.add(Damage::Text);
            }
            self.on_stamp(member, stamp, text, now);
            // Room for a second payload: a server that puts several into one frame.
            if text.len() >= self.size + HEAD {
                self.on_more(member, &text[self.size..], now);
            }
            return;
        }
        self.search(member, message, now, notices);
    }

    /// The payload stands elsewhere than in the last frame, or there is none.
    #[cold]
    fn search(
        &mut self,
        member: &mut Member,
        message: &Content<'_>,
        now: u64,
        notices: &mut Vec<Notice>,
    ) {
        if !message.is_legal() {
            return self.tally.damaged.add(Damage::Text);
        }
        match self.marker.find(message.bytes) {
            Some(at) => {
                member.distance = at;
                self.on_more(member, message.bytes, now);
            }
            None => {
                self.tally.other += 1;
                notices.push(Notice::Text(message.bytes.to_vec()));
            }
        }
    }

    /// Any number of payloads, anywhere in the text.
    #[cold]
    fn on_more(&mut self, member: &Member, mut text: &[u8], now: u64) {
        while let Some(at) = self.marker.find(text) {
            text = &text[at..];
            match Stamp::read(text, self.marker) {
                Some(stamp) => self.on_stamp(member, stamp, text, now),
                None => self.tally.damaged.add(Damage::End),
            }
            text = &text[text.len().min(self.size)..];
        }
    }

    #[inline]
    fn on_stamp(&mut self, member: &Member, stamp: Stamp, text: &[u8], now: u64) {
        if stamp.room() != member.room || stamp.nth() >= member.streams {
            return self.on_stranger(member, stamp);
        }
        let due = payload::due(text);
        if let Some(damage) = self.damage(member, stamp, text, due, now) {
            return self.tally.damaged.add(damage);
        }
        self.tally.received += 1;
        let verifier = &mut self.verifiers[member.verifiers + stamp.nth() as usize];
        let arrival = verifier.receive(stamp.sequence);
        match arrival {
            Arrival::InOrder => self.tally.progress += u64::from(!member.is_slow),
            arrival => self.on_fault(member, arrival),
        }
        if let Some(offsets) = &mut self.offsets {
            let behind = text.get(self.size..).unwrap_or_default();
            offsets.see(member.first_stream + stamp.nth(), stamp.sequence, behind);
        }
        if !member.is_slow {
            let is_sampled = stamp.sequence.wrapping_add(member.number) & self.sample_mask == 0;
            let is_first = arrival != Arrival::Repeated;
            self.recorder.see(due, now, is_sampled, is_first);
            if let Some(fan_out) = &mut self.fan_out
                && member.is_checked
                && is_first
            {
                let stream = member.first_stream + stamp.nth();
                fan_out.see(stream, stamp.sequence, now.saturating_sub(due));
            }
        }
    }

    /// What is wrong with a message of a stream that the member is in, if anything is.
    #[inline]
    fn damage(
        &mut self,
        member: &Member,
        stamp: Stamp,
        text: &[u8],
        due: u64,
        now: u64,
    ) -> Option<Damage> {
        if !self.form.is_whole(text) {
            return Some(Damage::End);
        }
        if !self.numbers.has(member.first_stream + stamp.nth(), stamp.sequence) {
            return Some(Damage::Number);
        }
        if due > now {
            return Some(Damage::Time);
        }
        if !self.content.has_turn(stamp, member.number) {
            return None;
        }
        self.tally.compared += 1;
        (!self.content.is_in(text, stamp)).then_some(Damage::Content)
    }

    #[cold]
    fn on_stranger(&mut self, member: &Member, stamp: Stamp) {
        let room = payload::stream_code(member.room, 0, true) >> 12;
        match stamp.is_warm_up() && stamp.room() == room {
            true => self.tally.warm_up += 1,
            false => self.tally.damaged.add(Damage::Stream),
        }
    }

    #[cold]
    fn on_fault(&mut self, member: &Member, arrival: Arrival) {
        match arrival {
            Arrival::InOrder => {}
            Arrival::Ahead(_) if member.is_slow => {}
            Arrival::Ahead(missing) => self.tally.progress += 1 + u64::from(missing),
            Arrival::Late => self.tally.disordered += 1,
            Arrival::Repeated => self.tally.repeated += 1,
        }
    }

    #[cold]
    fn on_other_frame(
        &mut self,
        member: &mut Member,
        first: u8,
        payload: &[u8],
        now: u64,
        notices: &mut Vec<Notice>,
    ) {
        match first {
            CLOSE => notices.push(Notice::Close(payload.to_vec())),
            0x89 => notices.push(Notice::Ping(payload.to_vec())),
            0x8a => {}
            _ => match fragment_fault(member, first, payload.len()) {
                Some(fault) => notices.push(Notice::Violation(fault)),
                None => self.on_fragment(member, first, payload, now, notices),
            },
        }
    }

    fn on_fragment(
        &mut self,
        member: &mut Member,
        first: u8,
        payload: &[u8],
        now: u64,
        notices: &mut Vec<Notice>,
    ) {
        if !member.is_fragmented {
            member.is_compressed = first & COMPRESSED != 0;
            member.is_text = first & OPCODE == 1;
        }
        member.fragments.extend_from_slice(payload);
        member.is_fragmented = first & FIN == 0;
        if member.is_fragmented {
            return;
        }
        let message = std::mem::take(&mut member.fragments);
        let content = Content { bytes: &message, is_text: member.is_text };
        match member.is_compressed {
            true => self.on_compressed(member, &content, now, notices),
            false => self.on_plain(member, &content, now, notices),
        }
    }
}

/// Whether a frame that begins so is a message, and compressed.
fn is_compressed(first: u8) -> bool {
    first == TEXT | COMPRESSED || first == BINARY | COMPRESSED
}

/// What is wrong with a frame of a message in several, if anything is.
fn fragment_fault(member: &Member, first: u8, len: usize) -> Option<&'static str> {
    match (first & OPCODE == 0, member.is_fragmented) {
        (true, false) => Some("a continuation without a start"),
        (false, true) => Some("a new message inside a fragmented one"),
        _ if member.fragments.len() + len > FRAME_MAX => Some("a message of more than 64 MiB"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
