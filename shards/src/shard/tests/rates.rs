//! Clients that send faster than they may.

use super::*;
use crate::disconnect::Disconnect::{Binary, Normal, Rate};
use crate::format::Format;
use crate::limits::Limits;

fn shard_with(change: impl FnOnce(&mut Config)) -> Shard {
    let mut config = Config { shards: 1, ..Config::default() };
    change(&mut config);
    Shard::new(ShardId::new(0), config)
}

fn with_limits(change: impl FnOnce(&mut Limits)) -> (Shard, ConnId) {
    let mut shard = shard_with(|config| change(&mut config.limits));
    let conn = shard.open(Opening::default());
    send(&mut shard, None);
    (shard, conn)
}

fn at(shard: &mut Shard, millis: u64) {
    shard.on_time(Time::from_nanos(millis * 1_000_000));
}

const PING: &str = r#"{"event":"cast:ping","id":7}"#;

/// Says this so often, and returns how often it was answered with each of these.
fn answers<const N: usize>(
    shard: &mut Shard,
    conn: ConnId,
    json: &str,
    times: usize,
    answers: [&str; N],
) -> [usize; N] {
    let mut sent = String::new();
    for _ in 0..times {
        say(shard, conn, json);
        sent.push_str(&send(shard, None));
    }
    answers.map(|answer| sent.matches(answer).count())
}

