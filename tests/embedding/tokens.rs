//! Proves that a program knows what a token says that the server verified, and may know better.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use corecast::{Claims, Client, Handshake, Message, Refusal, Rights, Server, StartError};
use serde_json::{Value, json};

use crate::socket::{PATIENCE, Socket, builder};

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
