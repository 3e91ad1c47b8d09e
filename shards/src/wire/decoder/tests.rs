//! What comes of a client's bytes, whole or cut anywhere.

use super::super::{CloseFrame, push_client_frame};
use super::Opcode::{Binary, Close, Continuation, Ping, Pong, Text};
use super::*;

const MAX: usize = 1000;
const FRAMES: usize = 200;
const RULES: MessageRules = MessageRules { bytes_max: MAX, frames_max: FRAMES, deflate: false };
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Passes one piece of input in, and notes everything that comes out of it.
fn feed(decoder: &mut Decoder, mut piece: &mut [u8], out: &mut Vec<String>) -> Fed {
    loop {
        let len = piece.len();
        let (consumed, incoming) = decoder.decode(piece, RULES)?;
        match incoming {
            Some(incoming) => out.push(format!("{incoming:?}")),
            None => {
                assert_eq!(consumed, len, "asked for more before all was consumed");
                return Ok(());
            }
        }
        piece = &mut piece[consumed..];
    }
}

type Fed = Result<(), Violation>;

/// Everything that comes out of `bytes`, passed in by pieces of the lengths that `next` says,
/// and whether the decoder is idle at the end.
fn decoded(bytes: &[u8], mut next: impl FnMut() -> usize) -> (Vec<String>, Fed, bool) {
    let (mut decoder, mut out, mut at) = (Decoder::new(), Vec::new(), 0);
    while at < bytes.len() {
        let end = bytes.len().min(at.saturating_add(next()));
        if let Err(violation) = feed(&mut decoder, &mut bytes[at..end].to_vec(), &mut out) {
            return (out, Err(violation), decoder.is_idle());
        }
        at = end;
    }
    (out, Ok(()), decoder.is_idle())
}

fn frame(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_client_frame(&mut out, opcode, fin, KEY, payload);
    out
}

#[test]
fn a_message_has_as_many_frames_as_it_may_and_no_more() {
    for (frames, opcode) in [(1, Text), (2, Text), (FRAMES, Binary), (FRAMES + 1, Binary)] {
        let mut bytes = Vec::new();
        for nth in 1..=frames {
            let opcode = if nth == 1 { opcode } else { Continuation };
            bytes.extend(frame(opcode, nth == frames, b"x"));
            bytes.extend(frame(Ping, true, b""));
        }
        // A control frame is none of the message.
        let whole = [bytes.clone(), frame(Text, true, b"next")].concat();
        let (out, outcome, _) = decoded(&whole, || 5);
        match frames <= FRAMES {
            true => assert_eq!((out.len(), outcome), (frames + 2, Ok(())), "{frames} frames"),
            false => assert_eq!(outcome, Err(Violation::TooBig), "{frames} frames"),
        }
    }
}

#[test]
fn legal_frames_become_messages_however_they_are_cut() {
    let check = |frames: &[(Opcode, bool, &[u8])], expected: &[Incoming<'_>]| {
        let frames = frames.iter().map(|&(opcode, fin, payload)| frame(opcode, fin, payload));
        let bytes = frames.collect::<Vec<_>>().concat();
        let expected: Vec<_> = expected.iter().map(|incoming| format!("{incoming:?}")).collect();
        for piece_len in 1..=bytes.len() {
            let actual = decoded(&bytes, || piece_len);
            assert_eq!(actual, (expected.clone(), Ok(()), true), "pieces of {piece_len}");
        }
    };
    check(&[(Text, true, b"")], &[Incoming::Text("")]);
    check(&[(Binary, true, b"")], &[Incoming::Binary(b"")]);
    check(&[(Text, true, "κόσμε".as_bytes())], &[Incoming::Text("κόσμε")]);
    check(&[(Binary, true, &[0xff; 300])], &[Incoming::Binary(&[0xff; 300])]);
    check(&[(Text, false, b""), (Continuation, true, b"")], &[Incoming::Text("")]);
    check(
        &[(Text, false, b"a\xe2"), (Continuation, false, b"\x82"), (Continuation, true, b"\xac")],
        &[Incoming::Text("a€")],
    );
    check(
        &[
            (Binary, false, b"\xff"),
            (Ping, true, b"mid"),
            (Continuation, false, b""),
            (Pong, true, b""),
            (Continuation, true, b"\xfe"),
            (Text, true, b"next"),
        ],
        &[
            Incoming::Ping(b"mid"),
            Incoming::Pong(b""),
            Incoming::Binary(b"\xff\xfe"),
            Incoming::Text("next"),
        ],
    );
    check(&[(Close, true, b"")], &[Incoming::Close(CloseFrame::default())]);
    let close = CloseFrame { code: Some(1001), reason: "bye".into() };
    let closing = [Incoming::Ping(b""), Incoming::Close(close)];
    check(&[(Ping, true, b""), (Close, true, b"\x03\xe9bye")], &closing);
}

