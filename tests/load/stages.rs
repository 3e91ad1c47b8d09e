//! A rate in stages: each is told by what was due in it, whenever that came.

use std::thread::sleep;
use std::time::Duration;

use super::support::{
    Dialect, Fake, Faults, Running, Server, check_all_delivered, check_clean, load, signal,
};
use serde_json::Value;

/// A figure of each stage.
fn of(json: &Value, name: &str) -> Vec<u64> {
    let stages = json["stages"].as_array().unwrap_or_else(|| panic!("stages in {json}"));
    stages.iter().map(|it| it[name].as_u64().unwrap_or_else(|| panic!("{name} in {it}"))).collect()
}

/// The longest latency of each stage, in milliseconds.
fn longest(json: &Value) -> Vec<f64> {
    let stages = json["stages"].as_array().unwrap().iter();
    stages.map(|it| it["latency_us"]["max"].as_f64().unwrap() / 1e3).collect()
}

/// Messages that were due in each interval, of so many members.
fn due(json: &Value, members: u64) -> Vec<u64> {
    let series = json["series"].as_array().unwrap().iter();
    series.map(|it| it["due"].as_u64().unwrap() / members).collect()
}

#[test]
fn each_stage_has_its_rate_and_its_figures() {
    let server = Server::start(&[]);
    let stages = ["--stage=500ms:100,250ms:1000", "--stage=150ms:0", "--stage=200ms:50"];
    let quick = ["--warm-up=100ms", "--drain=500ms", "--settle=0s", "--json=-", "-q", "-n4"];
    let pid = server.pid();
    for (rooms, more) in [("--rooms=1", "-p3"), ("--rooms=2", "-p2"), ("--rooms=4", "-p1")] {
        let args = [server.url(), rooms, more, "--pid", &pid];
        let json = load(&[&args[..], &stages, &quick].concat()).json();
        check_all_delivered(&json);
        let rooms = json["settings"]["rooms"].as_u64().unwrap();
        assert_eq!(of(&json, "offered"), [50, 250, 0, 10].map(|of_room| of_room * rooms), "{json}");
        assert_eq!(of(&json, "published"), of(&json, "offered"), "{json}");
        assert_eq!(of(&json, "delivered"), [50, 250, 0, 10].map(|of_room| of_room * 4), "{json}");
        assert_eq!(of(&json, "missing"), [0; 4], "{json}");
        let messages = &json["messages"];
        assert_eq!(
            (&messages["published"], &messages["delivered"]),
            (&(310 * rooms).into(), &1240.into())
        );
        for stage in json["stages"].as_array().unwrap() {
            assert_eq!(stage["latency_us"]["count"], stage["delivered"], "{stage}");
            let has_some = stage["offered"] != 0;
            assert_eq!(stage["latency_us"]["max"].is_number(), has_some, "{stage}");
            assert!(stage["server_cpu"].is_number(), "{stage}");
            assert!(stage["generator_busy"].is_number(), "{stage}");
        }
        let settings = &json["settings"];
        assert_eq!(settings["duration_seconds"], 1.1, "{settings}");
        let mean = settings["rate_per_room"].as_f64().unwrap();
        assert!((mean - 310.0 / 1.1).abs() < 1e-6, "{settings}");
        assert_eq!(due(&json, 4).iter().sum::<u64>(), 310, "{json}");
    }
}

/// 400 messages per second are reached after a second of which the first half has a quarter.
#[test]
fn a_rate_rises_and_falls_evenly() {
    let server = Server::start(&[]);
    let args = [server.url(), "-n3", "--stage=1s:0..400,1s:400..0", "--warm-up=100ms"];
    let json = load(&[&args[..], &["--json=-", "-q"]].concat()).json();
    check_all_delivered(&json);
    assert_eq!(of(&json, "offered"), [200, 200], "{json}");
    assert_eq!(json["messages"]["offered_per_second"], 200.0, "{json}");
    let due = due(&json, 3);
    let sum = |range| due.get::<std::ops::Range<usize>>(range).unwrap().iter().sum::<u64>();
    for (range, expected) in [(0..5, 50), (5..10, 150), (10..15, 150), (15..20, 50)] {
        assert!(sum(range.clone()).abs_diff(expected) <= 1, "{range:?} of {due:?}");
    }
    // 2, 6, 10 … in each tenth of the first second.
    let rises = due[..10].windows(2).all(|two| two[0] < two[1]);
    let falls = due[10..].windows(2).all(|two| two[0] > two[1]);
    assert!(rises && falls, "{due:?}");
}

