//! What was published, what of it came, and percentiles over all of it.

use super::support::{Dialect, Fake, Faults, Running, Server, load, signal};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use tungstenite::accept;

/// A server that reads nothing of the first connection, the publisher's, before it is told to; then
/// it says how many whole messages there were.
fn deaf() -> (String, impl FnOnce() -> u64) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let (listen, told): (_, Receiver<()>) = channel();
    let server = thread::spawn(move || {
        let mut publisher = accept(listener.accept().unwrap().0).unwrap();
        let _member = accept(listener.accept().unwrap().0).unwrap();
        told.recv().unwrap();
        std::iter::from_fn(|| publisher.read().ok()).filter(|message| !message.is_close()).count()
    });
    let count = move || {
        listen.send(()).unwrap();
        server.join().unwrap() as u64
    };
    (url, count)
}

#[test]
fn only_what_the_kernel_took_was_published() {
    let (url, taken) = deaf();
    let args = [&url, "-n1", "--hello=SUB {room}", "-r2000", "-s32KiB", "-d1s", "--warm-up=0s"];
    let json = load(&[&args[..], &["--drain=300ms", "--lenient", "--json=-"]].concat()).json();
    let messages = &json["messages"];
    let count = |name: &str| messages[name].as_u64().unwrap();
    assert_eq!(count("published"), taken(), "{messages}");
    assert_eq!(count("published") + count("unsent"), 2000, "{messages}");
    assert_eq!((count("lost"), count("expected")), (count("published"), count("published")));
    assert!(count("unsent") > 0, "{messages}");
    assert_eq!(json["latency_us"]["due"], 2000);
    assert_eq!(json["latency_us"]["missing"], 2000);
}

/// A tenth is missing: the median is one of those that came, and the slowest hundredth is not.
#[test]
fn what_is_missing_is_in_the_percentiles() {
    let server = Fake::start(Dialect::Corecast, Faults { drop_every: 10, ..Faults::default() });
    let url = server.url();
    let args = [&url, "-n5", "-r500", "-d1s", "--warm-up=0s", "--drain=500ms", "--lenient"];
    let json = load(&[&args[..], &["--json=-"]].concat()).json();
    let latency = &json["latency_us"];
    assert_eq!((&latency["due"], &latency["missing"]), (&2_500.into(), &250.into()), "{latency}");
    let at = |name: &str| latency[name].as_f64();
    assert_eq!((at("p99"), at("p999"), at("mean")), (Some(500e3), Some(500e3), None));
    assert_eq!(at("p50").map(|p50| p50 <= at("max_arrived").unwrap()), Some(true), "{latency}");
    assert!(at("max") >= Some(500e3), "{latency}");
    assert_eq!(latency["missing_at"], serde_json::json!(["p99", "p999", "max"]), "{latency}");
    let out = load(&args).out;
    assert!(out.contains("p99                       > 500 ms (10 % missing)\n"), "{out}");
    assert!(out.contains("max                       > 500 ms (10 % missing), "), "{out}");
}

/// The same in each interval of the run: what never came is missing where it was due, also what was
/// never sent.
#[test]
fn what_is_missing_is_in_the_series() {
    let faults = Faults { drop_every: 10, die_at: Some(250), ..Faults::default() };
    let server = Fake::start(Dialect::Corecast, faults);
    let url = server.url();
    let args = [&url, "-n5", "-r250", "-d2s", "--warm-up=0s", "--drain=300ms", "--json=-"];
    let json = load(&args).report();
    let series = json["series"].as_array().unwrap();
    let sum = |name: &str| series.iter().map(|it| it[name].as_u64().unwrap()).sum::<u64>();
    // Those of the second half were due after the end of the series.
    let due = 5 * 250;
    assert!((due - 250..=due + 250).contains(&sum("due")), "{} in {json}", sum("due"));
    assert!(sum("missing") >= 5 * 25, "{json}");
    for interval in &series[..series.len() - 2] {
        let [due, missing] = ["due", "missing"].map(|name| interval[name].as_u64().unwrap());
        assert!((100..=150).contains(&due) && (10..=20).contains(&missing), "{interval}");
        assert_eq!(interval["p99_us"], 300e3, "{interval}");
        assert_eq!(interval["missing_at"], serde_json::json!(["p99_us", "max_us"]), "{interval}");
        assert!(interval["p50_us"].as_f64().unwrap() < 300e3, "{interval}");
    }
}

