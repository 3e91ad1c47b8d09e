//! Proves that with `--proxy-protocol on` each connection begins with a header of version 1 or 2,
//! from a trusted proxy, and that the client is the one that it names.

use crate::client_addresses::Watched;
use crate::support::{Raw, Server, http, refused, serve, upgrade_head};
use std::time::Duration;

const ON: [&str; 4] = ["--proxy-protocol", "on", "--trusted-proxy", "127.0.0.1,10.0.0.0/8"];

const V4: [u8; 12] = [192, 0, 2, 1, 127, 0, 0, 1, 0x12, 0x34, 0, 80];

/// A header of version 2.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let len = u16::try_from(block.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &len, block].concat()
}

fn upgrade_behind(raw: &mut Raw, header: &[u8], fields: &str) {
    raw.write(&[header, upgrade_head(fields).as_bytes()].concat());
    raw.expect_upgraded();
    assert_eq!(raw.envelope().event(), "cast:welcome");
}

#[test]
fn the_client_is_the_one_that_the_header_names() {
    let server = Watched::start(&ON);
    let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0xfd; 16], &[0; 4]].concat();
    let long = [&V4[..], &[0xff; 60_000]].concat();
    for (header, fields, client) in [
        (b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 80\r\n".to_vec(), "", "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::2 ::1 4711 80\r\n".to_vec(), "", "2001:db8::2"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "", "127.0.0.1"),
        (v2(0x21, 0x11, &V4), "", "192.0.2.1"),
        (v2(0x21, 0x21, &v6), "", "2001:db8::1"),
        (v2(0x21, 0x11, &long), "", "192.0.2.1"),
        (v2(0x20, 0, &[]), "", "127.0.0.1"),
        (v2(0x20, 0xff, b"abc"), "", "127.0.0.1"),
        (v2(0x21, 0, b""), "", "127.0.0.1"),
        (v2(0x21, 0x31, &[1; 216]), "", "127.0.0.1"),
        // A proxy behind the proxy is believed, a client is not.
        (
            b"PROXY TCP4 10.0.0.9 127.0.0.1 1 80\r\n".to_vec(),
            "X-Forwarded-For: 192.0.2.3\r\n",
            "192.0.2.3",
        ),
        (
            b"PROXY TCP4 192.0.2.4 127.0.0.1 1 80\r\n".to_vec(),
            "X-Forwarded-For: 192.0.2.3\r\n",
            "192.0.2.4",
        ),
    ] {
        let mut raw = Raw::dial(server.address());
        upgrade_behind(&mut raw, &header, fields);
        server.assert_client(client);
    }
}

#[test]
fn a_header_may_come_in_single_bytes() {
    let server = Watched::start(&ON);
    let entries = [&V4[..], b"\x04\0\x20", &[0; 32]].concat();
    for header in [b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 80\r\n".to_vec(), v2(0x21, 0x11, &entries)]
    {
        let mut raw = Raw::dial(server.address());
        for byte in header.iter().chain(upgrade_head("").as_bytes()) {
            raw.write(&[*byte]);
        }
        raw.expect_upgraded();
        server.assert_client("192.0.2.1");
    }
}

#[test]
fn every_request_of_a_connection_has_its_client() {
    let server = Watched::start(&ON);
    let mut raw = Raw::dial(server.address());
    raw.write(b"PROXY TCP4 192.0.2.1 127.0.0.1 1 80\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(raw.response().status, 200);
    upgrade_behind(&mut raw, b"", "");
    server.assert_client("192.0.2.1");
}

#[test]
fn what_begins_otherwise_is_refused() {
    let server = Server::start_with_shards(1, &ON);
    for bytes in [
        upgrade_head("").into_bytes(),
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 127.0.0.1 1\r\n".to_vec(),
        b"PROXY UDP4 192.0.2.1 127.0.0.1 1 2\r\n".to_vec(),
        [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat(),
        v2(0x21, 0x11, &V4[..11]),
        v2(0x22, 0x11, &V4),
        b"\x16\x03\x01\x02\x00\x01\x00".to_vec(),
    ] {
        let mut raw = Raw::dial(server.address());
        raw.write(&bytes);
        let response = raw.response();
        response.assert_error(400);
        assert_eq!(response.header("connection"), Some("close"));
        raw.expect_end();
    }
}

#[test]
fn only_trusted_proxies_may_speak_it() {
    let server = Server::start_with_shards(1, &ON);
    let mut raw = Raw::dial_from([127, 0, 0, 2], server.address());
    raw.write(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 80\r\n");
    raw.response().assert_error(403);
    raw.expect_end();
}

#[test]
fn without_the_flag_the_header_is_no_request() {
    let server = Server::start_with_shards(1, &["--trusted-proxy", "127.0.0.1"]);
    let mut raw = Raw::dial(server.address());
    raw.write(b"PROXY TCP4 192.0.2.1 127.0.0.1 1 80\r\n\r\n");
    raw.response().assert_error(400);
    assert_eq!(http(server.address(), "GET", "/healthz", &[], "").status, 200);
}

#[test]
fn half_a_header_has_the_deadline_of_a_handshake() {
    let flags = [&ON[..], &["--handshake-timeout", "300ms"]].concat();
    let server = Server::start_with_shards(1, &flags);
    let mut raw = Raw::dial(server.address());
    raw.write(b"PROXY TCP4 192.0.2.1");
    raw.response().assert_error(408);
    let mut raw = Raw::dial(server.address());
    raw.write(&v2(0x21, 0x11, &[&V4[..], &[0; 9]].concat())[..30]);
    raw.expect_end();
    let mut raw = Raw::dial(server.address());
    std::thread::sleep(Duration::from_millis(10));
    raw.expect_end();
}

#[test]
fn without_a_trusted_proxy_it_is_refused_at_the_start() {
    let outcome = refused(serve(&["--listen", "127.0.0.1:0", "--proxy-protocol", "on"]));
    outcome.assert_readable(&["--proxy-protocol", "--trusted-proxy"]);
}
