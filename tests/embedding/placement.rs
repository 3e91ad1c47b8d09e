//! Proves that a program says where its clients live, and that this joins nothing; and that nobody
//! is on the way for ever to a shard whose thread a handler blocks.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use corecast::{Claims, Client, Event, Handshake, Server};
use serde_json::{Value, json};

use crate::socket::{PATIENCE, Socket, builder, limits};
use crate::support::{Raw, http, upgrade_head, wait_until};

fn start() -> Server {
    builder()
        .shards(2)
        .authorize(async |handshake: Handshake| {
            let claims = match handshake.query_parameter("name") {
                Some(name) => Claims::for_subject(name),
                None => Claims::anonymous(),
            };
            Ok(match handshake.query_parameter("game") {
                Some(game) => claims.place_with(&game),
                None => claims,
            })
        })
        .on_connect(async |client: Client| {
            assert_eq!(client.handshake().path(), "/ws");
            client.set_state(client.claims().subject().map(str::to_owned));
            Ok(())
        })
        .start()
        .unwrap()
}

fn connect(server: &Server, query: &str) -> Socket {
    Socket::connect_to(server.local_addr(), &format!("/ws?{query}"))
}

#[test]
fn clients_live_where_the_program_says() {
    let server = start();
    let mut sockets: Vec<(usize, Socket)> = Vec::new();
    for round in 0..3 {
        for game in 0..40 {
            let name = if round == 0 { String::new() } else { format!("&name=u{round}") };
            sockets.push((game, connect(&server, &format!("game=game-{game}{name}"))));
        }
    }
    let together = (0..40).filter(|game| {
        let mut of_game = sockets.iter().filter(|(of, _)| of == game).map(|(_, one)| one.shard());
        let first = of_game.next();
        of_game.all(|shard| Some(shard) == first)
    });
    let together = together.count();
    assert!(together >= 24, "{together} of 40 games are on one shard each");
    for (_, socket) in &mut sockets {
        socket.assert_nothing_pending();
    }
    server.shutdown(PATIENCE);
}

/// Connections to one game with rooms of many homes in their query.
#[test]
fn what_the_program_says_holds_over_the_query() {
    let server = start();
    // So that the shard of the game has a place for each.
    let _others: Vec<Socket> = (0..400).map(|_| connect(&server, "")).collect();
    let mut shards = [0, 0];
    for room in 0..30 {
        let mut socket = connect(&server, &format!("room=room-{room}&game=one"));
        assert_eq!(socket.recv_event("cast:joined").room(), format!("room-{room}"));
        shards[socket.shard() as usize] += 1;
    }
    assert!(shards.iter().any(|count| *count >= 27), "{shards:?}");
    for name in ["", &"x".repeat(201), "%00"] {
        connect(&server, &format!("game={name}")).assert_nothing_pending();
    }
    server.shutdown(PATIENCE);
}

/// Asks for a WebSocket or an event stream whose first room is this.
fn ask(server: &Server, room: usize) -> Raw {
    let mut raw = Raw::dial(server.local_addr());
    let head = match room % 2 {
        0 => upgrade_head("").replacen("/ws", &format!("/ws?room=room-{room}"), 1),
        _ => format!("GET /v1/rooms/room-{room}/events HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    };
    raw.write(head.as_bytes());
    raw
}

#[test]
fn nobody_is_on_the_way_for_longer_than_a_handshake_may_take() {
    const TIMEOUT: Duration = Duration::from_millis(500);
    let (stuck, is_stuck) = channel();
    let (release, released) = channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let mut limits = limits();
    (limits.handshake_timeout, limits.connections) = (TIMEOUT, 100);
    let server = builder()
        .shards(2)
        .limits(limits)
        .on("block", async move |_: Client, _: Event| {
            stuck.send(())?;
            let _ = released.lock().unwrap().recv();
            Ok(())
        })
        .start()
        .unwrap();
    // A test that fails must not leave the shard blocked.
    let release = release;
    let mut others: Vec<Socket> = (0..60).map(|_| connect(&server, "")).collect();
    let on_second = others.iter().filter(|other| other.shard() == 1).count();
    // That of the two which has a place for some more.
    let home = u64::from(on_second <= 30);
    let blocker = others.iter_mut().find(|other| other.shard() == home).unwrap();
    blocker.send(&json!({"event": "block"}));
    is_stuck.recv_timeout(PATIENCE).unwrap();

    let asking: Vec<Raw> = (0..40).map(|room| ask(&server, room)).collect();
    thread::sleep(3 * TIMEOUT);
    // The others the shard that is stuck has not accepted.
    let (mut answered, mut waiting): (Vec<Raw>, Vec<Raw>) =
        asking.into_iter().partition(Raw::has_answer);
    let begins = |raw: &mut Raw| {
        let head = raw.head();
        assert!(["HTTP/1.1 101 ", "HTTP/1.1 200 "].iter().any(|ok| head.starts_with(ok)), "{head}");
    };
    answered.iter_mut().for_each(begins);
    release.send(()).unwrap();
    waiting.iter_mut().for_each(begins);
    let stats = || http(server.local_addr(), "GET", "/v1/stats", &[], "").json();
    let of_shards = |stats: &Value| [home, 1 - home].map(|at| stats["shards"][at as usize].clone());
    let [stuck, other] = of_shards(&stats());
    let (handed_over, placed) = (other["handed_over"].as_u64().unwrap(), &stuck["placed"]);
    assert!(handed_over > 0 && *placed == json!(0), "{handed_over} handed over, {placed} placed");

    drop((answered, waiting));
    let mut more = Vec::new();
    let open = |room| Socket::open(server.local_addr(), &format!("/ws?room=room-{room}"), &[]);
    wait_until("each has given its place back", || {
        more.extend(open(more.len()));
        more.len() == 40
    });
    assert_eq!(open(0).unwrap_err().status().as_u16(), 503, "each has given it back once");
    let shards = of_shards(&stats());
    // A quarter above the mean of 100.
    assert!(shards.iter().all(|shard| shard["connections"].as_u64().unwrap() <= 63), "{shards:?}");
    assert!(shards[0]["placed"].as_u64().unwrap() > 0, "it has places again: {shards:?}");
    server.shutdown(PATIENCE);
}
