//! The search for the greatest rate that a server holds.

use super::support::{Dialect, Fake, Faults, Running, Server, load, signal};
use std::time::Duration;

const RUNS: [&str; 5] = ["-n3", "-d400ms", "--warm-up=0s", "--drain=300ms", "--settle=0s"];

/// Each message takes this server 5 ms, so that it cannot take more than 200 per second.
fn slow() -> Fake {
    let last_late = Some(Duration::from_millis(5));
    Fake::start(Dialect::Corecast, Faults { last_late, ..Faults::default() })
}

#[test]
fn the_greatest_rate_is_found() {
    let server = slow();
    let url = server.url();
    let args = [&["capacity", &*url, "-r25", "--assert=p50<50ms"], &RUNS[..]].concat();
    let json = load(&[&args[..], &["--precision=20", "--json=-", "-q"]].concat()).json();
    let (found, failed) = (json["rate_per_room"].as_f64(), json["failed_at"].as_f64());
    let found = found.unwrap_or_else(|| panic!("{json}"));
    assert!((90.0..=320.0).contains(&found), "{json}");
    assert!(failed.is_some_and(|failed| failed > found), "{json}");
    assert!((json["deliveries_per_second"].as_f64().unwrap() / found / 3.0 - 1.0).abs() < 0.2);
    let trials = json["trials"].as_array().unwrap();
    let of = |verdict: &str| trials.iter().filter(|it| it["verdict"] == verdict).count();
    assert!(of("held") >= 3 && of("held") < trials.len(), "{json}");
    assert_eq!(json["asserted"], serde_json::json!(["p50<50ms"]));
    for trial in trials.iter().filter(|trial| trial["verdict"] != "held") {
        assert!(trial["why"].as_str().is_some_and(|why| !why.is_empty()), "{trial}");
    }
}

/// The table and the page have each run, and the exit code is that of what was asked for.
#[test]
fn a_rate_that_was_asked_for_sets_the_exit_code() {
    let server = Server::start(&[]);
    let name = format!("corecast-load-capacity-{}.html", std::process::id());
    let file = std::env::temp_dir().join(name);
    let path = file.to_str().unwrap();
    let pid = server.pid();
    let args = ["capacity", server.url(), "-r50", "--to=200", "--assert=p50<1s", "--pid", &pid];
    let run = load(&[&args[..], &RUNS, &["--at-least=150", "--report", path]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    for part in [
        "rate per room  deliveries",
        "  50/s ",
        "  100/s ",
        "  150/s ",
        "  200/s ",
        "cores",
        "capacity: ≥ 200/s per room, ",
        "! no greater rate was tried (--to)",
    ] {
        assert!(run.out.contains(part), "{part} in {}", run.out);
    }
    assert_eq!(run.out.matches(" holds\n").count(), 5, "the greatest one twice: {}", run.out);
    assert!(run.errors.contains("run 3: 150/s per room"), "{}", run.errors);
    let page = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(page.matches("<figure>").count(), 2);
    for part in ["Latency by rate", "messages/s per room (logarithmic)", "CPU by rate", "≥ 200/s"]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf,"), "numbers are numbers");
}

#[test]
fn less_than_was_asked_for_is_told_by_the_exit_code() {
    let server = slow();
    let url = server.url();
    let args = ["capacity", &*url, "-r50", "--assert=p50<50ms", "--precision=50", "-q"];
    let run = load(&[&args[..], &RUNS, &["--at-least=1000"]].concat());
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.errors.contains("1,000/s"), "{}", run.errors);
    assert!(run.errors.contains("(--at-least)"), "{}", run.errors);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let check = |more: &[&str], part: &str| {
        let run = load(&[&["capacity", "ws://127.0.0.1:1/ws"], more].concat());
        assert!(run.code == 1 && run.errors.contains(part), "{part} in {run:?}");
    };
    check(&["--lenient"], "leave out --lenient");
    check(&["--to=200", "--at-least=300"], "--at-least is at least 1, and at most --to");
    check(&["--no-last-member", "--assert=last.p99<1s"], "leave out --no-last-member");
}

#[test]
fn its_help_says_what_holds_there() {
    let run = load(&["capacity", "--help"]);
    for part in ["What a rate has to hold beside", "How long to measure each rate", "first run"] {
        assert!(run.out.contains(part), "{part} in {}", run.out);
    }
    assert!(!run.out.contains("--lenient\n") && !run.out.contains("Exit with 1 unless this holds"));
}

#[test]
fn a_server_that_loses_something_holds_no_rate() {
    let server = Fake::start(Dialect::Corecast, Faults { drop_every: 2, ..Faults::default() });
    let url = server.url();
    let run = load(&[&["capacity", &*url, "-r20", "--assert=p50<1s"], &RUNS[..]].concat());
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("no rate held"), "{}", run.out);
    assert!(run.out.contains("deliveries were lost"), "{}", run.out);
    // At a few messages per second there is too little to tell.
    assert!(run.errors.contains("the search ended early"), "{run:?}");
}

/// A generator that stands still proves nothing against the server, and the rate is tried again.
#[test]
fn a_generator_that_is_late_bounds_no_server() {
    let server = Server::start(&[]);
    let args = ["capacity", server.url(), "-n5", "-r200", "--to=400", "--assert=max<300ms"];
    let mut run = Running::start(&[&args[..], &["-d2s", "--warm-up=0s", "--json=-"]].concat());
    run.wait_for("run 2");
    run.wait_for("measuring");
    signal("STOP", &run.pid());
    std::thread::sleep(Duration::from_millis(600));
    signal("CONT", &run.pid());
    let json = run.end().json();
    let trial = &json["trials"][1];
    assert_eq!((&trial["verdict"], &trial["rate_per_room"]), (&"limited".into(), &400.0.into()));
    assert!(trial["why"].as_str().unwrap().contains("the generator"), "{trial}");
    assert_eq!((&json["rate_per_room"], &json["at_least"]), (&400.0.into(), &true.into()));
}

#[test]
fn what_cannot_be_told_is_no_failure_of_the_server() {
    let server = Fake::start(Dialect::Corecast, Faults::default());
    let url = server.url();
    let run = load(&[&["capacity", &*url, "-r10", "-q"], &RUNS[..]].concat());
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.errors.contains("p99<10ms cannot be told: there are too few values"), "{run:?}");
}

#[test]
fn a_rate_with_fewer_members_is_another_one() {
    let server = Server::start(&["--max-connections=4"]);
    let run = load(&[&["capacity", server.url(), "-r50", "-n9", "-q"], &RUNS[1..]].concat());
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.errors.contains(" of 9 connections were opened"), "{}", run.errors);
}

#[test]
fn a_search_that_is_interrupted_tells_what_it_found() {
    let server = Server::start(&[]);
    let args = ["capacity", server.url(), "-n3", "-r50", "--assert=p50<1s", "-d500ms"];
    let mut run = Running::start(&[&args[..], &["--warm-up=0s", "--json=-"]].concat());
    run.wait_for("run 3");
    signal("INT", &run.pid());
    let run = run.end();
    assert_eq!(run.code, 130, "{run:?}");
    let json = run.report();
    assert_eq!((&json["interrupted"], &json["at_least"]), (&true.into(), &true.into()), "{json}");
    assert_eq!(json["rate_per_room"], 100.0, "{json}");
}
