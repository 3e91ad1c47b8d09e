//! Proves that recovery is complete or refused: without a history, complete only for a client that
//! missed nothing; with one, for each that missed no more than what is kept.

use crate::support::{Client, Server, wait_until};
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

/// A server whose rooms keep so many messages, a room with five, and its epoch.
fn kept(messages: usize) -> (Server, Client, String) {
    let server = Server::start(&["--room", &format!("lobby:history={messages}")]);
    let mut speaker = Client::connect_on(&server, 0);
    let epoch = speaker.join("lobby").epoch;
    for n in 1..=5 {
        speaker.publish("lobby", "chat", json!(n));
    }
    (server, speaker, epoch)
}

#[test]
fn what_was_missed_comes_in_order_and_live_messages_follow() {
    let (server, mut speaker, epoch) = kept(5);
    for since in 0..=5 {
        for shard in [0, 1] {
            let mut client = Client::connect_on(&server, shard);
            let joined = client.join_since("lobby", &epoch, since);
            assert_eq!((joined.recovered, joined.offset), (Some(true), 5), "since {since}");
            for offset in since + 1..=5 {
                let message = client.recv_event("chat");
                assert_eq!((message.offset(), message.data()), (offset, json!(offset)));
            }
            assert_eq!(client.leave("lobby"), 5, "nothing came twice");
        }
    }
    let mut client = Client::connect_on(&server, 1);
    client.join_since("lobby", &epoch, 4);
    assert_eq!(speaker.publish("lobby", "chat", json!("live")), 6);
    assert_eq!(client.recv_event("chat").offset(), 5);
    assert_eq!(client.recv_event("chat").offset(), 6);
}

#[test]
fn what_is_kept_in_part_is_refused() {
    let (server, mut speaker, epoch) = kept(3);
    for (since, reason) in
        [(0, Some("too_old")), (1, Some("too_old")), (2, None), (6, Some("future"))]
    {
        let joined = Client::connect(&server).join_since("lobby", &epoch, since);
        assert_eq!(joined.recovered, Some(reason.is_none()), "since {since}");
        assert_eq!(joined.reason.as_deref(), reason, "since {since}");
    }
    let mut client = Client::connect(&server);
    assert_eq!(client.join_since("lobby", &epoch, 0).offset, 5);
    speaker.publish("lobby", "chat", json!("live"));
    assert_eq!(client.recv_event("chat").offset(), 6, "what was missed is not sent in part");
}

#[test]
fn a_join_for_the_newest_messages_brings_as_many_as_there_are() {
    let (server, _speaker, _) = kept(3);
    for (last, first) in [(0, 6), (1, 5), (3, 3), (10, 3)] {
        let mut client = Client::connect(&server);
        let joined = client.join_last("lobby", last);
        assert_eq!((joined.recovered, joined.offset), (None, 5), "the last {last}");
        for offset in first..=5 {
            assert_eq!(client.recv_event("chat").offset(), offset, "the last {last}");
        }
        assert_eq!(client.leave("lobby"), 5);
    }
}

#[test]
fn a_room_that_has_ended_goes_on_where_it_stopped() {
    let flags = ["--room", "lobby:history=10", "--room-linger", "100ms"];
    let server = Server::start(&flags);
    let mut client = Client::connect(&server);
    let epoch = client.join("lobby").epoch;
    client.publish("lobby", "chat", json!(1));
    client.publish("lobby", "chat", json!(2));
    client.leave("lobby");
    wait_until("the room has ended", || server.get("/v1/rooms/lobby").status == 404);
    let joined = Client::connect(&server).join_since("lobby", &epoch, 1);
    assert_eq!((joined.recovered, joined.offset, joined.epoch), (Some(true), 2, epoch));
}
