//! A run that cannot go on ends, says why, counts what was never sent, and fails.

use super::support::{Dialect, Fake, Faults, Running, Server, load, signal};
use serde_json::Value;

fn count(json: &Value, name: &str) -> u64 {
    json["messages"][name].as_u64().unwrap_or_else(|| panic!("{name} in {json}"))
}

#[test]
fn a_server_that_dies_ends_the_run() {
    const DUE: u64 = 300 * 30;
    for mode in [&["--json=-"][..], &[]] {
        let server = Server::start(&[]);
        let args = [server.url(), "-n5", "--rate=300", "--duration=30s", "--warm-up=0s"];
        let mut run = Running::start(&[&args, mode].concat());
        run.wait_for("measuring");
        std::thread::sleep(std::time::Duration::from_millis(300));
        signal("KILL", &server.pid());
        let run = run.end();
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.errors.contains("the server ended the connection"), "{}", run.errors);
        if mode.is_empty() {
            assert!(run.out.contains("\n! the server ended the connection"), "{}", run.out);
            continue;
        }
        let json = run.report();
        assert_eq!(count(&json, "published") + count(&json, "unsent"), DUE, "{json}");
        assert!(json["ended_early"].is_string(), "{json}");
        assert!(json["seconds"].as_f64().unwrap() < 20.0, "silence is not measured: {json}");
    }
}

/// Killed, or asked to end, in which case it closes each connection.
#[test]
fn held_connections_that_are_gone_end_the_run() {
    for by in ["KILL", "TERM"] {
        let server = Server::start(&[]);
        let mut run = Running::start(&["hold", server.url(), "-n20", "--duration=1m", "--json=-"]);
        run.wait_for("holding");
        signal(by, &server.pid());
        let run = run.end();
        assert_eq!(run.code, 1, "{run:?}");
        let json = run.report();
        assert_eq!(json["connections"]["closed"], 20);
        assert!(json["seconds"].as_f64().unwrap() < 40.0, "{json}");
    }
}

/// Between two waves nobody is there to miss it, but nobody can come any more.
#[test]
fn a_storm_without_its_server_ends() {
    const GONE: &str = "! the server ended the connections of all members after ";
    const NOBODY: &str = "! nobody could connect in wave 2 after ";
    let rows = [("KILL", "staying", GONE), ("TERM", "staying", GONE), ("KILL", "pausing", NOBODY)];
    for (by, part, words) in rows {
        for mode in [&["--json=-"][..], &[]] {
            let server = Server::start(&[]);
            let args = ["storm", server.url(), "-n20", "--waves=4", "--stay=2s", "--pause=2s"];
            let mut run = Running::start(&[&args[..], mode].concat());
            run.wait_for(part);
            signal(by, &server.pid());
            let run = run.end();
            assert_eq!(run.code, 1, "{by} {part}: {run:?}");
            if mode.is_empty() {
                assert!(run.out.contains(words), "{}", run.out);
                continue;
            }
            let json = run.report();
            let connections = &json["connections"];
            assert_eq!(connections["opened"], 20, "{json}");
            // Some may not have been dropped by us when the pause began.
            assert!(part == "pausing" || connections["closed"] == 20, "{json}");
            assert!(json["ended_early"].is_string(), "{json}");
            assert!(json["waves"].as_array().unwrap().len() <= 2, "{json}");
        }
    }
}

/// Of two members the first reads and is let go; the other one is slow, and stays.
#[test]
fn slow_members_do_not_keep_a_run_alive() {
    let faults = Faults { close_first_at: Some(60), ..Faults::default() };
    let server = Fake::start(Dialect::Corecast, faults);
    let url = server.url();
    let args = ["slow", &url, "-n2", "--share=50%", "--read-rate=1MiB", "--opening=1"];
    let traffic = ["-r200", "-d20s", "-s128", "--warm-up=0s", "--drain=300ms", "--json=-"];
    let run = load(&[&args[..], &traffic].concat());
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.errors.contains("the server ended the connections of all members"), "{run:?}");
    assert!(run.report()["seconds"].as_f64().unwrap() < 15.0, "{run:?}");
}

#[test]
fn slow_members_that_are_let_go_end_no_run() {
    let faults = Faults { close_first_at: Some(60), ..Faults::default() };
    let server = Fake::start(Dialect::Corecast, faults);
    let url = server.url();
    let args = ["slow", &url, "-n1", "--share=100%", "--read-rate=1MiB"];
    let traffic = ["-r200", "-d1s", "-s128", "--warm-up=0s", "--drain=300ms", "--json=-"];
    let json = load(&[&args[..], &traffic].concat()).json();
    assert_eq!(json["ended_early"], Value::Null, "{json}");
    assert_eq!(json["slow_members"]["closed"], 1, "{json}");
    assert_eq!(count(&json, "published"), 200, "{json}");
}

