//! Ctrl-C ends a run early, and the report is still made and still exact.

use super::support::Server;
use super::support::command;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

#[test]
fn an_interrupted_run_reports() {
    let server = Server::start(&[]);
    let args = [server.url(), "--members=5", "--rate=100", "--duration=1h", "--warm-up=0s"];
    let mut child = command(&[&args[..], &["--json=-"]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines();
    let is_measuring = |line: std::io::Result<String>| line.unwrap().starts_with("measuring");
    assert!(progress.any(is_measuring), "it measures");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["interrupted"], true);
    assert_eq!(json["messages"]["lost"], 0);
    assert_eq!(json["messages"]["delivered"], json["messages"]["expected"]);
}
