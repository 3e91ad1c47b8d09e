//! Servers of another protocol are measured with templates, as exactly as our own.

use super::support::{Dialect, Fake, Faults, Foreign, load};

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
