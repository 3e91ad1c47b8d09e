//! Proves that an id comes back exactly as it was written, and what is no id is refused.

use crate::support::{Client, Server};

#[test]
fn a_valid_id_is_echoed_byte_for_byte() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    let rows = [
        "0".to_owned(),
        "-0".to_owned(),
        "7".to_owned(),
        "-7".to_owned(),
        "9007199254740991".to_owned(),
        "-9007199254740991".to_owned(),
        r#""a""#.to_owned(),
        r#"" ""#.to_owned(),
        r#""7""#.to_owned(),
        r#""\u0061\n\"\\\/\u00e9é🦀""#.to_owned(),
        r#""\ud83e\udd80""#.to_owned(),
        format!("\"{}\"", "x".repeat(64)),
        format!("\"{}\"", "é".repeat(32)),
        // 64 bytes once unescaped, though 384 as written.
        format!("\"{}\"", r"\u0061".repeat(64)),
    ];
    let commands: [(&str, &str); 5] = [
        (r#""event":"cast:ping""#, "cast:pong"),
        (r#""event":"cast:join","room":"r""#, "cast:joined"),
        (r#""event":"cast:publish","room":"q","data":{"event":"e"}"#, "cast:ack"),
        (r#""event":"cast:leave","room":"r""#, "cast:left"),
        (r#""event":"cast:leave","room":"r""#, "cast:error"),
    ];
    for id in &rows {
        for (members, reply) in commands {
            client.send_text(&format!("{{{members},\"id\":{id}}}"));
            let reply = client.recv_event(reply);
            assert_eq!(reply.raw("id"), Some(id.as_str()), "in {reply:?}");
        }
    }
}

#[test]
fn spaces_around_an_id_are_not_part_of_it() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.send_text("{ \"id\" :\t 12 \n, \"event\" : \"cast:ping\" }");
    assert_eq!(client.recv_event("cast:pong").raw("id"), Some("12"));
}

#[test]
fn what_is_no_id_is_refused() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    let rows = [
        "1.0".to_owned(),
        "1.5".to_owned(),
        "1e2".to_owned(),
        "1E2".to_owned(),
        "0e0".to_owned(),
        "-0.0".to_owned(),
        "9007199254740992".to_owned(),
        "-9007199254740992".to_owned(),
        "9223372036854775807".to_owned(),
        "-9223372036854775808".to_owned(),
        "-9223372036854775809".to_owned(),
        "18446744073709551616".to_owned(),
        "9".repeat(400),
        r#""""#.to_owned(),
        format!("\"{}\"", "x".repeat(65)),
        format!("\"{}\"", "é".repeat(33)),
        format!("\"{}\"", r"\u0061".repeat(65)),
        "true".to_owned(),
        "null".to_owned(),
        "[1]".to_owned(),
        r#"{"a":1}"#.to_owned(),
    ];
    for id in &rows {
        client.send_text(&format!(r#"{{"event":"cast:ping","id":{id}}}"#));
        let error = client.recv();
        assert_eq!(error.error_code(), "bad_envelope", "for id {id}");
        assert!(!error.has("id"), "what is no id cannot be echoed: {error:?}");
    }
    client.assert_nothing_pending();
}

#[test]
fn one_id_may_be_used_again_and_again() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    for _ in 0..3 {
        client.send_text(r#"{"event":"cast:ping","id":"same"}"#);
        assert_eq!(client.recv_event("cast:pong").raw("id"), Some(r#""same""#));
    }
}
