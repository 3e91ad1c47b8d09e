//! What is late is counted where it was due, and what the generator itself delays is not passed off
//! as the server's.

use super::support::{Dialect, Fake, Faults, Running, Server, load, signal};
use std::thread::sleep;
use std::time::Duration;

/// The end of the warm-up is in the middle of publishing: nobody may sleep through it. A machine
/// that is busy delays messages by itself, now and then; it does not do so each time.
#[test]
fn what_is_measured_first_is_published_when_it_is_due() {
    const IDLE_MICROS: f64 = 8_000.0;
    let server = Fake::start(Dialect::Corecast, Faults::default());
    let url = server.url();
    let args = [&url, "--members=2", "--rate=1000", "--warm-up=100ms", "--duration=200ms"];
    let latest = || {
        let json = load(&[&args[..], &["--drain=500ms", "--json=-"]].concat()).json();
        json["latency_us"]["publish_delay"]["max"].as_f64().unwrap()
    };
    let runs: Vec<f64> = std::iter::repeat_with(latest).take(20).collect();
    assert!(runs.iter().any(|&late| late < IDLE_MICROS), "late by {runs:?} µs");
}

/// A server that stands still for half a second is late for whoever sends in it, all the time.
#[test]
fn a_stall_fills_the_intervals_in_which_its_messages_were_due() {
    let server = Server::start(&[]);
    let args = [server.url(), "--members=5", "--rate=200", "--warm-up=0s", "--duration=2s"];
    let mut run = Running::start(&[&args[..], &["--json=-"]].concat());
    run.wait_for("measuring");
    sleep(Duration::from_millis(500));
    signal("STOP", &server.pid());
    sleep(Duration::from_millis(600));
    signal("CONT", &server.pid());
    let json = run.end().json();
    let series = json["series"].as_array().unwrap();
    let longest: Vec<_> = series.iter().map(|it| it["max_us"].as_f64()).collect();
    assert_eq!(longest.len(), 20, "{longest:?}");
    assert!(longest.iter().all(Option::is_some), "something was due in each: {longest:?}");
    let late = longest.iter().flatten().filter(|&&micros| micros > 100_000.0).count();
    assert!(late >= 4, "{longest:?}");
}
