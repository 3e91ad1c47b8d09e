//! Proves that rooms and memberships of the whole server have limits, whichever shards they are on.

use crate::support::{Client, Raw, Server};
use serde_json::json;

fn join(client: &mut Client, room: &str) -> Result<(), String> {
    let answer = client.request(json!({"event": "cast:join", "room": room}));
    match &*answer.event() {
        "cast:joined" => Ok(()),
        _ => {
            assert_eq!(
                (answer.error_code(), answer.room()),
                ("too_many_rooms".into(), room.into())
            );
            Err(answer.error_message())
        }
    }
}

#[test]
fn one_room_too_many_is_refused_on_every_shard() {
    let server = Server::start(&["--max-total-rooms", "4"]);
    let mut clients = [Client::connect_on(&server, 0), Client::connect_on(&server, 1)];
    for n in 0..4 {
        join(&mut clients[n % 2], &format!("room-{n}")).unwrap();
    }
    for (n, client) in clients.iter_mut().enumerate() {
        for other in 0..4 {
            let refused = join(client, &format!("more-{n}-{other}")).unwrap_err();
            assert!(refused.contains("max_total_rooms") && refused.contains('4'), "{refused}");
        }
        join(client, &format!("room-{}", 1 - n)).unwrap();
    }
    assert_eq!(server.total("too_many_rooms"), 8);
    assert_eq!(clients[0].publish("elsewhere", "m", json!(1)), 1, "a room without members");
    clients[0].leave("room-2");
    join(&mut clients[1], "instead").unwrap();
    join(&mut clients[0], "room-2").unwrap_err();
}

#[test]
fn one_membership_too_many_is_refused_on_every_shard() {
    let server = Server::start(&["--max-memberships", "5"]);
    let mut clients = [Client::connect_on(&server, 0), Client::connect_on(&server, 1)];
    for n in 0..5 {
        join(&mut clients[n % 2], &format!("room-{}", n / 2)).unwrap();
    }
    for client in &mut clients {
        let refused = join(client, "more").unwrap_err();
        assert!(refused.contains("max_memberships") && refused.contains('5'), "{refused}");
        join(client, "room-0").unwrap();
    }
    clients[0].leave("room-0");
    join(&mut clients[1], "more").unwrap();
}

#[test]
fn an_event_stream_without_a_place_ends_with_the_time_to_come_back() {
    let server = Server::start(&["--max-total-rooms", "1"]);
    let mut client = Client::connect(&server);
    join(&mut client, "a").unwrap();
    let mut raw = Raw::dial(server.address());
    raw.write(b"GET /v1/rooms/b/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = String::from_utf8(raw.read_to_end()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(": capacity retry="), "{answer}");
}
