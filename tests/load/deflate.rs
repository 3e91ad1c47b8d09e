//! Our server and those of two other libraries compress, and every message is checked as it was before
//! that; one that does not compress as it has to is refused with advice.

use super::support::{Foreign, Server, check_all_delivered, load};
use serde_json::{Value, json};

const ROOMS: [&str; 9] = [
    "--members=6",
    "--rooms=2",
    "--publishers=2",
    "--rate=100",
    "--duration=500ms",
    "--warm-up=0s",
    "--hello=SUB {room}",
    "--ready=OK",
    "--publish=PUB {room} {payload}",
];

/// Messages of a server of another library are whole and in order once inflated, and what was saved
/// is what is missing on the wire.
fn check_compressed(server: &Foreign) {
    let more = ["--deflate", "--payload=json", "--threads=2", "--strict", "--json=-"];
    let json = load(&[&["broadcast", &server.url()], &ROOMS[..], &more].concat()).json();
    check_all_delivered(&json);
    let compression = &json["compression"];
    let of = |name: &str| compression[name].as_i64().unwrap_or_else(|| panic!("{name} in {json}"));
    // Two rooms of three, and perhaps what answers the hello.
    assert!((300..=306).contains(&of("messages")), "{compression}");
    assert_eq!(of("saved_bytes"), of("inflated_bytes") - of("compressed_bytes"));
    assert!((300 * 1024..310 * 1024).contains(&of("inflated_bytes")), "{compression}");
    let share = compression["saved_share"].as_f64().unwrap();
    assert!((0.3..0.8).contains(&share), "{compression}");
    assert_eq!(json["messages"]["compared"], 300);
    assert_eq!(
        (&json["settings"]["payload"], &json["settings"]["payload_bytes"]),
        (&"json".into(), &1024.into())
    );
}

#[test]
fn what_node_ws_compresses_is_checked() {
    check_compressed(&Foreign::node_compressed());
}

#[test]
fn what_python_websockets_compresses_is_checked() {
    check_compressed(&Foreign::python());
}

/// Of ours, in the open and the closed loop, beside event streams, which stay plain.
#[test]
fn what_our_server_compresses_is_checked() {
    let server = Server::start(&[]);
    for more in [["--rate=200", "--event-streams=50%"], ["--window=16", "--event-streams=0%"]] {
        let args = ["--members=20", "--rooms=2", "--publishers=4", "--threads=2", "--deflate"];
        let times = ["--duration=500ms", "--warm-up=200ms", "--strict", "--json=-"];
        let json = load(&[&[server.url()], &args[..], &times, &more].concat()).json();
        check_all_delivered(&json);
        assert_eq!(json["messages"]["compared"], json["messages"]["delivered"]);
        assert_eq!(json["settings"]["payload"], "json", "by default");
        let delivered = json["messages"]["delivered"].as_u64().unwrap();
        let sockets = 20 - json["settings"]["event_streams"].as_u64().unwrap();
        let compressed = json["compression"]["messages"].as_u64().unwrap();
        assert_eq!(compressed, delivered * sockets / 20, "the warm-up is not measured: {json}");
        assert_eq!(json["compression"]["plain_bytes"], 0, "{json}");
        assert!(json["compression"]["saved_share"].as_f64().unwrap() > 0.3, "{json}");
    }
}

/// Messages below the least size come as they are, and so does the answer to the hello.
#[test]
fn messages_that_are_not_worth_it_come_as_they_are() {
    let server = Server::start(&[]);
    let args = ["--members=6", "--rate=100", "--duration=300ms", "--warm-up=0s", "--json=-"];
    let more = [server.url(), "--deflate", "--payload=text", "--size=100"];
    let json = load(&[&more[..], &args].concat()).json();
    check_all_delivered(&json);
    assert_eq!(json["compression"]["messages"], 0, "{json}");
    assert!(json["compression"]["plain_bytes"].as_u64().unwrap() > 100 * 6 * 30, "{json}");
}

#[test]
fn the_table_says_what_was_saved() {
    let server = Foreign::python();
    let run = load(&[&[&*server.url(), "--deflate", "--payload=json"], &ROOMS[..]].concat());
    assert_eq!(run.code, 0, "{}", run.errors);
    for part in ["permessage-deflate, without context", "on the wire: ", "1.00 KiB JSON payloads"] {
        assert!(run.out.contains(part), "{part} in {}", run.out);
    }
}

/// Where messages have a form of their own, their payload is short text unless that is said.
#[test]
fn a_run_in_which_nothing_is_compressed_says_so_and_what_to_do() {
    let server = Server::start(&[]);
    let publish = r#"--publish={"event":"cast:publish","room":"{room}","data":{"event":"m","data":"{payload}"}}"#;
    let args = ["--members=6", "--rate=100", "--duration=300ms", "--warm-up=0s", "--deflate"];
    let remark = "! no message came compressed: payloads are 128 B of text; use --payload json or a \
                  larger --size";
    let run = load(&[&[server.url(), publish][..], &args].concat());
    assert_eq!(run.code, 0, "{}", run.errors);
    assert!(run.out.contains(remark), "{}", run.out);
    let run = load(&[&[server.url(), publish, "--size=1KiB"][..], &args].concat());
    assert!(!run.out.contains("no message came compressed"), "{}", run.out);
    assert!(!run.errors.contains("draining: 0 "), "nothing is waited for: {}", run.errors);
}

#[test]
fn compressed_connections_are_held_and_come_in_waves() {
    let server = Foreign::python();
    let held = ["hold", &server.url(), "-n20", "-d=100ms", "--deflate", "--json=-"];
    assert_eq!(load(&held).json()["connections"]["opened"], 20);
    let storm = ["storm", &server.url(), "-n10", "--waves=2", "--stay=20ms", "--goodbye=close"];
    let storm = load(&[&storm[..], &["--deflate", "--json=-"]].concat()).json();
    assert_eq!((&storm["connections"]["opened"], &storm["errors"]), (&20.into(), &json!({})));
}

#[test]
fn a_server_that_does_not_compress_is_refused_with_advice() {
    let (ours, theirs) = (Server::start(&["--deflate=off"]), Foreign::node());
    for url in [ours.url(), &theirs.url()] {
        let run = load(&[&[url, "--deflate"], &ROOMS[..]].concat());
        assert_eq!((run.code, &*run.out), (1, ""), "{run:?}");
        assert!(run.errors.contains("corecast serve --deflate on"), "{}", run.errors);
    }
}

/// Without compression, too, messages may be JSON; ours is a string otherwise.
#[test]
fn json_payloads_are_compared_byte_by_byte() {
    let server = Server::start(&[]);
    for more in [["--payload=json", "--rate=200"], ["--payload=json", "--window=16"]] {
        let args = ["--members=10", "--rooms=2", "--publishers=4", "--duration=500ms"];
        let args = [&args[..], &["--event-streams=50%", "--warm-up=50ms", "--strict", "--json=-"]];
        let json = load(&[&[server.url()], &args.concat()[..], &more].concat()).json();
        check_all_delivered(&json);
        assert_eq!(json["messages"]["compared"], json["messages"]["delivered"]);
        assert_eq!(
            (&json["settings"]["payload"], &json["compression"]),
            (&"json".into(), &Value::Null)
        );
    }
}
