//! Proves what the command prints when it starts, and what it says when it cannot.

use crate::support::{Client, Folder, Outcome, Server, refused, serve, serve_limited, wait_until};
use serde_json::json;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

fn refuse(flags: &[&str]) -> Outcome {
    refused(serve(flags))
}

#[test]
fn it_prints_the_shards_with_their_cores() {
    for shards in [1, 2, 5] {
        let server = Server::start_with_shards(shards, &[]);
        assert_eq!(server.shard_lines().len(), shards);
        for (index, line) in server.shard_lines().iter().enumerate() {
            let place = line.strip_prefix(&format!("shard {index} "));
            let place = place.unwrap_or_else(|| panic!("not the line of shard {index}: {line}"));
            let pinned = place.strip_prefix("on core ").is_some_and(|n| n.parse::<u64>().is_ok());
            assert!(pinned || place == "unpinned", "in {line}");
        }
    }
}

#[test]
fn it_says_where_clients_connect_and_what_they_may_do() {
    let rows: [(&[&str], &str, &str); 3] = [
        (&["--listen", "127.0.0.1:0"], "ws://127.0.0.1:", "everything"),
        (&["--listen", "127.0.0.1:0", "--api-key", "k"], "ws://127.0.0.1:", "API key"),
        (&["--listen", "0.0.0.0:0", "--open"], "any address", "everything"),
    ];
    for (flags, place, access) in rows {
        let mut command = serve(flags);
        command.args(["--shards", "1"]);
        // Behind the shard's line come the two in question.
        let server = Server::spawn(command, 3);
        let [_, clients, rights] = server.shard_lines() else { panic!("three lines") };
        let port = server.address().port();
        assert!(clients.contains(place) && clients.contains(&format!(":{port}/ws")), "{clients}");
        assert!(rights.contains(access), "{flags:?}: {rights}");
    }
}