/// What was due while nothing was read is late in the stage in which it was due, and nowhere else.
#[test]
fn a_server_that_stands_still_is_late_in_the_stage_in_which_it_does() {
    let server = Server::start(&[]);
    let args = [server.url(), "-n5", "--warm-up=0s", "--stage=500ms:200,2s:200,500ms:200"];
    let mut run = Running::start(&[&args[..], &["--json=-"]].concat());
    run.wait_for("measuring");
    sleep(Duration::from_millis(1_100));
    signal("STOP", &server.pid());
    sleep(Duration::from_millis(700));
    signal("CONT", &server.pid());
    let json = run.end().json();
    check_clean(&json);
    let max = longest(&json);
    assert!(max[1] > 600.0 && max[0] < 600.0 && max[2] < 600.0, "{max:?}");
    assert_eq!(of(&json, "published"), [100, 400, 100], "{json}");
    // A third of the stage is late by half of the stall or more.
    let p90 = json["stages"][1]["latency_us"]["p90"].as_f64().unwrap();
    assert!(p90 > 300e3, "{json}");
}

/// The server stops with the message that is due after 250 ms, and goes on in the second stage.
#[test]
fn a_stall_over_the_end_of_a_stage_is_late_in_both() {
    let stall = Duration::from_millis(400);
    let faults = Faults { stall_at: Some((50, stall)), ..Faults::default() };
    let server = Fake::start(Dialect::Corecast, faults);
    let args = [&*server.url(), "-n4", "--stage=500ms:200,500ms:100,500ms:100", "--warm-up=0s"];
    let json = load(&[&args[..], &["--json=-", "-q"]].concat()).json();
    let max = longest(&json);
    assert!(max[0] >= 396.0 && max[1] >= 100.0 && max[1] < max[0], "{max:?}");
}

#[test]
fn what_never_came_stands_in_the_percentiles_of_its_stage() {
    let faults = Faults { drop_every: 60, ..Faults::default() };
    let server = Fake::start(Dialect::Corecast, faults);
    let args = [&*server.url(), "-n4", "--stage=500ms:200,500ms:100,500ms:20", "--warm-up=0s"];
    let run = load(&[&args[..], &["--json=-", "-q", "--drain=2s"]].concat());
    assert_eq!(run.code, 1, "{run:?}");
    let json = run.report();
    // Of 100, 50 and 10 messages the 60th and the 120th.
    assert_eq!(of(&json, "missing"), [4, 4, 0], "{json}");
    assert_eq!(of(&json, "delivered"), [99 * 4, 49 * 4, 10 * 4], "{json}");
    let stage = |nth: usize| &json["stages"][nth];
    assert_eq!(stage(1)["missing_at"], serde_json::json!(["p99", "p999", "max"]), "{json}");
    assert_eq!(stage(1)["latency_us"]["p99"], 2e6, "{json}");
    assert!(stage(1)["latency_us"]["p50"].as_f64().unwrap() < 2e6, "{json}");
    assert_eq!(stage(2)["missing_at"], serde_json::json!([]), "{json}");
}

/// The publisher's connection ends in the first stage: what is due in the others is never sent.
#[test]
fn what_was_not_even_sent_is_missing_in_its_stage() {
    let faults = Faults { close_publisher_at: Some(50), ..Faults::default() };
    let server = Fake::start(Dialect::Corecast, faults);
    let args = [&*server.url(), "-n4", "--stage=2s:50,1s:50,500ms:20", "--warm-up=0s"];
    let run = load(&[&args[..], &["--json=-", "-q", "--drain=300ms"]].concat());
    assert_eq!(run.code, 1, "{run:?}");
    let json = run.report();
    assert_eq!(of(&json, "offered"), [100, 50, 10], "{json}");
    assert_eq!(of(&json, "published")[1..], [0, 0], "{json}");
    let missing = of(&json, "missing");
    assert_eq!(missing[1..], [50 * 4, 10 * 4], "{json}");
    assert_eq!(missing[0] + of(&json, "delivered")[0], 100 * 4, "{json}");
    assert!(json["stages"][2]["generator_busy"].is_null(), "{json}");
}

