//! Proves that a shard accepts only so many connections per second, that the others wait, and that
//! what has waited for too long gets 503.

use crate::support::{Raw, Response, Server, http, wait_until};

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn ask(server: &Server, count: usize) -> Vec<Raw> {
    let ask = |_| {
        let mut raw = Raw::dial(server.address());
        raw.write(GET.as_bytes());
        raw
    };
    (0..count).map(ask).collect()
}

#[test]
fn what_comes_too_fast_waits_and_is_served() {
    let server = Server::start_with_shards(1, &["--accepts", "10"]);
    for mut raw in ask(&server, 25) {
        assert_eq!(raw.response().status, 200);
    }
    let turns = server.stats()["shards"][0]["runtime"]["turns"].as_u64().unwrap();
    assert!(turns < 10_000, "{turns} turns: it sleeps while they wait");
}

#[test]
fn what_has_waited_for_too_long_gets_503() {
    let flags = ["--accepts", "1", "--handshake-timeout", "2s"];
    let server = Server::start_with_shards(1, &flags);
    let answers: Vec<Response> =
        ask(&server, 12).into_iter().map(|mut raw| raw.response()).collect();
    let (served, late): (Vec<_>, Vec<_>) =
        answers.iter().partition(|response| response.status == 200);
    assert!(!served.is_empty() && !late.is_empty(), "{answers:?}");
    for response in &late {
        response.assert_error(503);
        assert!(response.header("retry-after").is_some(), "{response:?}");
    }
    let stats = || http(server.address(), "GET", "/v1/stats", &[], "");
    wait_until("they are counted", || {
        let stats = stats();
        stats.status == 200
            && stats.json()["refused"]["accepts"].as_u64() >= Some(late.len() as u64)
    });
}
