//! Several reports as one.

use super::support::{Dialect, Fake, Faults, Server, load};
use serde_json::Value;
use std::path::PathBuf;

/// A file that is removed with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let name = format!("corecast-load-merge-{name}-{}.json", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&std::fs::read(&self.0).unwrap()).unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Where the test has failed it may not be there.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A report on 200 messages to so many members.
fn run(name: &str, url: &str, more: &[&str]) -> File {
    let file = File::new(name);
    let args = [url, "-r500", "-d400ms", "--warm-up=0s", "--drain=300ms", "--lenient", "-q"];
    let run = load(&[&args[..], &["--json", file.path()], more].concat());
    assert_eq!(run.code, 0, "{run:?}");
    file
}

#[test]
fn two_runs_are_added_up() {
    let server = Server::start(&[]);
    let faulty = Fake::start(Dialect::Corecast, Faults { drop_every: 10, ..Faults::default() });
    let (a, b) = (run("a", server.url(), &["-n5"]), run("b", &faulty.url(), &["-n20"]));
    let merged = load(&["merge", a.path(), b.path(), "--json=-", "--lenient"]).json();
    let strictly = load(&["merge", a.path(), b.path()]);
    assert_eq!(strictly.code, 1, "{strictly:?}");
    assert!(strictly.errors.contains("400 deliveries were lost"), "{}", strictly.errors);
    let count = |name: &str| merged["messages"][name].as_u64().unwrap();
    assert_eq!((count("published"), count("expected")), (400, 200 * 25), "{merged}");
    assert_eq!((count("delivered"), count("lost")), (200 * 25 - 20 * 20, 20 * 20), "{merged}");
    assert_eq!(merged["connections"]["opened"], 25, "{merged}");
    let latency = &merged["latency_us"];
    assert_eq!((&latency["due"], &latency["missing"]), (&5_000.into(), &400.into()), "{latency}");
    // Of all 8 % are missing, where of one of them it was a tenth.
    assert_eq!(latency["missing_at"], serde_json::json!(["p99", "p999", "max"]), "{latency}");
    let [p50, of_a, of_b] =
        [&merged, &a.report(), &b.report()].map(|it| it["latency_us"]["p50"].as_f64().unwrap());
    assert!((of_a.min(of_b)..=of_a.max(of_b)).contains(&p50), "{of_a} {p50} {of_b}");
    let last = &merged["last_member"];
    assert_eq!((&last["due"], &last["missing"]), (&400.into(), &20.into()), "{last}");
}

#[test]
fn all_are_told_beside_each_other_and_asserted_of_together() {
    let server = Server::start(&[]);
    let [a, b] = ["c", "d"].map(|name| run(name, server.url(), &["-n4", "--room-name", name]));
    let asserted = ["--assert=lost==0", "--assert=delivered>1600"];
    let merged = File::new("all");
    let args = ["merge", a.path(), b.path(), "--json", merged.path()];
    let run = load(&[&args[..], &asserted].concat());
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.errors.contains("1 of 2 assertions failed: delivered>1600 (it is 1.60 k)"));
    let together = run.out.lines().find(|line| line.starts_with("  together")).unwrap();
    assert!(together.contains("400          1,600        0 "), "{}", run.out);
    for part in [
        "2 runs of broadcast, merged",
        "published    delivered    lost         p50",
        "delivered                 1,600 of 1,600\n",
        "lost==0                   holds: 0\n",
        "to the last member        p50 ",
        "! not at the same time",
    ] {
        assert!(run.out.contains(part), "{part} in {}", run.out);
    }
    let more = load(&["merge", merged.path(), a.path(), "--json=-"]).json();
    assert_eq!(more["messages"]["delivered"], 2_400, "what was merged is merged again");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let server = Server::start(&[]);
    let a = run("e", server.url(), &["-n2"]);
    let check = |other: &str, part: &str| {
        let run = load(&["merge", a.path(), other]);
        assert!(run.code == 1 && run.errors.contains(part), "{part} in {run:?}");
    };
    let sampled = run("f", server.url(), &["-n2", "--sample=16"]);
    check(sampled.path(), "the same --sample: ");
    let larger = run("h", server.url(), &["-n2", "--size=256"]);
    check(larger.path(), "not the same payloads: ");
    check(a.path(), "the same report twice: ");
    let copy = File::new("i");
    std::fs::copy(a.path(), copy.path()).unwrap();
    check(copy.path(), "the same report twice: ");
    let mut endless = a.report();
    endless["histograms"]["waited_seconds"] = 1e9.into();
    std::fs::write(copy.path(), endless.to_string()).unwrap();
    check(copy.path(), "no time below a day");
    let held = File::new("g");
    let hold = ["hold", server.url(), "-n2", "-d0s", "-q", "--json", held.path()];
    assert_eq!(load(&hold).code, 0);
    check(held.path(), "not the same scenario: ");
    check("Cargo.toml", "Cargo.toml is no report of this version");
    check("/nowhere.json", "/nowhere.json cannot be read");
    assert_eq!(load(&["merge", a.path()]).code, 2, "one is none");
}
