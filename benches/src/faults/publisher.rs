//! Those who publish, over WebSockets and over HTTP, and those who only take up room.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::member::RETRY;
use super::round::{ROOMS, World};
use super::socket::{PATIENCE, Socket};

/// Names lie this far apart, so that those of different publishers differ.
const NAMES: usize = 10;

impl World<'_> {
    /// Publishes to all rooms in turn until time is over, one message after the other, each after
    /// the last was acknowledged. Each connection has a name of its own: between two there is no
    /// order.
    pub(super) fn publish(&self, by: u64, pause: Duration) {
        for by in (by..).step_by(NAMES) {
            if self.is_closing() {
                return;
            }
            match Socket::connect(self.address, self.ledger) {
                Some(mut socket) => self.publish_on(&mut socket, by, pause),
                None => thread::sleep(RETRY),
            }
        }
    }

    fn publish_on(&self, socket: &mut Socket<'_>, by: u64, pause: Duration) {
        for n in 1.. {
            if self.is_closing() {
                return;
            }
            if self.publish_once(socket, by, n).is_none() {
                self.died.fetch_add(1, Ordering::Relaxed);
                return;
            }
            thread::sleep(pause);
        }
    }

    /// Publishes one message and waits for its acknowledgement; none when the connection dies.
    pub(super) fn publish_once(&self, socket: &mut Socket<'_>, by: u64, n: u64) -> Option<()> {
        let room = ROOMS[(n % ROOMS.len() as u64) as usize];
        let message = message(by, n);
        let command =
            format!(r#"{{"event":"cast:publish","room":"{room}","id":{n},"data":{message}}}"#);
        if !socket.say(command) {
            return None;
        }
        let ack = socket.answer("an acknowledgement", |said| said["id"] == n)?;
        match ack["data"]["offset"].as_u64() {
            Some(offset) => self.ledger.acknowledge(room, offset, (by, n)),
            None => self.ledger.fail(format!("{ack} is no acknowledgement")),
        }
        Some(())
    }

    /// The same over HTTP, each on a connection of its own, with looks at the figures in between.
    pub(super) fn post(&self, by: u64, pause: Duration) {
        for (n, by) in (1..).zip((by..).step_by(NAMES)) {
            if self.is_closing() {
                return;
            }
            let room = ROOMS[(n % ROOMS.len() as u64) as usize];
            let posted =
                self.request("POST", &format!("/v1/rooms/{room}/publish"), &message(by, n));
            match posted.map(|answer| (answer["offset"].as_u64(), answer)) {
                Some((Some(offset), _)) => self.ledger.acknowledge(room, offset, (by, n)),
                Some((None, answer)) => self.ledger.fail(format!("{answer} has no offset")),
                None => {}
            }
            self.request("GET", "/v1/stats", "");
            thread::sleep(pause);
        }
    }

    /// The answer to a request; none when its connection died, or it was told to come later.
    fn request(&self, method: &str, target: &str, body: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.ledger.fail(format!("{target} is not answered, and its connection lives"));
                None
            }
            _ => self.judge(target, &String::from_utf8_lossy(&answer)),
        }
    }

    /// What is in an answer that came whole. A connection may die within one, and a server may be
    /// without room for it.
    fn judge(&self, target: &str, answer: &str) -> Option<Value> {
        let (head, body) = answer.split_once("\r\n\r\n")?;
        if head.starts_with("HTTP/1.1 503 ") {
            return None;
        }
        if !head.starts_with("HTTP/1.1 20") {
            self.ledger.fail(format!("{target}: {answer}"));
            return None;
        }
        // One that is cut is no JSON.
        serde_json::from_str(body).ok()
    }

    /// Opens connections that say nothing or half of something, and leaves them for a moment.
    pub(super) fn loiter(&self) {
        while !self.is_closing() {
            let halves = ["", "GET /heal", "POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\n"];
            let open = halves.map(|half| {
                let mut stream = TcpStream::connect(self.address).ok()?;
                stream.write_all(half.as_bytes()).ok()?;
                Some(stream)
            });
            thread::sleep(Duration::from_millis(30));
            drop(open);
        }
    }
}

/// A message of a length that depends on its number, so that boundaries fall everywhere.
fn message(by: u64, n: u64) -> String {
    let padding = "x".repeat((n * 37 % 1500) as usize);
    format!(r#"{{"event":"m","data":{{"by":{by},"n":{n},"x":"{padding}"}}}}"#)
}
