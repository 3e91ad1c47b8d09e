//! Rooms of which only the newest message matters.

use super::*;
use crate::policy::SlowPolicy;

fn room() -> RoomName {
    RoomName::new("r").expect("legal")
}

/// A shard under this policy, and a member whose socket has refused the first message.
fn stalled_member() -> (Shard, ConnId) {
    let config = Config { shards: 1, slow: SlowPolicy::Latest, ..Config::default() };
    let mut shard = Shard::new(ShardId::new(0), config);
    let conn = shard.open(Opening::default());
    say(&mut shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    send(&mut shard, None);
    publish(&mut shard, &room());
    send(&mut shard, Some(SendEnd::Blocked));
    (shard, conn)
}

fn gap(from: u64, to: u64) -> String {
    format!(
        r#"{{"event":"cast:gap","room":"r","data":{{"from":{from},"to":{to},"reason":"latest"}}}}"#
    )
}

fn message(offset: u64) -> String {
    format!(r#"{{"event":"m","data":1,"room":"r","offset":{offset}}}"#)
}

/// The texts of these frames, which are short.
fn texts(frames: &str) -> Vec<&str> {
    let starts: Vec<usize> = frames.match_indices(r#"{"event""#).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([frames.len()]);
    let text = |(start, end): (&usize, usize)| {
        let text = &frames[*start..end];
        &text[..=text.rfind('}').expect("an object ends")]
    };
    starts.iter().zip(ends).map(text).collect()
}

#[test]
fn a_slow_member_is_sent_the_gap_and_the_newest_message() {
    let (mut shard, conn) = stalled_member();
    for _ in 2..=9 {
        publish(&mut shard, &room());
    }
    shard.on_writable(conn);
    let sent = send(&mut shard, None);
    assert_eq!(texts(&sent), [gap(1, 8), message(9)]);
    assert_eq!(shard.counters().gaps, 1);
    publish(&mut shard, &room());
    assert_eq!(texts(&send(&mut shard, None)), [message(10)], "it has caught up");
}

#[test]
fn a_member_that_only_the_newest_message_waits_for_has_no_gap() {
    let (mut shard, conn) = stalled_member();
    shard.on_writable(conn);
    assert_eq!(texts(&send(&mut shard, None)), [message(1)]);
    assert_eq!(shard.counters().gaps, 0);
}

#[test]
fn a_log_keeps_little_for_slow_members() {
    let (mut shard, conn) = stalled_member();
    let large = format!("\"{}\"", "x".repeat(50_000));
    for _ in 0..40 {
        publish_data(&mut shard, &room(), &large);
        send(&mut shard, Some(SendEnd::Blocked));
    }
    let kept = shard.stats().log_bytes;
    assert!(kept < 110_000, "{kept} bytes are kept for a member that is to get the newest alone");
    publish(&mut shard, &room());
    shard.on_writable(conn);
    assert_eq!(texts(&send(&mut shard, None)), [gap(1, 41), message(42)]);
    assert_eq!(shard.stats().log_bytes, 0);
}

#[test]
fn a_socket_that_refuses_bytes_for_too_long_still_gets_the_newest() {
    let (mut shard, conn) = stalled_member();
    publish(&mut shard, &room());
    for second in 1..=20 {
        shard.on_time(Time::from_nanos(second * 1_000_000_000));
    }
    assert_eq!(close_steps(&mut shard), []);
    shard.on_writable(conn);
    assert_eq!(texts(&send(&mut shard, None)), [gap(1, 1), message(2)]);
}

#[test]
fn a_message_that_was_begun_is_finished_before_the_gap() {
    let (mut shard, conn) = stalled_member();
    shard.on_writable(conn);
    let begun = send(&mut shard, Some(SendEnd::Taken(5)));
    for _ in 2..=5 {
        publish(&mut shard, &room());
    }
    send(&mut shard, None);
    shard.on_writable(conn);
    let rest = send(&mut shard, None);
    // The first byte of a frame is no text, and is shown as a character of three bytes.
    let whole = [&begun[..7], &rest].concat();
    assert_eq!(texts(&whole), [message(1), gap(2, 4), message(5)]);
}

#[test]
fn a_broadcast_is_never_skipped() {
    let (mut shard, conn) = stalled_member();
    for _ in 0..3 {
        publish(&mut shard, &RoomName::everybody());
    }
    shard.on_writable(conn);
    let sent = send(&mut shard, None);
    assert_eq!(texts(&sent).len(), 4, "{sent}");
    assert_eq!(shard.counters().gaps, 0);
}