#[test]
fn an_interrupted_run_tells_the_rates_of_the_time_until_then() {
    let server = Server::start(&[]);
    let args = [server.url(), "-n2", "--warm-up=0s", "--stage=500ms:100,20s:2000,1s:5"];
    let mut run = Running::start(&[&args[..], &["--json=-"]].concat());
    run.wait_for("measuring");
    sleep(Duration::from_millis(900));
    signal("INT", &run.pid());
    let json = run.end().report();
    assert_eq!(json["interrupted"], true, "{json}");
    let [first, second, third] = measured(&json);
    assert!(first == 0.5 && second > 0.0 && second < 20.0 && third == 0.0, "{json}");
    let offered = json["messages"]["offered_per_second"].as_f64().unwrap();
    let due = offered * (first + second);
    assert!((due - 50.0 - 2_000.0 * second).abs() < 2.0, "{due} in {json}");
}

/// How long three stages were.
fn measured(json: &Value) -> [f64; 3] {
    [0, 1, 2].map(|nth: usize| json["stages"][nth]["measured_seconds"].as_f64().unwrap())
}

/// The last message was published long before.
#[test]
fn a_run_that_is_interrupted_in_silence_says_so() {
    let server = Server::start(&[]);
    let args = [server.url(), "-n2", "--warm-up=0s", "--stage=300ms:100,20s:0,1s:0"];
    let mut run = Running::start(&[&args[..], &["--json=-"]].concat());
    run.wait_for("measuring");
    sleep(Duration::from_millis(700));
    signal("INT", &run.pid());
    let json = run.end().report();
    let [first, second, third] = measured(&json);
    assert!(first == 0.3 && second > 0.0 && second < 20.0 && third == 0.0, "{json}");
    let offered = json["messages"]["offered_per_second"].as_f64().unwrap();
    assert!((offered * (first + second) - 30.0).abs() < 1e-3, "{json}");
    assert_eq!(of(&json, "missing"), [0; 3], "{json}");
}

/// Each of five publishers has published all that it is to when its connection ends.
#[test]
fn publishers_that_are_closed_are_missed_to_the_end() {
    let faults = Faults { close_publisher_at: Some(1), ..Faults::default() };
    let server = Fake::start(Dialect::Corecast, faults);
    let args = [&*server.url(), "-n2", "-p5", "-r5", "-d1s", "--warm-up=0s", "-q", "--json=-"];
    let run = load(&args);
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(run.report()["connections"]["let_go"], 1, "{run:?}");
}

#[test]
fn what_comes_twice_is_delivered_once() {
    let faults = Faults { double_at: Some(50), ..Faults::default() };
    let server = Fake::start(Dialect::Corecast, faults);
    let args = [&*server.url(), "-n4", "--stage=500ms:200,500ms:100", "--warm-up=0s", "-q"];
    let json = load(&[&args[..], &["--json=-", "--lenient"]].concat()).json();
    assert_eq!(json["messages"]["repeated"], 4, "{json}");
    assert_eq!(of(&json, "delivered"), [400, 200], "{json}");
    assert_eq!(of(&json, "missing"), [0, 0], "{json}");
}

