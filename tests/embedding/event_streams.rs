//! Proves what event streams are to a program: members of rooms that its handlers do not see, and
//! that get past none of its rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corecast::{
    ApiRequest, Builder, Claims, Client, Disconnect, Handshake, HttpApi, Message, Refusal, Server,
};
use serde_json::json;

use crate::socket::{PATIENCE, Socket, builder};
use crate::support::{Events, Raw, Response, events_head, wait_until};

/// The answer to the request for a room's events, with this token if there is one.
fn ask(server: &Server, token: Option<&str>) -> Result<Events, Response> {
    let field = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    let mut raw = Raw::dial(server.local_addr());
    raw.write(events_head("r", &field).as_bytes());
    Events::answered(raw)
}

fn status(server: &Server, token: Option<&str>) -> u16 {
    ask(server, token).err().map_or(200, |refusal| refusal.status)
}

#[test]
fn a_room_that_is_guarded_is_not_read_without_a_key() {
    let guards: [fn(Builder) -> Builder; 2] = [
        |builder| builder.authorize(async |_: Handshake| Ok(Claims::for_subject("ada"))),
        |builder| builder.authorize_join(async |_: Client, _: String| Ok(())),
    ];
    for guard in guards {
        let server = guard(builder()).start().unwrap();
        assert_eq!(status(&server, None), 403, "it is not asked about the others");
        server.shutdown(PATIENCE);
        let server = guard(builder().api_key("key")).start().unwrap();
        assert_eq!((status(&server, None), status(&server, Some("key"))), (401, 200));
        server.shutdown(PATIENCE);
    }
}

#[test]
fn the_rule_for_the_api_is_asked_about_streams_too() {
    let rule = async |request: ApiRequest| match request.bearer_token() {
        Some("reader") if request.path_parameter("room") == Some("r") => Ok(()),
        _ => Err(Refusal::forbidden("this token is not for that")),
    };
    let guarded = builder().authorize_join(async |_: Client, _: String| Ok(()));
    let server = guarded.http_api(HttpApi::rule(rule)).start().unwrap();
    assert_eq!((status(&server, Some("reader")), status(&server, Some("other"))), (200, 403));
    server.shutdown(PATIENCE);
    let server = builder().api_key("key").http_api(HttpApi::off()).start().unwrap();
    assert_eq!(status(&server, Some("key")), 404);
    server.shutdown(PATIENCE);
}

#[test]
fn handlers_see_no_streams_and_streams_see_what_the_program_publishes() {
    let calls = Arc::new(AtomicUsize::new(0));
    let (on_connect, on_disconnect) = (Arc::clone(&calls), Arc::clone(&calls));
    let server = builder()
        .on_connect(async move |client: Client| {
            on_connect.fetch_add(1, Ordering::SeqCst);
            client.join("r").await?;
            Ok(())
        })
        .on_disconnect(async move |_: Client, _: Disconnect| {
            on_disconnect.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
        .start()
        .unwrap();
    let mut streams = [ask(&server, None).unwrap(), ask(&server, None).unwrap()];
    let mut socket = Socket::connect(server.local_addr());
    let members = || {
        let room = crate::support::http(server.local_addr(), "GET", "/v1/rooms/r", &[], "");
        room.json()["members"].clone()
    };
    assert_eq!(socket.recv()["event"], "cast:joined");
    assert_eq!(members(), json!(3));
    for n in 1..=10 {
        server
            .broadcaster()
            .to_room("r")
            .publish_blocking(Message::event("tick", n).unwrap())
            .unwrap();
        let message = socket.recv();
        for stream in &mut streams {
            let event = stream.envelope();
            assert_eq!((event.offset(), event.data()), (n, message["data"].clone()));
        }
    }
    let [gone, mut stays] = streams;
    drop(gone);
    wait_until("it is no member", || members() == json!(2));
    assert_eq!(calls.load(Ordering::SeqCst), 1, "the socket connected");
    server.shutdown(PATIENCE);
    stays.expect_close("shutdown");
    assert_eq!(calls.load(Ordering::SeqCst), 2, "the socket has gone");
}
