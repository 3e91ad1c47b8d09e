//! Proves that `data` is carried through byte for byte, whatever JSON it is, 128 levels deep.

use crate::support::{Client, Server};
use serde_json::{Value, json};

/// Values that a server which parses and writes them again would change.
fn peculiar_values() -> Vec<String> {
    let mut values: Vec<String> = [
        r#"{ "a" :  1 ,"b":[ ] }"#,
        "{\"tab\":\t1,\n\"line\":\r\n2}",
        "1e999",
        "-0",
        "-0.0",
        "1.0",
        "1E+2",
        "123456789012345678901234567890.000000000000000001",
        r#"{"a":1,"a":2,"A":3,"a":{}}"#,
        r#""\ud800""#,
        r#""\udfff\ud800""#,
        r#"{"\ud800":"\u0000"}"#,
        r#""\u0061\/\b\f""#,
        "\"\u{7f}\u{2028}\u{feff}é🦀\"",
        r#"{"event":"cast:join","room":"x","offset":9,"id":1}"#,
        r#""{\"event\":\"x\"}""#,
        "true",
        "false",
        "null",
        r#""""#,
        "[]",
        "{}",
        "[ [ ],{ } ]",
    ]
    .map(str::to_owned)
    .into();
    values.push(nested(128));
    values.push(format!("[{}]", vec!["0.10"; 5000].join(" , ")));
    values
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

/// Objects and arrays by turns, so that both count.
fn nested_objects(depth: usize) -> String {
    let (mut open, mut close) = (String::new(), String::new());
    for level in 0..depth {
        open += if level % 2 == 0 { r#"{"a":"# } else { "[" };
        close.insert(0, if level % 2 == 0 { '}' } else { ']' });
    }
    // The innermost pair may be left empty only as an array.
    if depth % 2 == 1 { open + "0" + &close } else { open + &close }
}

#[test]
fn a_published_value_arrives_as_it_was_written() {
    let server = Server::start(&[]);
    let (mut sender, mut member) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    sender.join("r");
    member.join("r");
    for value in peculiar_values() {
        sender.send_text(&format!(
            r#"{{"event":"cast:publish","room":"r","data": {{"event":"e" , "data": {value} }} }}"#
        ));
        for client in [&mut sender, &mut member] {
            assert_eq!(client.recv_event("e").raw("data"), Some(value.as_str()));
        }
    }
}

#[test]
fn a_broadcast_value_arrives_as_it_was_written() {
    let server = Server::start(&[]);
    let (mut sender, mut other) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    for value in peculiar_values() {
        sender.send_text(&format!(
            r#"{{"data":{{"data":{value},"event":"e"}},"event":"cast:broadcast"}}"#
        ));
        for client in [&mut sender, &mut other] {
            assert_eq!(client.recv_event("e").raw("data"), Some(value.as_str()));
        }
    }
}

#[test]
fn a_value_sent_over_http_arrives_as_it_was_written() {
    let server = Server::start(&[]);
    let mut member = Client::connect(&server);
    member.join("r");
    let emit = format!("/v1/connections/{}/emit", member.connection());
    for value in peculiar_values() {
        let body = format!(r#" {{ "data" : {value} , "event":"e" }} "#);
        for target in ["/v1/rooms/r/publish", "/v1/broadcast", &emit] {
            assert_eq!(server.post(target, &body).status, 202, "{target} with {body}");
            let message = member.recv_event("e");
            assert_eq!(message.raw("data"), Some(value.as_str()), "from {target}");
        }
    }
}

#[test]
fn absent_data_is_delivered_as_null() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.join("r");
    let emit = format!("/v1/connections/{}/emit", client.connection());
    client.send(&json!({"event": "cast:publish", "room": "r", "data": {"event": "e"}}));
    assert_eq!(client.recv_event("e").raw("data"), Some("null"));
    client.send(&json!({"event": "cast:broadcast", "data": {"event": "e"}}));
    assert_eq!(client.recv_event("e").raw("data"), Some("null"));
    for target in ["/v1/rooms/r/publish", "/v1/broadcast", &emit] {
        assert_eq!(server.post(target, r#"{"event":"e"}"#).status, 202, "{target}");
        assert_eq!(client.recv_event("e").raw("data"), Some("null"), "from {target}");
    }
}

#[test]
fn a_message_of_exactly_the_limit_arrives_whole() {
    let server = Server::start(&[]);
    let (mut sender, mut member) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    member.join("r");
    let frame = r#"{"event":"cast:publish","room":"r","data":{"event":"e","data":""}}"#;
    let filling = "x".repeat(262_144 - frame.len());
    sender.send_text(&frame.replace(r#""data":"""#, &format!(r#""data":"{filling}""#)));
    assert_eq!(member.recv_event("e").data(), Value::String(filling));
    sender.assert_nothing_pending();
}

#[test]
fn data_may_be_nested_128_deep_and_no_deeper() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.join("r");
    for nest in [nested, nested_objects] {
        for (depth, accepted) in [(1, true), (127, true), (128, true), (129, false), (400, false)] {
            let value = nest(depth);
            let inner = format!(r#"{{"event":"e","data":{value}}}"#);
            client.send_text(&format!(r#"{{"event":"cast:publish","room":"r","data":{inner}}}"#));
            check_depth(&mut client, depth, accepted);
            client.send_text(&format!(r#"{{"event":"cast:broadcast","data":{inner}}}"#));
            check_depth(&mut client, depth, accepted);
            let status = server.post("/v1/rooms/r/publish", &inner).status;
            assert_eq!(status, if accepted { 202 } else { 400 }, "{depth} levels over HTTP");
            if accepted {
                client.recv_event("e");
            }
        }
    }
    client.assert_nothing_pending();
}

fn check_depth(client: &mut Client, depth: usize, accepted: bool) {
    let reply = client.recv();
    if accepted {
        assert_eq!(reply.event(), "e", "{depth} levels are allowed: {reply:?}");
    } else {
        assert_eq!(reply.error_code(), "bad_envelope", "{depth} levels are too many");
    }
}

#[test]
fn even_a_hundred_thousand_levels_only_cost_an_error() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    let deep = "[".repeat(100_000);
    for data in [nested(100_000), deep.clone(), r#"{"a":"#.repeat(40_000)] {
        client.send_text(&format!(r#"{{"event":"cast:broadcast","data":{data}}}"#));
        assert_eq!(client.recv().error_code(), "bad_envelope");
        client.send_text(&data);
        assert_eq!(client.recv().error_code(), "bad_envelope");
        // Unknown members are ignored; whether so deep a one still is, is not said.
        client.send_text(&format!(r#"{{"event":"cast:ping","id":1,"more":{data}}}"#));
        let reply = client.recv();
        assert!(reply.event() == "cast:pong" || reply.error_code() == "bad_envelope");
    }
    client.assert_nothing_pending();
}
