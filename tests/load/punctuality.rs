//! What is late is counted where it was due, and what the generator itself delays is not passed off
//! as the server's.

use super::support::{Dialect, Fake, Faults, Running, Server, check_all_delivered, load, signal};
use std::process::{Child, Command};
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

/// Half a second of the generator's own is nobody else's fault.
#[test]
fn a_generator_that_stands_still_says_so() {
    let server = Server::start(&[]);
    let args = [server.url(), "--members=5", "--rate=100", "--warm-up=0s", "--duration=2s"];
    for mode in [&["--json=-"][..], &[]] {
        let mut run = Running::start(&[&args[..], mode].concat());
        run.wait_for("measuring");
        sleep(Duration::from_millis(300));
        signal("STOP", &run.pid());
        sleep(Duration::from_millis(600));
        signal("CONT", &run.pid());
        let run = run.end();
        assert_eq!(run.code, 0, "{run:?}");
        if mode.is_empty() {
            assert!(run.out.contains("\n! the generator itself was late: by "), "{}", run.out);
            assert!(
                run.out.contains("\n! a thread of the generator did not come round for "),
                "{}",
                run.out
            );
            continue;
        }
        let json = run.report();
        assert_eq!(json["latency_trusted"], false, "{json}");
        let own = &json["latency_us"]["own_lateness"]["max"];
        assert!(own.as_f64().unwrap() > 400e3, "{own}");
        assert_eq!(json["latency_us"]["socket_full"]["max"], 0.0, "{json}");
        let threads = json["generator"]["threads"].as_array().unwrap();
        let gaps = threads.iter().map(|thread| thread["longest_gap_us"].as_f64().unwrap());
        assert!(gaps.into_iter().all(|gap| gap > 400e3), "{threads:?}");
    }
}

/// What waits for a server that reads nothing is not the generator's lateness.
#[test]
fn a_full_socket_is_the_servers() {
    let server = Server::start(&["--max-message=128KiB"]);
    let args = [server.url(), "-n2", "-r500", "-s64KiB", "--warm-up=0s", "-d2s", "--json=-"];
    let mut run = Running::start(&args);
    run.wait_for("measuring");
    signal("STOP", &server.pid());
    sleep(Duration::from_millis(900));
    signal("CONT", &server.pid());
    let json = run.end().report();
    let max = |name: &str| json["latency_us"][name]["max"].as_f64().unwrap();
    assert!(max("socket_full") > 300e3, "{json}");
    assert!(max("own_lateness") < max("socket_full"), "{json}");
}

/// Starves the receiving threads of a run on one core, until what is returned is dropped.
fn starve_readers(run: &Running) -> Busy {
    let (core, tasks) = (core(), format!("/proc/{}/task", run.pid()));
    for task in std::fs::read_dir(tasks).unwrap().map(Result::unwrap) {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap();
        if name.starts_with("reader-") {
            let thread = task.file_name().into_string().unwrap();
            succeed(Command::new("taskset").args(["-c", "-p", &core, &thread]));
            succeed(Command::new("chrt").args(["--idle", "-p", "0", &thread]));
        }
    }
    let mut busy = Command::new("taskset");
    Busy(busy.args(["-c", &core, "sh", "-c", "while :; do :; done"]).spawn().unwrap())
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// Somebody who takes a core.
struct Busy(Child);

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Messages are published in time and stand in the sockets of who does not come to read them.
#[test]
fn a_generator_that_reads_late_says_so() {
    let server = Server::start(&[]);
    let args = [server.url(), "--members=5", "--rate=100", "--warm-up=0s", "--duration=2s"];
    for mode in [&["--json=-"][..], &[]] {
        let mut run = Running::start(&[&args[..], mode, &["--threads=2"]].concat());
        run.wait_for("measuring");
        let busy = starve_readers(&run);
        sleep(Duration::from_millis(1_500));
        drop(busy);
        let run = run.end();
        assert_eq!(run.code, 0, "{run:?}");
        if mode.is_empty() {
            let words = "\n! the generator itself read late: by up to ";
            assert!(run.out.contains(words), "{}", run.out);
            continue;
        }
        let json = run.report();
        assert_eq!(json["latency_trusted"], false, "{json}");
        let late = &json["latency_us"]["reader_lateness"];
        assert_eq!(late["count"], json["messages"]["delivered"], "{json}");
        assert!(late["max"].as_f64().unwrap() > 2e3, "{late}");
    }
}

/// The first of the cores that this process may use.
fn core() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let (_, rest) = status.split_once("Cpus_allowed_list:").unwrap();
    rest.trim_start().chars().take_while(char::is_ascii_digit).collect()
}

#[test]
fn one_core_has_one_thread() {
    let server = Server::start(&[]);
    let core = core();
    for pace in ["--rate=300", "--window=16"] {
        let mut load = Command::new("taskset");
        load.args(["--cpu-list", &core, env!("CARGO_BIN_EXE_corecast"), "load", server.url()]);
        load.args(["--members=20", "--rooms=2", "--publishers=3", "--event-streams=20%"]);
        load.args(["--threads=1", "--warm-up=100ms", "--duration=500ms", "--json=-", pace]);
        let json = serde_json::from_slice(&load.output().unwrap().stdout).unwrap();
        check_all_delivered(&json);
        let threads = json["generator"]["threads"].as_array().unwrap();
        assert_eq!((threads.len(), &threads[0]["name"]), (1, &"publisher and reader".into()));
        assert!(threads[0]["busy"].as_f64().unwrap() > 0.0, "{threads:?}");
        // Its time is that of publishing, too.
        let generator = &json["generator"];
        assert!(generator["ns_per_message"].is_null(), "{generator}");
        assert!(generator["capacity_per_second"].is_null(), "{generator}");
        assert!(generator["messages_per_read"].is_number(), "{generator}");
        // That of reading is known.
        assert!(generator["reading_ns_per_message"].as_f64().unwrap() > 0.0, "{generator}");
        assert!(json["last_member"]["own_reading_us"].as_f64().unwrap() > 0.0, "{json}");
        // While it sleeps it is late for nothing.
        let late = json["latency_us"]["reader_lateness"]["p50"].as_f64();
        assert!(late.unwrap() < 3e3, "{json}");
    }
}