/// Of what is due in the second stage no delivery is in the sample.
#[test]
fn a_stage_of_which_nothing_is_sampled_tells_the_longest() {
    let server = Server::start(&[]);
    let args = [server.url(), "-n4", "--stage=500ms:400,100ms:20", "--warm-up=0s", "-q"];
    let json = load(&[&args[..], &["--sample=16", "--json=-"]].concat()).json();
    check_all_delivered(&json);
    assert_eq!(of(&json, "delivered"), [800, 8], "{json}");
    let latency = |nth: usize| &json["stages"][nth]["latency_us"];
    assert_eq!([&latency(0)["count"], &latency(1)["count"]], [49, 0], "{json}");
    assert_eq!(latency(0)["count"], json["latency_us"]["count"], "{json}");
    assert!(latency(1)["p50"].is_null() && latency(1)["max"].is_number(), "{json}");
    let run = load(&[&args[..], &["--sample=16"]].concat());
    let row = "p50 n/a: too few of 0 values, p99 n/a: too few of 0 values, max ";
    assert!(run.out.contains(row), "{}", run.out);
}

#[test]
fn members_come_and_go_in_all_stages() {
    let server = Server::start(&[]);
    let args = [server.url(), "-n8", "--churn=20/s", "--stage=500ms:200,500ms:100"];
    let json = load(&[&args[..], &["--warm-up=100ms", "-q", "--json=-"]].concat()).json();
    check_clean(&json);
    assert!(json["churn"]["joined"].as_u64().unwrap() > 0, "{json}");
    assert_eq!(of(&json, "published"), [100, 50], "{json}");
    assert_eq!(of(&json, "missing"), [0, 0], "{json}");
    let delivered: u64 = of(&json, "delivered").iter().sum();
    assert_eq!(json["latency_us"]["count"], delivered, "{json}");
}

/// Whoever reads slowly is in no stage.
#[test]
fn slow_members_are_in_no_stage() {
    let server = Server::start(&[]);
    let args = ["slow", server.url(), "-n10", "--share=20%", "--size=100", "--warm-up=0s", "-q"];
    let stages = "--stage=200ms:100,200ms:50";
    let json = load(&[&args[..], &[stages, "--json=-"]].concat()).json();
    check_clean(&json);
    assert_eq!(of(&json, "delivered"), [20 * 8, 10 * 8], "{json}");
    let run = load(&[&args[..], &[stages]].concat());
    let advice = "use a larger --size, --stage with higher rates or longer times";
    assert!(run.out.contains(advice), "{}", run.out);
}

