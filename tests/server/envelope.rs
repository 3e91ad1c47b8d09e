//! Proves that what is no envelope is refused with an error that names its id and room, and that
//! the connection goes on.

use crate::support::{Client, Server};
use serde_json::{Value, json};

/// Sends each text and expects this error, then proves that the connection is as good as new.
fn check_errors(code: &str, texts: &[&str]) {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    for text in texts {
        client.send_text(text);
        let reply = client.recv();
        assert_eq!(reply.event(), "cast:error", "for {text}: {reply:?}");
        assert_eq!(reply.error_code(), code, "for {text}: {reply:?}");
    }
    client.assert_nothing_pending();
}

#[test]
fn what_is_not_one_json_object_is_refused() {
    check_errors(
        "bad_envelope",
        &[
            "",
            " ",
            "{",
            "}",
            "null",
            "7",
            "\"cast:ping\"",
            "[]",
            r#"[{"event":"cast:ping","id":1}]"#,
            "cast:ping",
            "{}",
            r#"{"event":"cast:ping"} {}"#,
            r#"{"event":"cast:ping"}x"#,
            r#"{"event":"cast:ping",}"#,
            r#"{"event":"cast:ping" "id":1}"#,
            r#"{'event':'cast:ping'}"#,
            r#"{event:"cast:ping"}"#,
            r#"{"event":"cast:ping","id":01}"#,
            r#"{"event":"cast:ping","id":+1}"#,
            r#"{"event":"cast:ping","x":NaN}"#,
            r#"{"event":"cast:ping","x":tru}"#,
            r#"{"event":"cast:ping","x":"\x"}"#,
            r#"{"event":"cast:ping","x":"\u12"}"#,
            "{\"event\":\"cast:ping\",\"x\":\"\n\"}",
            "\u{feff}{\"event\":\"cast:ping\"}",
            r#"{"event":"cast:broadcast","data":{"event":"e","data":[1,]}}"#,
            r#"{"event":"cast:broadcast","data":{"event":"e","data":.5}}"#,
            r#"{"event":"cast:broadcast","data":{"event":"e","data":1.}}"#,
        ],
    );
}

#[test]
fn members_of_the_wrong_type_are_refused() {
    check_errors(
        "bad_envelope",
        &[
            r#"{"id":1}"#,
            r#"{"event":null}"#,
            r#"{"event":1}"#,
            r#"{"event":["cast:ping"]}"#,
            r#"{"event":{"cast:ping":1}}"#,
            r#"{"event":""}"#,
            r#"{"event":"cast:join","room":null}"#,
            r#"{"event":"cast:join","room":1}"#,
            r#"{"event":"cast:join","room":["r"]}"#,
            r#"{"event":"cast:join","room":""}"#,
            r#"{"event":"cast:ping","room":7}"#,
            r#"{"event":"chat","room":7}"#,
            r#"{"event":"cast:join","room":"r","data":{"since":1}}"#,
            r#"{"event":"cast:join","room":"r","data":{"since":{"epoch":"e"}}}"#,
            r#"{"event":"cast:join","room":"r","data":{"since":{"offset":1}}}"#,
            r#"{"event":"cast:join","room":"r","data":{"since":{"epoch":1,"offset":1}}}"#,
            r#"{"event":"cast:join","room":"r","data":{"since":{"epoch":"e","offset":"1"}}}"#,
            r#"{"event":"cast:join","room":"r","data":{"since":{"epoch":"e","offset":-1}}}"#,
            r#"{"event":"cast:join","room":"r","data":{"since":{"epoch":"e","offset":1.5}}}"#,
            r#"{"event":"cast:publish","room":"r"}"#,
            r#"{"event":"cast:publish","room":"r","data":null}"#,
            r#"{"event":"cast:publish","room":"r","data":"e"}"#,
            r#"{"event":"cast:publish","room":"r","data":["e"]}"#,
            r#"{"event":"cast:publish","room":"r","data":{}}"#,
            r#"{"event":"cast:publish","room":"r","data":{"event":7}}"#,
            r#"{"event":"cast:publish","room":"r","data":{"event":""}}"#,
            r#"{"event":"cast:publish","room":"r","data":{"event":"e","echo":0}}"#,
            r#"{"event":"cast:publish","room":"r","data":{"event":"e","echo":"false"}}"#,
            r#"{"event":"cast:broadcast"}"#,
            r#"{"event":"cast:broadcast","data":{}}"#,
            r#"{"event":"cast:broadcast","data":[]}"#,
            r#"{"event":"cast:broadcast","data":{"event":null}}"#,
        ],
    );
}

