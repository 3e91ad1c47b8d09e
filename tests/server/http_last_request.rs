//! Proves that a connection ends behind its last request, whatever its client still sends.

use std::io::Write;
use std::time::Instant;

use crate::support::{PATIENCE, Raw, Server, http};

/// A request whose end the server's two readers of HTTP could see in different places.
const AMBIGUOUS: [&str; 4] = [
    "00000000000000000\r\n\r\n",
    "0\r\nA: b\n\r\n\r\n",
    "0\r\n\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "00000000000000000000001\r\nx\r\n0\r\n\r\n",
];

#[test]
fn a_request_whose_end_is_unclear_is_the_last() {
    let server = Server::start_with_shards(1, &["--max-http-connections", "4"]);
    // More of them than there are places.
    for body in [AMBIGUOUS; 4].concat() {
        let mut raw = Raw::dial(server.address());
        let head = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        raw.write(format!("{head}{body}").as_bytes());
        let rest = raw.read_to_end();
        let answers = rest.windows(9).filter(|part| part == b"HTTP/1.1 ").count();
        assert!(answers <= 1, "{body:?}: {}", String::from_utf8_lossy(&rest));
    }
    assert_eq!(http(server.address(), "GET", "/healthz", &[], "").status, 200);
}

#[test]
fn a_trailer_that_comes_in_pieces_ends_the_connection_behind_its_answer() {
    let server = Server::start_with_shards(1, &["--max-http-connections", "4"]);
    let message = r#"{"event":"e"}"#;
    for _ in 0..8 {
        let mut raw = Raw::dial(server.address());
        raw.write(
            format!(
                "POST /v1/rooms/r/publish HTTP/1.1\r\nHost: localhost\r\n\
                 Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
                 {:x}\r\n{message}\r\n0\r\nx: {}",
                message.len(),
                "y".repeat(1_500)
            )
            .as_bytes(),
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
        raw.write(b"z\r\n\r\n");
        assert_eq!(raw.response().status, 202);
        raw.expect_end();
    }
}

/// It is not read for ever, and meanwhile others are served.
#[test]
fn a_client_that_sends_on_behind_its_last_request_is_cut() {
    let server = Server::start_with_shards(1, &["--close-timeout", "500ms"]);
    let mut flood = Raw::dial(server.address());
    flood.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(flood.response().status, 200);
    let senders: Vec<_> = (0..2).map(|_| flood.writer()).collect();
    let begun = Instant::now();
    let senders = senders.into_iter().map(|mut writer| {
        std::thread::spawn(move || {
            while begun.elapsed() < PATIENCE && writer.write_all(&[b'x'; 65_536]).is_ok() {}
        })
    });
    let senders: Vec<_> = senders.collect();
    while !senders.iter().all(|sender| sender.is_finished()) {
        assert_eq!(server.get("/healthz").status, 200);
    }
    assert!(begun.elapsed() < PATIENCE, "it was read for {:?}", begun.elapsed());
}
