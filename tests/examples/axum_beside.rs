//! A request to the axum application becomes a message in a room of the server beside it.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::member::join;
use crate::program::{PATIENCE, Program};

/// Posts JSON; returns the status and the answer.
fn post(address: &str, path: &str, body: &Value) -> (u16, Value) {
    let host = address.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = body.to_string();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[test]
fn a_request_is_published_and_answered_with_its_receipt() {
    let example = Program::start("axum_beside", &["127.0.0.1:0", "127.0.0.1:0"]);
    let (sockets, requests) = (example.address("sockets on "), example.address("requests on "));
    let mut socket = join(&sockets, "news");
    for offset in 1..=3 {
        let article = json!({"title": format!("Hello {offset}")});
        let receipt = json!({"offset": offset, "members": 1});
        assert_eq!(post(&requests, "/rooms/news/article", &article), (202, receipt));
        let message =
            json!({"event": "article", "data": article, "room": "news", "offset": offset});
        assert_eq!(socket.recv(), message);
    }
    let (status, refused) = post(&requests, "/rooms/news/cast:join", &json!(1));
    assert_eq!(status, 400);
    assert!(refused["error"].as_str().unwrap().contains("cast:"), "{refused}");
    example.interrupt();
    // The member has not answered the goodbye yet: the application goes on meanwhile.
    assert!(socket.goodbye().reason.starts_with("shutdown retry="));
    let (status, _) = post(&requests, "/rooms/news/article", &json!(1));
    assert_eq!(status, 503);
    drop(socket);
    example.end();
}
