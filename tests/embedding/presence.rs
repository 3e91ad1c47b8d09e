//! Proves that a program knows who is in a room, and can have a client watch that.

use std::sync::Arc;

use corecast::{Claims, Client, ControlError, Event, Handshake, Presence, Server};
use futures_lite::future::block_on;
use serde_json::{Value, json};

use crate::socket::{Socket, builder};

fn server() -> Server {
    let builder = builder().shards(2).authorize(async |handshake: Handshake| {
        let name = handshake.query_parameter("name").unwrap_or_default();
        let claims = json!({"sub": name, "cast": {"join": ["*"], "info": {"is": name}}});
        Ok(Claims::new(&claims).expect("it is an object"))
    });
    let builder = builder.on("watch", async |client: Client, event: Event| {
        let room: String = event.parse()?;
        client.join(&room).presence().await?;
        Ok(())
    });
    builder.start().unwrap()
}

fn open(server: &Server, name: &str) -> Socket {
    let socket = Socket::open(server.local_addr(), &format!("/ws?name={name}"), &[]);
    let mut socket = socket.expect("everybody is let in");
    socket.recv_event("cast:welcome");
    socket
}

fn presence(server: &Server, room: &str) -> Result<Option<Arc<Presence>>, ControlError> {
    block_on(server.broadcaster().to_room(room).presence())
}

#[test]
fn a_program_knows_who_is_in_a_room() {
    let server = server();
    assert_eq!(presence(&server, "lobby"), Ok(None), "there is no such room");
    assert!(matches!(presence(&server, ""), Err(ControlError::Room(_))));
    let everybody = block_on(server.broadcaster().to_all().presence());
    assert_eq!(everybody, Err(ControlError::NotARoom));
    let mut sockets: Vec<Socket> = ["ann", "ben", "ann"].map(|name| open(&server, name)).into();
    for socket in &mut sockets {
        socket.send(&json!({"event": "cast:join", "room": "lobby"}));
        socket.recv_event("cast:joined");
    }
    let known = presence(&server, "lobby").unwrap().unwrap();
    let users: Value = serde_json::from_str(&known.users).unwrap();
    let expected = json!([
        {"user": "ann", "connections": 2, "info": {"is": "ann"}},
        {"user": "ben", "connections": 1, "info": {"is": "ben"}},
    ]);
    assert_eq!((users, known.count, known.more), (expected, 2, false));
}

#[test]
fn a_client_that_the_program_joins_may_watch_the_room() {
    let server = server();
    let mut watcher = open(&server, "ann");
    watcher.send(&json!({"event": "watch", "data": "lobby"}));
    let joined = watcher.recv_event("cast:joined");
    assert_eq!(joined.data()["presence"]["users"][0]["user"], "ann");
    let mut other = open(&server, "ben");
    other.send(&json!({"event": "cast:join", "room": "lobby"}));
    other.recv_event("cast:joined");
    let change = watcher.recv_event("cast:presence_change");
    assert_eq!(change.data()["join"], json!([{"user": "ben", "info": {"is": "ben"}}]));
}
