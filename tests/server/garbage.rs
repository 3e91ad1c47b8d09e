//! Proves that garbage on 200 connections at once is answered as each kind deserves, and that
//! neither memory nor the other clients notice.

use crate::support::frames::{self, FIN, TEXT, frame, header, unmasked};
use crate::support::{Client, Dice, Raw, Server, heavy, upgrade_head};
use serde_json::json;

const CONNECTIONS: usize = 200;
const KINDS: [fn(&Server, u64) -> Guest; 7] =
    [random_bytes, half_a_head, endless_head, unmasked_frame, huge_length, bad_utf8, deep_json];

/// A connection that has sent its garbage, and the check of what it gets for it.
struct Guest {
    raw: Raw,
    check: fn(&mut Raw),
}

#[test]
fn two_hundred_at_once_are_answered_and_nobody_else_notices() {
    let _heavy = heavy();
    let server = Server::start(&["--handshake-timeout", "1s"]);
    let (mut speaker, mut member) =
        (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    member.join("r");
    let mut talk = |n: u64| {
        assert_eq!(speaker.publish("r", "chat", json!(n)), n);
        assert_eq!(member.recv_event("chat").offset(), n);
    };
    talk(1);
    let before = server.resident_bytes();

    let mut guests = Vec::new();
    for n in 0..CONNECTIONS {
        guests.push(KINDS[n % KINDS.len()](&server, n as u64));
        talk(2 + n as u64);
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "garbage took {grown} bytes of memory");

    for guest in &mut guests {
        (guest.check)(&mut guest.raw);
    }
    talk(2 + CONNECTIONS as u64);
    drop(guests);
    server.wait_for_total("connections", 2);
}

fn random_bytes(server: &Server, seed: u64) -> Guest {
    let mut dice = Dice::new(seed);
    // The first byte is one that no request begins with; the others may be anything.
    let bytes: Vec<u8> =
        (0..1000).map(|n| dice.roll(256) as u8 | if n == 0 { 0x80 } else { 0 }).collect();
    let mut raw = Raw::dial(server.address());
    raw.try_write(&bytes);
    Guest { raw, check: |raw| raw.response().assert_error(400) }
}

fn half_a_head(server: &Server, seed: u64) -> Guest {
    let head = upgrade_head("");
    let mut raw = Raw::dial(server.address());
    raw.write(&head.as_bytes()[..1 + seed as usize % (head.len() - 1)]);
    Guest { raw, check: |raw| raw.response().assert_error(408) }
}

fn endless_head(server: &Server, _: u64) -> Guest {
    let mut raw = Raw::dial(server.address());
    raw.try_write(b"GET /ws HTTP/1.1\r\nX-Long: ");
    let mut left: usize = 10 << 20;
    while left > 0 && !raw.has_answer() && raw.try_write(&[b'x'; 16 * 1024]) {
        left -= 16 * 1024;
    }
    Guest { raw, check: |raw| raw.response().assert_error(431) }
}

fn unmasked_frame(server: &Server, _: u64) -> Guest {
    let bytes = unmasked(FIN | TEXT, br#"{"event":"cast:ping","id":1}"#);
    upgraded(server, &bytes, |raw| assert_eq!(raw.expect_close().code, 1002))
}

fn huge_length(server: &Server, _: u64) -> Guest {
    let bytes = header(FIN | TEXT, true, 1 << 40);
    upgraded(server, &bytes, |raw| assert_eq!(raw.expect_close().code, 1009))
}

fn bad_utf8(server: &Server, _: u64) -> Guest {
    let bytes = frame(FIN | TEXT, b"{\"event\":\"\xC3\x28\"}");
    upgraded(server, &bytes, |raw| assert_eq!(raw.expect_close().code, 1007))
}

fn deep_json(server: &Server, _: u64) -> Guest {
    let data = "[".repeat(50_000) + &"]".repeat(50_000);
    let command = format!(r#"{{"event":"cast:broadcast","data":{{"event":"e","data":{data}}}}}"#);
    let bytes = [frames::text(&command), frames::text(r#"{"event":"cast:ping","id":1}"#)].concat();
    upgraded(server, &bytes, |raw| {
        assert_eq!(raw.envelope().error_code(), "bad_envelope");
        assert_eq!(raw.envelope().event(), "cast:pong", "the connection stays open");
    })
}

fn upgraded(server: &Server, bytes: &[u8], check: fn(&mut Raw)) -> Guest {
    let mut raw = Raw::open(server);
    raw.write(bytes);
    Guest { raw, check }
}
