//! Proves that a message may come in any number of fragments, with control frames between them.

use crate::support::frames::{CONTINUATION, FIN, PING, PONG, TEXT, frame};
use crate::support::{Raw, Server};

const COMMAND: &str = r#"{"event":"cast:broadcast","data":{"event":"e","data":"é🦀"}}"#;

#[test]
fn any_split_makes_the_same_message() {
    let server = Server::start(&[]);
    let mut raw = Raw::open(&server);
    // Some of these splits lie within a character.
    for at in 0..=COMMAND.len() {
        let (head, tail) = COMMAND.as_bytes().split_at(at);
        raw.write(&[frame(TEXT, head), frame(FIN | CONTINUATION, tail)].concat());
        assert_eq!(raw.envelope().raw("data"), Some(r#""é🦀""#), "split at {at}");
    }
}

#[test]
fn one_fragment_per_byte_makes_the_same_message() {
    let server = Server::start(&[]);
    let mut raw = Raw::open(&server);
    raw.write(&frame(TEXT, b""));
    for byte in COMMAND.as_bytes() {
        raw.write(&frame(CONTINUATION, &[*byte]));
    }
    raw.write(&frame(FIN | CONTINUATION, b""));
    assert_eq!(raw.envelope().raw("data"), Some(r#""é🦀""#));
}

#[test]
fn control_frames_between_fragments_are_answered() {
    let server = Server::start(&[]);
    let mut raw = Raw::open(&server);
    let (head, tail) = COMMAND.as_bytes().split_at(20);
    raw.write(&frame(TEXT, head));
    raw.write(&frame(FIN | PING, b"in between"));
    assert_eq!(raw.frame(), Some((PONG, b"in between".to_vec())));
    raw.write(&frame(FIN | PONG, b""));
    raw.write(&frame(CONTINUATION, b""));
    raw.write(&frame(FIN | PING, b""));
    assert_eq!(raw.frame(), Some((PONG, Vec::new())));
    raw.write(&frame(FIN | CONTINUATION, tail));
    assert_eq!(raw.envelope().raw("data"), Some(r#""é🦀""#));
}

#[test]
fn each_ping_waited_for_is_answered_with_its_own_payload() {
    let server = Server::start(&[]);
    let mut raw = Raw::open(&server);
    for length in [0, 1, 2, 3, 4, 5, 124, 125] {
        let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
        raw.write(&frame(FIN | PING, &payload));
        assert_eq!(raw.frame(), Some((PONG, payload)));
    }
}
