//! Proves that clients we did not write understand the events of a room: curl, the `eventsource` of
//! npm and Chromium's EventSource receive what a member over a WebSocket receives, in its order.

use crate::browser::{Browser, Page};
use crate::support::{Client, PATIENCE, Raw, Server, wait_until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

const MESSAGES: u64 = 50;

/// Publishes as soon as there are so many members, one of which is a WebSocket's; returns what that
/// one received.
fn publish_to(server: &Server, members: u64) -> Vec<String> {
    let mut member = Raw::open(server);
    member.send(&json!({"event": "cast:join", "room": "r"}));
    assert_eq!(member.envelope().event(), "cast:joined");
    wait_until("all are members", || server.members("r") == members);
    let mut publisher = Client::connect(server);
    for n in 1..=MESSAGES {
        let data = json!({"n": n, "text": "Grüße\u{2028}🦀\n\r", "more": "x".repeat(n as usize)});
        publisher.publish("r", "chat", data);
    }
    (0..MESSAGES).map(|_| member.text()).collect()
}

/// A client in a process of its own, and the lines that it prints.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the client goes on printing")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn url(server: &Server) -> String {
    format!("http://{}/v1/rooms/r/events", server.address())
}

#[test]
fn curl_shows_each_event_as_it_comes() {
    let server = Server::start(&[]);
    let curl = Process::start(Command::new("curl").args(["--silent", "-N", &url(&server)]));
    assert!(curl.line().starts_with("retry: "));
    assert_eq!(curl.line(), "");
    let received = publish_to(&server, 2);
    let epoch = server.get("/v1/rooms/r").json()["epoch"].as_str().unwrap().to_owned();
    for line in ["event: cast:at", &format!("id: {epoch}-0"), "data:", ""] {
        assert_eq!(curl.line(), line);
    }
    for (offset, text) in (1..).zip(&received) {
        assert_eq!(curl.line(), format!("id: {epoch}-{offset}"));
        assert_eq!(curl.line(), format!("data: {text}"));
        assert_eq!(curl.line(), "");
    }
    drop(curl);
    wait_until("none is a member", || server.members("r") == 0);
}

#[test]
fn curl_is_content_with_how_a_stream_ends() {
    let mut server = Server::start(&[]);
    let mut curl = Process::start(Command::new("curl").args(["--silent", "-N", &url(&server)]));
    publish_to(&server, 2);
    server.signal(libc::SIGTERM);
    while !curl.line().starts_with(": shutdown retry=") {}
    let status = curl.child.wait().unwrap();
    assert!(status.success(), "the body is complete: {status}");
    assert_eq!(server.wait().code(), Some(0));
}

/// What `scripts/setup` installed. To pass without it would prove nothing, so its absence fails.
fn installed(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(path);
    assert!(path.exists(), "{} is missing: scripts/setup installs it", path.display());
    path
}

#[test]
fn the_eventsource_of_npm_receives_what_a_websocket_does() {
    let server = Server::start(&[]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/events.mjs");
    let modules = installed("node/node_modules/eventsource");
    let node = Process::start(
        Command::new("node")
            .env("NODE_PATH", modules.parent().unwrap())
            .arg(script)
            .args([url(&server), MESSAGES.to_string()]),
    );
    assert_eq!(node.line(), "open");
    check(&server, publish_to(&server, 2), |_| {
        (0..MESSAGES).map(|_| serde_json::from_str(&node.line()).unwrap()).collect()
    });
}

/// Checks what a client received as pairs of id and data.
fn check(server: &Server, sent: Vec<String>, receive: impl FnOnce(usize) -> Vec<(String, String)>) {
    let epoch = server.get("/v1/rooms/r").json()["epoch"].as_str().unwrap().to_owned();
    let expected = (1..).zip(sent).map(|(offset, text)| (format!("{epoch}-{offset}"), text));
    let expected: Vec<(String, String)> = expected.collect();
    assert_eq!(receive(expected.len()), expected);
}

/// Has a page listen to a room, and note what it hears.
fn listen(browser: &mut Browser, page: &Page, url: &str, options: &str) {
    let script = format!(
        "window.heard = []; window.failed = 0;
         window.source = new EventSource('{url}', {options});
         source.onmessage = (event) => heard.push([event.lastEventId, event.data]);
         source.onerror = () => failed += 1;"
    );
    browser.evaluate(page, &script);
}

fn heard(browser: &mut Browser, page: &Page, count: usize) -> Vec<(String, String)> {
    browser.wait(page, &format!("heard.length >= {count}"));
    assert_eq!(browser.evaluate(page, "failed"), json!(0));
    let heard = browser.evaluate(page, "JSON.stringify(heard)");
    serde_json::from_str(heard.as_str().unwrap()).unwrap()
}

#[test]
fn chromium_receives_what_a_websocket_does_on_pages_of_the_server_and_of_others() {
    let server = Server::start(&["--allow-origin", "http://localhost:*"]);
    let neighbour = Server::start(&[]);
    let mut browser = Browser::start();
    let own = browser.open(&format!("http://{}/", server.address()));
    let port = neighbour.address().port();
    let allowed = browser.open(&format!("http://localhost:{port}/"));
    let foreign = browser.open(&format!("http://{}/", neighbour.address()));
    listen(&mut browser, &own, "/v1/rooms/r/events", "{}");
    listen(&mut browser, &allowed, &url(&server), "{withCredentials: true}");
    listen(&mut browser, &foreign, &url(&server), "{}");
    browser.wait(&foreign, "failed > 0 && source.readyState == EventSource.CLOSED");

    let sent = publish_to(&server, 3);
    for page in [&own, &allowed] {
        check(&server, sent.clone(), |count| heard(&mut browser, page, count));
    }
    assert_eq!(browser.evaluate(&foreign, "heard.length"), Value::from(0));
    wait_until("two pages are members", || server.members("r") == 2);
    browser.evaluate(&own, "source.close()");
    wait_until("the other one is", || server.members("r") == 1);
}

#[test]
fn chromium_comes_back_to_a_server_that_was_away() {
    let mut server = Server::start(&[]);
    let mut browser = Browser::start();
    let page = browser.open(&format!("http://{}/", server.address()));
    listen(&mut browser, &page, "/v1/rooms/r/events", "{}");
    wait_until("it is a member", || server.members("r") == 1);
    let address = server.address();
    assert_eq!(server.terminate().code(), Some(0));
    browser.wait(&page, "failed > 0");
    drop(server);
    let server = Server::spawn(
        crate::support::serve(&["--listen", &address.to_string(), "--shards", "2"]),
        2,
    );
    wait_until("it is a member again", || server.members("r") == 1);
    Client::connect(&server).publish("r", "chat", json!("again"));
    browser.wait(&page, "heard.length == 1");
}
