//! Proves that a server all of whose descriptors are taken still answers, and leaves nothing behind.

use crate::support::{PATIENCE, Raw, Server, heavy, serve_limited, wait_until};
use std::net::TcpStream;
use std::time::Instant;

/// Descriptors that the server may have.
const DESCRIPTORS: u64 = 256;

/// Connections at once; more than there are descriptors, and than fit the listeners' queues.
const CROWD: usize = 400;

fn start(flags: &[&str]) -> Server {
    // The limit of plain HTTP connections would be reached before that of descriptors.
    let no_limit = ["--max-http-connections", "4096"];
    let mut all = vec!["--listen", "127.0.0.1:0", "--shards", "2"];
    all.extend(no_limit);
    all.extend(flags);
    Server::spawn(serve_limited(&all, libc::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS), 2)
}

/// A figure of the runtime, summed over the shards.
fn runtime(server: &Server, figure: &str) -> u64 {
    let stats = server.stats();
    let shards = stats["shards"].as_array().unwrap();
    shards.iter().map(|shard| shard["runtime"].pointer(figure).unwrap().as_u64().unwrap()).sum()
}

#[test]
fn connections_that_say_nothing_make_room_for_those_that_do() {
    let _heavy = heavy();
    let server = start(&["--handshake-timeout", "60s"]);
    let idle: Vec<TcpStream> =
        (0..CROWD).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let begin = Instant::now();
    for _ in 0..20 {
        assert_eq!(server.get("/healthz").status, 200);
        drop(Raw::open(&server));
    }
    // Nobody's timeout was waited for.
    assert!(begin.elapsed() < PATIENCE, "it took {:?}", begin.elapsed());
    assert!(runtime(&server, "/evicted") >= 100, "most of the crowd has gone");
    assert!(runtime(&server, "/failures/accept4") >= 100, "each time there was no descriptor");
    crate::support::wait_until("it is logged", || server.log().contains("accept4"));
    let lines = server.log().lines().filter(|line| line.contains("accept4")).count();
    assert!((1..=2).contains(&lines), "once for each shard, not {lines} times:\n{}", server.log());
    assert!(server.log().contains("ulimit -n"), "it says what to do:\n{}", server.log());
    drop(idle);
}

#[test]
fn when_nobody_is_idle_the_newcomer_is_told_so_at_once() {
    let _heavy = heavy();
    let server = start(&[]);
    // Each is in the middle of a request whose body does not come.
    let request = "POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\
                   Content-Type: application/json\r\n\r\n{";
    let busy = (0..CROWD).map(|_| {
        let mut raw = Raw::dial(server.address());
        raw.write(request.as_bytes());
        raw
    });
    let mut busy: Vec<Raw> = busy.collect();
    wait_until("one is answered", || busy.iter().any(Raw::has_answer));
    let refused = busy.iter_mut().find(|raw| raw.has_answer()).map(Raw::response).unwrap();
    refused.assert_error(503);
    let after = refused.header("retry-after").and_then(|after| after.parse::<u32>().ok());
    assert!(after.is_some_and(|after| after > 0), "it says when to come back: {refused:?}");
    drop(busy);
    wait_until("there is room again", || server.get("/healthz").status == 200);
}

#[test]
fn connections_leave_no_descriptor_behind() {
    let _heavy = heavy();
    let server = start(&["--handshake-timeout", "1s"]);
    let before = server.descriptors();
    let crowd: Vec<TcpStream> =
        (0..CROWD).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    server.get("/healthz");
    drop(crowd);
    wait_until("all are closed", || server.descriptors() <= before);
}
