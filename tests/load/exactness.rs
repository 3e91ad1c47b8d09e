//! The generator agrees with an independent count: a server that drops every 1,000th message, swaps
//! two and doubles one is reported with exactly these numbers.

use super::support::{Dialect, Fake, Faults, Run, load};
use serde_json::Value;

/// Published by one publisher: a rate for a time, each message due at its own moment.
const PUBLISHED: u64 = 3_500;
const TRAFFIC: [&str; 8] =
    ["--rate", "7000", "--duration", "500ms", "--warm-up", "0s", "--drain", "2s"];

fn messages(members: u64, more: &[&str], faults: Faults) -> Value {
    run(members, more, faults).json()
}

fn run(members: u64, more: &[&str], faults: Faults) -> Run {
    let server = Fake::start(Dialect::Corecast, faults);
    let url = server.url();
    let members = members.to_string();
    let lenient = if more.contains(&"--strict") { &[][..] } else { &["--lenient"] };
    let args = [&[&url, "--members", &members, "--json", "-"], &TRAFFIC[..], more, lenient];
    load(&args.concat())
}

#[test]
fn each_fault_is_counted_exactly() {
    const MEMBERS: u64 = 7;
    let faults =
        Faults { drop_every: 1000, swap_at: Some(500), double_at: Some(700), ..Faults::default() };
    for threads in ["1", "3"] {
        let json = messages(MEMBERS, &["--threads", threads], faults);
        let counts = &json["messages"];
        assert_eq!(counts["published"], PUBLISHED);
        assert_eq!(counts["expected"], PUBLISHED * MEMBERS);
        assert_eq!(counts["lost"], 3 * MEMBERS, "{counts}");
        assert_eq!(counts["disordered"], MEMBERS, "{counts}");
        assert_eq!(counts["repeated"], MEMBERS, "{counts}");
        assert_eq!(counts["delivered"], (PUBLISHED - 3) * MEMBERS, "{counts}");
        assert_eq!(counts["damaged"], 0);
        assert_eq!(json["latency_us"]["count"], (PUBLISHED - 3 + 1) * MEMBERS);
        assert_eq!(json["errors"], serde_json::json!({}));
    }
}

#[test]
fn every_message_is_checked_even_if_few_latencies_are_recorded() {
    let faults = Faults { drop_every: 1000, swap_at: Some(500), ..Faults::default() };
    let json = messages(5, &["--sample", "64"], faults);
    assert_eq!(json["messages"]["lost"], 15);
    assert_eq!(json["messages"]["disordered"], 5);
    assert_eq!(json["latency_us"]["sampled_one_in"], 64);
    let recorded = json["latency_us"]["count"].as_u64().unwrap();
    assert!((5 * 50..=5 * 60).contains(&recorded), "{recorded}");
}

#[test]
fn a_server_without_faults_is_clean() {
    let json = messages(4, &["--strict"], Faults::default());
    for count in ["lost", "repeated", "disordered", "damaged", "skipped", "cut_off", "unsent"] {
        assert_eq!(json["messages"][count], 0, "{count}");
    }
    assert_eq!(json["messages"]["delivered"], 4 * PUBLISHED);
}

#[test]
fn broken_frames_are_named() {
    let rows: [(&[u8], &str); 5] = [
        (&[0x81, 0x81, 1, 2, 3, 4, 5], "a masked frame"),
        (&[0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0], "a frame of more than 64 MiB"),
        (&[0x81, 126, 0, 5, 1, 2, 3, 4, 5], "a length that is not in its shortest form"),
        (&[0xa1, 0], "reserved bits in a frame"),
        (&[0x80, 0], "a continuation without a start"),
    ];
    for (bytes, what) in rows {
        // Then nobody is left, which is no success.
        let run = run(3, &[], Faults { raw_at: Some((9, bytes)), ..Faults::default() });
        let json = run.report();
        assert_eq!(run.code, 1, "{run:?}");
        assert_eq!(json["errors"][format!("the server sent {what}")], 3, "{}", json["errors"]);
        assert_eq!(json["messages"]["delivered"], 9 * 3);
        // It was not the server that ended them.
        let connections = &json["connections"];
        assert_eq!((&connections["broken"], &connections["closed"]), (&3.into(), &0.into()));
    }
}

#[test]
fn what_follows_an_announced_close_is_cut_off_and_not_lost() {
    let faults = Faults { close_at: Some(100), drop_every: 50, ..Faults::default() };
    let json = run(3, &[], faults).report();
    assert_eq!(json["connections"]["closed"], 3);
    assert_eq!(json["errors"]["closed 1013 slow"], 3);
    // Message 49 is missing before one that came; 99, the last before the close, is not.
    assert_eq!(json["messages"]["lost"], 3);
    let published = json["messages"]["published"].as_u64().unwrap();
    assert_eq!(json["messages"]["cut_off"], 3 * (published - 99));
}

/// A gap of the warm-up says nothing about what is measured, however long it claims to be.
#[test]
fn a_gap_before_what_is_measured_excuses_nothing() {
    let gap: &[u8] = b"\x81\x40\
        {\"event\":\"cast:gap\",\"data\":{\"from\":5,\"to\":18446744073709551615}}";
    let faults = Faults { raw_at: Some((5, gap)), drop_every: 50, ..Faults::default() };
    let server = Fake::start(Dialect::Corecast, faults);
    let url = server.url();
    let args = ["-n3", "-r500", "-d400ms", "--warm-up=400ms", "--drain=300ms", "--json=-"];
    let run = load(&[&[&*url], &args[..]].concat());
    assert_eq!(run.code, 1, "{run:?}");
    let json = run.report();
    assert_eq!(json["gaps"]["announced"], 3, "{json}");
    assert_eq!(json["messages"]["skipped"], 0, "{json}");
    assert!(json["messages"]["lost"].as_u64().unwrap() >= 3 * 3, "{json}");
}

#[test]
fn strict_runs_fail_with_the_server() {
    let server = Fake::start(Dialect::Corecast, Faults { double_at: Some(3), ..Faults::default() });
    let url = server.url();
    let run = load(&[&[&url, "--members", "2", "--strict", "--json", "-"], &TRAFFIC[..]].concat());
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.errors.contains("--strict"), "{}", run.errors);
}