/// Each row ends with the byte that is wrong: until then, and without it, all is well.
#[test]
fn violations_are_noticed_at_their_first_wrong_byte() {
    let check = |frames: &[&[u8]], violation| {
        let bytes = frames.concat();
        let (before, verdict, _) = decoded(&bytes[..bytes.len() - 1], || 1);
        assert_eq!(verdict, Ok(()), "{bytes:x?} without its last byte");
        let (after, verdict, _) = decoded(&bytes, || 1);
        assert_eq!((after, verdict), (before, Err(violation)), "{bytes:x?} byte by byte");
        assert_eq!(decoded(&bytes, || usize::MAX).1, Err(violation), "{bytes:x?} whole");
    };
    let cut = |bytes: Vec<u8>, from_end: usize| bytes[..bytes.len() - from_end].to_vec();
    let text = frame(Text, true, b"ok");
    let start = frame(Text, false, b"ok");
    check(&[&[0xf1]], Violation::Protocol("reserved bit without an extension"));
    check(&[&text, &[0x83]], Violation::Protocol("reserved opcode"));
    check(&[&start, &[0x09]], Violation::Protocol("fragmented control frame"));
    check(&[&text, &[0x80]], Violation::Protocol("continuation without a start"));
    check(&[&start, &[0x81]], Violation::Protocol("new message inside a fragmented one"));
    check(&[&text, &[0x81, 0x02]], Violation::Protocol("unmasked client frame"));
    let ended = frame(Continuation, true, b"ok");
    check(&[&start, &ended, &[0x80]], Violation::Protocol("continuation without a start"));
    let one_byte = Violation::Protocol("close code of one byte");
    check(&[&frame(Close, true, b"\x03")], one_byte);

    // Text is judged within a frame, and within a message, that has not ended yet.
    check(&[&cut(frame(Text, true, b"ok\xffmore"), 4)], Violation::BadUtf8);
    check(&[&start, &cut(frame(Continuation, false, b"\xc3(..."), 3)], Violation::BadUtf8);
    let (begun, ping) = (frame(Text, false, b"\xe2\x82"), frame(Ping, true, b"\xff"));
    check(&[&begun, &ping, &cut(frame(Continuation, true, b"(."), 1)], Violation::BadUtf8);
    check(&[&frame(Text, true, b"ok\xe2\x82")], Violation::BadUtf8);
    check(&[&frame(Text, false, b"\xc3"), &frame(Continuation, true, b"")], Violation::BadUtf8);
    check(&[&frame(Close, true, b"\x03\xe8\xff")], Violation::BadUtf8);
}

