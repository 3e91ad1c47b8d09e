//! Proves that an answer is whole however slowly it is read, and that a client that reads nothing
//! does not stay.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{Raw, Server, heavy, wait_until};

/// Makes the list of rooms long.
fn fill(server: &Server, rooms: usize) {
    let mut raw = Raw::dial(server.address());
    let body = r#"{"event":"e"}"#;
    for n in 0..rooms {
        let name = format!("{n:04}{}", "r".repeat(150));
        raw.write(
            format!(
                "POST /v1/rooms/{name}/publish HTTP/1.1\r\nHost: localhost\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        );
        assert_eq!(raw.response().status, 202);
    }
}

#[test]
fn an_answer_that_is_read_for_more_than_a_minute_is_whole() {
    let _heavy = heavy();
    let server = Server::start(&["--room-linger", "10m"]);
    fill(&server, 1000);
    let mut raw = Raw::dial_narrow(server.address());
    raw.write(b"GET /v1/rooms?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut stream: TcpStream = raw.writer();
    let (begin, mut whole, mut buffer) = (Instant::now(), Vec::new(), [0; 1024]);
    // 3.4 KB per second: the answer of a quarter of a megabyte takes more than a minute.
    while !whole.ends_with(b"]}") {
        let len = stream.read(&mut buffer).unwrap();
        assert!(len > 0, "it ends after {} bytes and {:?}", whole.len(), begin.elapsed());
        whole.extend_from_slice(&buffer[..len]);
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(begin.elapsed() > Duration::from_secs(60), "it took {:?}", begin.elapsed());
    assert_eq!(whole.windows(7).filter(|part| part == b"\"room\":").count(), 1000);
}

#[test]
fn a_client_that_asks_and_never_reads_does_not_stay() {
    let server = Server::start(&["--send-buffer", "16KiB"]);
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20_000);
    let begun = Instant::now();
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let request = request.clone();
            let mut raw = Raw::dial_narrow(server.address());
            std::thread::spawn(move || raw.write_until_refused(request.as_bytes()))
        })
        .collect();
    for client in clients {
        assert!(client.join().unwrap(), "it could write everything");
    }
    assert!(begun.elapsed() < Duration::from_secs(100), "it took {:?}", begun.elapsed());
}

#[test]
fn an_answer_that_was_begun_is_whole_although_the_server_ends() {
    let mut server = Server::start(&["--send-buffer", "16KiB", "--room-linger", "10m"]);
    fill(&server, 1000);
    let mut raw = Raw::dial_narrow(server.address());
    raw.write(b"GET /v1/rooms?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wait_until("the answer has begun", || raw.has_answer());
    server.signal(libc::SIGTERM);
    std::thread::sleep(Duration::from_millis(300));
    let rooms = raw.response().json()["rooms"].as_array().unwrap().len();
    assert_eq!(rooms, 1000);
    raw.expect_end();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_client_that_reads_no_answers_does_not_hold_a_shutdown_back() {
    let mut server = Server::start(&["--send-buffer", "16KiB", "--drain-timeout", "60s"]);
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20_000);
    let mut raw = Raw::dial_narrow(server.address());
    let writer = std::thread::spawn(move || raw.write_until_refused(request.as_bytes()));
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(25), "it took {:?}", begun.elapsed());
    assert!(writer.join().unwrap(), "it could write everything");
}

#[test]
fn a_client_that_reads_nothing_stalls_no_shard_however_short_the_slow_timeout() {
    for timeout in ["0", "0.001ms"] {
        let flags = ["--send-buffer", "16KiB", "--slow-timeout", timeout];
        let server = Server::start_with_shards(1, &flags);
        let request = "GET /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(3_000);
        let mut raw = Raw::dial_narrow(server.address());
        let writer = std::thread::spawn(move || raw.try_write(request.as_bytes()));
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(server.get("/healthz").status, 200);
        drop(server);
        writer.join().unwrap();
    }
}

#[test]
fn a_body_that_does_not_come_does_not_hold_a_shutdown_back() {
    let mut server = Server::start(&["--drain-timeout", "25s"]);
    let mut raw = Raw::dial(server.address());
    raw.write(
        b"POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\n\
          Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );
    std::thread::sleep(Duration::from_millis(300));
    server.signal(libc::SIGTERM);
    let response = raw.response();
    assert_eq!((response.status, response.header("connection")), (503, Some("close")));
    assert_eq!(server.wait().code(), Some(0));
}
