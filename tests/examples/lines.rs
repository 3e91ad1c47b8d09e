//! The thread example publishes its input, and ends with it, nothing lost.

use std::io::Write;

use serde_json::json;

use crate::member::join;
use crate::program::Program;

#[test]
fn every_line_reaches_a_member_before_the_goodbye() {
    const LINES: usize = 5_000;
    let mut example = Program::start("thread", &["127.0.0.1:0"]);
    let mut socket = join(&example.address("publishing lines on "), "lines");
    let mut input = example.input();
    for n in 0..LINES {
        writeln!(input, "line {n}").unwrap();
    }
    drop(input);
    for n in 0..LINES {
        let data = format!("line {n}");
        let line = json!({"event": "line", "data": data, "room": "lines", "offset": n + 1});
        assert_eq!(socket.recv(), line);
    }
    assert!(socket.goodbye().reason.starts_with("shutdown retry="));
    drop(socket);
    example.end();
}
