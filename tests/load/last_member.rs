//! When messages reach the last of their members, and what of them never does.

use super::support::{Dialect, Fake, Faults, Server, check_all_delivered, load};
use std::time::Duration;

const TRAFFIC: [&str; 5] = ["-n5", "-r500", "-d400ms", "--warm-up=0s", "--drain=300ms"];

#[test]
fn every_message_of_every_room_is_followed_to_its_last_member() {
    let server = Server::start(&[]);
    let args = [server.url(), "-n20", "--rooms=4", "-p6", "-r100", "-d1s", "--threads=2"];
    let json = load(&[&args[..], &["--event-streams=50%", "--json=-"]].concat()).json();
    check_all_delivered(&json);
    let last = &json["last_member"];
    assert_eq!((&last["due"], &last["missing"]), (&400.into(), &0.into()), "{last}");
    assert_eq!((&last["sampled_one_in"], &last["last_us"]["count"]), (&1.into(), &400.into()));
    let at = |name: &str| last[name]["max"].as_f64().unwrap();
    assert!(at("skew_us") <= at("last_us"), "{last}");
    let longest = json["latency_us"]["max"].as_f64().unwrap();
    assert!((at("last_us") / longest - 1.0).abs() < 0.01, "the last of all is one of them: {json}");
    assert!(last["own_reading_us"].as_f64().unwrap() > 0.0, "{last}");
}

/// The last member gets everything 20 ms after the others.
#[test]
fn a_member_that_is_served_late_is_in_the_skew() {
    let last_late = Some(Duration::from_millis(20));
    let server = Fake::start(Dialect::Corecast, Faults { last_late, ..Faults::default() });
    let url = server.url();
    let args = [&url, "-n5", "-r20", "-d1500ms", "--warm-up=0s"];
    let asserted = ["--assert=skew.p50>=20ms", "--assert=last.p50>=20ms", "--assert=p50<20ms"];
    let json = load(&[&args[..], &asserted, &["--json=-"]].concat()).json();
    assert!(json["last_member"]["skew_us"]["p50"].as_f64().unwrap() >= 20e3, "{json}");
}

/// One of the members is let go in mid-run, so that a quarter of the messages reaches four of five.
#[test]
fn what_did_not_reach_everybody_is_missing() {
    let faults = Faults { close_first_at: Some(150), ..Faults::default() };
    let server = Fake::start(Dialect::Corecast, faults);
    let url = server.url();
    let args = [&[&*url], &TRAFFIC[..], &["--threads=2", "--lenient"]].concat();
    let json = load(&[&args[..], &["--json=-"]].concat()).json();
    let last = &json["last_member"];
    assert_eq!((&last["due"], &last["missing"]), (&200.into(), &50.into()), "{last}");
    assert_eq!(last["missing_at"], serde_json::json!(["p90", "p99", "p999", "max"]), "{last}");
    assert_eq!(json["latency_us"]["missing"], 50, "{json}");
    let server = Fake::start(Dialect::Corecast, faults);
    let url = server.url();
    let run = load(&[&[&*url], &args[1..], &["--assert=last.p99<1h"]].concat());
    assert_eq!(run.code, 1, "{run:?}");
    for row in [
        "reached all members       150 of 200 messages\n",
        "to the last member        p50 ",
        "p99 > 300 ms (25 % missing), max > 300 ms (25 % missing), ",
    ] {
        assert!(run.out.contains(row), "{row} in {}", run.out);
    }
    assert!(run.errors.contains("last.p99<1h (it is longer than was waited)"), "{run:?}");
}

/// Slow members are in no latency.
#[test]
fn nobody_waits_for_those_that_do_not_read() {
    let server = Server::start(&["--slow=skip"]);
    let args = ["slow", server.url(), "-n10", "--share=20%", "-r100", "-s100", "-d300ms"];
    let json = load(&[&args[..], &["--warm-up=0s", "--json=-"]].concat()).json();
    let last = &json["last_member"];
    assert_eq!((&last["due"], &last["missing"]), (&30.into(), &0.into()), "{last}");
}

/// Where there are many deliveries, some of the messages stand for all.
#[test]
fn a_part_is_followed_where_all_would_cost_too_much() {
    let server = Server::start(&[]);
    let args = [server.url(), "-n5", "--window=8", "-d300ms", "--warm-up=0s", "--threads=2"];
    let json = load(&[&args[..], &["--json=-"]].concat()).json();
    let last = &json["last_member"];
    assert_eq!((&last["sampled_one_in"], &last["missing"]), (&8.into(), &0.into()), "{last}");
    let published = json["messages"]["published"].as_u64().unwrap();
    assert_eq!(last["due"], published.div_ceil(8), "{json}");
}

#[test]
fn it_can_be_left_out() {
    let server = Fake::start(Dialect::Corecast, Faults::default());
    let url = server.url();
    let args = [&[&*url], &TRAFFIC[..], &["--no-last-member"]].concat();
    let run = load(&args);
    assert!(run.code == 0 && !run.out.contains("last member"), "{run:?}");
    let json = load(&[&args[..], &["--json=-"]].concat()).json();
    assert!(json["last_member"].is_null(), "{json}");
}
