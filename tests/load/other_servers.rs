//! Servers of another protocol are measured with templates, as exactly as our own.

use super::support::{Dialect, Fake, Faults, Foreign, Server, check_all_delivered, load};

#[test]
fn templates_speak_another_protocol() {
    let faults = Faults { drop_every: 100, ..Faults::default() };
    let server = Fake::start(Dialect::Plain, faults);
    let url = server.url();
    let json = load(&[
        "broadcast",
        &url,
        "--members=6",
        "--rooms=3",
        "--publishers=3",
        "--rate=400",
        "--duration=500ms",
        "--warm-up=0s",
        "--hello=SUB {room}",
        "--ready=OK",
        "--publish=PUB {room} {payload}",
        "--lenient",
        "--json=-",
    ])
    .json();
    assert_eq!(json["messages"]["published"], 600);
    assert_eq!(json["messages"]["expected"], 1200);
    assert_eq!(json["messages"]["lost"], 12);
    assert_eq!(json["messages"]["disordered"], 0);
}

#[test]
fn a_window_goes_on_when_messages_are_lost() {
    let faults = Faults { drop_every: 10, ..Faults::default() };
    let server = Fake::start(Dialect::Plain, faults);
    let url = server.url();
    let json = load(&[
        &url,
        "--members=2",
        "--window=4",
        "--duration=500ms",
        "--warm-up=0s",
        "--hello=SUB {room}",
        "--ready=OK",
        "--publish=PUB {room} {payload}",
        "--lenient",
        "--json=-",
    ])
    .json();
    let published = json["messages"]["published"].as_u64().unwrap();
    assert!(published > 10, "{published}");
    assert_eq!(json["messages"]["lost"], 2 * (published / 10));
    assert_eq!(json["latency_us"]["loop"], "closed");
}

/// Rooms by path, tokens by user: what is filled in differs from connection to connection.
#[test]
fn rooms_in_the_path_and_tokens_of_a_table_are_filled_in() {
    let users = std::env::temp_dir().join(format!("corecast-load-{}.csv", std::process::id()));
    std::fs::write(&users, "token,name\nt0,a b\nt1,c\nt2,d\n").unwrap();
    let server = Fake::start(Dialect::Path, Faults::default());
    let url = server.url().replace("/ws", "/chat/{room}?user={member}&name={name}");
    let json = load(&[
        &url,
        "--members=4",
        "--rooms=2",
        "--publishers=2",
        "--rate=100",
        "--duration=200ms",
        "--warm-up=0s",
        "--header=X-Token: {token}",
        "--csv",
        users.to_str().unwrap(),
        "--hello=",
        "--publish={payload}",
        "--json=-",
    ])
    .json();
    std::fs::remove_file(&users).unwrap();
    check_all_delivered(&json);
    assert_eq!(json["messages"]["delivered"], 2 * 20 * 2);
    assert_eq!(json["settings"]["csv_rows"], 3);
    // Members first, then the publishers; with the fourth connection the table begins again.
    let expected = [
        "/chat/load-0?user=0&name=a%20b t0",
        "/chat/load-0?user=2&name=d t2",
        "/chat/load-0?user=4&name=c t1",
        "/chat/load-1?user=1&name=c t1",
        "/chat/load-1?user=3&name=a%20b t0",
        "/chat/load-1?user=5&name=d t2",
    ];
    assert_eq!(server.asked(), expected);
}

/// A publisher that serves several rooms greets each of them.
#[test]
fn publishers_say_hello_to_each_of_their_rooms() {
    let server = Server::start(&[]);
    let json = load(&[
        server.url(),
        "--members=3",
        "--rooms=3",
        "--rate=100",
        "--duration=200ms",
        "--warm-up=0s",
        r#"--publisher-hello={"event":"cast:join","room":"{room}","id":{id}}"#,
        "--json=-",
    ])
    .json();
    check_all_delivered(&json);
}

/// Every message of a server in another language is accounted for, too.
fn check_foreign(server: &Foreign) {
    let json = load(&[
        "broadcast",
        &server.url(),
        "--members=4",
        "--rooms=2",
        "--publishers=2",
        "--rate=100",
        "--duration=500ms",
        "--warm-up=0s",
        "--strict",
        "--hello=SUB {room}",
        "--ready=OK",
        "--publish=PUB {room} {payload}",
        "--json=-",
    ])
    .json();
    let messages = &json["messages"];
    assert_eq!((&messages["published"], &messages["delivered"]), (&100.into(), &200.into()));
    assert_eq!((&messages["lost"], &json["errors"]), (&0.into(), &serde_json::json!({})));
}

#[test]
fn a_server_of_node_ws_is_measured() {
    check_foreign(&Foreign::node());
}

#[test]
fn a_server_of_python_websockets_is_measured() {
    check_foreign(&Foreign::python());
}
