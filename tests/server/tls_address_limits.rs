//! Proves that one client address begins only so many TLS handshakes per second, which are counted
//! before they cost a signature, and that what follows on such a connection is not counted twice.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::support::tls::{Pair, TlsStream, client_hello, start};
use crate::support::{PATIENCE, Server, events_head, upgrade_head, wait_until};

const LIMIT: [&str; 4] = ["--shards", "1", "--handshakes-per-address", "1"];

fn dial_from(from: [u8; 4], server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&server.address().into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// How the answer begins to these bytes, of a client that has shaken hands.
fn say(mut stream: TlsStream, bytes: &str) -> String {
    stream.stream().write_all(bytes.as_bytes()).unwrap();
    let mut begin = [0; 12];
    stream.stream().read_exact(&mut begin).unwrap();
    String::from_utf8_lossy(&begin).into_owned()
}

fn shake_hands(from: [u8; 4], server: &Server, pair: &Pair) -> Option<TlsStream> {
    TlsStream::over(dial_from(from, server), "localhost", &pair.client()).ok()
}

/// How many were refused because of the limit, as an address of its own reads it.
fn refused(from: [u8; 4], server: &Server, pair: &Pair) -> u64 {
    let mut stream = shake_hands(from, server, pair).expect("it is the first of its address");
    let request = "GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.stream().write_all(request.as_bytes()).unwrap();
    let answer = stream.read_to_end().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    let stats: Value = serde_json::from_str(body).expect("figures");
    stats["refused"]["handshakes_per_address"].as_u64().expect("it is counted")
}

#[test]
fn an_address_begins_so_many_tls_handshakes_per_second() {
    let (server, pair, _files) = start(&LIMIT);
    let hello = client_hello(&pair);
    let begin = Instant::now();
    let sockets: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut socket = dial_from([127, 0, 0, 2], &server);
            socket.write_all(&hello).unwrap();
            socket
        })
        .collect();
    let answers = sockets.iter().filter(|socket| (&mut &**socket).read(&mut [0]).unwrap_or(0) == 1);
    let answered = answers.count() as u64;
    assert!(answered >= 1, "the first may shake hands");
    assert!(answered <= begin.elapsed().as_secs() + 2, "{answered} of 40 got a signature");
    assert_eq!(refused([127, 0, 0, 3], &server, &pair), 40 - answered, "each that was refused");
}

#[test]
fn a_tls_handshake_and_the_first_thing_on_its_connection_count_as_one() {
    let (server, pair, _files) = start(&LIMIT);
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let behind = format!("{get}{}", upgrade_head(""));
    for (nth, (bytes, status)) in [
        (upgrade_head(""), "HTTP/1.1 101"),
        (events_head("r", ""), "HTTP/1.1 200"),
        (get.to_owned(), "HTTP/1.1 200"),
        (behind, "HTTP/1.1 200"),
    ]
    .into_iter()
    .enumerate()
    {
        let from = [127, 0, 1, 2 + u8::try_from(nth).unwrap()];
        let stream = shake_hands(from, &server, &pair).expect("it is the first of its address");
        assert_eq!(say(stream, &bytes), status, "{bytes}");
    }
    assert_eq!(refused([127, 0, 0, 3], &server, &pair), 0);
}

#[test]
fn a_second_event_stream_of_a_connection_is_counted() {
    let (server, pair, _files) = start(&LIMIT);
    let from = [127, 0, 0, 2];
    let mut stream = shake_hands(from, &server, &pair).expect("it is the first of its address");
    // The name of the room is none: the connection stays. Some of these come within a second.
    let bad = events_head("%00", "").replace("text/event-stream", "*/*");
    let mut said = 0;
    wait_until("one is refused", || {
        said += 1;
        stream.stream().write_all(bad.as_bytes()).unwrap();
        let status = status(&mut stream);
        assert!(status == "400" || said > 1 && status == "429", "number {said}: {status}");
        status == "429"
    });
}

/// Reads one answer with a body of a known length, and returns its status.
fn status(stream: &mut TlsStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.stream().read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; len.expect("a length").parse().unwrap()];
    stream.stream().read_exact(&mut body).unwrap();
    head[9..12].to_owned()
}

#[test]
fn what_a_trusted_proxy_begins_over_tls_counts_for_its_clients() {
    let (server, pair, _files) = start(&[&LIMIT[..], &["--trusted-proxy", "loopback"]].concat());
    for client in 1..=20 {
        let stream = shake_hands([127, 0, 0, 2], &server, &pair).expect("the proxy is not counted");
        let head = upgrade_head(&format!("X-Forwarded-For: 192.0.2.{client}\r\n"));
        assert_eq!(say(stream, &head), "HTTP/1.1 101");
    }
    let mut refused = false;
    wait_until("one client has had enough", || {
        let stream = shake_hands([127, 0, 0, 2], &server, &pair).expect("the proxy is not counted");
        refused |= say(stream, &upgrade_head("X-Forwarded-For: 192.0.2.99\r\n")) == "HTTP/1.1 429";
        refused
    });
}
