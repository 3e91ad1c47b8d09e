//! Proves that connections live on the home shard of their first room as long as that has a place for
//! them, that one room spreads by itself, and that nothing of a connection is lost or counted twice on
//! its way there.

use crate::support::tls::{Tunnel, start as start_tls};
use crate::support::{Client, Envelope, Events, PATIENCE, Raw, Server, frames, upgrade_head};
use crate::support::{http, wait_until};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

fn target(room: usize) -> String {
    format!("/ws?room=room-{room}&room=common")
}

/// Connects this many clients to each of so many rooms, one room after the other.
fn connect(address: SocketAddr, rooms: usize, members: usize) -> Vec<(usize, Client)> {
    let pairs = (0..members).flat_map(|_| 0..rooms);
    pairs.map(|room| (room, Client::connect_to(address, &target(room)))).collect()
}

/// How many clients each shard has, and how many of them live with all others of their room.
fn spread(clients: &[(usize, Client)]) -> (Vec<usize>, usize) {
    let (mut by_shard, mut by_room) = (BTreeMap::new(), BTreeMap::<usize, Vec<u64>>::new());
    for (room, client) in clients {
        *by_shard.entry(client.shard()).or_default() += 1;
        by_room.entry(*room).or_default().push(client.shard());
    }
    let together = by_room.values().filter(|shards| shards.iter().all(|shard| *shard == shards[0]));
    (by_shard.into_values().collect(), together.map(Vec::len).sum())
}

/// Connections that were refused a place on their home, or found the ring to it full.
fn refused(server: &Server, cause: &str) -> u64 {
    let stats = server.stats();
    let shards = stats["shards"].as_array().unwrap();
    shards.iter().map(|shard| shard["placement_refused"][cause].as_u64().unwrap()).sum()
}

fn check_together(address: SocketAddr, clients: &[(usize, Client)]) {
    let (by_shard, together) = spread(clients);
    let (count, shards) = (clients.len(), by_shard.len());
    assert!(together * 10 >= count * 7, "{together} of {count} live with their room");
    // What comes in at its home stays there, and that may be a few more.
    let most = (count * 5).div_ceil(4 * shards) + count / 20;
    assert!(by_shard.iter().all(|held| *held <= most), "{by_shard:?} and not {most} at most");
    let stats = http(address, "GET", "/v1/stats", &[], "").json();
    let sum = |figure: &str| {
        let of_shards = stats["shards"].as_array().unwrap().iter();
        of_shards.map(|shard| shard[figure].as_u64().unwrap()).sum::<u64>()
    };
    assert!(sum("placed") > 0 && sum("placed") == sum("handed_over"), "{stats}");
    assert_eq!(sum("connections"), count as u64);
}

#[test]
fn members_of_a_small_room_live_on_one_shard() {
    for shards in [1, 2, 3] {
        let server = Server::start_with_shards(shards, &[]);
        let mut clients = connect(server.address(), 100, 3);
        match shards {
            1 => assert_eq!(server.total("handed_over"), 0, "there is nowhere to go"),
            _ => check_together(server.address(), &clients),
        }
        for (room, client) in &mut clients {
            let joined = [client.recv_event("cast:joined"), client.recv_event("cast:joined")];
            let names = [format!("room-{room}"), "common".to_owned()];
            assert!(joined.iter().all(|joined| names.contains(&joined.room())), "{joined:?}");
        }
        let speaker = &mut clients[0].1;
        assert_eq!(speaker.publish("room-0", "chat", json!(1)), 1);
        for (_, client) in clients.iter_mut().filter(|(room, _)| *room == 0).skip(1) {
            assert_eq!(client.recv_event("chat").offset(), 1);
        }
    }
}

#[test]
fn one_room_spreads_by_itself() {
    let server = Server::start_with_shards(2, &[]);
    let clients = connect(server.address(), 1, 300);
    let (by_shard, _) = spread(&clients);
    // What the kernel hands to the home itself stays there, of which there may be some more.
    assert!(by_shard.iter().all(|held| *held < 210), "{by_shard:?}");
    assert!(server.total("placed") > 0 && refused(&server, "loaded") > 0);
    assert_eq!(server.members("room-0"), 300);
}

#[test]
fn bytes_behind_the_head_travel_with_the_connection() {
    let server = Server::start_with_shards(2, &[]);
    for room in 0..20 {
        let mut raw = Raw::dial(server.address());
        let head = upgrade_head("").replacen("/ws", &format!("/ws?room=room-{room}"), 1);
        let long = "x".repeat(5_000);
        let publish = format!(
            r#"{{"event":"cast:publish","room":"room-{room}","id":1,"data":{{"event":"chat","data":"{long}"}}}}"#
        );
        let frame = frames::text(&publish);
        let (first, rest) = frame.split_at(700);
        raw.write(&[head.as_bytes(), first].concat());
        raw.expect_upgraded();
        raw.write(rest);
        let replies: Vec<Envelope> = (0..4).map(|_| raw.envelope()).collect();
        assert_eq!(replies[0].event(), "cast:welcome");
        assert_eq!(replies[1].event(), "cast:joined");
        assert!(replies.iter().any(|reply| reply.event() == "cast:ack"), "{replies:?}");
    }
    assert!(server.total("placed") > 0);
}

