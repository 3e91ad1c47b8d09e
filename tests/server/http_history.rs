//! Proves that what a room keeps of its messages can be read over HTTP, page by page, by those who may
//! read, and is complete or refused with the reason.

use std::collections::BTreeSet;

use crate::support::{Client, Folder, Issuer, Raw, Response, Server, http, wait_until};
use serde_json::{Value, json};

fn history(server: &Server, query: &str) -> Value {
    let response = server.get(&format!("/v1/rooms/lobby/history{query}"));
    assert_eq!(response.status, 200, "{query}: {response:?}");
    response.json()
}

fn offsets(page: &Value) -> Vec<u64> {
    let messages = page["messages"].as_array().unwrap_or_else(|| panic!("no messages in {page}"));
    messages.iter().map(|message| message["offset"].as_u64().expect("an offset")).collect()
}

/// A server whose rooms keep so many messages, a room with as many, and its epoch.
fn kept(keeps: usize, messages: u64) -> (Server, Client, String) {
    let server = Server::start(&["--room", &format!("lobby:history={keeps}")]);
    let mut speaker = Client::connect_on(&server, 0);
    let epoch = speaker.join("lobby").epoch;
    for n in 1..=messages {
        speaker.publish("lobby", "chat", json!({"n": n}));
    }
    (server, speaker, epoch)
}

