//! Proves that a program decides who may use `/v1`, which pages may connect, and what those may do
//! whom nobody knows.

use corecast::{Anonymous, ApiRequest, Claims, Handshake, HttpApi, Refusal, Server, StartError};
use serde_json::json;

use crate::socket::{Gate, PATIENCE, Socket, builder};
use crate::support::http;

fn status(server: &Server, method: &str, target: &str, token: &str) -> u16 {
    let token = format!("Bearer {token}");
    let headers = [("Authorization", token.as_str())];
    let body = if method == "POST" { r#"{"event":"e"}"# } else { "" };
    http(server.local_addr(), method, target, &headers, body).status
}

#[test]
fn it_can_be_switched_off() {
    let server = builder().api_key("key").http_api(HttpApi::off()).start().unwrap();
    for target in ["/v1/stats", "/%76%31/stats", "/v1/rooms/r", "/v1", "/v1/nothing"] {
        assert_eq!(status(&server, "GET", target, "key"), 404, "{target}");
    }
    assert_eq!(status(&server, "POST", "/v1/broadcast", "key"), 404);
    assert_eq!(status(&server, "GET", "/healthz", ""), 200);
    server.shutdown(PATIENCE);
}

/// Readers may read, writers may write to one room only; and it takes its time.
async fn rule(request: ApiRequest) -> Result<(), Refusal> {
    Gate::after(std::time::Duration::from_millis(5)).await;
    assert!(request.remote_addr().ip().is_loopback());
    assert!(request.path().starts_with("/v1/"), "{} is canonical", request.path());
    assert!(!format!("{request:?}").contains(request.bearer_token().unwrap_or("-")));
    match request.bearer_token() {
        Some("reader") if request.method() == "GET" => Ok(()),
        Some("writer") if request.path_parameter("room") == Some("a/b") => Ok(()),
        Some("panics") => panic!("on purpose"),
        Some(_) => Err(Refusal::forbidden("this token is not for that")),
        None => Err(Refusal::unauthorized("bring a token")),
    }
}

#[test]
fn it_can_be_put_behind_the_programs_own_rule() {
    let server = builder().api_key("key").http_api(HttpApi::rule(rule)).start().unwrap();
    let publish = "/v1/rooms/a%2Fb/publish";
    for (method, target, token, expected) in [
        ("GET", "/v1/stats", "reader", 200),
        ("GET", "/%76%31/stats", "reader", 200),
        ("POST", publish, "reader", 403),
        ("POST", publish, "writer", 202),
        ("POST", "/v1/rooms/other/publish", "writer", 403),
        ("POST", "/v1/broadcast", "writer", 403),
        ("POST", "/v1/broadcast", "key", 202),
        ("GET", "/v1/stats", "panics", 500),
        ("GET", "/v1/nothing", "nobody", 403),
    ] {
        assert_eq!(status(&server, method, target, token), expected, "{method} {target} {token}");
    }
    assert_eq!(http(server.local_addr(), "GET", "/v1/stats", &[], "").status, 401);
    server.shutdown(PATIENCE);
}

#[test]
fn what_is_open_to_the_world_is_named_in_terms_of_the_builder() {
    let public = || builder().listen("0.0.0.0:0").shards(1);
    let authorize = async |_: Handshake| Ok::<_, Refusal>(Claims::for_subject("ada"));
    let refused = public().start().unwrap_err();
    assert!(matches!(refused, StartError::Exposed { http_api: true, connections: true, .. }));
    let refused = public().authorize(authorize).start().unwrap_err().to_string();
    assert!(refused.contains("Builder::http_api") && !refused.contains("--"), "{refused}");
    for decided in [
        public().authorize(authorize).http_api(HttpApi::off()),
        public().anonymous(Anonymous::none()).http_api(HttpApi::rule(rule)),
        public().api_key("key"),
        public().open(),
    ] {
        decided.start().unwrap().shutdown(PATIENCE);
    }
}

#[test]
fn those_whom_the_program_knows_may_do_what_others_may_not() {
    let authorize = async |handshake: Handshake| match handshake.bearer_token() {
        Some("ada") => Ok(Claims::for_subject("ada")),
        Some("mallory") => Err(Refusal::unauthorized("not you")),
        _ => Ok(Claims::anonymous()),
    };
    let server = builder()
        .api_key("key")
        .authorize(authorize)
        .anonymous(Anonymous::none())
        .allow_origin("https://*.example.com")
        .start()
        .unwrap();
    for (token, event) in [
        ("Bearer ada", "cast:joined"),
        ("Bearer key", "cast:joined"),
        ("Bearer guest", "cast:error"),
    ] {
        let headers = [("authorization", token), ("origin", "https://a.example.com")];
        let mut socket = Socket::open(server.local_addr(), "/ws", &headers).unwrap();
        assert_eq!(socket.recv()["event"], "cast:welcome");
        let answer = socket.request(json!({"event": "cast:join", "room": "r"}));
        assert_eq!(answer["event"], event, "{token}: {answer}");
    }
    for (headers, status) in
        [(("authorization", "Bearer mallory"), 401), (("origin", "https://evil.example"), 403)]
    {
        let refused = Socket::open(server.local_addr(), "/ws", &[headers]).unwrap_err();
        assert_eq!(refused.status().as_u16(), status);
    }
    let refused = builder().allow_origin("example.com").start().unwrap_err();
    assert!(matches!(refused, StartError::Origin { .. }), "{refused}");
    server.shutdown(PATIENCE);
}
