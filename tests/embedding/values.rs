//! Proves that no value which a program can pass ends the process: each is taken, or is an error of
//! that call, and the server goes on.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use corecast::{
    Client, Close, CloseCode, ConnId, Disconnect, Event, Handshake, HttpRequest, HttpResponse,
    Limits, Message, MessageError, Method, PublishError, Refusal, RouteResult, Server,
};
use corecast_shards::{Amount, Limit};
use futures_lite::future::block_on;
use serde_json::{Value, json};

use crate::socket::{PATIENCE, Socket, builder, limits};

/// Whether connections are still served.
fn check_alive(server: &Server) {
    let mut socket = Socket::connect(server.local_addr());
    socket.send(&json!({"event": "cast:ping"}));
    // Broadcasts may be on their way still.
    while !socket.read().unwrap().to_text().is_ok_and(|text| text.contains("cast:pong")) {}
}

/// Events and rooms at the edges of what is allowed, and beyond.
fn names() -> Vec<String> {
    let short = ["", "\0", "a\0b", "a\nb", "\u{7f}", "cast:", "cast:join", "é", "\u{feff}", "\""];
    let long = [128, 129, 200, 201, 1 << 20].map(|bytes| "x".repeat(bytes));
    short.map(str::to_owned).into_iter().chain(long).collect()
}

/// Messages with data without a JSON form, with a strange one, and much of it.
fn odd_messages(event: &str) -> impl Iterator<Item = Message> {
    let keys = HashMap::from([(vec![1, 2], 3)]);
    assert!(matches!(Message::event("m", keys), Err(MessageError::Data(_))));
    let events = [
        Message::event(event, f64::NAN),
        Message::event(event, f64::INFINITY),
        Message::event(event, "\0\u{ffff}"),
        Message::event(event, vec![0_u8; 1 << 20]),
    ];
    events.into_iter().flatten().chain(verbatim_messages())
}

/// Messages of the program's own format, empty and large.
fn verbatim_messages() -> impl Iterator<Item = Message> {
    let (empty, large) = (Vec::new(), vec![0; 1 << 20]);
    [Message::text(""), Message::binary(empty), Message::binary(large)].into_iter()
}

/// Every such message to a client that closes when it is done.
async fn try_verbatim(client: Client, _: String) -> corecast::HandlerResult {
    for message in verbatim_messages() {
        let _ = client.try_publish(message.clone());
        for name in names() {
            let _ = client.to_room(&name).try_publish(message.clone());
            let _ = client.to_room(&name).try_publish(Message::text(&*name));
        }
    }
    Ok(client.try_publish(Message::text("done"))?)
}

async fn try_names(client: Client, event: Event) -> corecast::HandlerResult {
    for name in names() {
        let _ = client.join(&name).await;
        let _ = client.leave(&name).await;
        for message in odd_messages(&name) {
            let _ = client.try_publish(message.clone());
            let _ = client.reply_to(&event).try_publish(message.clone());
            let _ = client.to_all().try_publish(message.clone());
            let _ = client.to_room(&name).try_publish(message.clone());
            let _ = client.to_room(&name).except(client.id()).publish(message).await;
        }
    }
    Ok(client.reply_to(&event).publish(Message::event("done", ())?).await.map(drop)?)
}

#[test]
fn names_and_data_of_handlers_and_threads() {
    // The handler does not wait for the client to read: no message may leave the log before that.
    let mut roomy = limits();
    roomy.room_log_bytes = 256 << 20;
    let server = builder().limits(roomy).shards(2).on("names", try_names).start().unwrap();
    let mut socket = Socket::connect(server.local_addr());
    socket.send(&json!({"event": "names", "id": 1}));
    while !is_done(socket.read().unwrap()) {}
    drop(socket);
    let cast = server.broadcaster();
    for name in names() {
        for message in odd_messages(&name) {
            let _ = cast.try_publish(message.clone());
            let _ = cast.to_room(&name).try_publish(message.clone());
            let _ = cast.to_room(&name).publish_blocking(message);
        }
        let _ = block_on(cast.room(&name));
    }
    check_alive(&server);
    server.shutdown(PATIENCE);
}