#[test]
fn what_is_too_fast_is_refused_with_the_limit_and_its_value() {
    let (mut shard, conn) = with_limits(|limits| limits.messages_per_second = 5);
    let said = ["cast:pong", r#""id":7,"data":{"code":"rate_limited""#, "max_messages_per_second"];
    assert_eq!(answers(&mut shard, conn, PING, 8, said), [5, 3, 3]);
    assert_eq!(shard.counters().rate_limited, 3);
    at(&mut shard, 400);
    assert_eq!(answers(&mut shard, conn, PING, 3, said), [2, 1, 1], "0.4 seconds bring two");
}

#[test]
fn a_connection_stays_at_its_limit_and_is_closed_well_beyond() {
    let (mut shard, conn) = with_limits(|limits| limits.messages_per_second = 10);
    for step in 1..=36_000 {
        at(&mut shard, step * 100);
        say(&mut shard, conn, PING);
        assert!(send(&mut shard, None).contains("cast:pong"), "step {step}");
    }
    let said = ["cast:pong", "rate_limited"];
    assert_eq!(answers(&mut shard, conn, PING, 49, said), [9, 40]);
    assert_eq!(close_steps(&mut shard), []);
    say(&mut shard, conn, PING);
    assert_eq!(close_steps(&mut shard), [CloseStep::LeftRooms(conn, Rate)]);
    assert!(send(&mut shard, None).ends_with("rate"), "and it is not invited to come back");
}

#[test]
fn control_frames_count_and_are_answered() {
    let (mut shard, conn) = with_limits(|limits| limits.messages_per_second = 1);
    for (nth, opcode) in [Opcode::Ping, Opcode::Ping, Opcode::Pong].into_iter().enumerate() {
        receive(&mut shard, conn, opcode, "p");
        let answered = send(&mut shard, None).ends_with("\u{1}p");
        assert_eq!(answered, opcode == Opcode::Ping, "frame {nth}");
    }
    let said = ["cast:pong", "rate_limited"];
    assert_eq!(answers(&mut shard, conn, PING, 1, said), [0, 1], "pings have used it up");
    for _ in 0..20 {
        receive(&mut shard, conn, Opcode::Pong, "");
    }
    assert_eq!(close_steps(&mut shard), [CloseStep::LeftRooms(conn, Rate)]);
    let (mut shard, conn) = with_limits(|limits| limits.messages_per_second = 1);
    receive(&mut shard, conn, Opcode::Pong, "");
    receive(&mut shard, conn, Opcode::Close, "");
    let [CloseStep::LeftRooms(_, Normal(_))] = close_steps(&mut shard)[..] else {
        panic!("a close is never too fast");
    };
}

#[test]
fn bytes_count_however_they_are_cut() {
    let mut frame = Vec::new();
    push_client_frame(&mut frame, Opcode::Text, true, [1, 2, 3, 4], PING.as_bytes());
    for piece in [1, 2, 7, frame.len()] {
        let (mut shard, conn) = with_limits(|limits| limits.bytes_per_second = 3 * frame.len());
        for _ in 0..5 {
            for piece in frame.clone().chunks_mut(piece) {
                shard.receive(conn, piece);
            }
        }
        let sent = send(&mut shard, None);
        let said = ["cast:pong", "max_bytes_per_second"].map(|said| sent.matches(said).count());
        assert_eq!(said, [3, 2], "pieces of {piece}");
    }
}

#[test]
fn a_message_that_never_ends_is_bounded_too() {
    let (mut shard, conn) = with_limits(|limits| {
        (limits.bytes_per_second, limits.message_bytes) = (100, 1 << 20);
    });
    let mut frame = Vec::new();
    push_client_frame(&mut frame, Opcode::Text, true, [1, 2, 3, 4], &[b'x'; 1 << 20]);
    push_client_frame(&mut frame, Opcode::Text, false, [1, 2, 3, 4], &[b'x'; 1 << 10]);
    for piece in frame.chunks_mut(1_000) {
        shard.receive(conn, piece);
    }
    assert_eq!(close_steps(&mut shard), [CloseStep::LeftRooms(conn, Rate)]);
}

#[test]
fn joins_and_publishes_have_limits_of_their_own() {
    let (mut shard, conn) = with_limits(|limits| {
        (limits.joins_per_second, limits.publishes_per_second) = (2, 3);
    });
    let join = r#"{"event":"cast:join","room":"r","id":1}"#;
    let said = ["cast:joined", "max_joins_per_second"];
    assert_eq!(answers(&mut shard, conn, join, 4, said), [2, 2]);
    let publish = r#"{"event":"cast:publish","room":"r","id":1,"data":{"event":"m"}}"#;
    let broadcast = r#"{"event":"cast:broadcast","id":1,"data":{"event":"m"}}"#;
    let said = ["cast:ack", "max_publishes_per_second"];
    assert_eq!(answers(&mut shard, conn, publish, 2, said), [2, 0]);
    assert_eq!(answers(&mut shard, conn, broadcast, 2, said), [1, 1]);
    let leave = r#"{"event":"cast:leave","room":"r","id":1}"#;
    let said = ["cast:left", "not_a_member", "rate_limited"];
    assert_eq!(answers(&mut shard, conn, leave, 50, said), [1, 49, 0], "others have none");
    for _ in 0..20 {
        say(&mut shard, conn, join);
    }
    assert_eq!(close_steps(&mut shard), [CloseStep::LeftRooms(conn, Rate)]);
}

#[test]
fn a_refused_command_keeps_its_turn() {
    let (mut shard, conn) = with_limits(|limits| limits.messages_per_second = 1);
    let publish = r#"{"event":"cast:publish","room":"r","id":1,"data":{"event":"m"}}"#;
    receive(&mut shard, conn, Opcode::Text, publish);
    receive(&mut shard, conn, Opcode::Text, r#"{"event":"cast:join","room":"r","id":2}"#);
    take_loopback(&mut shard);
    let sent = send(&mut shard, None);
    let [ack, error] = ["cast:ack", r#""room":"r","id":2"#].map(|said| sent.find(said));
    assert!(error.is_some() && ack < error, "answers for a room come in order: {sent}");
}

#[test]
fn what_was_sent_while_a_handler_worked_is_not_too_fast() {
    let mut shard = shard_with(|config| {
        config.hooks.connect = true;
        config.limits.messages_per_second = 2;
    });
    let conn = shard.open(Opening::default());
    for _ in 0..8 {
        receive(&mut shard, conn, Opcode::Text, PING);
    }
    at(&mut shard, 3_000);
    shard.end_call(conn);
    let sent = send(&mut shard, None);
    assert_eq!(sent.matches("cast:pong").count(), 8, "two at once, and two for each second");
}

#[test]
fn clients_without_errors_are_closed() {
    for (format, opcode, closes) in [
        (Format::Verbatim, Opcode::Text, true),
        (Format::Verbatim, Opcode::Binary, true),
        (Format::Native, Opcode::Binary, false),
    ] {
        let mut shard = shard_with(|config| {
            config.hooks.binary = true;
            config.limits.messages_per_second = 1;
        });
        let conn = shard.open(Opening { format, ..Opening::default() });
        send(&mut shard, None);
        receive(&mut shard, conn, opcode, "x");
        assert!(shard.outputs().next_call().is_some(), "the first one is for the program");
        shard.end_call(conn);
        receive(&mut shard, conn, opcode, "x");
        assert!(shard.outputs().next_call().is_none(), "the second one is not");
        let ends = [CloseStep::LeftRooms(conn, Rate)];
        assert_eq!(close_steps(&mut shard), ends[..usize::from(closes)], "{format:?} {opcode:?}");
        assert_eq!(send(&mut shard, None).contains("rate_limited"), !closes);
    }
}

#[test]
fn a_binary_message_that_none_handles_is_refused_as_that() {
    let (mut shard, conn) = with_limits(|limits| limits.messages_per_second = 1);
    receive(&mut shard, conn, Opcode::Pong, "");
    receive(&mut shard, conn, Opcode::Binary, "x");
    assert_eq!(close_steps(&mut shard), [CloseStep::LeftRooms(conn, Binary)]);
}

#[test]
fn the_client_of_an_event_stream_may_not_talk_for_ever() {
    let mut shard = shard_with(|config| {
        (config.limits.bytes_per_second, config.limits.message_bytes) = (100, 100);
    });
    let conn = shard.open_event_stream(
        &RoomName::new("r").expect("legal"),
        b"HTTP/1.1 200 OK\r\n\r\n",
        None,
    );
    take_loopback(&mut shard);
    for _ in 0..5 {
        shard.receive(conn, &mut [b'x'; 100]);
        assert_eq!(close_steps(&mut shard), []);
    }
    shard.receive(conn, b"x".to_vec().as_mut());
    assert_eq!(close_steps(&mut shard)[0], CloseStep::LeftRooms(conn, Rate));
}

#[test]
fn a_message_has_no_more_frames_than_it_may() {
    for (frames, ends) in [(4, false), (5, true)] {
        let (mut shard, conn) = with_limits(|limits| limits.frames_per_message = 4);
        let mut bytes = Vec::new();
        for nth in 1..=frames {
            let opcode = if nth == 1 { Opcode::Text } else { Opcode::Continuation };
            push_client_frame(&mut bytes, opcode, nth == frames, [1, 2, 3, 4], b" ");
        }
        shard.receive(conn, &mut bytes);
        let too_big = [CloseStep::LeftRooms(conn, Disconnect::TooBig)];
        assert_eq!(close_steps(&mut shard), too_big[..usize::from(ends)], "{frames} frames");
    }
}
