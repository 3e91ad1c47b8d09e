//! A server that is evil beyond single messages: it dies, lets the publisher go, or stands still.

use std::time::Duration;

use super::support::{Dialect, Fake, Faults, load};

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

/// The report on a server with these faults, whatever the exit code is.
fn report(faults: Faults) -> serde_json::Value {
    let server = Fake::start(Dialect::Corecast, faults);
    let run = load(&[&[&*server.url()], &TRAFFIC[..]].concat());
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

#[test]
fn a_server_that_dies_takes_every_connection_with_it() {
    let json = report(Faults { die_at: Some(60), ..Faults::default() });
    assert_eq!(json["connections"]["closed"], 5, "{json}");
    assert!(json["messages"]["delivered"].as_u64().unwrap() <= 60 * 5, "{json}");
}

#[test]
fn a_publisher_that_is_closed_is_told() {
    let json = report(Faults { close_publisher_at: Some(60), ..Faults::default() });
    assert_eq!(json["errors"]["publisher: closed 1001 going away"], 1, "{json}");
    assert_eq!(json["messages"]["delivered"], 60 * 5, "{json}");
}

#[test]
fn a_stall_is_felt_by_all_that_were_due_in_it() {
    let stall = Duration::from_millis(400);
    let json = report(Faults { stall_at: Some((60, stall)), ..Faults::default() });
    assert_eq!(json["messages"]["delivered"], 200 * 5, "{json}");
    assert!(json["latency_us"]["max"].as_f64().unwrap() >= 400e3 * 0.99, "{json}");
}
