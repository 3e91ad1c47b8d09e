//! Proves that a connection which sends more per second than it may is refused, with the limit and
//! its value, and closed when it goes on well beyond; and that others notice nothing.

use crate::support::frames::{self, CONTINUATION, FIN, PING, PONG, TEXT};
use crate::support::{Client, Envelope, Raw, Server};
use serde_json::{Value, json};

/// Sends so many commands at once and returns the codes of the errors among their answers.
fn refused(client: &mut Client, command: impl Fn(usize) -> Value, times: usize) -> Vec<Envelope> {
    for n in 0..times {
        let mut command = command(n);
        command["id"] = n.into();
        client.send(&command);
    }
    let answers = (0..times).map(|_| client.recv());
    answers.filter(|answer| answer.event() == "cast:error").collect()
}

#[test]
fn each_rate_is_refused_with_its_limit_and_its_value() {
    let publish = |_| json!({"event": "cast:publish", "room": "r", "data": {"event": "m"}});
    let join = |n| json!({"event": "cast:join", "room": format!("r{n}")});
    let ping = |_| json!({"event": "cast:ping"});
    let rows: [(&str, &dyn Fn(usize) -> Value); 3] =
        [("messages", &ping), ("joins", &join), ("publishes", &publish)];
    for (rate, command) in rows {
        let flag = format!("--max-{rate}-per-second");
        let server = Server::start(&[&flag, "7"]);
        let (mut fast, mut other) = (Client::connect(&server), Client::connect(&server));
        // More than seven pass if this takes a while.
        let errors = refused(&mut fast, command, 30);
        assert!(!errors.is_empty() && errors.len() <= 23, "{rate}: {} refused", errors.len());
        for error in &errors {
            assert_eq!(error.error_code(), "rate_limited");
            let (message, key) = (error.error_message(), format!("max_{rate}_per_second"));
            assert!(message.contains(&key) && message.contains('7'), "{message}");
            assert!(error.has("id"), "the answer says to which command");
            let has_room = rate != "messages";
            assert_eq!(error.has("room"), has_room, "the room as far as there is one");
        }
        assert_eq!(server.total("rate_limited"), errors.len() as u64);
        assert!(refused(&mut other, command, 7).is_empty(), "others have their own");
    }
}

#[test]
fn bytes_are_refused_with_their_limit_and_its_value() {
    let server = Server::start(&["--max-bytes-per-second", "2KiB", "--max-message", "8KiB"]);
    let mut client = Client::connect(&server);
    let large = |_| json!({"event": "cast:ping", "filling": "x".repeat(1_000)});
    let errors = refused(&mut client, large, 5);
    assert!(!errors.is_empty(), "five kilobytes in one go");
    assert!(errors[0].error_message().contains("max_bytes_per_second"));
    assert!(errors[0].error_message().contains("2048"));
}

#[test]
fn well_beyond_a_rate_the_connection_is_closed() {
    for flag in ["--max-messages-per-second", "--max-bytes-per-second"] {
        let server = Server::start(&[flag, "20", "--max-message", "1KiB"]);
        let mut healthy = Client::connect(&server);
        let mut raw = Raw::open(&server);
        let flood = frames::text(r#"{"event":"cast:ping","id":1}"#).repeat(5_000);
        raw.try_write(&flood);
        let close = loop {
            match raw.envelope_or_close() {
                Ok(envelope) => assert!(["cast:pong", "cast:error"].contains(&&*envelope.event())),
                Err(close) => break close,
            }
        };
        assert_eq!((close.code, &*close.reason), (1008, "rate"), "{flag}");
        assert_eq!(server.closed("rate"), 1);
        let pong = healthy.request(json!({"event": "cast:ping"}));
        assert!(flag.contains("bytes") || pong.event() == "cast:pong");
    }
}

#[test]
fn a_flood_of_pings_or_pongs_is_closed() {
    for opcode in [PING, PONG] {
        let server = Server::start(&["--max-messages-per-second", "10"]);
        let mut raw = Raw::open(&server);
        raw.try_write(&frames::frame(FIN | opcode, b"").repeat(5_000));
        let close = raw.envelope_or_close().expect_err("a goodbye");
        assert_eq!((close.code, &*close.reason), (1008, "rate"));
    }
}

#[test]
fn a_message_of_too_many_frames_is_too_big() {
    let server = Server::start(&["--max-frames", "10"]);
    let message = |frames: usize| {
        let pad = frame_of_blanks(CONTINUATION).repeat(frames - 2);
        let end = frames::frame(FIN | CONTINUATION, br#"{"event":"cast:ping","id":1}"#);
        [frame_of_blanks(TEXT), pad, end].concat()
    };
    let mut raw = Raw::open(&server);
    raw.write(&message(10));
    assert_eq!(raw.envelope().event(), "cast:pong");
    raw.write(&message(11));
    let close = raw.envelope_or_close().expect_err("a goodbye");
    assert_eq!((close.code, &*close.reason), (1009, "too_big"));
}

fn frame_of_blanks(opcode: u8) -> Vec<u8> {
    frames::frame(opcode, b" ")
}
