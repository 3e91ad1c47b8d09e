//! The upgrade request says what was asked for, and a refusal says what to do.

use super::support::{Dialect, Fake, Faults, load};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

/// A server that answers one request with 404; what it was asked.
fn refusing() -> (String, JoinHandle<String>) {
    answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
}

/// A server that answers one request with this.
fn answering(answer: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let request = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend_from_slice(&byte);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(head).unwrap()
    });
    (address, request)
}

#[test]
fn a_header_that_is_given_replaces_ours() {
    let (address, request) = refusing();
    let url = format!("ws://{address}/chat");
    let header = |line: &str| format!("--header={line}");
    let (host, agent) = (header("host: example.org"), header("User-Agent: x"));
    let version = header("Sec-WebSocket-Version: 8");
    load(&["hold", "-q", "-n1", &url, &host, &agent, &version]);
    let head = request.join().unwrap();
    let count = |name: &str| {
        head.lines().filter(|line| line.to_ascii_lowercase().starts_with(name)).count()
    };
    for name in ["host:", "user-agent:", "sec-websocket-version:", "sec-websocket-key:"] {
        assert_eq!(count(name), 1, "{name} in {head}");
    }
    assert!(head.contains("host: example.org\r\n") && head.contains("Version: 8\r\n"), "{head}");
}

#[test]
fn a_key_that_is_given_is_the_one_that_is_answered() {
    let server = Fake::start(Dialect::Corecast, Faults::default());
    let key = "--header=sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    let run = load(&["hold", "-n2", "-d", "50ms", "--json=-", &server.url(), key]);
    assert_eq!(run.json()["connections"]["opened"], 2);
}

/// One inflater for all connections of a thread can follow no server that remembers.
#[test]
fn compression_with_context_is_refused() {
    let (address, request) = answering(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n\r\n",
    );
    let (url, key) = (format!("ws://{address}/ws"), "dGhlIHNhbXBsZSBub25jZQ==");
    let key = format!("--header=Sec-WebSocket-Key: {key}");
    let run = load(&["hold", "-q", "-n1", &url, "--deflate", &key]);
    let head = request.join().unwrap();
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                 client_no_context_takeover\r\n";
    assert!(head.contains(offer), "{head}");
    assert_eq!(run.code, 1);
    for part in ["no server_no_context_takeover", "leave out --deflate"] {
        assert!(run.errors.contains(part), "{}", run.errors);
    }
}

#[test]
fn a_missing_path_is_hinted_at() {
    let (address, request) = refusing();
    let run = load(&["hold", "-q", "-n1", &format!("ws://{address}")]);
    request.join().unwrap();
    assert_eq!(run.code, 1);
    assert!(run.errors.contains("corecast serves /ws"), "{}", run.errors);
}

#[test]
fn a_name_with_several_addresses_reaches_the_server() {
    let server = Fake::start(Dialect::Corecast, Faults::default());
    let url = server.url().replace("127.0.0.1", "localhost");
    let json = load(&["hold", "-n3", "-d", "50ms", "--json=-", &url]).json();
    assert_eq!(json["connections"]["opened"], 3);
}
