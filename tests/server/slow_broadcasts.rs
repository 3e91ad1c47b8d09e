//! Proves that broadcasts are never skipped: who is too slow for them is closed, under any policy.

use crate::support::{Client, Raw, Server, wait_until};
use serde_json::json;

#[test]
fn a_reader_too_slow_for_broadcasts_is_closed_with_1013() {
    for policy in ["disconnect", "skip"] {
        let flags = ["--room-log", "256KiB", "--send-buffer", "32KiB", "--close-timeout", "600s"];
        let server = Server::start(&[&flags[..], &["--slow", policy]].concat());
        let mut stalled = Raw::open_narrow(&server);
        let mut speaker = Client::connect(&server);
        let mut listener = Client::connect(&server);
        for n in 0..200 {
            speaker.broadcast("notice", json!({"n": n, "filling": "x".repeat(8 * 1024)}));
            for client in [&mut speaker, &mut listener] {
                assert_eq!(client.recv_event("notice").data()["n"], json!(n));
            }
        }
        wait_until("the stalled one is closed", || server.closed("slow") == 1);
        let mut next = 0;
        let close = loop {
            match stalled.envelope_or_close() {
                Ok(notice) => assert_eq!(notice.data()["n"], json!(next), "nothing is skipped"),
                Err(close) => break close,
            }
            next += 1;
        };
        close.assert_retry(1013, "slow");
        stalled.expect_end();
    }
}