fn is_done(frame: tungstenite::Message) -> bool {
    frame.to_text().is_ok_and(|text| text.contains(r#""event":"done""#))
}

#[test]
fn messages_in_a_format_of_the_programs_own() {
    let server = builder().shards(2).on_text(try_verbatim).start().unwrap();
    let mut socket = Socket::open(server.local_addr(), "/ws", &[]).unwrap();
    socket.send_text("");
    while socket.read().unwrap() != tungstenite::Message::text("done") {}
    server.shutdown(PATIENCE);
}

#[test]
fn connections_that_never_were() {
    let server = builder().shards(2).start().unwrap();
    let cast = server.broadcaster();
    for text in ["00000000000000000000", "ffffffffffffffffffff", "0001ffffffff00000001"] {
        let id: ConnId = text.parse().unwrap();
        assert!(!block_on(cast.close(id, Disconnect::Kicked)).unwrap(), "{text}");
        let gone = block_on(cast.to_connection(id).publish(Message::text("m")));
        assert!(matches!(gone, Err(PublishError::Gone(_))), "{gone:?}");
        let _ = cast.to_connection(id).try_publish(Message::text("m"));
    }
    check_alive(&server);
    server.shutdown(PATIENCE);
}

#[test]
fn every_way_to_close() {
    let server = builder().shards(1).start().unwrap();
    let cast = server.broadcaster();
    let codes: Vec<CloseCode> =
        (0..=u16::MAX).filter_map(|code| CloseCode::new(code).ok()).collect();
    assert_eq!(codes.len(), 4 + 8 + 2000, "those that may be sent");
    let edges = [codes[0], codes[3], codes[4], codes[11], codes[12], codes[codes.len() - 1]];
    let reasons = Disconnect::ALL.into_iter().map(Close::from);
    let texts = ["", "\0", "é", &"é".repeat(1000)];
    let own = edges.into_iter().zip(texts.into_iter().cycle());
    for close in reasons.chain(own.map(|(code, text)| Close::new(code, text))) {
        let mut socket = Socket::open(server.local_addr(), "/ws", &[]).unwrap();
        let id = socket.recv()["data"]["connection"].as_str().unwrap().parse().unwrap();
        assert!(block_on(cast.close(id, close.clone())).unwrap(), "{close:?}");
        while socket.read().is_ok() {}
        block_on(cast.close_all(close)).unwrap();
    }
    check_alive(&server);
    server.shutdown(PATIENCE);
}

/// Answers in the way that the request names.
async fn answer(request: HttpRequest) -> RouteResult {
    let fine = || HttpResponse::text("fine");
    Ok(match request.path_parameter("way").unwrap_or_default() {
        "status" => {
            let status = request.query_parameter("n").unwrap_or_default().parse()?;
            fine().with_status(status)
        }
        "type" => HttpResponse::new("a\nb", "x"),
        "name" => fine().with_header("a b", "x"),
        "value" => fine().with_header("a", "x\r\ny: z"),
        "case" => fine().with_header("X-Mixed-Case", "x"),
        "length" => fine().with_header("content-length", "7").with_header("content-length", "9"),
        "coding" => fine().with_header("transfer-encoding", "chunked"),
        _ => return Err("no such way".into()),
    })
}

/// The status of an answer, or 0 when the connection ends without one.
fn status_of(server: &Server, path: &str) -> u16 {
    let mut stream = TcpStream::connect(server.local_addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn answers_of_routes_that_are_none() {
    let server = builder().shards(1).route(Method::GET, "/answer/{way}", answer).start().unwrap();
    for (path, status) in [
        ("status?n=0", 500),
        ("status?n=99", 500),
        ("status?n=1000", 500),
        ("status?n=65536", 500),
        ("status?n=204", 204),
        ("status?n=304", 304),
        ("status?n=418", 418),
        ("type", 500),
        ("name", 500),
        ("value", 500),
        ("case", 200),
        ("length", 200),
        ("coding", 200),
        ("nothing", 500),
    ] {
        assert_eq!(status_of(&server, &format!("/answer/{path}")), status, "{path}");
    }
    for informational in [100, 101, 199] {
        status_of(&server, &format!("/answer/status?n={informational}"));
    }
    check_alive(&server);
    server.shutdown(PATIENCE);
}

#[test]
fn a_refusal_that_is_none_refuses() {
    let server = builder()
        .shards(1)
        .authorize(async |handshake: Handshake| {
            let status = handshake.query_parameter("n").unwrap_or_default().parse();
            Err(Refusal::new(status.unwrap_or(0), "\0\r\nX: y"))
        })
        .start()
        .unwrap();
    for (asked, status) in [(0, 500), (200, 500), (399, 500), (400, 400), (599, 599), (600, 500)] {
        let refused = Socket::open(server.local_addr(), &format!("/ws?n={asked}"), &[]);
        let refused = refused.unwrap_err();
        assert_eq!(refused.status().as_u16(), status);
        let body: Value = serde_json::from_slice(refused.body().as_ref().unwrap()).unwrap();
        assert!(body["error"]["message"].is_string(), "{body}");
    }
    server.shutdown(PATIENCE);
}

/// The least and the most that a limit could be set to, within its bounds or not.
fn extremes(limit: &Limit) -> [Amount; 2] {
    match limit.least {
        Amount::Bytes(_) => [0, usize::MAX].map(Amount::Bytes),
        Amount::Count(_) => [0, usize::MAX].map(Amount::Count),
        Amount::Time(_) => [Duration::ZERO, Duration::MAX].map(Amount::Time),
    }
}

/// Uses a server that has started all the same.
fn use_it(server: &Server) {
    let mut socket = Socket::connect(server.local_addr());
    socket.join("r");
    socket.send(&json!({"event": "cast:publish", "room": "r", "data": {"event": "m"}}));
    assert_eq!(socket.recv()["event"], "m");
    socket.assert_nothing_pending();
}

#[test]
fn limits_at_their_least_and_their_most() {
    for side in [0, 1] {
        let mut all = limits();
        for limit in Limits::TABLE {
            let mut one = limits();
            limit.set(&mut one, extremes(limit)[side]);
            limit.set(&mut all, extremes(limit)[side]);
            if let Ok(server) = builder().shards(2).limits(one).start() {
                use_it(&server);
                server.shutdown(PATIENCE);
            }
        }
        assert!(builder().shards(2).limits(all.clone()).start().is_err(), "{all:?}");
    }
}

#[test]
fn settings_at_their_edges() {
    assert!(builder().shards(0).start().is_err());
    assert!(builder().shards(usize::MAX).start().is_err());
    for address in ["", ":", "256.0.0.1:1", "127.0.0.1:65536", "\0:1"] {
        assert!(builder().listen(address).start().is_err(), "{address:?}");
    }
    for path in ["", "x", "/{", "/{}", "/{*a}/b", "/ws", "/v1/x"] {
        let route = builder().route(Method::GET, path, async |_| Ok(HttpResponse::text("")));
        if let Ok(server) = route.start() {
            use_it(&server);
            server.shutdown(PATIENCE);
        }
    }
    for bytes in [0, 1, usize::MAX] {
        if let Ok(server) = builder().shards(1).send_buffer(bytes).start() {
            use_it(&server);
            server.shutdown(PATIENCE);
        }
    }
    for timeout in [Duration::ZERO, Duration::MAX] {
        let server = builder()
            .shards(1)
            .handler_timeout(timeout)
            .on("at_once", async |client: Client, event: Event| {
                Ok(client.reply_to(&event).try_publish(Message::event("done", ())?)?)
            })
            .start()
            .unwrap();
        let mut socket = Socket::connect(server.local_addr());
        assert_eq!(socket.request(json!({"event": "at_once"}))["event"], "done");
        drop(socket);
        server.shutdown(Duration::MAX);
    }
}
