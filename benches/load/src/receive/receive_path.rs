//! The receive path: from bytes of a socket to what it means. Every message passes here, so it parses
//! no JSON, copies nothing but the last partial frame, and reads the clock once per read.

use super::member::Member;
use super::recorder::Recorder;
use super::verifier::{Arrival, Verifier};
use crate::client::chunks::{Chunks, comment};
use crate::client::frames::{BINARY, FRAME_MAX, Frames, TEXT};
use crate::setup::payload::{self, HEAD, Marker, PayloadContent, Stamp};
use crate::setup::plan::Transport;
use crate::watch::tally::Tally;

/// What one thread knows about what its members received.
#[derive(Debug)]
pub(crate) struct ReceivePath {
    marker: Marker,
    /// Size of the payload.
    size: usize,
    sample_mask: u32,
    /// What is compared beyond head and end, if it is.
    content: Option<PayloadContent>,
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

// Bits and values of a frame's first byte (RFC 6455 section 5.2).
const FIN: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const CLOSE: u8 = 0x88;

/// What an event stream says when there is nothing to say.
const HEARTBEAT: &[u8] = b": ping\n\n";

impl ReceivePath {
    pub(crate) fn new(
        marker: Marker,
        size: usize,
        sampled_one_in: u32,
        content: Option<PayloadContent>,
    ) -> Self {
        Self {
            marker,
            size,
            sample_mask: sampled_one_in - 1,
            content,
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
        self.recorder.advance(now);
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
                Some(b'i' | b'd' | b'e') => self.on_message(member, chunk, now, notices),
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
        let mut frames = Frames::new(bytes);
        for frame in frames.by_ref() {
            if (frame.first == TEXT || frame.first == BINARY) && !member.is_fragmented {
                self.on_message(member, frame.payload, now, notices);
                continue;
            }
            self.on_other_frame(member, frame.first, frame.payload, now, notices);
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
    fn on_message(
        &mut self,
        member: &mut Member,
        message: &[u8],
        now: u64,
        notices: &mut Vec<Notice>,
    ) {
        if let Some(text) = message.get(member.distance..)
            && let Some(stamp) = Stamp::read(text, self.marker)
        {
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
    fn search(&mut self, member: &mut Member, message: &[u8], now: u64, notices: &mut Vec<Notice>) {
        match self.marker.find(message) {
            Some(at) => {
                member.distance = at;
                self.on_more(member, message, now);
            }
            None => {
                self.tally.other += 1;
                notices.push(Notice::Text(message.to_vec()));
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
                None => self.tally.damaged += 1,
            }
            text = &text[text.len().min(self.size)..];
        }
    }

    #[inline]
    fn on_stamp(&mut self, member: &Member, stamp: Stamp, text: &[u8], now: u64) {
        let is_ours = stamp.room() == member.room && stamp.nth() < member.streams;
        if !is_ours || !payload::is_whole(text, self.size) {
            return self.on_unexpected(member, stamp);
        }
        if let Some(content) = &self.content
            && content.has_turn(stamp, member.number)
        {
            self.tally.compared += 1;
            if !content.is_in(text, now) {
                return self.on_unexpected(member, stamp);
            }
        }
        self.tally.received += 1;
        match self.verifiers[member.verifiers + stamp.nth() as usize].receive(stamp.sequence) {
            Arrival::InOrder => self.tally.progress += u64::from(!member.is_slow),
            arrival => self.on_fault(member, arrival),
        }
        if stamp.sequence.wrapping_add(member.number) & self.sample_mask == 0 && !member.is_slow {
            self.recorder.record(now.saturating_sub(payload::due(text)));
        }
    }

    #[cold]
    fn on_unexpected(&mut self, member: &Member, stamp: Stamp) {
        let room = payload::stream_code(member.room, 0, true) >> 12;
        match stamp.is_warm_up() && stamp.room() == room {
            true => self.tally.warm_up += 1,
            false => self.tally.damaged += 1,
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
        member.fragments.extend_from_slice(payload);
        member.is_fragmented = first & FIN == 0;
        if !member.is_fragmented {
            let message = std::mem::take(&mut member.fragments);
            self.on_message(member, &message, now, notices);
        }
    }
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
mod tests {
    use super::*;
    use crate::setup::payload::{PAYLOAD_MIN, TestPayload, stream_code};
    use corecast_shards::wire::{Opcode, push_frame};

    const SIZE: usize = PAYLOAD_MIN + 3;

    struct Bench {
        receive_path: ReceivePath,
        member: Member,
        payload: TestPayload,
    }

    impl Bench {
        fn new() -> Self {
            let marker = Marker::new(5);
            let mut receive_path =
                ReceivePath::new(marker, SIZE, 1, Some(PayloadContent::new(SIZE)));
            receive_path.verifiers.push(Verifier::default());
            let member = Member::new(0, 3, 0, 1);
            Self { receive_path, member, payload: TestPayload::new(SIZE, marker) }
        }

        /// A message of that sequence number, after so much other text.
        fn message(&mut self, distance: usize, sequence: u32) -> Vec<u8> {
            let stamp = Stamp { stream: stream_code(3, 0, false), sequence };
            let mut text = vec![b' '; distance];
            text.extend_from_slice(self.payload.stamp(stamp, 100));
            text.extend_from_slice(br#"","room":"x"}"#);
            text
        }

        fn receive(&mut self, bytes: &[u8]) -> (usize, Vec<Notice>) {
            let mut notices = Vec::new();
            let rest = self.receive_path.receive(&mut self.member, bytes, 350, &mut notices).len();
            (rest, notices)
        }
    }

    #[test]
    fn messages_are_found_wherever_they_stand() {
        let mut bench = Bench::new();
        let mut bytes = Vec::new();
        for (sequence, distance) in [10, 10, 11, 0, 300, 300].into_iter().enumerate() {
            let message = bench.message(distance, sequence as u32);
            push_frame(&mut bytes, Opcode::Text, &message);
        }
        let two = [bench.message(7, 6), bench.message(9, 7)].concat();
        push_frame(&mut bytes, Opcode::Binary, &two);
        let whole = bytes.len();
        bytes.extend_from_slice(&[0x81, 50, 1, 2]);
        assert_eq!(bench.receive(&bytes), (4, vec![]), "of {whole}");
        let tally = &bench.receive_path.tally;
        assert_eq!((tally.received, tally.progress, tally.damaged, tally.other), (8, 8, 0, 0));
        assert_eq!(bench.receive_path.recorder.whole().len(), 8);
    }

    #[test]
    fn fragments_are_joined_and_the_rest_is_noticed() {
        let mut bench = Bench::new();
        let message = bench.message(4, 0);
        let (a, b) = message.split_at(20);
        let mut bytes = vec![0x01, a.len() as u8];
        bytes.extend_from_slice(a);
        push_frame(&mut bytes, Opcode::Ping, b"?");
        bytes.extend_from_slice(&[0x80, b.len() as u8]);
        bytes.extend_from_slice(b);
        push_frame(&mut bytes, Opcode::Text, b"hello");
        push_frame(&mut bytes, Opcode::Close, &[3, 232]);
        push_frame(&mut bytes, Opcode::Text, b"more");
        let expected = vec![
            Notice::Ping(b"?".to_vec()),
            Notice::Text(b"hello".to_vec()),
            Notice::Close(vec![3, 232]),
        ];
        assert_eq!(bench.receive(&bytes), (0, expected));
        assert_eq!(bench.receive_path.tally.received, 1);
    }

    #[test]
    fn a_broken_frame_is_named_and_ends_everything() {
        let check = |bytes: &[&[u8]], fault| {
            let mut bench = Bench::new();
            let after = bench.message(0, 0);
            let mut all = bytes.concat();
            push_frame(&mut all, Opcode::Text, &after);
            assert_eq!(bench.receive(&all), (0, vec![Notice::Violation(fault)]), "{bytes:x?}");
            assert_eq!(bench.receive_path.tally.received, 0);
        };
        check(&[&[0xc1, 0]], "reserved bits in a frame");
        check(&[&[0x81, 0x80, 1, 2, 3, 4]], "a masked frame");
        check(&[&[0x80, 0]], "a continuation without a start");
        check(&[&[0x01, 0], &[0x81, 0]], "a new message inside a fragmented one");
        check(&[&[0x01, 0], &[0x02, 0]], "a new message inside a fragmented one");
        check(&[&[0x01, 1, b'a'], &[0x88, 126, 0, 126]], "a control frame of more than 125 bytes");
    }

    #[test]
    fn a_byte_that_changed_anywhere_is_damage() {
        let mut bench = Bench::new();
        let message = bench.message(0, 0);
        // Behind marker, stream and sequence, which say whose it is.
        for at in 24..SIZE {
            let mut changed = message.clone();
            changed[at] = changed[at].wrapping_add(1);
            let mut bytes = Vec::new();
            push_frame(&mut bytes, Opcode::Text, &changed);
            bench.receive(&bytes);
            let damaged = bench.receive_path.tally.damaged;
            // Only a time that is still possible cannot be told from the right one.
            let is_possible_time = (24..HEAD).contains(&at) && payload::due(&changed) <= 350;
            assert_eq!(damaged == 1, !is_possible_time, "byte {at}");
            bench.receive_path.tally.damaged = 0;
        }
    }

    #[test]
    fn damage_and_strangers_are_told_apart() {
        let mut bench = Bench::new();
        let mut bytes = Vec::new();
        let cut = bench.message(0, 0);
        push_frame(&mut bytes, Opcode::Text, &cut[..SIZE - 1]);
        let stranger = Stamp { stream: stream_code(4, 0, false), sequence: 0 };
        push_frame(&mut bytes, Opcode::Text, bench.payload.stamp(stranger, 0));
        let warm_up = Stamp { stream: stream_code(3, 0, true), sequence: 0 };
        push_frame(&mut bytes, Opcode::Text, bench.payload.stamp(warm_up, 0));
        bench.receive(&bytes);
        let tally = &bench.receive_path.tally;
        assert_eq!((tally.damaged, tally.warm_up, tally.received), (2, 1, 0));
    }
}
