//! Ctrl-C ends a run early, and the report is still made and still exact.

use super::support::{Running, Server, signal};

#[test]
fn an_interrupted_run_reports() {
    let server = Server::start(&[]);
    let args = [server.url(), "--members=5", "--rate=100", "--duration=1h", "--warm-up=0s"];
    let mut run = Running::start(&[&args[..], &["--json=-"]].concat());
    run.wait_for("measuring");
    signal("INT", &run.pid());
    let run = run.end();
    assert_eq!(run.code, 130, "{}", run.errors);
    let json = run.report();
    assert_eq!(json["interrupted"], true);
    assert_eq!(json["messages"]["lost"], 0);
    assert_eq!(json["messages"]["delivered"], json["messages"]["expected"]);
}
