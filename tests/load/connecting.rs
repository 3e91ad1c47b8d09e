//! How connecting is measured: at a rate or so many at once, and what it takes of the generator.

use std::thread::sleep;
use std::time::Duration;

use super::support::{Dialect, Fake, Faults, Running, Server, load, signal};

/// A server that accepts nothing for 300 ms from its 20th connection on.
fn standing_still() -> Fake {
    let stall = (20, Duration::from_millis(300));
    Fake::start(Dialect::Corecast, Faults { accept_late_at: Some(stall), ..Faults::default() })
}

#[test]
fn all_connections_that_were_due_feel_a_stall() {
    let server = standing_still();
    let args = ["hold", &server.url(), "-n200", "--connect-rate=400", "-d0s", "--json=-"];
    let json = load(&args).json();
    let connections = &json["connections"];
    assert_eq!(
        (&connections["loop"], &connections["connect_rate"]),
        (&"open".into(), &400.0.into())
    );
    assert_eq!(connections["handshake_us"]["count"], 200);
    // 120 were due in that time, the first of them 300 ms before it was over.
    assert!(connections["handshake_us"]["p90"].as_f64().unwrap() >= 200e3, "{json}");
    assert!(connections["connect_seconds"].as_f64().unwrap() >= 0.495, "{json}");
    assert_eq!(connections["handshake_own_us"]["count"], 200);
    let [all, own] =
        ["handshake_us", "handshake_own_us"].map(|name| connections[name]["p90"].as_f64().unwrap());
    assert!(own < all / 2.0, "most of that was the server: {json}");
}

/// Whoever comes late to connect has no server to blame.
#[test]
fn a_generator_that_connects_late_says_so() {
    let server = Server::start(&[]);
    let args = ["hold", server.url(), "-n300", "--connect-rate=300", "-d0s"];
    for mode in [&["--json=-"][..], &[]] {
        let mut run = Running::start(&[&args[..], mode].concat());
        run.wait_for("connecting");
        sleep(Duration::from_millis(200));
        signal("STOP", &run.pid());
        sleep(Duration::from_millis(500));
        signal("CONT", &run.pid());
        let run = run.end();
        if mode.is_empty() {
            let words = "\n! of handshakes the generator itself was late: by up to ";
            assert!(run.out.contains(words), "{}", run.out);
            continue;
        }
        let connections = run.json()["connections"].clone();
        let [all, own] = ["handshake_us", "handshake_own_us"]
            .map(|name| connections[name]["max"].as_f64().unwrap());
        assert!(all > 400e3 && own > 400e3, "{connections}");
    }
}

#[test]
fn a_closed_loop_says_that_it_is_one() {
    let server = standing_still();
    let hold = ["hold", &server.url(), "-n60", "-d0s"];
    let run = load(&hold);
    assert!(run.out.contains("connecting                closed loop, 128 at once"), "{}", run.out);
    let json = load(&[&hold[..], &["--opening=5", "--json=-"]].concat()).json();
    let connections = &json["connections"];
    assert_eq!((&connections["loop"], &connections["opening"]), (&"closed".into(), &5.into()));
}

#[test]
fn the_time_to_join_is_apart_from_the_handshake() {
    let server = Server::start(&[]);
    let hold = ["hold", server.url(), "-n40", "-d0s", "--json=-"];
    let joined = |more: &[&str]| {
        let json = load(&[&hold[..], more].concat()).json();
        json["connections"]["joined_us"].clone()
    };
    assert_eq!(joined(&[])["count"], 0, "nobody joins");
    for more in [&["--rooms=2"][..], &["--rooms=2", "--place"]] {
        let joined = joined(more);
        assert_eq!(joined["count"], 40, "{joined}");
        assert!(joined["p50"].as_f64().unwrap() > 0.0, "{joined}");
    }
}

/// The generator may be what limits it, in waves as at once.
#[test]
fn what_connecting_takes_of_the_generator_is_told() {
    let server = Server::start(&[]);
    for scenario in [&["hold", "-d0s"][..], &["storm", "--waves=2", "--stay=10ms", "--pause=10ms"]]
    {
        let json = load(&[scenario, &[server.url(), "-n300", "--json=-"]].concat()).json();
        let connecting = &json["generator"]["connecting"];
        let busy = connecting["busy"].as_f64().unwrap();
        assert!(busy > 0.0, "{json}");
        assert_eq!(connecting["limited"], busy > 0.9, "{json}");
    }
}
