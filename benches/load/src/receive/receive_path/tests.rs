//! Frames are understood, and what is wrong with them is named.

use super::*;
use crate::client::inflater::deflated;
use crate::setup::payload::{PAYLOAD_MIN, TestPayload, stream_code};
use corecast_shards::wire::{Opcode, push_frame};
use std::sync::atomic::AtomicU32;

const SIZE: usize = PAYLOAD_MIN + 3;
const FORM: PayloadForm = PayloadForm::text(SIZE);
const PUBLISHED: u32 = 100;

struct Bench {
    receive_path: ReceivePath,
    member: Member,
    payload: TestPayload,
}

impl Bench {
    fn new() -> Self {
        let marker = Marker::new(5);
        let content = PayloadContent::new(FORM, false);
        let numbers = Numbers::new([AtomicU32::new(PUBLISHED)].into());
        let mut receive_path = ReceivePath::new(marker, content, 1, numbers);
        receive_path.verifiers.push(Verifier::default());
        let member = Member::new(0, 3, 0, 0..1);
        Self { receive_path, member, payload: TestPayload::new(FORM, marker) }
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
    assert_eq!((tally.received, tally.progress, tally.other), (8, 8, 0));
    assert_eq!((tally.damaged.total(), tally.compared_share()), (0, Some(1.0)));
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

/// Whole and in pieces, between others; a control frame may come in between.
#[test]
fn compressed_messages_are_judged_as_others_are() {
    let mut bench = Bench::new();
    bench.receive_path.inflater = Some(Box::default());
    let plain = bench.message(4, 0);
    let mut bytes = Vec::new();
    push_frame(&mut bytes, Opcode::Text, &plain);
    let messages = [1, 2].map(|sequence| bench.message(4, sequence));
    let [whole, cut] = messages.each_ref().map(|message| deflated(message));
    bytes.extend_from_slice(&[0xc1, whole.len() as u8]);
    bytes.extend_from_slice(&whole);
    let (a, b) = cut.split_at(20);
    bytes.extend_from_slice(&[0x42, a.len() as u8]);
    bytes.extend_from_slice(a);
    push_frame(&mut bytes, Opcode::Ping, b"?");
    bytes.extend_from_slice(&[0x80, b.len() as u8]);
    bytes.extend_from_slice(b);
    assert_eq!(bench.receive(&bytes), (0, vec![Notice::Ping(b"?".to_vec())]));
    let tally = &bench.receive_path.tally;
    assert_eq!((tally.received, tally.progress, tally.damaged.total()), (3, 3, 0));
    let counted = &tally.compression;
    let (before, after) = (whole.len() + cut.len(), messages.concat().len());
    assert_eq!((counted.messages, counted.plain_bytes), (2, plain.len() as u64));
    let bytes = (counted.compressed_bytes, counted.inflated_bytes);
    assert_eq!(bytes, (before as u64, after as u64));
}

/// The warm-up, and what answers a hello, are no part of what is reported as delivered.
#[test]
fn of_compression_measured_messages_count_alone() {
    let mut bench = Bench::new();
    bench.receive_path.inflater = Some(Box::default());
    let warm_up = Stamp { stream: stream_code(3, 0, true), sequence: 0 };
    let warm_up = bench.payload.stamp(warm_up, 0).to_vec();
    let measured = bench.message(4, 0);
    let mut bytes = Vec::new();
    for message in [&warm_up, &b"hello".to_vec(), &measured] {
        let payload = deflated(message);
        bytes.extend_from_slice(&[0xc1, payload.len() as u8]);
        bytes.extend_from_slice(&payload);
        push_frame(&mut bytes, Opcode::Text, message);
    }
    bench.receive(&bytes);
    let tally = &bench.receive_path.tally;
    assert_eq!((tally.warm_up, tally.other, tally.received, tally.repeated), (2, 2, 2, 1));
    let (counted, len) = (&tally.compression, measured.len() as u64);
    let compressed = deflated(&measured).len() as u64;
    let bytes = (counted.compressed_bytes, counted.inflated_bytes, counted.plain_bytes);
    assert_eq!((counted.messages, bytes), (1, (compressed, len, len)));
}

#[test]
fn what_cannot_be_inflated_ends_everything() {
    let mut bench = Bench::new();
    bench.receive_path.inflater = Some(Box::default());
    let bytes = [0xc1, 3, 0xff, 0xff, 0xff, 0x81, 0];
    let fault = Notice::Violation("a compressed message that cannot be inflated");
    assert_eq!(bench.receive(&bytes), (0, vec![fault]));
    assert_eq!(bench.receive_path.tally.compression.messages, 0);
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
    // Behind the marker, without which a text is not ours.
    for at in 8..SIZE {
        for change in [1, 2, 0x20, 0x80] {
            let mut changed = message.clone();
            changed[at] ^= change;
            let mut bytes = Vec::new();
            push_frame(&mut bytes, Opcode::Binary, &changed);
            bench.receive(&bytes);
            let tally = std::mem::take(&mut bench.receive_path.tally);
            // Of the warm-up no more is counted than that it came.
            let counts = (tally.damaged.total() + tally.warm_up, tally.received);
            assert_eq!(counts, (1, 0), "byte {at} changed by {change:x}");
        }
    }
}

#[test]
fn what_is_damaged_is_named() {
    let mut bench = Bench::new();
    let future = Stamp { stream: stream_code(3, 0, false), sequence: 0 };
    let future = bench.payload.stamp(future, 351).to_vec();
    let [mut content, mut text, cut, unpublished] =
        [0, 0, 0, PUBLISHED].map(|sequence| bench.message(5, sequence));
    content[5 + HEAD] ^= 1;
    *text.last_mut().unwrap() = 0xff;
    for message in [&content, &text, &cut[..SIZE], &unpublished, &future] {
        let mut bytes = Vec::new();
        push_frame(&mut bytes, Opcode::Text, message);
        assert_eq!(bench.receive(&bytes), (0, vec![]));
    }
    let damaged = bench.receive_path.tally.damaged;
    let all = [Damage::Content, Damage::Text, Damage::End, Damage::Number, Damage::Time];
    assert_eq!(all.map(|damage| damaged.of(damage)), [1; 5]);
    assert_eq!((damaged.total(), bench.receive_path.tally.received), (5, 0));
    // What is no text need not be UTF-8.
    let mut bytes = Vec::new();
    push_frame(&mut bytes, Opcode::Binary, &text);
    bench.receive(&bytes);
    assert_eq!(bench.receive_path.tally.received, 1);
}

/// Of large payloads the content of some is compared, of all of them the rest.
#[test]
fn one_large_message_in_several_is_compared() {
    let form = PayloadForm::text(16 << 10);
    let marker = Marker::new(5);
    let mut bench = Bench::new();
    let numbers = Numbers::new([AtomicU32::new(PUBLISHED)].into());
    let content = PayloadContent::new(form, false);
    bench.receive_path = ReceivePath::new(marker, content, 1, numbers);
    bench.receive_path.verifiers.push(Verifier::default());
    bench.payload = TestPayload::new(form, marker);
    for sequence in 0..64 {
        let mut message = bench.message(5, sequence);
        message[1000] ^= 1;
        let mut bytes = Vec::new();
        push_frame(&mut bytes, Opcode::Text, &message);
        bench.receive(&bytes);
    }
    let tally = &bench.receive_path.tally;
    assert_eq!((tally.damaged.of(Damage::Content), tally.received), (4, 60));
    assert_eq!(tally.compared_share(), Some(1.0 / 16.0));
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
    assert_eq!((tally.damaged.total(), tally.warm_up, tally.received), (2, 1, 0));
    assert_eq!([Damage::End, Damage::Stream].map(|damage| tally.damaged.of(damage)), [1, 1]);
}

#[test]
fn one_byte_beyond_ascii_is_seen_wherever_it_stands() {
    for len in 0..40 {
        let mut bytes = vec![0x7f; len];
        assert!(is_ascii(&bytes), "{len}");
        for at in 0..len {
            bytes[at] = 0x80;
            assert!(!is_ascii(&bytes), "{at} of {len}");
            bytes[at] = 0x7f;
        }
    }
}