#[test]
fn a_host_name_or_a_port_is_an_address() {
    for listen in ["localhost:0", "0"] {
        let server = Server::spawn(serve(&["--listen", listen, "--shards", "1"]), 1);
        assert!(server.address().ip().is_loopback(), "{listen} is {}", server.address());
        assert_eq!(server.get("/healthz").status, 200);
    }
    let outcome = refuse(&["--listen", "no-such-host.invalid:1"]);
    outcome.assert_readable(&["--listen no-such-host.invalid:1", "host name"]);
    let rows = [(":8081", "127.0.0.1:8081"), ("::1:8081", "[::1]:"), ("somewhere", "somewhere:")];
    for (listen, advice) in rows {
        let outcome = refuse(&["--listen", listen]);
        assert_eq!(outcome.code, Some(2), "{listen}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(advice), "{listen}: {}", outcome.stderr);
    }
}

#[test]
fn limits_that_do_not_go_together_are_told() {
    let flags = ["--max-message", "8MiB", "--mesh-bytes", "1MiB", "--max-connections", "999999999"];
    let http = ["--max-http-connections", "999999999"];
    let kept = ["--memory-limit", "128MiB", "--history-memory", "100MiB"];
    let room = ["--room", "chat.*:history=9,history-bytes=101MiB"];
    let mut server = Server::start(&[&flags[..], &http, &kept, &room].concat());
    server.terminate();
    for words in [
        "--max-message is 8388608 and --room-log",
        "--max-message is 8388608 and --own-bytes",
        "--mesh-bytes is 1048576 and works as",
        "--max-connections is 999999999 and works as",
        "--max-http-connections is 999999999 and the process may open only",
        "rooms chat.*: history-bytes is 105906176, and each of",
        "--history-memory is 104857600 and --memory-limit 134217728",
    ] {
        wait_until(words, || server.log().contains(words));
    }
    let mut server = Server::start(&[]);
    server.terminate();
    assert!(!server.log().contains("WARN"), "the defaults go together: {}", server.log());
}

#[test]
fn what_may_not_be_meant_is_warned_of() {
    let folder = Folder::new();
    let secret = folder.write("secret", &"0123456789abcdef".repeat(2));
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let cookie = ["--jwt-secret-file", &secret, "--token-cookie", "t"];
    let rows: [(&[&str], &[&str]); 8] = [
        (&["--open"], &["the server is open: whatever reaches it may do everything"]),
        (
            &["--open", "--anonymous", "none"],
            &["the server is open: whatever reaches it may use /v1"],
        ),
        (&["--open", "--api-key", "0123456789abcdef"], &["--open has no effect"]),
        (
            &["--trusted-proxy", "0.0.0.0/0,::/0", "--api-key", "0123456789abcdef"],
            &["--trusted-proxy 0.0.0.0/0"],
        ),
        (&["--trusted-proxy", "private,loopback"], &["--trusted-proxy let in may do everything"]),
        (&["--allow-origin", "*"], &[]),
        (&[&cookie[..], &["--allow-origin", "null"]].concat(), &["--allow-origin null"]),
        (&[&cookie[..], &["--allow-origin", "https://*.example.com"]].concat(), &[]),
    ];
    for (flags, expected) in rows {
        let mut server = Server::start(flags);
        server.terminate();
        wait_until("the log is whole", || server.log().contains("drained"));
        let log = server.log();
        let warnings: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
        assert_eq!(warnings.len(), expected.len(), "{flags:?}: {log}");
        for (warning, words) in warnings.iter().zip(expected) {
            assert!(warning.contains(words), "{flags:?}: {warning}");
        }
    }
}

#[test]
fn every_shard_takes_connections() {
    let server = Server::start_with_shards(4, &[]);
    for shard in 0..4 {
        Client::connect_on(&server, shard).assert_alive();
    }
}

#[test]
fn a_flag_may_be_an_environment_variable() {
    let mut command = serve(&["--listen", "127.0.0.1:0"]);
    command.env("CORECAST_SHARDS", "3").env("CORECAST_MAX_ROOMS", "9");
    command.env("CORECAST_ROOM_LOG", "1MiB").env("CORECAST_SLOW_TIMEOUT", "4s");
    command.env("CORECAST_EXECUTOR", "plain");
    let server = Server::spawn(command, 3);
    let stats = server.stats();
    assert_eq!(stats["shards"].as_array().unwrap().len(), 3);
    assert_eq!(stats["executor"], "plain");
    assert_eq!(stats["limits"]["max_rooms"], json!(9));
    assert_eq!(stats["limits"]["room_log"], json!(1 << 20));
    assert_eq!(stats["limits"]["slow_timeout"].as_f64(), Some(4.0));
}

#[test]
fn a_flag_goes_before_its_environment_variable() {
    let mut command = serve(&["--listen", "127.0.0.1:0", "--shards", "1", "--max-rooms", "5"]);
    command.env("CORECAST_MAX_ROOMS", "9");
    assert_eq!(Server::spawn(command, 1).stats()["limits"]["max_rooms"], json!(5));
}

#[test]
fn a_port_in_use_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refuse(&["--listen", &address, "--shards", "2"]).assert_readable(&[&address]);
}

#[test]
fn the_port_of_another_server_is_refused() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    refuse(&["--listen", &address, "--shards", "2"]).assert_readable(&[&address]);
    Client::connect(&server).assert_alive();
}

#[test]
fn beyond_loopback_it_needs_keys_or_open() {
    let outcome = refuse(&["--listen", "0.0.0.0:0", "--shards", "1"]);
    outcome.assert_readable(&["--open", "--api-key"]);
    for flags in [&["--open"][..], &["--api-key", "secret"]] {
        let mut command = serve(&["--listen", "0.0.0.0:0", "--shards", "1"]);
        command.args(flags);
        let server = Server::spawn(command, 1);
        assert!(server.address().ip().is_unspecified(), "it listens everywhere with {flags:?}");
    }
}