/// Only headers are passed in, so a refusal is by declared sizes and not by stored bytes.
#[test]
fn messages_beyond_the_limit_are_refused_by_their_headers() {
    let check = |before: &[Vec<u8>], last: Vec<u8>, last_len: usize, expected| {
        let bytes = [before.concat(), last].concat();
        let (header_end, whole) = (bytes.len() - last_len, usize::MAX);
        assert_eq!(decoded(&bytes[..header_end - 1], || whole).1, Ok(()), "{last_len}");
        assert_eq!(decoded(&bytes[..header_end], || whole).1, expected, "{last_len}");
        assert_eq!(decoded(&bytes, || 1).1, expected, "{last_len} byte by byte");
    };
    let payload = &[b'.'; MAX + 1];
    check(&[], frame(Text, true, &payload[..MAX]), MAX, Ok(()));
    check(&[], frame(Text, true, payload), MAX + 1, Err(Violation::TooBig));
    check(&[], frame(Binary, false, payload), MAX + 1, Err(Violation::TooBig));
    let begun = [frame(Binary, false, b"..\xe2"), frame(Continuation, false, b"\x82")];
    let last = |len| frame(Continuation, true, &payload[..len]);
    check(&begun, last(MAX - 4), MAX - 4, Ok(()));
    check(&begun, last(MAX - 3), MAX - 3, Err(Violation::TooBig));
    // The bytes of a character that a fragment cuts count like any others.
    let begun = [frame(Text, false, b"..\xe2"), frame(Continuation, false, b"\x82")];
    check(&begun, last(MAX - 3), MAX - 3, Err(Violation::TooBig));
    // The limit is per message: what was before does not count.
    let full = [frame(Binary, true, &payload[..MAX]), frame(Binary, false, b"")];
    check(&full, last(MAX), MAX, Ok(()));
    check(&full, last(MAX + 1), MAX + 1, Err(Violation::TooBig));
}

#[test]
fn empty_frames_are_limited_in_each_message() {
    let most = EMPTY_FRAMES_MAX as usize;
    let (start, ping) = (frame(Text, false, b""), frame(Ping, true, b""));
    let (empty, full) = (frame(Continuation, false, b""), frame(Continuation, false, b"x"));
    let end = frame(Continuation, true, b"");
    let message = |empties: usize| {
        let others = [&full[..], &ping, &full].concat();
        [&start[..], &others, &empty.repeat(empties), &others, &end].concat()
    };
    let check = |bytes: &[u8], expected| {
        for piece_len in [1, 7, usize::MAX] {
            assert_eq!(decoded(bytes, || piece_len).1, expected, "by {piece_len}");
        }
    };
    // The first frame counts, the last does not.
    check(&message(most - 1), Ok(()));
    check(&message(most - 1).repeat(3), Ok(()));
    let refused = Err(Violation::Protocol("a message of too many empty frames"));
    check(&message(most), refused);
}

#[test]
fn control_frames_ignore_the_limit() {
    let mut bytes = frame(Ping, true, &[7; 125]);
    let decoded = Decoder::new()
        .decode(&mut bytes, MessageRules { bytes_max: 0, ..RULES })
        .map(|(_, incoming)| incoming.is_some());
    assert_eq!(decoded, Ok(true));
}

#[test]
fn whole_frames_are_lent_from_the_input_and_others_are_not() {
    let check = |bytes: &[u8], cut: usize, lent: bool| {
        let mut decoder = Decoder::new();
        let (mut left, mut right) = (bytes[..cut].to_vec(), bytes[cut..].to_vec());
        assert_eq!(decoder.decode(&mut left, RULES), Ok((cut, None)), "cut at {cut}");
        let input = right.as_ptr_range();
        let (_, incoming) = decoder.decode(&mut right, RULES).expect("legal");
        let Some(Incoming::Binary(payload)) = incoming else { panic!("{incoming:?}") };
        assert_eq!(input.contains(&payload.as_ptr()), lent, "cut at {cut}");
        assert_eq!(decoder.returned.is_none(), lent, "cut at {cut}");
    };
    let bytes = frame(Binary, true, b"payload");
    for cut in 0..=6 {
        check(&bytes, cut, true);
    }
    for cut in 7..bytes.len() {
        check(&bytes, cut, false);
    }
    let fragmented = [frame(Binary, false, b"pay"), frame(Continuation, true, b"load")];
    check(&fragmented.concat(), 0, false);
}