#[test]
fn event_streams_are_placed_by_their_first_room() {
    let server = Server::start_with_shards(2, &[]);
    let listen = |room: usize, keeps_alive: bool| {
        let mut raw = Raw::dial(server.address());
        if keeps_alive {
            raw.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(raw.response().status, 200);
        }
        let path = match room % 2 {
            0 => format!("/v1/rooms/room-{room}/events"),
            _ => format!("/v1/events?room=room-{room}&room=other"),
        };
        raw.write(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        Events::answered(raw).unwrap_or_else(|refused| panic!("{refused:?}"))
    };
    let mut streams: Vec<Events> = (0..40).map(|n| listen(n % 20, n % 3 == 0)).collect();
    assert!(server.total("placed") > 0 && server.total("connections") == 40);
    let mut publisher = Client::connect(&server);
    for (n, stream) in streams.iter_mut().enumerate() {
        let room = format!("room-{}", n % 20);
        assert_eq!(server.members(&room), 2);
        if n < 20 {
            publisher.publish(&room, "chat", json!(n));
        }
        let data = stream.event().data;
        assert!(data.contains(r#""event":"chat""#) && data.contains(&room), "{data}");
    }
    drop(streams);
    server.wait_for_total("connections", 1);
}

#[test]
fn a_sealed_connection_travels_with_its_session() {
    let (server, pair, _folder) = start_tls(&[]);
    let tunnel = Tunnel::to(&server, &pair.client());
    let mut clients = connect(tunnel.address(), 100, 3);
    check_together(tunnel.address(), &clients);
    for (room, client) in &mut clients {
        client.recv_event("cast:joined");
        client.recv_event("cast:joined");
        client.publish(&format!("room-{room}"), "chat", json!("x".repeat(40_000)));
    }
}

/// Each limit is that of the connections that there are, wherever they came in.
#[test]
fn places_are_counted_once_and_given_back() {
    let server = Server::start_with_shards(2, &["--max-connections", "30"]);
    for round in 0..4 {
        let clients = connect(server.address(), 10, 3);
        let beyond = Client::open(&server, &target(3), &[]).expect_err("it is one too many");
        assert_eq!(beyond.status().as_u16(), 503, "round {round}");
        drop(clients);
        server.wait_for_total("connections", 0);
        wait_until("the descriptors are closed", || Client::open(&server, "/ws", &[]).is_ok());
        server.wait_for_total("connections", 0);
    }
    let server = Server::start_with_shards(2, &["--max-connections-per-address", "8", "--open"]);
    for _ in 0..4 {
        let one_left = (0..7).map(|room| Client::connect_to(&server, &target(room)));
        let clients: Vec<Client> = one_left.collect();
        drop(clients);
        server.wait_for_total("connections", 0);
    }
}

#[test]
fn a_drain_answers_those_on_their_way() {
    for _ in 0..5 {
        let mut server = Server::start_with_shards(3, &["--drain-timeout", "20s"]);
        let (ends, opened) = (AtomicBool::new(false), AtomicUsize::new(0));
        let address = server.address();
        thread::scope(|scope| {
            for worker in 0..4 {
                let (ends, opened) = (&ends, &opened);
                scope.spawn(move || {
                    for n in 0.. {
                        if ends.load(Ordering::Relaxed) {
                            return;
                        }
                        open_in_drain(address, worker * 1_000 + n, opened);
                    }
                });
            }
            wait_until("many are open", || opened.load(Ordering::Relaxed) > 100);
            let status = server.terminate();
            ends.store(true, Ordering::Relaxed);
            assert_eq!(status.code(), Some(0), "nothing holds the drain up");
        });
    }
}

/// One connection, which a server that ends may refuse or close in any way but by silence.
fn open_in_drain(address: SocketAddr, room: usize, opened: &AtomicUsize) {
    let Ok(mut stream) = TcpStream::connect(address) else { return };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = upgrade_head("").replacen("/ws", &format!("/ws?room={room}"), 1);
    if stream.write_all(head.as_bytes()).is_err() {
        return;
    }
    let mut begin = [0; 12];
    match stream.read_exact(&mut begin) {
        Ok(()) => {
            assert!([b"HTTP/1.1 101", b"HTTP/1.1 503"].contains(&&begin), "{begin:?}");
            opened.fetch_add(1, Ordering::Relaxed);
        }
        Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "it is forgotten"),
    }
    let _ = stream.shutdown(Shutdown::Write);
    if let Err(error) = stream.read_to_end(&mut Vec::new()) {
        assert_ne!(error.kind(), ErrorKind::WouldBlock, "it is left open");
    }
}
