//! Compression: what is compressed for which members, and what becomes of what clients compress.

use super::*;
use crate::deflate::{Codecs, Deflater, Inflater, NotInflated, Window};
use crate::disconnect::Disconnect::{BadDeflate, BadUtf8, Protocol, Rate, TooBig};
use crate::format::Format;
use crate::mesh::{Capacity, FromHome, ToHome};
use crate::policy::{RoomPolicy, SlowPolicy};
use runs::{CODECS, deflated};

#[path = "../../../tests/simulation/runs.rs"]
mod runs;

fn shard_with(change: impl FnOnce(&mut Config)) -> Shard {
    let mut config = Config { shards: 1, codecs: Some(CODECS), ..Config::default() };
    change(&mut config);
    Shard::new(ShardId::new(0), config)
}

fn open(shard: &mut Shard, deflate: Option<Window>) -> ConnId {
    let conn = shard.open(Opening { deflate, ..Opening::default() });
    say(shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    conn
}

fn room() -> RoomName {
    RoomName::new("r").expect("legal")
}

/// The first byte of the only frame that each connection is sent, and its payload.
fn frames(shard: &mut Shard) -> Vec<(ConnId, u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while shard.has_sends() {
        shard.begin_quantum();
        while let Some(conn) = shard.next_direct_send().or_else(|| shard.next_room_send()) {
            let mut sent = Vec::new();
            shard.for_each_iovec(conn, |iovec| sent.extend_from_slice(iovec));
            shard.end_send(conn, SendEnd::Taken(sent.len()));
            assert_eq!(crate::wire::server_frame_len(&sent), Some(sent.len()), "one frame");
            frames.push((conn, sent[0], crate::wire::server_payload(&sent).to_vec()));
        }
    }
    frames.sort_by_key(|(conn, ..)| *conn);
    frames
}

/// What the members of one of each window are sent when this is published.
fn published(shard: &mut Shard, data: &str) -> Vec<(ConnId, u8, Vec<u8>)> {
    send(shard, None);
    publish_data(shard, &room(), data);
    frames(shard)
}

fn padded(len: usize) -> String {
    format!("\"{}\"", "x".repeat(len))
}

#[test]
fn a_message_is_compressed_once_for_each_window_that_members_have() {
    let mut shard = shard_with(|_| ());
    let plain = open(&mut shard, None);
    for _ in 0..3 {
        open(&mut shard, Some(Window::Full));
        open(&mut shard, Some(Window::Small));
    }
    let sent = published(&mut shard, &padded(1_000));
    let message = &sent.iter().find(|(conn, ..)| *conn == plain).expect("a member").2;
    assert!(message.starts_with(b"{\"event\":\"m\",\"data\":\"xxx"));
    let (full, small) = (deflated(Window::Full, message), deflated(Window::Small, message));
    let count = |first: u8, payload: &[u8]| {
        sent.iter().filter(|(_, byte, sent)| *byte == first && sent == payload).count()
    };
    assert_eq!((count(0x81, message), count(0xc1, &full), count(0xc1, &small)), (1, 3, 3));
    let counters = shard.counters().deflated;
    assert_eq!((counters.messages, counters.not_worth), (2, 0));
    assert_eq!(counters.bytes_before, 2 * message.len() as u64);
    assert_eq!(counters.bytes_after, 2 * full.len() as u64);
}

#[test]
fn a_message_within_the_small_window_is_compressed_once_for_both() {
    let mut shard = shard_with(|_| ());
    open(&mut shard, Some(Window::Full));
    open(&mut shard, Some(Window::Small));
    let sent = published(&mut shard, &padded(400));
    assert_eq!((sent[0].1, &sent[0].2), (sent[1].1, &sent[1].2));
    assert_eq!((sent[0].1, sent[0].2[0]), (0xc1, 15));
    assert_eq!(shard.counters().deflated.messages, 1);
}

#[test]
fn what_is_not_worth_it_goes_as_it_is_to_all() {
    let mut shard = shard_with(|config| config.limits.message_bytes = 1 << 20);
    open(&mut shard, None);
    open(&mut shard, Some(Window::Full));
    open(&mut shard, Some(Window::Small));
    // Too small, too large for a turn, and not a tenth smaller.
    let noise: String = (0..400).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let rows = [(padded(100), 0), (padded(64 << 10), 0), (format!("\"{noise}\""), 1)];
    for (data, not_worth) in rows {
        let before = shard.counters().deflated;
        let sent = published(&mut shard, &data);
        assert!(sent.iter().all(|(_, first, message)| (*first, message) == (0x81, &sent[0].2)));
        let after = shard.counters().deflated;
        assert_eq!(after.messages, before.messages);
        assert_eq!(after.not_worth - before.not_worth, not_worth, "{data:.20}");
    }
}

/// A client may publish noise as fast as it goes: what that costs the others has a limit.
#[test]
fn beyond_a_turns_share_messages_go_as_they_are() {
    let mut shard = shard_with(|config| config.tuning.deflated_bytes = 3_000);
    open(&mut shard, Some(Window::Full));
    let firsts = |shard: &mut Shard| -> Vec<u8> {
        (0..4).map(|_| published(shard, &padded(1_400))[0].1).collect()
    };
    let expected = [0xc1, 0xc1, 0xc1, 0x81];
    assert_eq!(firsts(&mut shard), expected);
    assert_eq!(firsts(&mut shard), [0x81; 4], "the turn is still the same");
    shard.on_time(Time::default());
    assert_eq!(firsts(&mut shard), expected);
    let counters = shard.counters().deflated;
    assert_eq!((counters.messages, counters.beyond_turn, counters.not_worth), (6, 6, 0));
}

#[test]
fn the_least_size_can_be_chosen() {
    for (least, compressed) in [(0, 0xc1), (200, 0xc1), (1_000, 0x81)] {
        let mut shard = shard_with(|config| config.limits.deflate_min = least);
        open(&mut shard, Some(Window::Full));
        assert_eq!(published(&mut shard, &padded(300))[0].1, compressed, "{least}");
    }
}

#[test]
fn nothing_is_compressed_without_a_member_who_agreed() {
    let mut shard = shard_with(|_| ());
    open(&mut shard, None);
    let leaver = open(&mut shard, Some(Window::Full));
    say(&mut shard, leaver, r#"{"event":"cast:leave","room":"r"}"#);
    let sent = published(&mut shard, &padded(1_000));
    assert_eq!((sent.len(), sent[0].1), (1, 0x81));
    assert_eq!(shard.counters().deflated, Default::default());
    assert_eq!(shard.counters().opened_with_deflate, 1);
}

/// Where a secret stands beside what an attacker has chosen.
#[test]
fn nothing_is_compressed_in_rooms_whose_policy_says_so() {
    let mut shard = shard_with(|config| {
        config.rooms.add("r", RoomPolicy::default().deflate(false)).expect("legal");
    });
    let conn = open(&mut shard, Some(Window::Full));
    assert_eq!(published(&mut shard, &padded(1_000))[0].1, 0x81);
    assert_eq!(shard.counters().deflated.messages, 0);
    say(&mut shard, conn, r#"{"event":"cast:leave","room":"r"}"#);
    assert!(send(&mut shard, None).contains("cast:left"), "its home counted it alike");
}

#[test]
fn broadcasts_and_replies_go_as_they_are() {
    let mut shard = shard_with(|config| config.limits.deflate_min = 0);
    open(&mut shard, Some(Window::Full));
    let sent = send(&mut shard, None);
    assert!(sent.contains("cast:welcome") && sent.contains("cast:joined"), "{sent}");
    publish_data(&mut shard, &RoomName::everybody(), &padded(1_000));
    assert_eq!(frames(&mut shard)[0].1, 0x81);
}

#[test]
fn a_programs_own_messages_are_compressed_as_what_they_are() {
    let mut shard = shard_with(|_| ());
    let opening =
        Opening { format: Format::Verbatim, deflate: Some(Window::Small), ..Opening::default() };
    let conn = shard.open(opening);
    shard.join(conn, &room(), JoinOptions::default(), AnswerToken(1)).expect("there is room");
    take_loopback(&mut shard);
    send(&mut shard, None);
    let text = "y".repeat(600);
    let messages = [(RoomMessage::text(&text), 0xc1), (RoomMessage::binary(text.as_bytes()), 0xc2)];
    for (message, first) in messages {
        shard.publish(&room(), message, None, None).expect("there is room");
        take_loopback(&mut shard);
        let sent = frames(&mut shard);
        assert_eq!(sent, [(conn, first, deflated(Window::Small, text.as_bytes()))]);
    }
}

/// A member's frames are cut where its socket says, whatever the others have.
#[test]
fn a_short_write_ends_within_a_compressed_frame() {
    let mut shard = shard_with(|_| ());
    open(&mut shard, None);
    let conn = open(&mut shard, Some(Window::Full));
    send(&mut shard, None);
    publish_data(&mut shard, &room(), &padded(1_000));
    publish_data(&mut shard, &room(), &padded(1_000));
    let (mut got, mut other) = (Vec::new(), 0);
    while shard.has_sends() {
        shard.begin_quantum();
        while let Some(to) = shard.next_direct_send().or_else(|| shard.next_room_send()) {
            let mut sent = Vec::new();
            shard.for_each_iovec(to, |iovec| sent.extend_from_slice(iovec));
            let taken = if to == conn { sent.len().min(37) } else { sent.len() };
            if to == conn {
                got.extend_from_slice(&sent[..taken])
            } else {
                other += taken
            }
            shard.end_send(to, SendEnd::Taken(taken));
            shard.on_writable(to);
        }
    }
    let first = crate::wire::server_frame_len(&got).expect("a frame");
    assert_eq!(crate::wire::server_frame_len(&got[first..]), Some(got.len() - first));
    assert_eq!((got[0], got[first]), (0xc1, 0xc1));
    assert!(other > 2_000, "{other}");
}

/// As many messages wait for a slow member as when the others have agreed to nothing.
#[test]
fn members_of_other_encodings_take_no_place_from_a_slow_one() {
    for others in [&[][..], &[Window::Full], &[Window::Full, Window::Small]] {
        let mut shard = shard_with(|config| {
            config.slow = SlowPolicy::Skip;
            config.limits.room_log_bytes = 1 << 20;
        });
        let slow = open(&mut shard, None);
        others.iter().for_each(|window| _ = open(&mut shard, Some(*window)));
        send(&mut shard, None);
        for _ in 0..12 {
            publish_data(&mut shard, &room(), &padded(70_000));
            shard.begin_quantum();
            while let Some(conn) = shard.next_room_send() {
                let mut bytes = 0;
                shard.for_each_iovec(conn, |iovec| bytes += iovec.len());
                let end = if conn == slow { SendEnd::Blocked } else { SendEnd::Taken(bytes) };
                shard.end_send(conn, end);
            }
        }
        shard.on_writable(slow);
        let sent = send(&mut shard, None);
        let got = (sent.matches(r#""event":"m""#).count(), shard.counters().gaps);
        assert_eq!(got, (12, 0), "beside {others:?}");
    }
}

fn receive_deflated(shard: &mut Shard, conn: ConnId, opcode: Opcode, payload: &[u8]) {
    let mut frame = Vec::new();
    push_client_frame(&mut frame, opcode, true, [1, 2, 3, 4], payload);
    frame[0] |= 0x40;
    shard.receive(conn, &mut frame);
    take_loopback(shard);
}

#[test]
fn a_client_may_compress_what_it_says() {
    let mut shard = shard_with(|_| ());
    let conn = open(&mut shard, Some(Window::Small));
    send(&mut shard, None);
    let ping = format!(r#"{{"event":"cast:ping","id":7,"pad":{}}}"#, padded(500));
    let payload = deflated(Window::Full, ping.as_bytes());
    receive_deflated(&mut shard, conn, Opcode::Text, &payload);
    assert!(send(&mut shard, None).contains("cast:pong"));
    let counters = shard.counters().inflated;
    let (before, after) = (payload.len() as u64, ping.len() as u64);
    assert_eq!(
        (counters.messages, counters.bytes_before, counters.bytes_after),
        (1, before, after)
    );
    say(&mut shard, conn, r#"{"event":"cast:ping","id":8}"#);
    assert!(send(&mut shard, None).contains(r#""id":8"#), "or not");
    assert_eq!(shard.counters().inflated.messages, 1);
}

#[test]
fn what_a_client_compresses_wrongly_ends_its_connection() {
    let long = deflated(Window::Full, &[b' '; (256 << 10) + 1]);
    let rows: [(Option<Window>, Opcode, &[u8], Disconnect); 6] = [
        (Some(Window::Full), Opcode::Text, &[15, 1], BadDeflate),
        (Some(Window::Full), Opcode::Text, &[15, 1, 0xff], BadUtf8),
        (Some(Window::Full), Opcode::Text, &long, TooBig),
        (Some(Window::Full), Opcode::Ping, b"", Protocol),
        (Some(Window::Full), Opcode::Continuation, b"", Protocol),
        (None, Opcode::Text, &[15, 1, b'x'], Protocol),
    ];
    for (deflate, opcode, payload, reason) in rows {
        let mut shard = shard_with(|_| ());
        let conn = open(&mut shard, deflate);
        send(&mut shard, None);
        receive_deflated(&mut shard, conn, opcode, payload);
        assert_eq!(close_steps(&mut shard), [CloseStep::LeftRooms(conn, reason)]);
        let refused = matches!(reason, BadDeflate | TooBig);
        assert_eq!(shard.counters().inflated.refused, u64::from(refused), "{reason:?}");
    }
}

#[test]
fn what_a_message_is_inflated_to_counts_against_the_rate() {
    let shard_of = |rate| shard_with(|config| config.limits.bytes_per_second = rate);
    let ping = format!(r#"{{"event":"cast:ping","id":7,"pad":{}}}"#, padded(10_000));
    let payload = deflated(Window::Full, ping.as_bytes());
    assert!(payload.len() < 300);
    let mut shard = shard_of(20_000);
    let conn = open(&mut shard, Some(Window::Full));
    for answer in ["cast:pong", "rate_limited"] {
        send(&mut shard, None);
        receive_deflated(&mut shard, conn, Opcode::Text, &payload);
        assert!(send(&mut shard, None).contains(answer), "{answer}");
    }
    let mut closed = Vec::new();
    for _ in 0..100 {
        receive_deflated(&mut shard, conn, Opcode::Text, &payload);
        send(&mut shard, None);
        closed.extend(close_steps(&mut shard));
    }
    assert_eq!(closed.first(), Some(&CloseStep::LeftRooms(conn, Rate)));
}

/// What a turn inflates is bounded, whatever arrives in it: the rest waits for the next ones.
#[test]
fn what_is_inflated_is_spread_over_turns() {
    let mut shard = shard_with(|config| config.tuning.inflated_bytes = 25_000);
    let (conn, other) =
        (open(&mut shard, Some(Window::Full)), open(&mut shard, Some(Window::Full)));
    let plain = open(&mut shard, None);
    send(&mut shard, None);
    shard.begin_quantum();
    let ping = format!(r#"{{"event":"cast:ping","id":7,"pad":{}}}"#, padded(10_000));
    let payload = deflated(Window::Full, ping.as_bytes());
    let mut bytes = Vec::new();
    for _ in 0..8 {
        push_client_frame(&mut bytes, Opcode::Text, true, [1, 2, 3, 4], &payload);
        let from = bytes.len() - payload.len() - 8;
        bytes[from] |= 0x40;
    }
    let inflated = |shard: &Shard| shard.counters().inflated.messages;
    shard.receive(conn, &mut bytes.clone());
    assert_eq!((inflated(&shard), shard.wants_read(conn), shard.has_sends()), (3, false, true));
    shard.receive(other, &mut bytes.clone());
    assert_eq!((inflated(&shard), shard.wants_read(other)), (3, false), "the turn is one for all");
    say(&mut shard, plain, r#"{"event":"cast:ping"}"#);
    assert_eq!(shard.counters().envelopes_read, 3 + 3 + 1, "what is not compressed does not wait");
    for (turn, messages) in [6, 9, 12, 15, 16].into_iter().enumerate() {
        shard.begin_quantum();
        assert_eq!(inflated(&shard), messages, "turn {turn}");
    }
    assert!(shard.wants_read(conn) && shard.wants_read(other));
    assert_eq!(send(&mut shard, None).matches("cast:pong").count(), 17);
    assert!(!shard.has_sends());
}

/// What waits is kept as it came: a few bytes per connection, not the megabytes that they become.
#[test]
fn a_compressed_message_that_waits_is_kept_compressed() {
    const CONNECTIONS: usize = 100;
    let mut shard = shard_with(|config| {
        config.shards = 2;
        config.limits.publishes_per_second = 1;
        config.tuning.inflated_bytes = 600_000;
    });
    let room = super::waiting::room_at(&shard, 1);
    let pause = |shard: &mut Shard, paused| {
        shard.on_from_home(FromHome::Paused { room: room.clone(), paused });
    };
    let much = Capacity { items: 1_000, bytes: 100 << 20 };
    shard.on_to_home_capacity(ShardId::new(1), much);
    let conns: Vec<ConnId> = (0..CONNECTIONS)
        .map(|_| shard.open(Opening { deflate: Some(Window::Full), ..Opening::default() }))
        .collect();
    send(&mut shard, None);
    let data = "x".repeat(200_000);
    let json = format!(
        r#"{{"event":"cast:publish","room":"{room}","data":{{"event":"m","data":"{data}"}}}}"#
    );
    let payload = deflated(Window::Full, json.as_bytes());
    pause(&mut shard, true);
    let before = shard.memory().inbound;
    for conn in &conns {
        receive_deflated(&mut shard, *conn, Opcode::Text, &payload);
        shard.begin_quantum();
        assert!(!shard.wants_read(*conn));
    }
    let kept = shard.memory().inbound - before;
    assert!(kept < CONNECTIONS * (2 * payload.len() + 1_000), "{kept} bytes are held");
    shard.check();
    pause(&mut shard, false);
    let mut published = 0;
    for turn in 0.. {
        shard.begin_quantum();
        while let Some(message) = shard.next_to_home(ShardId::new(1)) {
            published += usize::from(matches!(message, ToHome::Publish { .. }));
        }
        shard.check();
        if published == CONNECTIONS {
            break;
        }
        assert!(turn < CONNECTIONS, "{published} were published");
    }
    let counters = shard.counters();
    assert_eq!((counters.inflated.messages, counters.envelopes_read), (100, 100));
    assert_eq!(counters.rate_limited, 0, "each is counted once");
    assert!(conns.iter().all(|conn| shard.wants_read(*conn)));
}

/// However many wait: what is not compressed is answered at once, and each that waits has its message
/// before another has a second one.
#[test]
fn a_client_waits_for_one_message_of_each_before_it() {
    const OTHERS: usize = 200;
    let mut shard = shard_with(|config| config.tuning.inflated_bytes = 1);
    let mut open = || shard.open(Opening { deflate: Some(Window::Full), ..Opening::default() });
    let (others, conn) = ((0..OTHERS).map(|_| open()).collect::<Vec<_>>(), open());
    send(&mut shard, None);
    shard.begin_quantum();
    let ping = format!(r#"{{"event":"cast:ping","pad":{}}}"#, padded(10_000));
    let payload = deflated(Window::Full, ping.as_bytes());
    let mut frame = Vec::new();
    push_client_frame(&mut frame, Opcode::Text, true, [1, 2, 3, 4], &payload);
    frame[0] |= 0x40;
    for other in &others {
        shard.receive(*other, &mut frame.repeat(3));
    }
    assert_eq!(shard.counters().inflated.messages, 1);
    say(&mut shard, conn, r#"{"event":"cast:ping","id":1}"#);
    receive(&mut shard, conn, Opcode::Ping, "?");
    assert_eq!(shard.counters().envelopes_read, 2, "what is not compressed does not wait");
    let mut bytes = frame.clone();
    push_client_frame(&mut bytes, Opcode::Text, true, [1, 2, 3, 4], br#"{"event":"cast:ping"}"#);
    shard.receive(conn, &mut bytes);
    assert!(!shard.wants_read(conn), "its own order is kept");
    for _ in 0..OTHERS {
        shard.begin_quantum();
        assert!(!shard.wants_read(conn));
    }
    shard.begin_quantum();
    assert!(shard.wants_read(conn));
    assert_eq!(shard.counters().envelopes_read, 2 + OTHERS as u64 + 2);
    shard.check();
}

/// A text frame whose compressed payload says that it has so many bytes, and its first one.
fn begin_deflated(shard: &mut Shard, conn: ConnId, len: usize) {
    let mut frame = Vec::new();
    push_client_frame(&mut frame, Opcode::Text, true, [1, 2, 3, 4], &vec![b'x'; len]);
    frame[0] |= 0x40;
    frame.truncate(frame.len() - len + 1);
    shard.receive(conn, &mut frame);
}

/// What is inflated for others gives a client no more time to end its message than it took.
#[test]
fn the_time_of_a_message_stands_still_while_it_waits_for_a_turn() {
    let mut shard = shard_with(|config| {
        config.tuning.inflated_bytes = 1;
        config.limits.ping_interval = Duration::ZERO;
        config.limits.message_timeout = Duration::from_secs(30);
    });
    let (conn, other) =
        (open(&mut shard, Some(Window::Full)), open(&mut shard, Some(Window::Full)));
    let at = |shard: &mut Shard, millis: u64| shard.on_time(Time::from_nanos(millis * 1_000_000));
    send(&mut shard, None);
    begin_deflated(&mut shard, conn, 100);
    let payload = deflated(Window::Full, br#"{"event":"cast:ping"}"#);
    let wait = |shard: &mut Shard| {
        receive_deflated(shard, other, Opcode::Text, &payload);
        shard.receive(conn, &mut [b'x']);
        assert!(!shard.wants_read(conn));
    };
    // It waits for every other second of 20, and then for 100.
    for second in (0..20).step_by(2) {
        at(&mut shard, 1_000 * second);
        shard.begin_quantum();
        wait(&mut shard);
        at(&mut shard, 1_000 * second + 1_000);
        shard.begin_quantum();
        assert!(shard.wants_read(conn));
    }
    at(&mut shard, 20_000);
    wait(&mut shard);
    at(&mut shard, 120_000);
    assert_eq!(close_steps(&mut shard), [], "it could not be heard");
    shard.begin_quantum();
    assert!(shard.wants_read(conn));
    at(&mut shard, 139_900);
    assert_eq!(close_steps(&mut shard), []);
    at(&mut shard, 140_100);
    assert_eq!(close_steps(&mut shard), [CloseStep::LeftRooms(conn, Disconnect::Idle)]);
}

/// A connection that ends while it waits for a turn leaves nothing behind.
#[test]
fn a_connection_that_waits_for_a_turn_may_end() {
    let mut shard = shard_with(|config| config.tuning.inflated_bytes = 1);
    let conn = open(&mut shard, Some(Window::Full));
    send(&mut shard, None);
    let payload = deflated(Window::Full, r#"{"event":"cast:ping"}"#.as_bytes());
    for _ in 0..2 {
        receive_deflated(&mut shard, conn, Opcode::Text, &payload);
    }
    assert!(!shard.wants_read(conn));
    assert!(shard.close(conn, Disconnect::Kicked));
    assert!(send(&mut shard, None).contains("kicked"));
    shard.on_end(conn);
    assert!(!shard.has_sends() && shard.connection_count() == 0);
}

#[test]
fn what_compresses_and_inflates_counts_as_memory() {
    let with = shard_with(|_| ()).memory();
    let without = shard().memory();
    assert_eq!(with.rooms - without.rooms, 5_000);
    assert_eq!(with.inbound - without.inbound, 700);
}

#[test]
#[should_panic(expected = "a shard inflates what was agreed to")]
fn nothing_is_agreed_to_without_codecs() {
    shard().open(Opening { deflate: Some(Window::Full), ..Opening::default() });
}
