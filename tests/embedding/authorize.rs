//! Proves that the program decides who may connect, and knows afterwards who it is.

use std::time::Duration;

use corecast::{Claims, Client, Handshake, Message, Refusal, Server};
use serde_json::{Value, json};

use crate::socket::{Gate, PATIENCE, Socket, builder, limits};

/// Lets people in by name; what else they try is refused, each in its own way.
async fn by_name(handshake: Handshake) -> Result<Claims, Refusal> {
    match handshake.query_parameter("name").as_deref() {
        Some("panic") => panic!("on purpose"),
        Some("never") => std::future::pending().await,
        Some("slow") => {
            Gate::after(Duration::from_millis(50)).await;
            Ok(Claims::for_subject("slow"))
        }
        Some("mallory") => Err(Refusal::forbidden("mallory may not")),
        Some(name) => Ok(Claims::for_subject(name)),
        None => Err(Refusal::unauthorized("say who you are, as in /ws?name=ada")),
    }
}

fn start() -> Server {
    let mut limits = limits();
    limits.handshake_timeout = Duration::from_millis(500);
    builder()
        .shards(2)
        .limits(limits)
        .authorize(by_name)
        .on_connect(async |client: Client| {
            let handshake = client.handshake();
            let known = json!({
                "name": client.claims().subject(),
                "path": handshake.path(),
                "agent": handshake.header("user-agent"),
                "loopback": client.remote_addr().ip().is_loopback(),
            });
            Ok(client.try_publish(Message::event("known", &known)?)?)
        })
        .start()
        .unwrap()
}

#[test]
fn who_is_let_in_is_known_to_every_handler() {
    let server = start();
    for name in ["ada", "slow"] {
        let path = format!("/ws?name={name}");
        let mut socket =
            Socket::open(server.local_addr(), &path, &[("user-agent", "test")]).unwrap();
        assert_eq!(socket.recv()["event"], "cast:welcome");
        let known = json!({"name": name, "path": "/ws", "agent": "test", "loopback": true});
        socket.expect(json!({"event": "known", "data": known}));
        socket.assert_nothing_pending();
    }
    server.shutdown(PATIENCE);
}

#[test]
fn who_is_not_is_told_why_before_the_upgrade() {
    let server = start();
    for (query, status, code) in [
        ("", 401, "unauthorized"),
        ("?name=mallory", 403, "forbidden"),
        ("?name=panic", 500, "unavailable"),
        ("?name=never", 503, "unavailable"),
    ] {
        let refused = Socket::open(server.local_addr(), &format!("/ws{query}"), &[]).unwrap_err();
        assert_eq!(refused.status().as_u16(), status, "{query}");
        let body: Value = serde_json::from_slice(refused.body().as_ref().unwrap()).unwrap();
        assert_eq!(body["error"]["code"], code, "{body}");
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(server.broadcaster().connection_count(), 0);
    server.shutdown(PATIENCE);
}

#[test]
fn what_comes_behind_the_handshake_is_handled_after_it() {
    use std::io::{Read, Write};
    let server = start();
    let mut stream = std::net::TcpStream::connect(server.local_addr()).unwrap();
    let head = "GET /ws?name=slow HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let ping = |id: u32| {
        let command = format!(r#"{{"event":"cast:ping","id":{id}}}"#);
        crate::support::frames::text(&command)
    };
    stream.write_all(&[head.as_bytes(), &ping(1)].concat()).unwrap();
    // This one arrives while the program is deciding, and nobody reads it then.
    std::thread::sleep(Duration::from_millis(10));
    stream.write_all(&ping(2)).unwrap();
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    while !seen.contains(r#""id":2"#) {
        let len = stream.read(&mut buffer).unwrap();
        assert!(len > 0, "it ended after {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..len]));
    }
    let place = |what: &str| seen.find(what).unwrap_or_else(|| panic!("{what} in {seen}"));
    let order = ["cast:welcome", "known", r#""id":1"#, r#""id":2"#].map(place);
    assert!(order.is_sorted(), "{seen}");
    server.shutdown(PATIENCE);
}
