//! Two reports beside each other.

use super::support::{Server, load};

#[test]
fn reports_of_two_runs_are_compared() {
    let server = Server::start(&[]);
    let pid = server.pid();
    let file = |name: &str| {
        let name = format!("corecast-load-diff-{name}-{}.json", std::process::id());
        std::env::temp_dir().join(name).to_str().unwrap().to_owned()
    };
    let (a, b) = (file("a"), file("b"));
    for (path, rate) in [(&a, "--rate=100"), (&b, "--rate=300")] {
        let args =
            [server.url(), "-n5", rate, "-d2s", "--warm-up=0s", "--pid", &pid, "--json", path];
        assert_eq!(load(&args).code, 0);
    }
    let same = load(&["diff", &a, &a]);
    assert_eq!(same.code, 0, "{same:?}");
    assert!(same.out.contains("1.00 (") && same.out.contains("no difference seen"), "{}", same.out);
    assert!(
        !same.out.contains("is higher") && !same.out.contains("not the same load"),
        "{}",
        same.out
    );
    let other = load(&["diff", &a, &b]);
    let published = other.out.lines().find(|line| line.contains("published per second")).unwrap();
    assert!(published.contains("3.0") && published.ends_with("B is higher"), "{}", other.out);
    for part in ["server CPU per delivery", "p99", "not the same load", "repeat both"] {
        assert!(other.out.contains(part), "{part} in {}", other.out);
    }
    for path in [a, b] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_is_no_report_is_named() {
    let run = load(&["diff", "Cargo.toml", "Cargo.toml"]);
    assert_eq!(run.code, 1);
    assert!(run.errors.contains("Cargo.toml is no report of this version"), "{}", run.errors);
}
