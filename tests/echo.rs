//! Proves that a program which embeds the library can speak a format of its own: the echo example
//! gives back text and binary messages as they came, without a welcome.
#![allow(clippy::unwrap_used)] // A step that fails has failed the test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tungstenite::Message;

struct Example(Child);

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the example on a port of the system's choice and returns its address.
fn start() -> (Example, String) {
    let programs = Path::new(env!("CARGO_BIN_EXE_corecast")).parent().unwrap();
    let mut child = Command::new(programs.join("examples/echo"))
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .expect(
            "the example is built beside the tests, by `cargo test` or `cargo build --examples`",
        );
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("echoing on ").unwrap().to_owned();
    (Example(child), address)
}

#[test]
fn text_and_binary_come_back_as_they_were() {
    let (_example, address) = start();
    let (mut socket, _) = tungstenite::connect(&address).unwrap();
    let messages = [
        Message::text("no envelope: é🦀"),
        Message::text(""),
        Message::binary(vec![0_u8, 159, 146, 150]),
        Message::binary(vec![7_u8; 200_000]),
        Message::text("x".repeat(100_000)),
    ];
    for message in &messages {
        socket.send(message.clone()).unwrap();
        assert_eq!(&socket.read().unwrap(), message);
    }
    for message in &messages {
        socket.send(message.clone()).unwrap();
    }
    for message in &messages {
        assert_eq!(&socket.read().unwrap(), message, "sent without waiting for the answers");
    }
}
