//! Proves that the rooms of all shards can be listed, page by page, in the order of their names.

use crate::support::{Client, Server};
use serde_json::{Value, json};

fn names(page: &Value) -> Vec<String> {
    let rooms = page["rooms"].as_array().unwrap_or_else(|| panic!("no rooms in {page}"));
    rooms.iter().map(|room| room["room"].as_str().unwrap().to_owned()).collect()
}

fn list(server: &Server, query: &str) -> Value {
    let response = server.get(&format!("/v1/rooms{query}"));
    assert_eq!(response.status, 200, "in {response:?}");
    response.json()
}

fn percent_encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Publishes once into each room, which begins and keeps it.
fn begin(server: &Server, rooms: &[String]) {
    let mut client = Client::connect(server);
    for room in rooms {
        let inner = json!({"event": "e"});
        client.send(&json!({"event": "cast:publish", "room": room, "id": room, "data": inner}));
    }
    for _ in rooms {
        client.recv_event("cast:ack");
    }
}

#[test]
fn a_room_tells_members_offset_and_epoch() {
    let server = Server::start(&[]);
    let (mut one, mut two) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    let epoch = one.join("lobby").epoch;
    two.join("lobby");
    for n in 0..4 {
        two.publish("lobby", "chat", json!(n));
    }
    let room = json!({"room": "lobby", "members": 2, "offset": 4, "epoch": epoch});
    let response = server.get("/v1/rooms/lobby");
    assert_eq!((response.status, response.json()), (200, room.clone()));
    assert_eq!(list(&server, ""), json!({"rooms": [room]}), "no next when there is no more");

    one.leave("lobby");
    two.leave("lobby");
    assert_eq!(server.get("/v1/rooms/lobby").json()["members"], json!(0), "it lingers");
    server.get("/v1/rooms/another").assert_error(404);
}

#[test]
fn rooms_are_sorted_by_the_bytes_of_their_names() {
    let server = Server::start_with_shards(3, &[]);
    let mut rooms: Vec<String> =
        ["b", "a", "B", "é", "z", "aa", "a/b", "a b", "0", "🦀", "~", "\u{80}", "%", "A"]
            .map(str::to_owned)
            .into();
    begin(&server, &rooms);
    rooms.sort();
    assert_eq!(names(&list(&server, "")), rooms);
    // Whatever the last name of a page is, the page after it begins behind it.
    for (index, room) in rooms.iter().enumerate() {
        let page = list(&server, &format!("?after={}", percent_encoded(room)));
        assert_eq!(names(&page), rooms[index + 1..], "after {room}");
    }
    assert_eq!(names(&list(&server, "?after=Zzz")), rooms[4..], "after need not be a room");
}

#[test]
fn pages_add_up_to_the_whole_list() {
    let server = Server::start_with_shards(4, &[]);
    let rooms: Vec<String> = (0..250).map(|n| format!("room/{n:03}")).collect();
    begin(&server, &rooms);
    for (limit, pages) in [("", 3), ("limit=1", 250), ("limit=100", 3), ("limit=125", 2)] {
        let (mut collected, mut count, mut query) = (Vec::new(), 0, format!("?{limit}"));
        loop {
            let page = list(&server, &query);
            collected.extend(names(&page));
            count += 1;
            let Some(next) = page.get("next") else { break };
            let next = next.as_str().expect("next is a string to be given as after");
            query = format!("?{limit}&after={}", percent_encoded(next));
        }
        assert_eq!((collected, count), (rooms.clone(), pages), "with {limit:?}");
    }
    assert_eq!(names(&list(&server, "?limit=250")).len(), 250);
    assert!(list(&server, "?limit=250").get("next").is_none(), "exactly all is not more");
    assert!(list(&server, "?limit=249").get("next").is_some());
}

#[test]
fn a_page_has_up_to_a_thousand_rooms() {
    let server = Server::start(&[]);
    let rooms: Vec<String> = (0..1001).map(|n| format!("room-{n:04}")).collect();
    begin(&server, &rooms);
    let page = list(&server, "?limit=1000");
    assert_eq!(names(&page), rooms[..1000]);
    assert!(page.get("next").is_some());
}

#[test]
fn a_limit_that_is_none_is_refused() {
    let server = Server::start(&[]);
    for limit in ["0", "1001", "-1", "", "x", "1.5", "99999999999999999999"] {
        let response = server.get(&format!("/v1/rooms?limit={limit}"));
        assert_eq!(response.status, 400, "limit={limit}: {response:?}");
        response.assert_error(400);
    }
    assert_eq!(list(&server, "?limit=1&more=x"), json!({"rooms": []}));
}
