//! The echo example gives back text and binary messages as they came, without a welcome, and keeps
//! to the letter of RFC 6455 and 7692.

use std::path::Path;
use std::process::Command;

use tungstenite::Message;

use crate::program::{Program, path_of};

#[test]
fn text_and_binary_come_back_as_they_were() {
    let example = Program::start("echo", &["127.0.0.1:0"]);
    let address = example.address("echoing on ");
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

/// A third of the Autobahn test suite, 172 cases; `scripts/conformance` runs all of it.
#[test]
fn the_autobahn_test_suite_finds_nothing() {
    let plain = [
        "1.*", "2.*", "3.*", "4.*", "5.*", "6.1.*", "6.2.*", "6.4.*", "6.20.*", "7.*", "9.1.3",
        "9.2.3", "9.3.5", "9.4.5", "9.5.3", "9.7.1", "9.8.1", "10.*",
    ];
    // Messages of each kind in some sizes, whole and in fragments; and each offer of parameters.
    let kinds = (1..=5).flat_map(|kind| [1, 3, 4, 5].map(|size| format!("12.{kind}.{size}")));
    let fragmented = (1..=4).map(|kind| format!("12.{kind}.11"));
    let offers = (1..=7).flat_map(|offer| [2, 4, 11].map(|size| format!("13.{offer}.{size}")));
    let cases = plain.map(str::to_owned).into_iter().chain(kinds).chain(fragmented).chain(offers);
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/conformance");
    let output = Command::new(judge).arg("--echo").arg(path_of("echo")).args(cases).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.ends_with("172 of 172 cases are OK\n"), "{said}");
}