#[test]
fn messages_are_what_members_read_and_data_is_byte_for_byte() {
    let (server, mut speaker, epoch) = kept(10, 0);
    let data = r#"{ "b" : 1.50, "a":"\u00e9\ud800" ,"b":[ ]}"#;
    speaker.send_text(&format!(
        r#"{{"event":"cast:publish","room":"lobby","id":1,"data":{{"event":"a\"b","data":{data}}}}}"#
    ));
    speaker.recv_event("cast:ack");
    let response = server.get("/v1/rooms/lobby/history");
    assert_eq!(response.header("content-type"), Some("application/json"));
    let body = String::from_utf8(response.body).unwrap();
    let message = format!(r#"{{"event":"a\"b","data":{data},"room":"lobby","offset":1}}"#);
    assert_eq!(body, format!(r#"{{"epoch":"{epoch}","offset":1,"messages":[{message}]}}"#));
}

#[test]
fn without_since_the_newest_come_and_nothing_is_claimed() {
    let (server, ..) = kept(150, 160);
    for (query, first) in
        [("", 61), ("?limit=1", 160), ("?limit=7", 154), ("?limit=1000", 11), ("?limit=150", 11)]
    {
        let page = history(&server, query);
        assert_eq!(offsets(&page), (first..=160).collect::<Vec<_>>(), "{query}");
        assert_eq!(page["messages"][0]["data"], json!({"n": first}));
        assert_eq!((&page["offset"], page.get("recovered")), (&json!(160), None), "{query}");
        assert_eq!(page.get("next"), None, "what is older is not on a next page");
    }
}

#[test]
fn with_since_the_answer_is_complete_or_refused_with_the_reason() {
    let (server, _, epoch) = kept(3, 5);
    let rows = [
        ("?since=2", None),
        ("?since=5", None),
        ("?since=1", Some("too_old")),
        ("?since=0", Some("too_old")),
        ("?since=6", Some("future")),
        ("?since=18446744073709551615", Some("future")),
        ("?since=4&epoch=0", Some("epoch")),
        ("?since=4&epoch=", Some("epoch")),
        ("?since=0&epoch=%00%F0", Some("epoch")),
    ];
    for (query, reason) in rows {
        let page = history(&server, query);
        assert_eq!(page["recovered"], json!(reason.is_none()), "{query}");
        assert_eq!(page.get("reason"), reason.map(|reason| json!(reason)).as_ref(), "{query}");
        assert_eq!((&page["epoch"], &page["offset"]), (&json!(epoch), &json!(5)), "{query}");
        assert!(reason.is_none() || page["messages"] == json!([]), "{query}: {page}");
    }
    assert_eq!(offsets(&history(&server, &format!("?since=2&epoch={epoch}"))), [3, 4, 5]);
    assert!(offsets(&history(&server, &format!("?epoch={epoch}&since=5"))).is_empty());
}

#[test]
fn pages_add_up_to_all_that_was_missed() {
    let (server, mut speaker, epoch) = kept(300, 250);
    for (limit, pages) in [(1, 240), (7, 35), (100, 3), (120, 2), (1000, 1)] {
        let (mut collected, mut count, mut since) = (Vec::new(), 0, 10);
        loop {
            let page = history(&server, &format!("?since={since}&epoch={epoch}&limit={limit}"));
            assert_eq!(page["recovered"], json!(true));
            collected.extend(offsets(&page));
            count += 1;
            let Some(next) = page.get("next") else { break };
            since = next.as_u64().expect("next is a number to be given as since");
            assert_eq!(Some(&since), collected.last());
        }
        assert_eq!((collected, count), ((11..=250).collect(), pages), "{limit} at a time");
    }
    // Pages of a room that goes on end where it is by then.
    let page = history(&server, "?since=0&limit=250");
    assert_eq!(page.get("next"), None);
    speaker.publish("lobby", "chat", json!("one more"));
    assert_eq!(offsets(&history(&server, "?since=250&limit=250")), [251]);
}

#[test]
fn a_page_has_a_megabyte_of_messages_at_most_and_at_least_one() {
    let flags = ["--room", "lobby:history=10,history-bytes=20MiB", "--max-message", "3MiB"];
    let server = Server::start(&flags);
    let data = |letters: usize| json!({"event": "m", "data": "x".repeat(letters)}).to_string();
    for letters in [400_000, 400_000, 400_000, 2_000_000, 10] {
        let published = server.post("/v1/rooms/lobby/publish", &data(letters));
        assert_eq!(published.status, 202);
    }
    let page = |query: &str| {
        let page = history(&server, query);
        (offsets(&page), page.get("next").cloned())
    };
    assert_eq!(page("?since=0"), (vec![1, 2], Some(json!(2))));
    assert_eq!(page("?since=2"), (vec![3], Some(json!(3))));
    assert_eq!(page("?since=3"), (vec![4], Some(json!(4))));
    assert_eq!(page("?since=4"), (vec![5], None));
    assert_eq!(page(""), (vec![5], None), "the newest that fit");
    assert_eq!(history(&server, "?since=3")["messages"][0]["data"], "x".repeat(2_000_000));
}

#[test]
fn a_room_that_keeps_nothing_has_a_place_and_no_messages() {
    let server = Server::start(&["--room", "kept:history=10"]);
    let mut client = Client::connect(&server);
    let epoch = client.join("lobby").epoch;
    let empty = json!({"epoch": epoch, "offset": 0, "messages": []});
    assert_eq!(history(&server, ""), empty, "nobody has published");
    client.publish("lobby", "chat", json!(1));
    let expected = json!({"epoch": epoch, "offset": 1, "messages": []});
    assert_eq!(history(&server, ""), expected);
    let refused = history(&server, "?since=0");
    assert_eq!((&refused["recovered"], &refused["reason"]), (&json!(false), &json!("off")));
    assert_eq!(history(&server, "?since=1")["recovered"], json!(true), "nothing was missed");
    assert_eq!(history(&server, "?since=2")["reason"], "future");
}

#[test]
fn a_room_without_members_is_read_as_long_as_it_is_remembered() {
    let flags = ["--room", "lobby:history=10", "--room-linger", "100ms"];
    let server = Server::start(&flags);
    for n in 1..=3 {
        let body = json!({"event": "m", "data": n}).to_string();
        assert_eq!(server.post("/v1/rooms/lobby/publish", &body).status, 202);
    }
    let before = history(&server, "?since=1");
    assert_eq!(offsets(&before), [2, 3]);
    wait_until("the room has ended", || server.get("/v1/rooms/lobby").status == 404);
    assert_eq!(history(&server, "?since=1"), before);
    assert_eq!(offsets(&history(&server, "")), [1, 2, 3]);
    assert_eq!(server.get("/v1/rooms/lobby").status, 404, "it was read and not begun");
    assert_eq!(server.total("rooms"), 0);
}

#[test]
fn what_is_not_there_or_cannot_be_meant_is_an_error() {
    let (server, ..) = kept(10, 1);
    let get = |target: &str| server.get(&format!("/v1/rooms/{target}"));
    for unknown in ["other/history", "a%00b/history", &format!("{}/history", "x".repeat(201))] {
        get(unknown).assert_error(404);
    }
    for query in [
        "since=",
        "since=-1",
        "since=1.0",
        "since=1e0",
        "since=%2B1",
        "since=x",
        "since=18446744073709551616",
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=",
        "limit=99999999999999999999",
        "since=1&limit=x",
        "epoch=abc",
    ] {
        let response = get(&format!("lobby/history?{query}"));
        response.assert_error(400);
        let message = response.json()["error"]["message"].as_str().unwrap().to_owned();
        let name = if query.contains("limit") { "limit" } else { "since" };
        assert!(message.contains(name), "{query}: {message}");
    }
    assert_eq!(get("lobby/history?since=0&more=x&since=y").status, 200, "the first one holds");
    for method in ["POST", "PUT", "DELETE"] {
        let response = http(server.address(), method, "/v1/rooms/lobby/history", &[], "");
        response.assert_error(405);
        assert_eq!(response.header("allow"), Some("GET, HEAD"));
    }
    get("lobby/history/more").assert_error(404);
    get("%FF/history").assert_error(400);
}

#[test]
fn a_head_request_is_answered_without_the_page() {
    let (server, ..) = kept(10, 5);
    let whole = server.get("/v1/rooms/lobby/history");
    let mut raw = Raw::dial(server.address());
    raw.write(
        b"HEAD /v1/rooms/lobby/history HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    let answer = String::from_utf8(raw.read_to_end()).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = format!("content-length: {}", whole.body.len());
    assert!(head.to_lowercase().contains(&length), "{head}");
    assert_eq!(body, "");
}

#[test]
fn a_name_is_read_like_that_of_any_room() {
    let server = Server::start_with_shards(3, &["--room", "*:history=10"]);
    let mut client = Client::connect(&server);
    for (room, target) in
        [("a/b", "a%2Fb"), ("é \"", "%C3%A9%20%22"), ("..", "%2e%2e"), ("x", "%78")]
    {
        client.publish(room, "m", json!(1));
        let response = server.get(&format!("/v1/rooms/{target}/history"));
        assert_eq!(response.json()["messages"][0]["room"], room);
    }
}

/// Keys for reading and for publishing, and tokens that may join everything.
#[test]
fn only_a_key_that_may_read_opens_a_history() {
    let (folder, mut issuer) = (Folder::new(), Issuer::python());
    let keys =
        folder.write("keys", "key-that-reads read\nkey-that-publishes publish\nkey-for-all\n");
    let secret = folder.write("secret", issuer.secret());
    let flags =
        ["--room", "lobby:history=10", "--api-key-file", &keys, "--jwt-secret-file", &secret];
    let server = Server::start(&flags);
    let get = |bearer: Option<&str>, target: &str| -> Response {
        let value = bearer.map(|bearer| format!("Bearer {bearer}"));
        let headers: Vec<_> = value.iter().map(|value| ("Authorization", value.as_str())).collect();
        http(server.address(), "GET", target, &headers, "")
    };
    let bearer = [("Authorization", "Bearer key-that-publishes")];
    let body = json!({"event": "m"}).to_string();
    let published = http(server.address(), "POST", "/v1/rooms/lobby/publish", &bearer, &body);
    assert_eq!(published.status, 202);
    let target = "/v1/rooms/lobby/history";
    for key in ["key-that-reads", "key-for-all"] {
        assert_eq!(offsets(&get(Some(key), target).json()), [1]);
    }
    get(Some("key-that-publishes"), target).assert_error(403);
    get(Some("key-that-is-none"), target).assert_error(401);
    get(None, target).assert_error(401);
    let token = issuer.sign(&json!({"sub": "ann", "cast": {"join": ["*"]}}));
    get(Some(&token), target).assert_error(401);
    get(None, &format!("{target}?access_token={token}")).assert_error(401);
    get(None, "/v1/rooms/none/history").assert_error(401);
}

#[test]
fn a_page_counts_until_its_client_has_read_it() {
    let flags = ["--room", "lobby:history=10,history-bytes=4MiB", "--send-buffer", "8KiB"];
    let server = Server::start_with_shards(1, &flags);
    let body = json!({"event": "m", "data": "x".repeat(100_000)}).to_string();
    for _ in 0..9 {
        assert_eq!(server.post("/v1/rooms/lobby/publish", &body).status, 202);
    }
    let held = || server.stats()["shards"][0]["runtime"]["http_bytes"].as_u64().expect("a figure");
    let mut raw = Raw::dial_narrow(server.address());
    raw.write(b"GET /v1/rooms/lobby/history HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wait_until("it counts", || held() > 900_000);
    assert_eq!(offsets(&raw.response().json()).len(), 9);
    wait_until("it counts no longer", || held() < 5_000);
}

#[test]
fn readers_at_the_same_time_as_publishers_see_every_offset_once() {
    let (server, mut speaker, epoch) = kept(500, 1);
    let address = server.address();
    let reader = std::thread::spawn(move || {
        let (mut since, mut seen) = (0, BTreeSet::new());
        while since < 200 {
            let target = format!("/v1/rooms/lobby/history?since={since}&epoch={epoch}&limit=13");
            let page = http(address, "GET", &target, &[], "").json();
            assert_eq!(page["recovered"], json!(true), "{page}");
            for offset in offsets(&page) {
                assert_eq!(offset, since + 1, "in order, without hole");
                assert!(seen.insert(offset), "once");
                since = offset;
            }
        }
        seen.len()
    });
    for n in 2..=200 {
        speaker.publish("lobby", "chat", json!(n));
    }
    assert_eq!(reader.join().unwrap(), 200);
}
