//! A server that is evil beyond single messages: it dies, lets the publisher go, or stands still.

use std::time::Duration;

use super::support::{Dialect, Fake, Faults, load};
use serde_json::Value;

const TRAFFIC: [&str; 9] = [
    "-n5",
    "-p1",
    "-r200",
    "-d1s",
    "--warm-up=0s",
    "--drain=300ms",
    "--json=-",
    "-q",
    "--settle=0s",
];

/// The report on a server with these faults, of a run that ends with this exit code.
fn report(faults: Faults, code: i32) -> Value {
    let server = Fake::start(Dialect::Corecast, faults);
    let run = load(&[&[&*server.url()], &TRAFFIC[..]].concat());
    assert_eq!(run.code, code, "{run:?}");
    run.report()
}

#[test]
fn a_server_that_dies_takes_every_connection_with_it() {
    let json = report(Faults { die_at: Some(60), ..Faults::default() }, 1);
    assert_eq!(json["connections"]["closed"], 5, "{json}");
    assert!(json["messages"]["delivered"].as_u64().unwrap() <= 60 * 5, "{json}");
}

#[test]
fn a_publisher_that_is_closed_is_told() {
    let json = report(Faults { close_publisher_at: Some(60), ..Faults::default() }, 1);
    assert_eq!(json["errors"]["publisher: closed 1001 going away"], 1, "{json}");
    assert_eq!(json["messages"]["delivered"], 60 * 5, "{json}");
}

/// Of several one, so that the run goes on.
#[test]
fn a_member_that_is_let_go_is_told() {
    let faults = Faults { close_first_at: Some(60), ..Faults::default() };
    let json = report(faults, 1);
    assert_eq!((&json["connections"]["closed"], &json["messages"]["lost"]), (&1.into(), &0.into()));
    assert_eq!((&json["ended_early"], &json["messages"]["unsent"]), (&Value::Null, &0.into()));
    let server = Fake::start(Dialect::Corecast, faults);
    let url = server.url();
    let args = [&*url, "-n5", "-r200", "-d500ms", "--warm-up=0s", "--drain=300ms", "-q"];
    let run = load(&args);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("\n! 1 of 5 connections of members ended before"), "{}", run.out);
    let words = "1 of the connections of members ended early (--lenient";
    assert!(run.errors.contains(words), "{}", run.errors);
    let server = Fake::start(Dialect::Corecast, faults);
    assert_eq!(load(&[&[&*server.url()], &args[1..], &["--lenient"]].concat()).code, 0);
}

#[test]
fn a_stall_is_felt_by_all_that_were_due_in_it() {
    let stall = Duration::from_millis(400);
    let json = report(Faults { stall_at: Some((60, stall)), ..Faults::default() }, 0);
    assert_eq!(json["messages"]["delivered"], 200 * 5, "{json}");
    assert!(json["latency_us"]["max"].as_f64().unwrap() >= 400e3 * 0.99, "{json}");
}
