//! Proves that each breach of RFC 6455 ends the connection with the close code made for it.

use crate::support::frames::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT};
use crate::support::frames::{close, frame, header, unmasked};
use crate::support::{Raw, Server};

/// Sends each row's bytes on a connection of its own and expects one of these codes.
fn check_codes(codes: &[u16], rows: &[(&str, Vec<u8>)]) {
    let server = Server::start(&[]);
    for (what, bytes) in rows {
        let mut raw = Raw::open(&server);
        raw.write(bytes);
        let close = raw.expect_close();
        assert!(codes.contains(&close.code), "{what}: {close:?} is none of {codes:?}");
        assert!(!close.reason.contains("retry="), "{what}: reconnecting would not help: {close:?}");
    }
    // None of these connections may have hurt another one.
    let mut witness = Raw::open(&server);
    witness.send_text(r#"{"event":"cast:ping","id":1}"#);
    assert_eq!(witness.envelope().event(), "cast:pong");
}

#[test]
fn protocol_errors_end_with_1002() {
    const RSV1: u8 = 0x40;
    const RSV2: u8 = 0x20;
    const RSV3: u8 = 0x10;
    let ping = br#"{"event":"cast:ping","id":1}"#;
    let mut rows = vec![
        ("an unmasked text", unmasked(FIN | TEXT, ping)),
        ("an unmasked ping", unmasked(FIN | PING, b"")),
        ("an unmasked close", unmasked(FIN | CLOSE, &[3, 232])),
        ("an unmasked header alone", header(FIN | TEXT, false, 200)),
        ("RSV1 on a text", frame(FIN | RSV1 | TEXT, ping)),
        ("RSV2 on a text", frame(FIN | RSV2 | TEXT, ping)),
        ("RSV3 on a text", frame(FIN | RSV3 | TEXT, ping)),
        ("RSV1 on a ping", frame(FIN | RSV1 | PING, b"")),
        ("a ping in fragments", frame(PING, b"")),
        ("a close in fragments", frame(CLOSE, &[3, 232])),
        ("a ping of 126 bytes", frame(FIN | PING, &[b'x'; 126])),
        ("a close of 126 bytes", frame(FIN | CLOSE, &[[3, 232].as_slice(), &[b'x'; 124]].concat())),
        ("a continuation of nothing", frame(FIN | CONTINUATION, ping)),
        ("an open continuation of nothing", frame(CONTINUATION, ping)),
        ("a text inside a text", [frame(TEXT, b"{"), frame(FIN | TEXT, ping)].concat()),
        ("a continuation of a ping", [frame(FIN | PING, b""), frame(CONTINUATION, b"")].concat()),
        ("a close of one byte", frame(FIN | CLOSE, &[3])),
        ("a length of 5 in 16 bits", long_length(&[0xFE, 0, 5], b"hello")),
        ("a length of 125 in 16 bits", long_length(&[0xFE, 0, 125], &[b'x'; 125])),
        ("a length of 5 in 64 bits", long_length(&[0xFF, 0, 0, 0, 0, 0, 0, 0, 5], b"hello")),
    ];
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        rows.push(("a reserved opcode", frame(FIN | opcode, b"")));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        rows.push(("a close code that must not be sent", close(code, "")));
    }
    check_codes(&[1002], &rows);
}

/// A masked text frame whose length is written by hand; with a mask of zeros for simplicity.
fn long_length(length: &[u8], payload: &[u8]) -> Vec<u8> {
    [&[FIN | TEXT], length, &[0; 4][..], payload].concat()
}