#[test]
fn the_page_has_a_section_of_stages() {
    let server = Server::start(&[]);
    let name = format!("corecast-load-stages-{}.html", std::process::id());
    let file = std::env::temp_dir().join(name);
    let path = file.to_str().unwrap();
    let stages = "--stage=300ms:100,500ms:0,300ms:100";
    let run = load(&[server.url(), "-n2", stages, "--warm-up=0s", "-q", "--report", path]);
    assert_eq!(run.code, 0, "{run:?}");
    let page = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    for part in ["<h3>Stages, by due time</h3>", "<th>2: 0.50 s at 0/s</th>"] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

/// The server takes nothing until the second stage, in which everything is made up for.
#[test]
fn a_rate_that_a_stage_missed_is_not_reached_by_the_next_one() {
    let faults = Faults { stall_at: Some((1, Duration::from_millis(800))), ..Faults::default() };
    let server = Fake::start(Dialect::Corecast, faults);
    let args = [&*server.url(), "-n1", "--stage=500ms:400,1500ms:0", "--size=64KiB"];
    let run = load(&[&args[..], &["--warm-up=0s", "-q", "--assert=published>=99%"]].concat());
    assert_eq!(run.code, 1, "{run:?}");
    for part in [
        "! the rate was not reached: in stage 1 ",
        " % in time), delivered 200, missing 0",
        "published>=99%            fails: ",
    ] {
        assert!(run.out.contains(part), "{part} in {}", run.out);
    }
}

/// Of all messages those that were late by the generator are fewer than one in a hundred.
#[test]
fn a_generator_that_is_late_in_one_stage_says_so() {
    let server = Server::start(&[]);
    let args = [server.url(), "-n2", "--warm-up=0s", "--stage=2s:10,2s:2000"];
    let mut run = Running::start(&args);
    run.wait_for("measuring");
    signal("STOP", &run.pid());
    sleep(Duration::from_millis(300));
    signal("CONT", &run.pid());
    let out = run.end().out;
    assert!(out.contains("! in stage 1 the generator itself was late: by "), "{out}");
}

#[test]
fn stages_are_told_in_words() {
    let server = Server::start(&[]);
    let args = ["-n4", "--stage=300ms:100,200ms:1000..3000/s", "--warm-up=0s", "-q"];
    let asserted = ["--assert=lost==0", "--assert=p50<5s"];
    let run = load(&[&[server.url()], &args[..], &asserted].concat());
    assert_eq!(run.code, 0, "{run:?}");
    for row in [
        "1 publisher, 100 to 3.00 k messages/s per room in 2 stages, ",
        "\nStages, by due time\n  1: 0.30 s at 100/s        published 30 of 30",
        ", delivered 120, missing 0",
        "\n       latency              p50 ",
        "\n  2: 0.20 s, 1.00 k to 3.00 k/s published 400 of 400",
        ", delivered 1,600, missing 0",
        "p50<5s                    holds: ",
    ] {
        assert!(run.out.contains(row), "{row} in {}", run.out);
    }
}

/// What a single stage tells is what the run tells.
#[test]
fn one_stage_is_the_whole_run() {
    let server = Server::start(&[]);
    let args = [server.url(), "-n4", "--stage=400ms:1000", "--warm-up=0s", "--json=-", "-q"];
    let json = load(&args).json();
    assert_eq!(of(&json, "offered"), [400], "{json}");
    let stage = &json["stages"][0];
    for name in ["count", "mean", "p50", "p90", "p99", "max"] {
        assert_eq!(stage["latency_us"][name], json["latency_us"][name], "{name} in {json}");
    }
}

#[test]
fn without_stages_nothing_is_told_of_them() {
    let server = Server::start(&[]);
    let args = [server.url(), "-n2", "-d200ms", "--warm-up=0s", "-q"];
    let json = load(&[&args[..], &["--json=-"]].concat()).json();
    assert!(!json.as_object().unwrap().contains_key("stages"), "{json}");
    let run = load(&args);
    assert!(run.code == 0 && !run.out.to_lowercase().contains("stage"), "{run:?}");
}

/// A report that is removed with the test.
struct File(std::path::PathBuf);

impl File {
    fn new(name: &str, url: &str, stage: &str) -> Self {
        let name = format!("corecast-load-stages-{name}-{}.json", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        let args = [url, "-n2", "--warm-up=0s", "-q", "--json", file.path(), stage];
        let run = load(&args);
        assert_eq!(run.code, 0, "{run:?}");
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Where the test has failed it may not be there.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn reports_on_the_same_stages_are_added_up() {
    let server = Server::start(&[]);
    let run = |name: &str, stage: &str| File::new(name, server.url(), stage);
    let [a, b] = ["a", "b"].map(|name| run(name, "--stage=200ms:500,200ms:500..1000"));
    let json = load(&["merge", a.path(), b.path(), "--json=-"]).json();
    assert_eq!(of(&json, "offered"), [200, 300], "{json}");
    assert_eq!(of(&json, "delivered"), [400, 600], "{json}");
    assert_eq!(json["stages"][1]["latency_us"]["count"], 600, "{json}");
    let table = load(&["merge", a.path(), b.path()]).out;
    for part in
        ["  2: 0.20 s, 500 to 1.00 k/s published 300 of 300", ", delivered 600, missing 0\n"]
    {
        assert!(table.contains(part), "{part} in {table}");
    }
    for (name, other) in [("c", "--stage=200ms:500,200ms:500"), ("d", "--rate=500")] {
        let refused = load(&["merge", a.path(), run(name, other).path()]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.errors.contains("not the same stages: "), "{}", refused.errors);
    }
    let other = run("e", "--stage=400ms:500");
    let diff = load(&["diff", a.path(), other.path()]).out;
    assert!(diff.contains("0.2s:500,0.2s:500..1000, 128 B of text"), "{diff}");
    assert!(diff.contains("! stages are not compared: "), "{diff}");
    let diff = load(&["diff", a.path(), b.path()]).out;
    let rows = "\n  2: 0.20 s, 500 to 1.00 k/s\n       p50  ";
    assert!(diff.contains(rows) && diff.contains("\n       missing  "), "{diff}");
}