/// In the closed loop, too, where a message is due when it is sent.
#[test]
fn what_is_missing_in_a_window_is_in_the_series() {
    let server = Fake::start(Dialect::Corecast, Faults { drop_every: 10, ..Faults::default() });
    let url = server.url();
    let args = [&url, "-n5", "-w8", "-d1s", "--warm-up=0s", "--drain=300ms", "--lenient"];
    let json = load(&[&args[..], &["--json=-"]].concat()).json();
    let series = json["series"].as_array().unwrap();
    let sum = |name: &str| series.iter().map(|it| it[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("due"), json["messages"]["expected"].as_u64().unwrap(), "{json}");
    assert_eq!(sum("missing"), json["messages"]["lost"].as_u64().unwrap(), "{json}");
    assert!(series.iter().all(|it| it["missing"].as_u64().unwrap() > 0), "{json}");
}

/// Whoever is stopped for good takes the rest with it.
#[test]
fn a_server_that_stands_still_does_not_look_fast() {
    let server = Server::start(&[]);
    let args = [server.url(), "-n5", "-r500", "-d2s", "--warm-up=0s", "--drain=400ms"];
    let mut run = Running::start(&[&args[..], &["--lenient", "--json=-"]].concat());
    run.wait_for("measuring");
    signal("STOP", &server.pid());
    let json = run.end().json();
    signal("CONT", &server.pid());
    let latency = &json["latency_us"];
    assert_eq!(latency["due"], 5_000, "{latency}");
    assert!(latency["missing"].as_u64().unwrap() > 100, "{latency}");
    assert_eq!(latency["p99"], 400e3, "{latency}");
}

/// From here on the longest is that of all messages, and percentiles are those of a sample.
#[test]
fn the_longest_is_of_all_and_not_of_the_sample() {
    let stall_at = Some((30, std::time::Duration::from_millis(200)));
    let server = Fake::start(Dialect::Corecast, Faults { stall_at, ..Faults::default() });
    let url = server.url();
    let args = [&url, "-n1", "-r100", "-d600ms", "--warm-up=0s", "--sample=64"];
    let json = load(&[&args[..], &["--json=-"]].concat()).json();
    let latency = &json["latency_us"];
    assert_eq!((&latency["count"], &latency["due"]), (&1.into(), &60.into()), "{latency}");
    assert!(latency["max"].as_f64().unwrap() > 190e3, "{latency}");
    let series = json["series"].as_array().unwrap().iter();
    let longest = series.filter_map(|it| it["max_us"].as_f64()).fold(0.0, f64::max);
    assert_eq!(Some(longest), latency["max"].as_f64(), "{json}");
    assert_eq!((latency["p50"].as_f64(), latency["p999"].as_f64()), (None, None), "{latency}");
    let out = load(&args).out;
    for row in [
        "percentiles               of 1 samples, one delivery in 64; max of all\n",
        "p99.9                     n/a: too few of 1 values\n",
    ] {
        assert!(out.contains(row), "{row} in {out}");
    }
}

/// A thousandth of 20 messages to 600 members each is twelve deliveries, but no message.
#[test]
fn percentiles_of_few_messages_say_so() {
    let server = Server::start(&[]);
    let args = [server.url(), "-n600", "-r100", "-d200ms", "--warm-up=0s"];
    let json = load(&[&args[..], &["--json=-"]].concat()).json();
    let latency = &json["latency_us"];
    assert!(latency["p999"].is_number(), "{latency}");
    assert_eq!(latency["few_messages_at"], serde_json::json!(["p90", "p99", "p999"]), "{latency}");
    let out = load(&args).out;
    let row = out.lines().find(|line| line.starts_with("  p99 ")).unwrap();
    assert!(row.ends_with(", with fewer than ten messages beyond"), "{out}");
}

#[test]
fn payloads_that_are_encoded_anew_are_told_from_lost_ones() {
    let server = Fake::start(Dialect::Upper, Faults::default());
    let url = server.url();
    let args = [&url, "-n4", "-r100", "-d300ms", "--warm-up=0s", "--drain=300ms", "--lenient"];
    let words = ["--hello=SUB {room}", "--ready=OK", "--publish=PUB {room} {payload}"];
    let json = load(&[&args[..], &words, &["--json=-"]].concat()).json();
    assert_eq!(
        (&json["messages"]["lost"], &json["messages"]["unknown"]),
        (&120.into(), &120.into())
    );
    let out = load(&[&args[..], &words].concat()).out;
    for row in ["other frames              120\n", "\n! 120 frames carry no payload that I know"] {
        assert!(out.contains(row), "{row} in {out}");
    }
}
