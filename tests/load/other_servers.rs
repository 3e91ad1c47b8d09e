//! Servers of another protocol are measured with templates, as exactly as our own.

use super::support::{Dialect, Fake, Faults, load};

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
        "--json=-",
    ])
    .json();
    let published = json["messages"]["published"].as_u64().unwrap();
    assert!(published > 10, "{published}");
    assert_eq!(json["messages"]["lost"], 2 * (published / 10));
    assert_eq!(json["latency_us"]["loop"], "closed");
}