#[test]
fn idle_is_between_two_messages() {
    let check = |bytes: &[u8], idle: bool| {
        for piece_len in [1, 2, 7, usize::MAX] {
            let (_, verdict, actual) = decoded(bytes, || piece_len);
            assert_eq!((verdict, actual), (Ok(()), idle), "{bytes:x?} by {piece_len}");
        }
    };
    let (ping, text) = (frame(Ping, true, b"?"), frame(Text, true, b"text"));
    let (start, end) = (frame(Text, false, b""), frame(Continuation, true, b""));
    check(&[], true);
    check(&text, true);
    check(&[&text[..], &ping].concat(), true);
    check(&text[..1], false);
    check(&text[..6], false);
    check(&text[..7], false);
    check(&ping[..6], false);
    check(&[&text[..], &text[..1]].concat(), false);
    check(&start, false);
    check(&[&start[..], &ping].concat(), false);
    check(&[&start[..], &ping, &end].concat(), true);
}

/// RFC 7692 section 6: the first frame says it of all.
#[test]
fn compressed_messages_are_handed_out_as_they_are() {
    let rules = MessageRules { deflate: true, ..RULES };
    let whole = frame(Text, true, b"\xff\x00");
    let pieces = [frame(Binary, false, b"\xff"), frame(Ping, true, b"")];
    let mut bytes = [&whole[..], &pieces.concat(), &frame(Continuation, true, b"\xfe")].concat();
    bytes[0] |= 0x40;
    bytes[whole.len()] |= 0x40;
    for piece_len in 1..=bytes.len() {
        let (mut decoder, mut out) = (Decoder::new(), Vec::new());
        for piece in bytes.clone().chunks_mut(piece_len) {
            let mut at = 0;
            while let (used, Some(incoming)) = decoder.decode(&mut piece[at..], rules).unwrap() {
                out.push(format!("{incoming:?}"));
                at += used;
            }
        }
        let expected = [
            Incoming::Deflated { is_text: true, payload: b"\xff\x00", frames: 1 },
            Incoming::Ping(b""),
            Incoming::Deflated { is_text: false, payload: b"\xff\xfe", frames: 2 },
        ];
        assert_eq!(out, expected.map(|incoming| format!("{incoming:?}")), "by {piece_len}");
        assert!(decoder.is_idle());
    }
}

/// However it is cut: before each call that hands one out it is known, and of no other message.
#[test]
fn a_compressed_message_is_known_before_it_is_handed_out() {
    let rules = MessageRules { deflate: true, ..RULES };
    let mut whole = frame(Text, true, b"abc");
    let mut begin = frame(Binary, false, b"de");
    (whole[0], begin[0]) = (whole[0] | 0x40, begin[0] | 0x40);
    let (ping, end) = (frame(Ping, true, b"?"), frame(Continuation, true, b"f"));
    let cut = [frame(Text, false, b"g"), ping.clone(), end.clone()].concat();
    let bytes = [&whole[..], &begin, &ping, &end, &cut, &frame(Text, true, b"h")].concat();
    for piece_len in 1..=bytes.len() {
        let (mut decoder, mut out) = (Decoder::new(), Vec::new());
        for piece in bytes.clone().chunks_mut(piece_len) {
            let mut at = 0;
            while at < piece.len() {
                let is_known = decoder.is_at_compressed(&piece[at..]);
                let (used, incoming) = decoder.decode(&mut piece[at..], rules).unwrap();
                at += used;
                let Some(incoming) = incoming else { continue };
                let is_compressed = matches!(incoming, Incoming::Deflated { .. });
                // A ping may follow a piece of one in the same call.
                let expected = is_compressed || (is_known && out.len() == 1);
                assert_eq!(is_known, expected, "{incoming:?} by {piece_len}");
                out.push(is_compressed);
            }
        }
        assert_eq!(out, [true, false, true, false, false, false], "by {piece_len}");
    }
}

