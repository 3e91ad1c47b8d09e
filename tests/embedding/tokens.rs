//! Proves that a program knows what a token says that the server verified, and may know better; and
//! that no token gets past what the program has decided.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use corecast::{
    ApiRequest, Claims, Client, Event, Handshake, HttpApi, Message, Refusal, Rights, Server,
    StartError,
};
use serde_json::{Value, json};

use crate::socket::{PATIENCE, Socket, builder};
use crate::support::{Events, Raw, events_head};

/// A folder of one test's own, with a secret that exists nowhere else; removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("corecast-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let folder = Folder(path);
        folder.write("secret", "a secret of the tests of embedding");
        folder
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.0.join(name), text).unwrap();
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A token of ada's, who may join the room `a`.
fn token(secret: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    command.args(["token", "--sub", "ada", "--join", "a", "--jwt-secret-file"]).arg(secret);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn open(server: &Server, token: &str) -> Socket {
    let bearer = format!("Bearer {token}");
    let mut socket =
        Socket::open(server.local_addr(), "/ws", &[("authorization", &bearer)]).unwrap();
    socket.recv_event("cast:welcome");
    socket
}

/// What joining these rooms is answered with.
fn joins(socket: &mut Socket, rooms: [&str; 2]) -> [Value; 2] {
    rooms.map(|room| {
        let answer = socket.request(json!({"event": "cast:join", "room": room, "id": 1}));
        match answer.event().as_str() {
            "cast:joined" => true.into(),
            _ => answer.error_code().into(),
        }
    })
}

/// Tells a client whose claims it has.
async fn name(client: Client) -> corecast::HandlerResult {
    Ok(client.try_publish(Message::event("known", client.claims().subject())?)?)
}

#[test]
fn handlers_know_what_a_token_says() {
    let folder = Folder::new("handlers");
    let secret = folder.0.join("secret");
    let server = builder().jwt_secret_file(&secret).on_connect(name).start().unwrap();
    let mut ada = open(&server, &token(&secret));
    assert_eq!(ada.recv_event("known").data(), "ada");
    assert_eq!(joins(&mut ada, ["a", "b"]), [json!(true), json!("forbidden")]);
    server.shutdown(PATIENCE);
}

#[test]
fn what_authorize_returns_takes_the_place_of_a_token() {
    let folder = Folder::new("authorize");
    let secret = folder.0.join("secret");
    let server = builder()
        .jwt_secret_file(&secret)
        .authorize(async |handshake: Handshake| {
            let subject = handshake.token_claims().and_then(Claims::subject).map(str::to_owned);
            match (handshake.query_parameter("as"), subject) {
                (None, Some(_)) => Ok(Claims::anonymous()),
                (Some(name), Some(_)) => {
                    let claims = json!({"sub": name, "cast": {"join": ["b"]}});
                    Ok(Claims::new(&claims).expect("it is an object"))
                }
                (_, None) => Err(Refusal::unauthorized("bring a token")),
            }
        })
        .on_connect(name)
        .start()
        .unwrap();
    let bearer = format!("Bearer {}", token(&secret));
    for (target, name, expected) in [
        ("/ws", "ada", [json!(true), json!("forbidden")]),
        ("/ws?as=bob", "bob", [json!("forbidden"), json!(true)]),
    ] {
        let headers = [("authorization", bearer.as_str())];
        let mut socket = Socket::open(server.local_addr(), target, &headers).unwrap();
        socket.recv_event("cast:welcome");
        assert_eq!(socket.recv_event("known").data(), name);
        assert_eq!(joins(&mut socket, ["a", "b"]), expected, "{target}");
    }
    for headers in [&[][..], &[("authorization", "Bearer x")]] {
        assert!(Socket::open(server.local_addr(), "/ws", headers).is_err(), "{headers:?}");
    }
    server.shutdown(PATIENCE);
}

#[test]
fn a_fresh_token_does_not_undo_what_authorize_decided() {
    let folder = Folder::new("refresh");
    let secret = folder.0.join("secret");
    let server = builder()
        .jwt_secret_file(&secret)
        .authorize(async |handshake: Handshake| match handshake.query_parameter("muted") {
            None => Ok(Claims::anonymous()),
            Some(_) => {
                let claims = json!({"sub": "ada", "role": "muted", "cast": {"join": ["b"]}});
                Ok(Claims::new(&claims).expect("it is an object"))
            }
        })
        .on("who", async |client: Client, _: Event| {
            let role = client.claims().get("role").cloned();
            Ok(client.try_publish(Message::event("you", role)?)?)
        })
        .start()
        .unwrap();
    let token = token(&secret);
    let refresh = json!({"event": "cast:refresh", "id": 1, "data": {"token": token}});
    let bearer = format!("Bearer {token}");
    let open = |target: &str| {
        let headers = [("authorization", bearer.as_str())];
        let mut socket = Socket::open(server.local_addr(), target, &headers).unwrap();
        socket.recv_event("cast:welcome");
        socket
    };
    let mut muted = open("/ws?muted");
    assert_eq!(joins(&mut muted, ["a", "b"]), [json!("forbidden"), json!(true)]);
    let answer = muted.request(refresh.clone());
    assert_eq!(answer.error_code(), "bad_token", "{answer:?}");
    let words = answer["data"]["message"].as_str().unwrap();
    assert!(words.contains("connect again"), "{words}");
    assert_eq!(joins(&mut muted, ["a", "b"]), [json!("forbidden"), json!(true)]);
    muted.send(&json!({"event": "who"}));
    assert_eq!(muted.recv_event("you").data(), "muted");

    // Where the program has left the token as it is, the keys that verified it verify a fresh one.
    let mut ada = open("/ws");
    assert_eq!(ada.request(refresh).event(), "cast:refreshed");
    assert_eq!(joins(&mut ada, ["a", "b"]), [json!(true), json!("forbidden")]);
    server.shutdown(PATIENCE);
}

/// The status that a request for a room's events with this bearer is answered with, and its words if
/// it is refused.
fn listen(server: &Server, room: &str, bearer: &str) -> (u16, String) {
    let mut raw = Raw::dial(server.local_addr());
    raw.write(events_head(room, &format!("Authorization: Bearer {bearer}\r\n")).as_bytes());
    match Events::answered(raw) {
        Ok(_) => (200, String::new()),
        Err(refused) => {
            let words = refused.json()["error"]["message"].as_str().unwrap().to_owned();
            (refused.status, words)
        }
    }
}

/// Lets in what it knows.
async fn rule(request: ApiRequest) -> Result<(), Refusal> {
    match (request.bearer_token(), request.header("x-ticket")) {
        (Some("reader"), _) | (_, Some("good")) => Ok(()),
        _ => Err(Refusal::forbidden("the rule knows better")),
    }
}

#[test]
fn a_token_opens_no_event_stream_where_the_program_decides_about_tokens() {
    let folder = Folder::new("streams");
    let secret = folder.0.join("secret");
    let builder = || {
        builder()
            .jwt_secret_file(&secret)
            .api_key("key")
            .authorize(async |_: Handshake| Err::<Claims, _>(Refusal::forbidden("banned")))
    };
    let token = token(&secret);
    let server = builder().start().unwrap();
    let (status, words) = listen(&server, "a", &token);
    assert!(status == 403 && words.contains("/ws") && words.contains("API key"), "{words}");
    assert_eq!(listen(&server, "a", "key").0, 200);
    server.shutdown(PATIENCE);

    // A rule of the program is asked.
    let server = builder().http_api(HttpApi::rule(rule)).start().unwrap();
    assert_eq!(listen(&server, "a", &token), (403, "the rule knows better".to_owned()));
    let with_ticket = format!("{token}\r\nX-Ticket: good");
    assert_eq!(listen(&server, "a", &with_ticket).0, 200);
    assert_eq!(listen(&server, "a", "key").0, 200);
    server.shutdown(PATIENCE);
}

#[test]
fn the_rule_for_the_api_may_have_bearers_of_its_own_beside_tokens() {
    let folder = Folder::new("rule");
    let secret = folder.0.join("secret");
    let server = builder().jwt_secret_file(&secret).http_api(HttpApi::rule(rule)).start().unwrap();
    let token = token(&secret);
    for (room, bearer, expected) in [
        ("b", "reader", (200, "")),
        ("a", "other", (403, "the rule knows better")),
        ("a", &token, (200, "")),
        ("b", &token, (403, "the token does not allow this room to be joined")),
    ] {
        let (status, words) = listen(&server, room, bearer);
        assert_eq!((status, words.as_str()), expected, "{room} with {bearer}");
    }
    let figures = crate::support::http(
        server.local_addr(),
        "GET",
        "/v1/stats",
        &[("Authorization", "Bearer reader")],
        "",
    );
    assert_eq!(figures.json()["refused"]["token_malformed"], 0, "the rule has let one in");
    server.shutdown(PATIENCE);
}

#[test]
fn keys_are_read_again_when_the_program_says_so() {
    let folder = Folder::new("reload");
    let secret = folder.0.join("secret");
    let keys = folder.write("keys", "one");
    let server = builder()
        .jwt_secret_file(&secret)
        .api_key_file(&keys)
        .api_key_for("none", Rights::none())
        .start()
        .unwrap();
    let old = token(&secret);
    drop((open(&server, &old), open(&server, "one")));
    assert_eq!(joins(&mut open(&server, "none"), ["a", "b"]), ["forbidden", "forbidden"]);
    assert_eq!(server.reload_keys(), Ok(()));
    folder.write("secret", "another secret of the tests of embedding");
    folder.write("keys", "");
    let error = server.reload_keys().unwrap_err();
    assert_eq!(error.messages().len(), 1, "{error}");
    assert!(error.to_string().contains("keys"), "{error}");
    drop((open(&server, &token(&secret)), open(&server, "one")));
    let bearer = format!("Bearer {old}");
    let headers = [("authorization", bearer.as_str())];
    assert!(Socket::open(server.local_addr(), "/ws", &headers).is_err());
    server.shutdown(PATIENCE);
}

#[test]
fn a_rule_about_tokens_that_means_nothing_is_an_error_of_the_start() {
    let folder = Folder::new("start");
    let secret = folder.0.join("secret");
    for builder in [
        builder().jwt_audience("chat"),
        builder().jwt_issuer("me"),
        builder().token_cookie("token"),
        builder().jwt_secret_file(&secret).token_cookie("a b"),
        builder().jwt_key_file(&secret),
        builder().jwks_file(&secret),
    ] {
        let refused = builder.start().unwrap_err();
        assert!(matches!(refused, StartError::Token { .. }), "{refused}");
    }
}