#[test]
fn a_known_member_twice_is_refused() {
    check_errors(
        "bad_envelope",
        &[
            r#"{"event":"cast:ping","event":"cast:ping"}"#,
            r#"{"event":"cast:ping","\u0065vent":"cast:ping"}"#,
            r#"{"event":"cast:ping","id":1,"id":1}"#,
            r#"{"event":"cast:join","room":"r","room":"r"}"#,
            r#"{"event":"cast:ping","data":1,"data":1}"#,
            r#"{"event":"cast:publish","room":"r","data":{"event":"e","event":"e"}}"#,
            r#"{"event":"cast:publish","room":"r","data":{"event":"e","data":1,"data":1}}"#,
            r#"{"event":"cast:broadcast","data":{"event":"e","data":1,"data":1}}"#,
        ],
    );
}

#[test]
fn a_missing_room_is_refused_where_a_command_needs_one() {
    check_errors(
        "bad_envelope",
        &[
            r#"{"event":"cast:join"}"#,
            r#"{"event":"cast:leave"}"#,
            r#"{"event":"cast:publish","data":{"event":"e"}}"#,
        ],
    );
}

#[test]
fn names_of_the_protocol_cannot_be_published() {
    let names = ["cast:", "cast:ack", "cast:joined", "cast:anything", "\\u0063ast:x"];
    let texts: Vec<String> = names
        .iter()
        .flat_map(|name| {
            let data = format!(r#""data":{{"event":"{name}"}}"#);
            [
                format!(r#"{{"event":"cast:publish","room":"r",{data}}}"#),
                format!(r#"{{"event":"cast:broadcast",{data}}}"#),
            ]
        })
        .collect();
    check_errors("bad_envelope", &texts.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn lengths_are_counted_in_bytes_after_unescaping() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    let rows = [
        ("x".repeat(128), "unknown_event"),
        ("é".repeat(64), "unknown_event"),
        (r"\u0061".repeat(128), "unknown_event"),
        (r"\ud83e\udd80".repeat(32), "unknown_event"),
        ("x".repeat(129), "bad_envelope"),
        ("é".repeat(65), "bad_envelope"),
        (r"\u0061".repeat(129), "bad_envelope"),
    ];
    for (name, code) in &rows {
        client.send_text(&format!(r#"{{"event":"{name}"}}"#));
        assert_eq!(client.recv().error_code(), *code, "for event {name}");
        client.send_text(&format!(r#"{{"event":"cast:broadcast","data":{{"event":"{name}"}}}}"#));
        match *code {
            "unknown_event" => assert_eq!(client.recv().event().len(), 128),
            _ => assert_eq!(client.recv().error_code(), "bad_envelope", "for event {name}"),
        }
    }
    let rows = [
        ("r".repeat(200), true),
        ("é".repeat(100), true),
        (r"\u0061".repeat(200), true),
        ("r".repeat(201), false),
        ("é".repeat(101), false),
        (r"\u00e9".repeat(101), false),
    ];
    for (room, accepted) in &rows {
        client.send_text(&format!(r#"{{"event":"cast:join","room":"{room}","id":1}}"#));
        let reply = client.recv();
        match accepted {
            true => assert_eq!(reply.room().len(), 200),
            false => assert_eq!(reply.error_code(), "bad_envelope", "for room {room}"),
        }
        assert_eq!(reply.value("id"), json!(1));
    }
    client.assert_nothing_pending();
}

#[test]
fn a_room_has_no_control_characters() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    for code in (0..0x20).chain([0x7F]) {
        for event in ["cast:join", "cast:leave", "cast:publish"] {
            let room = format!(r"a\u{code:04x}b");
            let data = r#"{"event":"e"}"#;
            client.send_text(&format!(r#"{{"event":"{event}","room":"{room}","data":{data}}}"#));
            assert_eq!(client.recv().error_code(), "bad_envelope", "{event} of {room}");
        }
    }
    // U+0080 is a control character to Unicode, but not to the contract.
    client.send_text(r#"{"event":"cast:join","room":"\u0080\u009f"}"#);
    assert_eq!(client.recv_event("cast:joined").room(), "\u{80}\u{9f}");
    client.assert_nothing_pending();
}

#[test]
fn unknown_members_are_ignored() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    let more = r#""x":1,"Event":"y","x":[{"event":"z"}],"ROOM":7,"":null"#;
    client.send_text(&format!(r#"{{{more},"event":"cast:join","room":"r","id":1}}"#));
    assert_eq!(client.recv_event("cast:joined").value("id"), json!(1));
    client.send_text(&format!(
        r#"{{"event":"cast:publish","room":"r","data":{{{more},"event":"e","data":2}},{more}}}"#
    ));
    let message = client.recv_event("e");
    assert_eq!((message.data(), message.offset()), (json!(2), 1));
    client.send_text(&format!(r#"{{"event":"cast:broadcast","data":{{"event":"b",{more}}}}}"#));
    assert_eq!(client.recv_event("b").data(), Value::Null);
    client.assert_nothing_pending();
}

#[test]
fn members_may_be_spelled_with_escapes() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.send_text(r#"{"\u0065vent":"cast\u003ajoin","r\u006fom":"\u0072","i\u0064":1}"#);
    let joined = client.recv_event("cast:joined");
    assert_eq!((joined.room(), joined.value("id")), ("r".to_owned(), json!(1)));
}

#[test]
fn events_without_a_handler_are_unknown() {
    check_errors(
        "unknown_event",
        &[
            r#"{"event":"chat"}"#,
            r#"{"event":"chat","room":"r","data":{"event":"e"},"id":1}"#,
            r#"{"event":"Cast:ping"}"#,
            r#"{"event":"cast:"}"#,
            r#"{"event":"cast:nope"}"#,
            r#"{"event":"cast:welcome"}"#,
            r#"{"event":"cast:ack","id":1}"#,
            r#"{"event":"cast:presence_change","room":"r","id":5}"#,
        ],
    );
}

#[test]
fn an_error_carries_the_id_and_the_room_that_could_be_read() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    let rows = [
        (r#"{"event":"chat","room":"r","id":"a\u0062"}"#, Some(r#""a\u0062""#), Some("r")),
        (r#"{"event":"chat","id":3}"#, Some("3"), None),
        (r#"{"event":"chat","room":"r"}"#, None, Some("r")),
        (r#"{"event":"chat"}"#, None, None),
        (r#"{"event":"cast:join","id":4}"#, Some("4"), None),
        (r#"{"event":"cast:leave","room":"r","id":5}"#, Some("5"), Some("r")),
        (r#"{"event":"cast:publish","room":"r","id":6,"data":{}}"#, Some("6"), Some("r")),
        (r#"{"event":5,"room":"r","id":7}"#, Some("7"), Some("r")),
        (r#"{"room":"r","id":8}"#, Some("8"), Some("r")),
        ("not json", None, None),
    ];
    for (text, id, room) in rows {
        client.send_text(text);
        let error = client.recv_event("cast:error");
        assert_eq!(error.raw("id"), id, "for {text}: {error:?}");
        let echoed = error.has("room").then(|| error.room());
        assert_eq!(echoed.as_deref(), room, "for {text}: {error:?}");
    }
}

#[test]
fn a_refused_command_has_no_effect() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.send_text(r#"{"event":"cast:join","room":"r","id":1.5}"#);
    client.send_text(r#"{"event":"cast:publish","room":"r","data":{"event":"cast:x"}}"#);
    client.send_text(r#"{"event":"cast:publish","room":"r","data":{"event":"e","echo":1}}"#);
    for _ in 0..3 {
        client.recv_event("cast:error");
    }
    let joined = client.join("r");
    assert_eq!((joined.offset, joined.members), (0, 1));
}

#[test]
fn a_name_that_is_no_text_is_an_unknown_member() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.send_text(r#"{"event":"cast:ping","id":1,"\ud83d":0}"#);
    assert_eq!(client.recv_event("cast:pong").raw("id"), Some("1"));
}

#[test]
fn the_error_says_what_is_wrong() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    let epoch = "e".repeat(33);
    let since = format!(r#"{{"since":{{"epoch":"{epoch}","offset":1}}}}"#);
    let long = format!(r#"{{"event":"cast:join","room":"r","data":{since}}}"#);
    let rows = [
        (r#"{"event":"cast:join","room":"\ud800"}"#, "surrogate"),
        ("\u{feff}{\"event\":\"cast:ping\"}", "byte order mark"),
        (long.as_str(), "at most 32 bytes"),
        (r#"{"event":"join","room":"r"}"#, "cast:join"),
        (r#"{"event":"cast:subscribe","room":"r"}"#, "cast:join"),
    ];
    for (text, words) in rows {
        client.send_text(text);
        let error = client.recv_event("cast:error");
        assert!(format!("{error:?}").contains(words), "for {text}: {error:?}");
    }
    client.assert_nothing_pending();
}