#[test]
fn a_room_without_publishers_ends_the_run() {
    let faults = Faults { close_publisher_at: Some(60), ..Faults::default() };
    let server = Fake::start(Dialect::Corecast, faults);
    let url = server.url();
    let args = [&url, "-n5", "-r200", "-d20s", "--warm-up=0s", "--drain=300ms", "--json=-"];
    let run = load(&args);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.errors.contains("the last publisher of load-0"), "{}", run.errors);
    let json = run.report();
    assert_eq!(count(&json, "published") + count(&json, "unsent"), 200 * 20, "{json}");
    assert_eq!(count(&json, "delivered"), 5 * 60);
    assert!(json["seconds"].as_f64().unwrap() < 15.0, "{json}");
}

/// Of two publishers of a room one is let go. The other one publishes no more for that, and no less.
#[test]
fn a_lost_publisher_is_told() {
    let faults = Faults { close_publisher_at: Some(60), ..Faults::default() };
    for pace in ["-w4", "-r200"] {
        for mode in [&["--json=-"][..], &[]] {
            let server = Fake::start(Dialect::Corecast, faults);
            let url = server.url();
            let args = [&url, "-n3", "-p2", "-d2s", "--warm-up=0s", "--drain=300ms", pace];
            let run = load(&[&args[..], mode].concat());
            assert_eq!(run.code, 1, "{run:?}");
            let words = "1 of the connections of publishers ended early";
            assert!(run.errors.contains(words), "{}", run.errors);
            if mode.is_empty() {
                let words = "\n! 1 of 2 connections of publishers ended before";
                assert!(run.out.contains(words), "{}", run.out);
                continue;
            }
            let json = run.report();
            assert_eq!(json["ended_early"], Value::Null, "{json}");
            let series = json["series"].as_array().unwrap();
            let is_silent = |it: &&Value| it["published_per_second"] == 0.0;
            assert!(series.iter().filter(is_silent).count() < series.len() / 4, "{json}");
        }
    }
}

/// The only publisher is gone before the first message that would be measured.
#[test]
fn a_run_that_ends_in_the_warm_up_measures_nothing() {
    let faults = Faults { close_publisher_at: Some(10), ..Faults::default() };
    let server = Fake::start(Dialect::Corecast, faults);
    let run = load(&[&server.url(), "-n2", "-r100", "-d1s", "--warm-up=10s", "-q", "--json=-"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.errors.contains("before anything was measured"), "{}", run.errors);
    assert_eq!(count(&run.report(), "unsent"), 100);
}

#[test]
fn who_was_refused_is_told() {
    let server = Server::start(&["--max-connections=10"]);
    let run = load(&[server.url(), "-n20", "-d200ms", "--warm-up=0s"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("\n! only 9 of 20 connections were opened"), "{}", run.out);
}

#[test]
fn lost_messages_are_a_failure_unless_that_is_allowed() {
    let server = Fake::start(Dialect::Corecast, Faults { drop_every: 10, ..Faults::default() });
    let url = server.url();
    let args = [&url, "-n3", "-r200", "-d200ms", "--warm-up=0s", "--drain=200ms"];
    let run = load(&args);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.errors.contains("12 deliveries were lost"), "{}", run.errors);
    assert!(run.out.contains("lost                      12"), "the table is there: {}", run.out);
    let run = load(&[&args[..], &["--lenient"]].concat());
    assert_eq!(run.code, 0, "{run:?}");
}

/// A server that takes nothing more: neither is the rate kept nor is everything delivered.
#[test]
fn a_rate_that_is_not_reached_is_told() {
    let server = Server::start(&["--max-message=128KiB"]);
    let args = [server.url(), "-n2", "-r1000", "-s64KiB", "-d1s", "--warm-up=0s", "--drain=300ms"];
    for mode in [&["--json=-"][..], &[]] {
        let mut run = Running::start(&[&args, mode, &["--lenient"]].concat());
        run.wait_for("measuring");
        signal("STOP", &server.pid());
        let run = run.end();
        signal("CONT", &server.pid());
        assert_eq!(run.code, 0, "{run:?}");
        if mode.is_empty() {
            assert!(run.out.contains("offered 1.00 k/s, published "), "{}", run.out);
            assert!(run.out.contains("\n! the rate was not reached: "), "{}", run.out);
            continue;
        }
        let json = run.report();
        assert_eq!(count(&json, "published") + count(&json, "unsent"), 1000, "{json}");
        assert_eq!(json["messages"]["offered_per_second"], 1000.0);
        assert!(json["messages"]["published_share"].as_f64().unwrap() < 0.9, "{json}");
    }
}
