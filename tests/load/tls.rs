//! `wss://` is measured as exactly as `ws://`, against servers of three libraries; and a certificate
//! that is not right is refused with advice.

use super::support::{
    Certificate, Dialect, Fake, Fault, Faults, Foreign, Server, check_all_delivered, load,
};
use serde_json::json;

#[test]
fn broadcasts_over_tls_are_checked_and_the_report_says_so() {
    let (server, certificate) = Server::start_sealed(Fault::Nothing);
    let args = ["--members=20", "--rooms=4", "--publishers=6", "--event-streams=50%", "--strict"];
    let ca = certificate.file();
    for (size, pace) in [("128", "--rate=200"), ("128", "--window=64"), ("40KiB", "--window=4")] {
        let times = ["--duration=500ms", "--warm-up=100ms", "--threads=2", "--json=-"];
        let more = [server.url(), pace, "--size", size, "--ca", &ca];
        let json = load(&[&more[..], &args, &times].concat()).json();
        check_all_delivered(&json);
        let tls = &json["connections"]["tls"];
        assert_eq!((&tls["version"], &tls["is_verified"]), (&"1.3".into(), &true.into()), "{tls}");
        assert!(tls["suite"].as_str().unwrap().starts_with("TLS13_"), "{tls}");
        assert_eq!(json["settings"]["url"], server.url());
    }
}

#[test]
fn connections_over_tls_are_held_and_come_in_waves() {
    let (server, certificate) = Server::start_sealed(Fault::Nothing);
    let file = certificate.file();
    let with = ["--ca", &file, "--json=-"];
    let held = load(&[&["hold", server.url(), "-n50", "-d=200ms"][..], &with].concat()).json();
    assert_eq!((&held["connections"]["opened"], &held["errors"]), (&50.into(), &json!({})));
    for goodbye in ["--goodbye=reset", "--goodbye=close"] {
        let waves = ["--waves=3", "--stay=50ms", "--pause=50ms", "--rooms=5", goodbye];
        let storm = ["storm", server.url(), "-n30"];
        let storm = load(&[&storm[..], &waves, &with].concat()).json();
        assert_eq!((&storm["connections"]["opened"], &storm["errors"]), (&90.into(), &json!({})));
    }
}

#[test]
fn slow_members_are_slow_over_tls_too() {
    let certificate = Certificate::new(Fault::Nothing);
    let flags = ["--send-buffer", "16KiB", "--slow", "skip"];
    let server = Server::sealed_with(&certificate, &flags);
    let json = load(&[
        "slow",
        server.url(),
        "--members=10",
        "--size=16KiB",
        "--rate=400",
        "--duration=2s",
        "--warm-up=0s",
        "--ca",
        &certificate.file(),
        "--json=-",
    ])
    .json();
    assert_eq!(
        (&json["messages"]["lost"], &json["messages"]["skipped_readers"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(json["slow_members"]["members"], 1);
    assert_eq!(json["slow_members"]["told_of_a_gap"], 1, "{json}");
}

fn check_refused(args: &[&str], advice: &[&str]) {
    for scenario in [&["hold", "-q", "-n3"][..], &["-q", "-n3", "--duration=100ms"]] {
        let run = load(&[scenario, args].concat());
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{args:?}: {run:?}");
        for words in advice {
            assert!(run.errors.contains(words), "{args:?}: {words} in {}", run.errors);
        }
    }
}

#[test]
fn a_certificate_that_is_not_right_is_refused_with_advice() {
    let (server, certificate) = Server::start_sealed(Fault::Nothing);
    check_refused(&[server.url()], &["is not signed by an authority that is known here", "--ca"]);
    let other = Certificate::new(Fault::Nothing);
    check_refused(&[server.url(), "--ca", &other.file()], &["is not signed by"]);
    for (fault, words) in
        [(Fault::Name, "other.example"), (Fault::Expired, "expired"), (Fault::Authority, "CA:TRUE")]
    {
        let (server, certificate) = Server::start_sealed(fault);
        let file = certificate.file();
        let args = [server.url(), "--ca", &file];
        check_refused(&args, &[words, "--insecure"]);
        let run = load(&["hold", server.url(), "-n3", "-d=50ms", "--insecure", "--json=-"]);
        let json = run.json();
        assert_eq!(json["connections"]["opened"], 3, "{fault:?}");
        assert_eq!(json["connections"]["tls"]["is_verified"], false);
    }
    let missing = certificate.path("missing.pem");
    check_refused(&[server.url(), "--ca", &missing], &["missing.pem", "cannot be read"]);
    check_refused(&[server.url(), "--ca", &certificate.key()], &["server.key", "no certificate"]);
}

#[test]
fn the_wrong_scheme_is_named() {
    let (sealed, _certificate) = Server::start_sealed(Fault::Nothing);
    let plain = Server::start(&[]);
    check_refused(&[&sealed.url().replace("wss", "ws")], &["400", "wss://"]);
    check_refused(&[&plain.url().replace("ws", "wss").replace("/wss", "/ws")], &["write ws://"]);
    let fake = Fake::start(Dialect::Corecast, Faults::default());
    check_refused(&[&fake.url(), "--insecure"], &["are for wss:// addresses"]);
}

#[test]
fn the_table_says_what_tls_agreed_on() {
    let (server, _certificate) = Server::start_sealed(Fault::Nothing);
    let run = load(&["hold", server.url(), "-n2", "-d=50ms", "--insecure"]);
    let words = "TLS                       1.3, TLS13_";
    assert!(run.out.contains(words), "{}", run.out);
    assert!(run.out.contains("certificate not checked"), "{}", run.out);
    let plain = Server::start(&[]);
    let run = load(&["hold", plain.url(), "-n2", "-d=50ms"]);
    assert!(!run.out.contains("TLS"), "{}", run.out);
}

/// Servers with OpenSSL below them, in other languages.
#[test]
fn servers_of_node_and_python_are_measured_over_tls() {
    let certificate = Certificate::new(Fault::Nothing);
    for server in [Foreign::node_sealed(&certificate), Foreign::python_sealed(&certificate)] {
        let json = load(&[
            "broadcast",
            &server.url(),
            "--members=4",
            "--rooms=2",
            "--publishers=2",
            "--rate=100",
            "--size=20KiB",
            "--duration=500ms",
            "--warm-up=0s",
            "--strict",
            "--hello=SUB {room}",
            "--ready=OK",
            "--publish=PUB {room} {payload}",
            "--ca",
            &certificate.file(),
            "--json=-",
        ])
        .json();
        check_all_delivered(&json);
        assert_eq!(json["messages"]["published"], 100);
        assert_eq!(json["connections"]["tls"]["version"], "1.3");
    }
}
