//! Proves that a silent connection is pinged, and closed only when it stays silent after that.

use crate::support::frames::{self, FIN, PING, TEXT};
use crate::support::{Client, Raw, Server};
use std::thread;
use std::time::{Duration, Instant};
use tungstenite::Message;

#[test]
fn a_client_that_does_not_answer_is_closed_as_idle() {
    let server = Server::start(&["--ping-interval", "1s", "--ping-timeout", "1s"]);
    let started = Instant::now();
    let mut raw = Raw::open(&server);
    let (opcode, _) = raw.frame().expect("a ping");
    assert_eq!(opcode, PING);
    assert!(started.elapsed() >= Duration::from_millis(900), "the ping waits for its interval");
    // `envelope_or_close` passes over the ping frames and answers none of them.
    let close = raw.envelope_or_close().expect_err("nothing but the goodbye follows");
    close.assert_retry(1001, "idle");
    assert!(started.elapsed() >= Duration::from_millis(1900), "the goodbye waits for the timeout");
    raw.expect_end();
}

#[test]
fn a_client_that_answers_pings_stays() {
    let server = Server::start(&["--ping-interval", "200ms"]);
    let mut client = Client::connect(&server);
    for _ in 0..5 {
        // tungstenite answers a ping by itself when it reads on.
        let message = client.next_message();
        assert!(matches!(message, Message::Ping(_)), "expected a ping, got {message:?}");
    }
    client.assert_alive();
}

#[test]
fn any_received_byte_counts_as_a_sign_of_life() {
    let server = Server::start(&["--ping-interval", "1s", "--ping-timeout", "5s"]);
    let mut raw = Raw::open(&server);
    // The bytes of one message, so slowly that it ends long after interval and timeout are over.
    let message = frames::frame(FIN | TEXT, br#"{"event":"cast:ping","id":1}"#);
    for byte in message {
        raw.write(&[byte]);
        thread::sleep(Duration::from_millis(200));
    }
    let reply = raw.envelope_or_close().expect("the connection is open");
    assert_eq!(reply.event(), "cast:pong");
}

#[test]
fn an_interval_of_zero_means_never() {
    let server = Server::start(&["--ping-interval", "0", "--ping-timeout", "200ms"]);
    let mut raw = Raw::open(&server);
    thread::sleep(Duration::from_secs(2));
    raw.send_text(r#"{"event":"cast:ping","id":1}"#);
    assert_eq!(raw.envelope().event(), "cast:pong", "no ping and no goodbye came before");
}

#[test]
fn a_message_that_is_not_finished_has_an_end() {
    let text = frames::text(r#"{"event":"cast:ping","id":1}"#);
    let fragment = frames::frame(TEXT, r#"{"event":"cast:"#.as_bytes());
    let ping = frames::frame(FIN | PING, b"still here");
    for (begin, between) in [(&text[..1], &[][..]), (&text[..9], &[]), (&fragment, &ping)] {
        let server = Server::start(&["--message-timeout", "500ms"]);
        let mut raw = Raw::open(&server);
        raw.write(begin);
        // Control frames may stand between the fragments, and are no end.
        let mut writer = raw.writer();
        let pings = std::thread::spawn({
            let between = between.to_vec();
            move || {
                use std::io::Write;
                while !between.is_empty() && writer.write_all(&between).is_ok() {
                    thread::sleep(Duration::from_millis(50));
                }
            }
        });
        let close = loop {
            match raw.frame() {
                Some((opcode, payload)) if opcode == frames::CLOSE => break payload,
                Some(_) => {}
                None => panic!("a goodbye comes before the end"),
            }
        };
        assert_eq!(close[..2], 1001_u16.to_be_bytes());
        assert!(close[2..].starts_with(b"idle retry="), "{close:?}");
        drop(raw);
        pings.join().unwrap();
    }
}

#[test]
fn whole_messages_may_follow_each_other_for_ever() {
    let server = Server::start(&["--message-timeout", "500ms"]);
    let mut raw = Raw::open(&server);
    let ping = frames::text(r#"{"event":"cast:ping","id":1}"#);
    let started = Instant::now();
    // Each write ends within a message, and finishes the one before.
    raw.write(&ping[..7]);
    while started.elapsed() < Duration::from_secs(2) {
        raw.write(&ping[7..]);
        raw.write(&ping[..7]);
        assert_eq!(raw.envelope().event(), "cast:pong");
        thread::sleep(Duration::from_millis(100));
    }
    raw.write(&ping[7..]);
    assert_eq!(raw.envelope().event(), "cast:pong");
}