/// Noise grows a little when it is compressed, and is no larger message for that.
#[test]
fn a_compressed_message_may_have_a_little_more_than_it_is_inflated_to() {
    let rules = MessageRules { deflate: true, ..RULES };
    for (len, fits) in [(MAX, true), (MAX + MAX / 16 + 64, true), (MAX + MAX / 16 + 65, false)] {
        let (first, second) = (vec![7; MAX - 1], vec![7; len - MAX + 1]);
        let cut = [frame(Binary, false, &first), frame(Continuation, true, &second)].concat();
        for mut bytes in [frame(Binary, true, &vec![7; len]), cut] {
            bytes[0] |= 0x40;
            let mut decoder = Decoder::new();
            let decoded = decoder.decode(&mut bytes, rules).map(|(_, found)| found.is_some());
            assert_eq!(decoded, if fits { Ok(true) } else { Err(Violation::TooBig) }, "{len}");
        }
    }
}

#[test]
fn a_returned_message_is_freed_by_the_next_call() {
    let mut decoder = Decoder::new();
    let mut bytes = [frame(Binary, false, &[1; 500]), frame(Continuation, true, b"")].concat();
    let expected = (bytes.len(), Some(Incoming::Binary(&[1; 500])));
    assert_eq!(decoder.decode(&mut bytes, RULES), Ok(expected));
    assert!(decoder.is_idle() && decoder.returned.is_some());
    assert_eq!(decoder.decode(&mut [], RULES), Ok((0, None)));
    assert!(decoder.is_idle() && decoder.returned.is_none());
}

#[test]
fn random_messages_survive_random_cuts() {
    for seed in 1..=300 {
        let mut random = Random(seed);
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..8 {
            random.push_message(&mut bytes, &mut expected);
        }
        let expected = (expected, Ok(()), true);
        assert_eq!(decoded(&bytes, || usize::MAX), expected, "whole, seed {seed}");
        assert_eq!(decoded(&bytes, || 1), expected, "byte by byte, seed {seed}");
        for piece_max in [3, 20, 200] {
            let actual = decoded(&bytes, || 1 + random.below(piece_max));
            assert_eq!(actual, expected, "pieces up to {piece_max}, seed {seed}");
        }
    }
}

#[test]
fn random_garbage_never_panics() {
    let mut messages = 0;
    for seed in 1..=3000 {
        let mut random = Random(seed);
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        random.push_message(&mut bytes, &mut Vec::new());
        for _ in 0..random.below(4) {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        // Bytes after a violation have no meaning, but must do no harm.
        let mut decoder = Decoder::new();
        while !bytes.is_empty() {
            let rest = bytes.split_off(bytes.len().min(1 + random.below(40)));
            let _ = feed(&mut decoder, &mut bytes, &mut out);
            bytes = rest;
        }
        messages += out.len();
    }
    assert!(messages > 1000, "garbage this bad tests nothing: {messages} messages");
}

/// Xorshift: the same seed, the same messages.
struct Random(u64);

impl Random {
    /// Appends one message, in frames between which there may be pings, and notes what a
    /// decoder is to make of them.
    fn push_message(&mut self, bytes: &mut Vec<u8>, expected: &mut Vec<String>) {
        let text: String = (0..self.below(60)).map(|_| self.character()).collect();
        let opcode = if self.below(2) == 0 { Text } else { Binary };
        let (mut frame_opcode, mut rest) = (opcode, text.as_bytes());
        while self.below(3) > 0 {
            let (payload, after) = rest.split_at(self.below(rest.len() + 1));
            push_client_frame(bytes, frame_opcode, false, self.key(), payload);
            (frame_opcode, rest) = (Continuation, after);
            if self.below(3) == 0 {
                let payload = &[0xff; 125][..self.below(126)];
                push_client_frame(bytes, Ping, true, self.key(), payload);
                expected.push(format!("{:?}", Incoming::Ping(payload)));
            }
        }
        push_client_frame(bytes, frame_opcode, true, self.key(), rest);
        expected.push(match opcode {
            Text => format!("{:?}", Incoming::Text(&text)),
            _ => format!("{:?}", Incoming::Binary(text.as_bytes())),
        });
    }

    fn character(&mut self) -> char {
        ['a', '\0', 'é', '€', '\u{ffff}', '𝄞', '\u{10ffff}'][self.below(7)]
    }

    fn key(&mut self) -> [u8; 4] {
        (self.next() as u32).to_ne_bytes()
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 32) as usize % end
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
