//! Each scenario, in a small size, against our own server: nothing is lost, repeated or disordered.

use super::support::{Server, check_all_delivered, check_clean, load};
use serde_json::Value;

#[test]
fn broadcast_keeps_its_rate() {
    let server = Server::start(&[]);
    let json = load(&[
        server.url(),
        "--members=20",
        "--rooms=4",
        "--publishers=6",
        "--rate=200",
        "--duration=1s",
        "--warm-up=100ms",
        "--threads=2",
        "--sources=127.0.0.1-3",
        "--pid",
        &server.pid(),
        "--json=-",
    ])
    .json();
    check_all_delivered(&json);
    assert_eq!(json["messages"]["published"], 4 * 200);
    assert_eq!(json["messages"]["expected"], 4 * 200 * 5);
    assert_eq!(json["latency_us"]["loop"], "open");
    assert!(json["server"]["cpu_per_delivery_ns"].as_f64().unwrap() > 0.0);
    assert!(json["server"]["rss_connected_bytes"].as_u64().unwrap() > 0);
    assert_eq!(json["generator"]["threads"].as_array().unwrap().len(), 3);
}

#[test]
fn members_join_by_their_handshake() {
    let server = Server::start(&[]);
    let json = load(&[
        server.url(),
        "--place",
        "--publishers=20",
        "--members=60",
        "--rooms=20",
        "--rate=50",
        "--duration=500ms",
        "--warm-up=50ms",
        "--json=-",
    ])
    .json();
    check_all_delivered(&json);
    assert_eq!(json["messages"]["expected"], 20 * 25 * 3);
}

#[test]
fn broadcast_keeps_a_window_full() {
    let server = Server::start(&[]);
    for by in ["deliveries", "acks"] {
        let json = load(&[
            "broadcast",
            server.url(),
            "--members=10",
            "--rooms=2",
            "--publishers=3",
            "--window=8",
            "--window-by",
            by,
            "--size=4KiB",
            "--duration=300ms",
            "--warm-up=50ms",
            "--json=-",
        ])
        .json();
        check_all_delivered(&json);
        assert_eq!(json["settings"]["window_by"], by);
    }
}

#[test]
fn frames_larger_than_the_read_buffer_arrive() {
    let server = Server::start(&["--max-message=2MiB", "--room-log=16MiB"]);
    let json = load(&[
        server.url(),
        "--members=2",
        "--rate=20",
        "--size=1MiB",
        "--duration=250ms",
        "--warm-up=0s",
        "--json=-",
    ])
    .json();
    check_all_delivered(&json);
    assert_eq!(json["messages"]["published"], 5);
}

#[test]
fn event_streams_are_members_like_the_others() {
    let server = Server::start(&[]);
    for (share, streams) in [("100%", 20), ("50%", 10)] {
        let json = load(&[
            server.url(),
            "--members=20",
            "--rooms=2",
            "--publishers=3",
            "--event-streams",
            share,
            "--rate=200",
            "--size=300",
            "--duration=1s",
            "--warm-up=100ms",
            "--strict",
            "--json=-",
        ])
        .json();
        check_all_delivered(&json);
        assert_eq!(json["settings"]["event_streams"], streams, "{json}");
        // A stream begins with where it is; the others get a welcome and an answer to their join.
        assert_eq!(json["messages"]["other"], streams + 2 * (20 - streams), "{json}");
    }
}

#[test]
fn hold_opens_and_keeps() {
    let server = Server::start(&["--ping-interval=100ms"]);
    let json = load(&[
        "hold",
        server.url(),
        "--connections=60",
        "--rooms=3",
        "--duration=1s",
        "--pid",
        &server.pid(),
        "--json=-",
    ])
    .json();
    check_clean(&json);
    assert_eq!(json["connections"]["opened"], 60);
    assert_eq!(json["connections"]["closed"], 0);
    assert_eq!(json["connections"]["handshake_us"]["count"], 60);
    assert!(json["pings_answered"].as_u64().unwrap() >= 60, "{}", json["pings_answered"]);
    assert!(json["server"]["rss_per_connection_bytes"].is_number());
}

#[test]
fn storm_connects_and_drops_in_waves() {
    let server = Server::start(&[]);
    for goodbye in ["reset", "close"] {
        let json = load(&[
            "storm",
            server.url(),
            "--connections=40",
            "--waves=3",
            "--stay=50ms",
            "--pause=10ms",
            "--goodbye",
            goodbye,
            "--json=-",
        ])
        .json();
        check_clean(&json);
        assert_eq!(json["connections"]["opened"], 120);
        let waves = json["waves"].as_array().unwrap();
        assert_eq!(waves.iter().map(|wave| wave["opened"].as_u64().unwrap()).sum::<u64>(), 120);
    }
}

/// Members that do not read are told about gaps, or closed: neither counts as lost, and the others
/// get everything. Returns the report.
fn load_with_slow_members(policy: &str, transport: &str) -> Value {
    let flags = ["--slow", policy, "--room-log=64KiB", "--send-buffer=16KiB"];
    let server = Server::start(&flags);
    let json = load(&[
        "slow",
        server.url(),
        "--members=10",
        "--share=20%",
        transport,
        "--rate=500",
        "--size=4KiB",
        "--duration=1s",
        "--warm-up=0s",
        "--json=-",
    ])
    .json();
    check_clean(&json);
    let count = |name: &str| json["messages"][name].as_u64().unwrap();
    let (missed, told) = match policy {
        "skip" => (count("skipped"), "told_of_a_gap"),
        _ => (count("cut_off"), "closed"),
    };
    assert!(missed > 0, "{policy}: {json}");
    assert_eq!(count("delivered") + missed, count("expected"), "{json}");
    assert!(count("delivered") >= 8 * 500, "those that read get everything");
    assert_eq!(json["slow_members"]["members"], 2, "{json}");
    assert_eq!(json["slow_members"][told], 2, "{json}");
    json
}

#[test]
fn slow_readers_lose_nothing_unannounced() {
    load_with_slow_members("skip", "--event-streams=0%");
    load_with_slow_members("disconnect", "--event-streams=0%");
}

#[test]
fn slow_event_streams_lose_nothing_unannounced() {
    load_with_slow_members("skip", "--event-streams=100%");
    let closed = load_with_slow_members("disconnect", "--event-streams=100%");
    assert_eq!(closed["errors"], serde_json::json!({"event stream ended: slow": 2}));
}

#[test]
fn members_that_were_not_slow_are_told() {
    let server = Server::start(&[]);
    let run = load(&[
        "slow",
        server.url(),
        "--members=4",
        "--share=50%",
        "--rate=50",
        "--size=100",
        "--duration=200ms",
        "--warm-up=0s",
    ]);
    assert_eq!(run.code, 0, "{}", run.errors);
    for part in ["slow members              2, read nothing", "were not slow"] {
        assert!(run.out.contains(part), "{part} in {}", run.out);
    }
}

/// By default what is published fills every buffer and lasts longer than a server's patience.
#[test]
fn the_defaults_of_slow_are_enough() {
    let run = load(&["slow", "--help"]);
    let default = |flag: &str| {
        let (_, rest) = run.out.split_once(&format!("--{flag} <")).expect("the flag is there");
        rest.split_once("[default: ").unwrap().1.split_once(']').unwrap().0.to_owned()
    };
    assert_eq!((default("size"), default("duration")), ("4KiB".into(), "20s".into()));
}
