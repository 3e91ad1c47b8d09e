//! Proves that the client's address is the one that trusted proxies say, and no other one.

use crate::support::{Raw, Response, Server, http, refused, serve, upgrade_head, wait_until};
use std::cell::Cell;
use std::ops::Deref;

const OTHER: [u8; 4] = [127, 0, 0, 2];

/// A server whose log says where each client comes from.
pub(crate) struct Watched {
    server: Server,
    seen: Cell<usize>,
}

impl Deref for Watched {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Watched {
    pub(crate) fn start(flags: &[&str]) -> Watched {
        let mut command = serve(&["--listen", "127.0.0.1:0", "--shards", "1"]);
        command.args(flags).env("CORECAST_LOG", "corecast=debug");
        Watched { server: Server::spawn(command, 1), seen: Cell::new(0) }
    }

    /// The next handshake that was accepted came from this address.
    pub(crate) fn assert_client(&self, expected: &str) {
        let next = || {
            let log = self.server.log();
            let named = log.lines().filter_map(|line| line.split("client_addr=").nth(1));
            named.skip(self.seen.get()).map(|rest| rest.trim().to_owned()).next()
        };
        wait_until("the log names one more client", || next().is_some());
        assert_eq!(next().as_deref(), Some(expected));
        self.seen.set(self.seen.get() + 1);
    }
}

fn handshake(mut raw: Raw, fields: &str) -> Response {
    raw.write(upgrade_head(fields).as_bytes());
    raw.response()
}

fn dial(server: &Server) -> Raw {
    Raw::dial(server.address())
}

#[test]
fn the_first_address_from_the_right_that_is_no_proxys_is_the_client() {
    let server = Watched::start(&[
        "--trusted-proxy",
        "127.0.0.1,10.0.0.0/8",
        "--trusted-proxy",
        "2001:db8::/32",
    ]);
    for (fields, client) in [
        ("", "127.0.0.1"),
        ("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"),
        ("x-forwarded-for: 198.51.100.1, 192.0.2.2, 10.0.0.1,2001:db8::7\r\n", "192.0.2.2"),
        ("X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.3\r\n", "192.0.2.3"),
        ("X-Forwarded-For: ::ffff:192.0.2.4\r\n", "192.0.2.4"),
        ("X-Forwarded-For: 192.0.2.5:4711\r\n", "192.0.2.5"),
        ("X-Forwarded-For: 192.0.2.1, spoof, 10.0.0.6\r\n", "10.0.0.6"),
        ("Forwarded: for=192.0.2.7;proto=https\r\n", "192.0.2.7"),
        ("Forwarded: for=192.0.2.1, for=\"[2001:db9::8]:80\", for=10.0.0.1\r\n", "2001:db9::8"),
        ("Forwarded: for=192.0.2.1;x=\", for=192.0.2.2\r\n", "127.0.0.1"),
        ("X-Forwarded-For: 192.0.2.9\r\nForwarded: For=\"192.0.2.9\"\r\n", "192.0.2.9"),
        ("X-Real-IP: 192.0.2.1\r\nX-Forwarded-Host: 192.0.2.1\r\n", "127.0.0.1"),
    ] {
        assert_eq!(handshake(dial(&server), fields).status, 101, "{fields}");
        server.assert_client(client);
    }
}

#[test]
fn header_floods_move_no_address() {
    let server = Watched::start(&["--trusted-proxy", "127.0.0.0/30"]);
    let hops = "127.0.0.3, ".repeat(1000);
    let long = format!("X-Forwarded-For: 192.0.2.1, {hops}127.0.0.3\r\n");
    assert_eq!(handshake(dial(&server), &long).status, 101);
    server.assert_client("192.0.2.1");
    let lines = "X-Forwarded-For: 192.0.2.1\r\n".repeat(80) + "X-Forwarded-For: 192.0.2.2\r\n";
    assert_eq!(handshake(dial(&server), &lines).status, 101);
    server.assert_client("192.0.2.2");
    let many = "X-Forwarded-For: 192.0.2.1\r\n".repeat(101);
    handshake(dial(&server), &many).assert_error(431);
}

#[test]
fn what_does_not_come_from_a_trusted_proxy_is_not_believed() {
    let spoofed = "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.2\r\n";
    let server = Watched::start(&["--trusted-proxy", "127.0.0.1"]);
    assert_eq!(handshake(Raw::dial_from(OTHER, server.address()), spoofed).status, 101);
    server.assert_client("127.0.0.2");
    let server = Watched::start(&[]);
    assert_eq!(handshake(dial(&server), spoofed).status, 101);
    server.assert_client("127.0.0.1");
}

#[test]
fn a_request_whose_fields_disagree_is_refused() {
    let server = Server::start_with_shards(1, &["--trusted-proxy", "loopback"]);
    let fields = "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.2\r\n";
    let response = handshake(dial(&server), fields);
    response.assert_error(400);
    let body = String::from_utf8(response.body).unwrap();
    assert!(body.contains("X-Forwarded-For") && body.contains("Forwarded"), "{body}");
    let headers = [("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.2")];
    http(server.address(), "GET", "/v1/stats", &headers, "").assert_error(400);
}

#[test]
fn a_forwarded_host_or_scheme_changes_nothing() {
    let server = Server::start_with_shards(1, &["--trusted-proxy", "loopback"]);
    let own = format!("Origin: http://{}\r\n", server.address());
    for field in [
        "X-Forwarded-Host: evil.example\r\n",
        "X-Forwarded-Proto: https\r\n",
        "X-Forwarded-Port: 1\r\n",
        "Forwarded: for=192.0.2.1;host=evil.example;proto=https\r\n",
    ] {
        let host = format!("Host: {}", server.address());
        let with = |fields: String| {
            let head = upgrade_head(&fields).replace("Host: localhost", &host);
            let mut raw = dial(&server);
            raw.write(head.as_bytes());
            raw.response().status
        };
        assert_eq!(with(format!("{field}{own}")), 101, "{field}");
        assert_eq!(with(format!("{field}Origin: http://evil.example\r\n")), 403, "{field}");
        assert_eq!(with(format!("{field}Origin: https://evil.example:1\r\n")), 403, "{field}");
    }
}

#[test]
fn what_is_no_network_is_refused_at_the_start() {
    for network in ["10.0.0.0/33", "proxy.example", "1.2.3", "::/129", "10.0.0.0/8,x"] {
        let flag = format!("--trusted-proxy={network}");
        let outcome = refused(serve(&["--listen", "127.0.0.1:0", &flag]));
        outcome.assert_readable(&["network", "10.0.0.0/8"]);
    }
}
