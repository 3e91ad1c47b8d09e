//! Ends that a client does not help with.

use super::*;
use crate::disconnect::Disconnect::{Idle, Lost, Shutdown, Slow};
use crate::policy::SlowPolicy;

fn at(shard: &mut Shard, millis: u64) {
    shard.on_time(Time::from_nanos(millis * 1_000_000));
}

fn room() -> RoomName {
    RoomName::new("r").expect("legal")
}

/// What waits for a client whose socket refuses it.
#[derive(Clone, Copy, Debug)]
enum Waits {
    RoomMessages,
    CutMessage,
    OwnFrames,
    Broadcasts,
}

/// A member whose socket refuses what waits for it, when the server begins to drain.
fn stalled_at_a_drain(policy: SlowPolicy, waits: Waits) -> (Shard, ConnId) {
    let config = Config { shards: 1, slow: policy, ..Config::default() };
    let mut shard = Shard::new(ShardId::new(0), config);
    let conn = shard.open(Opening::default());
    say(&mut shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    send(&mut shard, None);
    match waits {
        Waits::RoomMessages | Waits::CutMessage => publish(&mut shard, &room()),
        Waits::OwnFrames => say(&mut shard, conn, r#"{"event":"cast:ping","id":1}"#),
        Waits::Broadcasts => publish(&mut shard, &RoomName::everybody()),
    }
    let cut = matches!(waits, Waits::CutMessage);
    send(&mut shard, Some(if cut { SendEnd::Taken(3) } else { SendEnd::Blocked }));
    shard.stop_reading();
    shard.close_all_when_flushed(Shutdown);
    (shard, conn)
}

#[test]
fn a_stalled_client_ends_a_drain_by_the_slow_rules() {
    use Waits::{Broadcasts, CutMessage, OwnFrames, RoomMessages};
    let rows = [
        (SlowPolicy::Disconnect, RoomMessages, Slow),
        (SlowPolicy::Disconnect, CutMessage, Shutdown),
        (SlowPolicy::Disconnect, OwnFrames, Slow),
        (SlowPolicy::Disconnect, Broadcasts, Slow),
        (SlowPolicy::Skip, RoomMessages, Shutdown),
        (SlowPolicy::Skip, CutMessage, Shutdown),
        (SlowPolicy::Skip, OwnFrames, Slow),
        (SlowPolicy::Skip, Broadcasts, Slow),
        (SlowPolicy::Latest, RoomMessages, Shutdown),
        (SlowPolicy::Latest, CutMessage, Shutdown),
        (SlowPolicy::Latest, OwnFrames, Slow),
        (SlowPolicy::Latest, Broadcasts, Slow),
    ];
    for (policy, waits, reason) in rows {
        let (mut shard, conn) = stalled_at_a_drain(policy, waits);
        at(&mut shard, 9_900);
        assert_eq!(close_steps(&mut shard), [], "{policy:?}, {waits:?}: it has its time");
        at(&mut shard, 10_100);
        assert_eq!(
            close_steps(&mut shard),
            [CloseStep::LeftRooms(conn, reason)],
            "{policy:?}, {waits:?}"
        );
        // Where the socket takes it, the close frame still comes.
        shard.on_writable(conn);
        let sent = send(&mut shard, None);
        assert!(sent.contains(reason.name()), "{policy:?}, {waits:?}: {sent}");
        assert_eq!(close_steps(&mut shard), [CloseStep::ShutdownWrite(conn)]);
        at(&mut shard, 15_300);
        assert_eq!(close_steps(&mut shard), [CloseStep::Close(conn)]);
    }
}

#[test]
fn a_stalled_client_that_takes_nothing_is_cut_after_the_close_timeout() {
    let (mut shard, conn) = stalled_at_a_drain(SlowPolicy::Disconnect, Waits::RoomMessages);
    at(&mut shard, 10_100);
    assert_eq!(close_steps(&mut shard), [CloseStep::LeftRooms(conn, Slow)]);
    at(&mut shard, 15_200);
    assert_eq!(close_steps(&mut shard), [CloseStep::Close(conn)]);
}

#[test]
fn a_client_that_reads_on_gets_everything_before_the_goodbye() {
    let (mut shard, conn) = stalled_at_a_drain(SlowPolicy::Disconnect, Waits::RoomMessages);
    at(&mut shard, 9_000);
    shard.on_writable(conn);
    let sent = send(&mut shard, None);
    let sent = sent + &send(&mut shard, None);
    assert!(sent.contains(r#""event":"m""#) && sent.contains("shutdown"), "{sent}");
    let expected = [CloseStep::LeftRooms(conn, Shutdown), CloseStep::ShutdownWrite(conn)];
    assert_eq!(close_steps(&mut shard), expected);
}

#[test]
fn replies_to_what_came_before_a_violation_go_before_the_close_frame() {
    for is_blocked in [false, true] {
        let mut shard = shard();
        let conn = shard.open(Opening::default());
        send(&mut shard, None);
        if is_blocked {
            say(&mut shard, conn, r#"{"event":"cast:ping","id":1}"#);
            send(&mut shard, Some(SendEnd::Taken(3)));
        }
        let mut bytes = Vec::new();
        push_client_frame(&mut bytes, Opcode::Ping, true, [1, 2, 3, 4], b"answered");
        // An unmasked frame.
        bytes.extend_from_slice(&[0x81, 0x01, b'x']);
        shard.receive(conn, &mut bytes);
        shard.on_writable(conn);
        let sent = send(&mut shard, None);
        assert_eq!(sent.contains("answered"), !is_blocked, "{sent}");
        assert!(sent.ends_with("protocol"), "{sent}");
    }
}

/// A connection that is closed while its socket has taken the beginning of a large frame.
fn closed_within_a_frame() -> (Shard, ConnId, usize) {
    let mut shard = shard();
    let conn = shard.open(Opening::default());
    say(&mut shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    send(&mut shard, None);
    publish_data(&mut shard, &room(), &format!("\"{}\"", "x".repeat(250_000)));
    send(&mut shard, Some(SendEnd::Taken(50_000)));
    shard.close(conn, Disconnect::Kicked);
    send(&mut shard, None);
    assert_eq!(close_steps(&mut shard), [CloseStep::LeftRooms(conn, Disconnect::Kicked)]);
    (shard, conn, 200_000)
}

#[test]
fn the_frame_in_progress_is_not_cut_while_it_gets_on() {
    let (mut shard, conn, left) = closed_within_a_frame();
    let mut now = 0;
    for _ in 0..left / 20_000 {
        now += 4_000;
        at(&mut shard, now);
        shard.on_writable(conn);
        send(&mut shard, Some(SendEnd::Taken(20_000)));
        assert_eq!(close_steps(&mut shard), [], "after {now} ms");
    }
    shard.on_writable(conn);
    assert!(send(&mut shard, None).contains("kicked"));
    assert_eq!(close_steps(&mut shard), [CloseStep::ShutdownWrite(conn)]);
    at(&mut shard, now + 4_900);
    assert_eq!(close_steps(&mut shard), [], "its time counts from the close frame");
    at(&mut shard, now + 5_100);
    assert_eq!(close_steps(&mut shard), [CloseStep::Close(conn)]);
}

#[test]
fn the_frame_in_progress_is_cut_when_it_does_not_get_on() {
    let (mut shard, conn, _) = closed_within_a_frame();
    at(&mut shard, 5_100);
    assert_eq!(close_steps(&mut shard), [CloseStep::Close(conn)]);
}

#[test]
fn a_byte_now_and_then_puts_the_end_off_for_a_minute_only() {
    let (mut shard, conn, _) = closed_within_a_frame();
    let ended = (1..100).find(|seconds| {
        at(&mut shard, 1_000 * seconds);
        shard.on_writable(conn);
        send(&mut shard, Some(SendEnd::Taken(1)));
        close_steps(&mut shard) == [CloseStep::Close(conn)]
    });
    assert!(ended.is_some_and(|seconds| (30..=61).contains(&seconds)), "{ended:?}");
}

#[test]
fn a_message_has_a_minute_to_end() {
    let text = r#"{"event":"cast:ping"}"#;
    let mut frame = Vec::new();
    push_client_frame(&mut frame, Opcode::Text, true, [1, 2, 3, 4], text.as_bytes());
    for (rest_at, ends) in [(59_000, false), (60_100, true)] {
        let mut shard = shard();
        shard.host.config.limits.ping_interval = Duration::ZERO;
        let conn = shard.open(Opening::default());
        send(&mut shard, None);
        shard.receive(conn, &mut frame.clone()[..10]);
        at(&mut shard, rest_at);
        shard.receive(conn, &mut frame.clone()[10..]);
        let sent = send(&mut shard, None);
        assert_eq!(sent.contains("cast:pong"), !ends, "{sent}");
        assert_eq!(sent.contains("idle retry="), ends, "{sent}");
        let parted = close_steps(&mut shard).contains(&CloseStep::LeftRooms(conn, Idle));
        assert_eq!(parted, ends);
    }
}

#[test]
fn the_time_of_a_message_stands_still_while_nothing_is_read() {
    let mut shard = shard();
    let limits = &mut shard.host.config.limits;
    (limits.ping_interval, limits.own_bytes) = (Duration::ZERO, 4 << 10);
    let conn = shard.open(Opening::default());
    send(&mut shard, None);
    // Fragments between which there are pings whose pongs are not taken.
    let mut bytes = Vec::new();
    let mask = [1, 2, 3, 4];
    push_client_frame(&mut bytes, Opcode::Text, false, mask, br#"{"event":"#);
    (0..20).for_each(|_| push_client_frame(&mut bytes, Opcode::Ping, true, mask, &[b'p'; 125]));
    shard.receive(conn, &mut bytes);
    send(&mut shard, Some(SendEnd::Blocked));
    assert!(!shard.wants_read(conn));
    at(&mut shard, 90_000);
    assert_eq!(close_steps(&mut shard), []);
    shard.on_writable(conn);
    send(&mut shard, None);
    assert!(shard.wants_read(conn));
    at(&mut shard, 140_000);
    assert_eq!(close_steps(&mut shard), [], "it could go on for less than a minute");
    at(&mut shard, 151_000);
    assert!(close_steps(&mut shard).contains(&CloseStep::LeftRooms(conn, Idle)));
}

#[test]
fn a_message_is_not_late_while_its_rest_waits_to_be_read() {
    let mut shard = shard();
    shard.host.config.limits.ping_interval = Duration::ZERO;
    let conn = shard.open(Opening::default());
    send(&mut shard, None);
    shard.receive(conn, &mut [0x81]);
    let time = |seconds: u64| Time::from_nanos(seconds * 1_000_000_000);
    // The machine was paused.
    shard.on_time_with_backlog(time(600), time(1));
    assert_eq!(close_steps(&mut shard), []);
    shard.on_time_with_backlog(time(601), time(601));
    assert!(close_steps(&mut shard).contains(&CloseStep::LeftRooms(conn, Idle)));
}

/// The machine was paused up to a minute, and what clients did is handled up to `events_until`.
fn at_with_backlog(shard: &mut Shard, events_until: u64) {
    let time = |millis: u64| Time::from_nanos(millis * 1_000_000);
    shard.on_time_with_backlog(time(60_000), time(events_until));
}

#[test]
fn the_end_of_a_client_is_not_late_while_it_waits_to_be_read() {
    let (mut shard, conn) = stalled_at_a_drain(SlowPolicy::Disconnect, Waits::RoomMessages);
    at(&mut shard, 10_100);
    assert_eq!(close_steps(&mut shard), [CloseStep::LeftRooms(conn, Slow)]);
    at(&mut shard, 14_000);
    shard.on_writable(conn);
    send(&mut shard, None);
    assert_eq!(close_steps(&mut shard), [CloseStep::ShutdownWrite(conn)]);
    // The first entry falls due, and the time runs from the close frame.
    at_with_backlog(&mut shard, 16_000);
    assert_eq!(close_steps(&mut shard), []);
    at_with_backlog(&mut shard, 19_100);
    assert_eq!(close_steps(&mut shard), [CloseStep::Close(conn)]);
}

#[test]
fn the_frame_in_progress_is_not_cut_while_its_progress_waits_to_be_read() {
    let (mut shard, conn, _) = closed_within_a_frame();
    at(&mut shard, 4_000);
    shard.on_writable(conn);
    send(&mut shard, Some(SendEnd::Taken(20_000)));
    at_with_backlog(&mut shard, 6_000);
    assert_eq!(close_steps(&mut shard), []);
    at_with_backlog(&mut shard, 9_100);
    assert_eq!(close_steps(&mut shard), [CloseStep::Close(conn)]);
}

#[test]
fn a_message_may_take_for_ever_where_the_limit_is_zero() {
    let mut shard = shard();
    let limits = &mut shard.host.config.limits;
    (limits.ping_interval, limits.message_timeout) = (Duration::ZERO, Duration::ZERO);
    let conn = shard.open(Opening::default());
    send(&mut shard, None);
    shard.receive(conn, &mut [0x81]);
    assert_eq!(shard.next_deadline(), None);
    at(&mut shard, 1_000_000_000);
    assert_eq!(close_steps(&mut shard), []);
    shard.on_end(conn);
    assert!(close_steps(&mut shard).contains(&CloseStep::LeftRooms(conn, Lost)));
}

/// What is left of a message that breaks a rule is not lent to the next connection.
#[test]
fn a_message_has_its_time_from_its_own_begin() {
    let mut shard = shard();
    let limits = &mut shard.host.config.limits;
    (limits.ping_interval, limits.message_timeout) = (Duration::ZERO, Duration::from_secs(30));
    let conns = [(); 2].map(|()| shard.open(Opening::default()));
    send(&mut shard, None);
    let mut frame = Vec::new();
    push_client_frame(&mut frame, Opcode::Text, true, [1, 2, 3, 4], &[0xff]);
    let (header, payload) = frame.split_at_mut(6);
    shard.receive(conns[0], header);
    at(&mut shard, 20_000);
    shard.receive(conns[0], payload);
    assert_eq!(close_steps(&mut shard), [CloseStep::LeftRooms(conns[0], Disconnect::BadUtf8)]);
    shard.receive(conns[1], &mut [0x81]);
    at(&mut shard, 49_900);
    let ends = CloseStep::LeftRooms(conns[1], Idle);
    assert!(!close_steps(&mut shard).contains(&ends));
    at(&mut shard, 50_100);
    assert!(close_steps(&mut shard).contains(&ends));
}

/// The times in milliseconds at which a client is pinged that answers for so long, and its end.
fn pings_of(interval: u64, timeout: u64, answers_until: u64) -> (Vec<u64>, Option<u64>) {
    let mut shard = shard();
    let limits = &mut shard.host.config.limits;
    limits.ping_interval = Duration::from_millis(interval);
    limits.ping_timeout = Duration::from_millis(timeout);
    let conn = shard.open(Opening::default());
    send(&mut shard, None);
    let mut pings = Vec::new();
    for now in (50..120_000).step_by(50) {
        at(&mut shard, now);
        let sent = send(&mut shard, None);
        if close_steps(&mut shard).contains(&CloseStep::LeftRooms(conn, Idle)) {
            return (pings, Some(now));
        }
        if !sent.is_empty() {
            pings.push(now);
            if now < answers_until {
                receive(&mut shard, conn, Opcode::Pong, "");
            }
        }
    }
    (pings, None)
}

#[test]
fn a_time_for_ever_ends_no_connection_and_no_process() {
    let for_ever = Duration::MAX;
    let interval = Duration::from_secs(1);
    for (interval, timeout) in [(interval, for_ever), (for_ever, interval), (for_ever, for_ever)] {
        let mut shard = shard();
        let limits = &mut shard.host.config.limits;
        (limits.ping_interval, limits.ping_timeout) = (interval, timeout);
        (limits.message_timeout, limits.close_timeout) = (for_ever, for_ever);
        (limits.slow_timeout, limits.room_linger) = (for_ever, for_ever);
        let silent = shard.open(Opening::default());
        let stream = shard.open_event_stream(&room(), b"HTTP/1.1 200 OK\r\n\r\n", None);
        take_loopback(&mut shard);
        let half_sent = shard.open(Opening::default());
        let mut frame = Vec::new();
        push_client_frame(&mut frame, Opcode::Text, false, [1, 2, 3, 4], b"{");
        shard.receive(half_sent, &mut frame);
        for second in 1..200 {
            at(&mut shard, second * 1_000);
            send(&mut shard, (second == 100).then_some(SendEnd::Blocked));
        }
        let open = [silent, stream, half_sent].map(|conn| connection(&shard, conn).is_open());
        assert_eq!(open, [true; 3], "{interval:?}, {timeout:?}");
    }
}

#[test]
fn who_answers_is_pinged_in_every_interval_and_who_does_not_has_the_whole_timeout() {
    for (interval, timeout) in [(1_000, 20_000), (5_000, 5_000), (8_000, 2_000)] {
        let (pings, end) = pings_of(interval, timeout, u64::MAX);
        assert_eq!(end, None);
        let apart: Vec<u64> = pings.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let most = interval * 5 / 4 + 100;
        assert!(apart.iter().all(|apart| *apart <= most), "{interval}, {timeout}: {apart:?}");
        let (pings, end) = pings_of(interval, timeout, 30_000);
        let waited = end.expect("it is silent") - pings.last().expect("it was pinged");
        assert!((timeout..timeout + 200).contains(&waited), "{interval}, {timeout}: {waited}");
    }
}

/// What a client says while it is not read is not heard: neither that it answers a ping.
#[test]
fn one_that_is_not_read_once_it_is_pinged_is_pinged_an_interval_after_it_is_heard() {
    let limits = [(10, 10, 25), (10, 8, 22), (10, 4, 18), (5, 9, 21), (5, 9, 23), (5, 20, 31)];
    for (interval, timeout, heard) in limits {
        let mut shard = shard();
        let limits = &mut shard.host.config.limits;
        limits.ping_interval = Duration::from_secs(interval);
        limits.ping_timeout = Duration::from_secs(timeout);
        let conn = shard.open(Opening::default());
        send(&mut shard, None);
        let is_pinged = |shard: &mut Shard, second: u64| {
            at(shard, second * 1_000);
            !send(shard, None).is_empty()
        };
        let at_most = interval + interval / 4 + 1;
        let pinged = (1..=at_most).find(|second| is_pinged(&mut shard, *second));
        let unread = pinged.expect("it is silent") + 1..heard;
        shard.host.reading = false;
        unread.for_each(|second| assert!(!is_pinged(&mut shard, second)));
        shard.host.reading = true;
        receive(&mut shard, conn, Opcode::Pong, "");
        let again = (heard..80).find(|second| is_pinged(&mut shard, *second));
        let in_time = again.is_some_and(|second| second <= heard + at_most);
        assert!(in_time, "{interval}, {timeout}, heard at {heard}: {again:?}");
    }
}