#[test]
fn loopback_is_loopback_in_both_families() {
    for address in ["127.0.0.2:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
        if TcpListener::bind(address).is_err() {
            // A machine without IPv6 cannot show this half.
            continue;
        }
        let server = Server::spawn(serve(&["--listen", address, "--shards", "1"]), 1);
        assert_eq!(server.get("/healthz").status, 200, "on {address}");
    }
}

#[test]
fn an_address_that_is_not_ours_is_refused() {
    // 192.0.2.0/24 is reserved for documentation, so no machine has it.
    let outcome = refuse(&["--listen", "192.0.2.1:0", "--open", "--shards", "1"]);
    outcome.assert_readable(&["192.0.2.1"]);
}

#[test]
fn too_low_a_descriptor_limit_is_refused() {
    let flags = ["--listen", "127.0.0.1:0", "--shards", "2"];
    let outcome = refused(serve_limited(&flags, libc::RLIMIT_NOFILE, 32, 32));
    outcome.assert_readable(&["descriptor", "ulimit -n"]);
}

#[test]
fn the_soft_descriptor_limit_is_raised_to_the_hard_one() {
    let flags = ["--listen", "127.0.0.1:0", "--shards", "2"];
    let server = Server::spawn(serve_limited(&flags, libc::RLIMIT_NOFILE, 256, 1024), 2);
    let limit = server.stats()["limits"]["max_connections"].clone();
    assert_eq!(limit, json!(1024 - 64), "what the descriptor limit allows, less 64");
}

#[test]
fn bad_values_are_refused_before_anything_starts() {
    let rows = [
        ["--slow", "sometimes"],
        ["--executor", "tokio"],
        ["--shards", "0"],
        ["--shards", "many"],
        ["--max-message", "lots"],
        ["--max-rooms", "abc"],
        ["--ping-interval", "-1s"],
        ["--ping-timeout", "0"],
        ["--handshake-timeout", "0"],
        ["--listen", "nowhere"],
        ["--no-such-flag", "1"],
    ];
    for flags in rows {
        let outcome = refuse(&flags);
        assert!(matches!(outcome.code, Some(1 | 2)), "{flags:?} ends with {:?}", outcome.code);
        assert!(!outcome.stderr.contains("panicked"), "{flags:?}: {}", outcome.stderr);
        let name = flags[0].trim_start_matches('-');
        assert!(outcome.stderr.contains(name), "{flags:?} is named: {}", outcome.stderr);
    }
}

/// Pairs that are started; `CORECAST_PAIRS=200` for a long run.
fn pairs() -> usize {
    std::env::var("CORECAST_PAIRS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

#[test]
fn of_two_servers_that_start_together_exactly_one_does() {
    for pair in 0..pairs() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let flags = ["--listen", &free, "--shards", "2"];
        let both = [(); 2].map(|()| serve(&flags).spawn().unwrap());
        let listens = |mut server: std::process::Child| {
            let mut line = String::new();
            BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
            // One that says nothing has ended or is about to.
            let code = if line.is_empty() { server.wait().unwrap().code() } else { None };
            (line.starts_with("listening on"), code, server)
        };
        let mut outcomes = both.map(listens);
        for (_, _, server) in &mut outcomes {
            let _ = server.kill();
            server.wait().unwrap();
        }
        let mut outcomes = outcomes.map(|(listens, code, _)| (listens, code));
        outcomes.sort();
        assert_eq!(outcomes, [(false, Some(1)), (true, None)], "in pair {pair}");
    }
}

#[test]
fn it_says_why_there_are_so_many_shards() {
    let mut command = serve(&["--listen", "127.0.0.1:0", "--shards", "2"]);
    let mut server = command.spawn().unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    let found = lines.into_iter().find(|line| line.starts_with("2 shards"));
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(found.as_deref(), Some("2 shards (as asked for)"));
}
