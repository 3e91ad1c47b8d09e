//! Proves that recovery is complete or refused: before history exists, complete only for a client
//! that missed nothing.

use crate::support::{Client, Server};
use serde_json::json;

#[test]
fn recovered_is_true_exactly_at_the_present_epoch_and_offset() {
    let server = Server::start(&[]);
    let mut speaker = Client::connect_on(&server, 0);
    let epoch = speaker.join("lobby").epoch;
    for n in 1..=5 {
        speaker.publish("lobby", "chat", json!(n));
    }
    let rows = [
        ("the present", epoch.as_str(), 5, None),
        ("the past", epoch.as_str(), 4, Some("off")),
        ("the beginning", epoch.as_str(), 0, Some("off")),
        ("the future", epoch.as_str(), 6, Some("future")),
        ("the far future", epoch.as_str(), (1 << 53) - 1, Some("future")),
        ("another epoch", "0", 5, Some("epoch")),
    ];
    for (what, epoch, offset, reason) in rows {
        let mut client = Client::connect_on(&server, 1);
        let joined = client.join_since("lobby", epoch, offset);
        assert_eq!(joined.recovered, Some(reason.is_none()), "since {what}");
        assert_eq!(joined.reason.as_deref(), reason, "since {what}");
        assert_eq!(joined.offset, 5, "since {what}: live messages follow the present");
    }
}

#[test]
fn live_messages_follow_a_recovery_without_hole_or_repeat() {
    let server = Server::start(&[]);
    let mut speaker = Client::connect_on(&server, 0);
    let mut client = Client::connect_on(&server, 1);
    let epoch = client.join("lobby").epoch;
    speaker.publish("lobby", "chat", json!(1));
    assert_eq!(client.recv_event("chat").offset(), 1);
    client.leave("lobby");

    assert_eq!(client.join_since("lobby", &epoch, 1).recovered, Some(true));
    speaker.publish("lobby", "chat", json!(2));
    assert_eq!(client.recv_event("chat").offset(), 2);
    client.leave("lobby");

    speaker.publish("lobby", "chat", json!(3));
    let refused = client.join_since("lobby", &epoch, 2);
    assert_eq!((refused.recovered, refused.offset), (Some(false), 3));
    speaker.publish("lobby", "chat", json!(4));
    assert_eq!(client.recv_event("chat").offset(), 4, "what was missed is not sent in part");
}

#[test]
fn a_room_that_never_was_recovers_nothing() {
    let server = Server::start(&[]);
    let joined = Client::connect(&server).join_since("new", "0", 0);
    assert_eq!((joined.recovered, joined.offset), (Some(false), 0), "its epoch is another");
}