#[test]
fn bad_utf8_ends_with_1007() {
    let rows = [
        ("a byte that is never UTF-8", frame(FIN | TEXT, b"\xFF")),
        ("a lone continuation byte", frame(FIN | TEXT, b"{\x80}")),
        ("an overlong slash", frame(FIN | TEXT, b"\xC0\xAF")),
        ("an overlong null", frame(FIN | TEXT, b"\xE0\x80\x80")),
        ("a surrogate", frame(FIN | TEXT, b"\xED\xA0\x80")),
        ("beyond U+10FFFF", frame(FIN | TEXT, b"\xF4\x90\x80\x80")),
        ("a cut character", frame(FIN | TEXT, b"\xF0\x9F\xA6")),
        ("behind a kilobyte of text", frame(FIN | TEXT, &[&[b'x'; 1024], &b"\xC3"[..]].concat())),
        (
            "a character that the next fragment does not continue",
            [frame(TEXT, b"\"\xF0\x9F"), frame(FIN | CONTINUATION, b"x\"")].concat(),
        ),
        (
            "a character cut by the last fragment",
            [frame(TEXT, b"\"\xF0"), frame(CONTINUATION, b"\x9F"), frame(FIN | CONTINUATION, b"")]
                .concat(),
        ),
        (
            "a surrogate over three fragments",
            [
                frame(TEXT, b"\xED"),
                frame(CONTINUATION, b"\xA0"),
                frame(FIN | CONTINUATION, b"\x80"),
            ]
            .concat(),
        ),
        ("a reason that is no UTF-8", frame(FIN | CLOSE, b"\x03\xE8\xFF")),
    ];
    check_codes(&[1007], &rows);
}

#[test]
fn binary_messages_end_with_1003() {
    let rows = [
        ("some bytes", frame(FIN | BINARY, b"\x00\x01")),
        ("no bytes", frame(FIN | BINARY, b"")),
        ("fragments", [frame(BINARY, b"\x00"), frame(FIN | CONTINUATION, b"\x01")].concat()),
    ];
    check_codes(&[1003], &rows);
}

#[test]
fn too_long_a_message_ends_with_1009_before_it_is_sent() {
    let third = vec![b' '; 100 * 1024];
    let rows = [
        ("one byte too many", header(FIN | TEXT, true, 262_145)),
        ("2^40 bytes", header(FIN | TEXT, true, 1 << 40)),
        ("2^62 bytes", header(FIN | TEXT, true, 1 << 62)),
        ("2^40 bytes of a first fragment", header(TEXT, true, 1 << 40)),
        (
            "fragments that sum up",
            [
                frame(TEXT, &third),
                frame(CONTINUATION, &third),
                header(FIN | CONTINUATION, true, third.len() as u64),
            ]
            .concat(),
        ),
    ];
    check_codes(&[1009], &rows);
}

#[test]
fn a_length_with_its_highest_bit_set_is_no_length() {
    let huge = header(FIN | TEXT, true, u64::MAX);
    // RFC 6455 section 5.2 forbids the bit; that the message is too big is no less true.
    check_codes(&[1002, 1009], &[("2^64 - 1 bytes", huge)]);
}

#[test]
fn the_message_limit_can_be_chosen() {
    let server = Server::start(&["--max-message", "1KiB"]);
    let mut raw = Raw::open(&server);
    raw.send_text(&format!("{:1024}", r#"{"event":"cast:ping","id":1}"#));
    assert_eq!(raw.envelope().event(), "cast:pong", "exactly the limit is allowed");
    raw.write(&header(FIN | TEXT, true, 1025));
    assert_eq!(raw.expect_close().code, 1009);
}

#[test]
fn control_frames_of_125_bytes_are_fine() {
    let server = Server::start(&[]);
    let mut raw = Raw::open(&server);
    raw.write(&frame(FIN | PING, &[b'x'; 125]));
    assert_eq!(raw.frame(), Some((PONG, vec![b'x'; 125])));
    raw.write(&frame(FIN | PONG, b"nobody asked"));
    raw.send_text(r#"{"event":"cast:ping","id":1}"#);
    assert_eq!(raw.envelope().event(), "cast:pong", "an unasked pong is ignored");
}
