//! Proves where a token may stand, which place counts, and that what is ambiguous is refused.

use serde_json::json;

use crate::support::{Events, Folder, Issuer, Raw, Response, Server, events_head, upgrade_head};

/// A server that takes a token from a cookie, too; and tokens for three rooms.
struct Setup {
    server: Server,
    tokens: [String; 4],
    expired: String,
    _folder: Folder,
}

fn setup() -> Setup {
    let (mut issuer, folder) = (Issuer::python(), Folder::new());
    let secret = folder.write("secret", issuer.secret());
    let flags = ["--jwt-secret-file", &secret, "--token-cookie", "session", "--api-key", "the-key"];
    let server = Server::start(&flags);
    let tokens = ["bearer", "cookie", "query", "protocol"]
        .map(|room| issuer.sign(&json!({"cast": {"join": [room]}})));
    let expired = issuer.sign(&json!({"exp": 1}));
    Setup { server, tokens, expired, _folder: folder }
}

impl Setup {
    /// Opens a connection by what stands in each place, and says which token counted.
    fn found(&self, places: [Option<&str>; 4]) -> Result<&'static str, Response> {
        let [bearer, cookie, query, protocol] = places;
        let line = |name: &str, value: Option<String>| {
            value.map_or(String::new(), |value| format!("{name}: {value}\r\n"))
        };
        let lines = [
            line("Authorization", bearer.map(|token| format!("Bearer {token}"))),
            line("Cookie", cookie.map(|token| format!("a=1; session={token}; b=2"))),
            line(
                "Sec-WebSocket-Protocol",
                protocol.map(|token| format!("corecast.v1, corecast.token.{token}")),
            ),
        ];
        let target =
            query.map_or("/ws".to_owned(), |token| format!("/ws?x=1&access_token={token}"));
        self.open(&target, &lines.concat())
    }

    fn open(&self, target: &str, lines: &str) -> Result<&'static str, Response> {
        let mut raw = Raw::try_open(&self.server, target, lines)?;
        let rooms = ["bearer", "cookie", "query", "protocol"];
        let joined =
            rooms.into_iter().filter(|room| raw.outcome("cast:join", room) == "cast:joined");
        let joined: Vec<_> = joined.collect();
        assert!(joined.len() <= 1, "one token counts: {joined:?}");
        Ok(joined.first().copied().unwrap_or("none"))
    }
}

#[test]
fn the_first_place_that_has_a_token_counts() {
    let setup = setup();
    let [bearer, cookie, query, protocol] = setup.tokens.each_ref().map(|token| Some(&**token));
    let expired = Some(&*setup.expired);
    for (places, expected) in [
        ([bearer, cookie, query, protocol], "bearer"),
        ([None, cookie, query, protocol], "cookie"),
        ([None, None, query, protocol], "query"),
        ([None, None, None, protocol], "protocol"),
        ([bearer, expired, expired, expired], "bearer"),
        ([None, None, query, expired], "query"),
        ([None; 4], "none"),
    ] {
        assert_eq!(setup.found(places).unwrap(), expected);
    }
    for places in [
        [expired, cookie, query, protocol],
        [None, expired, query, protocol],
        [None, None, expired, protocol],
        [None, None, None, expired],
        [Some(""), cookie, query, protocol],
        [None, Some(""), query, protocol],
        [None, None, Some(""), protocol],
        [None, None, None, Some("")],
    ] {
        let refused = setup.found(places).expect_err("an invalid token is not passed over");
        refused.assert_error(401);
        assert_eq!(refused.header("sec-websocket-protocol"), None);
    }
}

#[test]
fn each_legal_spelling_of_a_place_is_understood() {
    let setup = setup();
    let [bearer, cookie, query, protocol] = &setup.tokens;
    for (target, lines, expected) in [
        ("/ws", format!("authorization: bearer   {bearer}\r\n"), "bearer"),
        ("/ws", format!("AUTHORIZATION: BEARER {bearer}\r\n"), "bearer"),
        ("/ws", format!("Cookie: session={cookie}\r\n"), "cookie"),
        ("/ws", format!("Cookie: session=\"{cookie}\"\r\n"), "cookie"),
        ("/ws", format!("Cookie: a=1\r\nCookie: b=2;session={cookie} ;c\r\n"), "cookie"),
        ("/ws", format!("Cookie: session={cookie}; session={cookie}\r\n"), "cookie"),
        ("/ws", format!("Cookie: Session={cookie}; xsession={cookie}\r\n"), "none"),
        (&format!("/ws?access_token={query}"), String::new(), "query"),
        (&format!("/ws?%61ccess_token={}", query.replace('.', "%2E")), String::new(), "query"),
        (&format!("http://localhost/ws?access_token={query}"), String::new(), "query"),
        (&format!("/ws?%61%63%63%65%73%73%5F%74oken={query}"), String::new(), "query"),
        (&format!("/ws?access%5ftoken={}", spelled(query)), String::new(), "query"),
        (&format!("/%77%73?access_token={query}"), String::new(), "query"),
        (&format!("/ws?Access_token={query}"), String::new(), "none"),
        (&format!("/ws?access_token%3D{query}"), String::new(), "none"),
        (&format!("/ws?x;access_token={query}"), String::new(), "none"),
        (&format!("/ws?%2561ccess_token={query}"), String::new(), "none"),
        (&format!("/ws?access_token%00={query}"), String::new(), "none"),
        ("/ws", format!("aUTHORIZATION: bEARER\t{bearer}\r\n"), "bearer"),
        ("/ws", format!("COOKIE: session={cookie}\r\n"), "cookie"),
        ("/ws", format!("sEC-wEBSOCKET-pROTOCOL: corecast.token.{protocol}\r\n"), "protocol"),
        (&format!("/ws?x=access_token={query}"), String::new(), "none"),
        ("/ws", format!("Sec-WebSocket-Protocol: corecast.token.{protocol}\r\n"), "protocol"),
        (
            "/ws",
            format!(
                "Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: corecast.token.{protocol},y\r\n"
            ),
            "protocol",
        ),
        ("/ws", format!("Authorization: Basic eDp5\r\nCookie: session={cookie}\r\n"), "cookie"),
        ("/ws", "Authorization: Bearer the-key\r\nCookie: session=x\r\n".to_owned(), "none"),
    ] {
        if lines.contains("the-key") {
            let mut raw = Raw::try_open(&setup.server, target, &lines).expect("the key counts");
            assert_eq!(raw.outcome("cast:join", "any"), "cast:joined");
            continue;
        }
        let found = setup.open(target, &lines);
        assert_eq!(
            found.unwrap_or_else(|refused| panic!("{lines}: {refused:?}")),
            expected,
            "{lines}"
        );
    }
    // An API key is taken from the header alone.
    for (target, lines) in [
        ("/ws", "Cookie: session=the-key\r\n"),
        ("/ws?access_token=the-key", ""),
        ("/ws", "Sec-WebSocket-Protocol: corecast.token.the-key\r\n"),
    ] {
        setup.open(target, lines).expect_err("it is no token").assert_error(401);
    }
}

/// A text with every byte percent-encoded.
fn spelled(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn what_is_brought_and_not_understood_is_refused_and_not_passed_over() {
    let setup = setup();
    let [bearer, cookie, _, protocol] = &setup.tokens;
    for lines in [
        "Authorization: Bearer\tforged\r\n".to_owned(),
        "Authorization: Bearer \u{ff}\r\n".to_owned(),
        format!("Authorization: Bearer {bearer}\u{ff}\r\n"),
    ] {
        setup.open("/ws", &lines).expect_err(&lines).assert_error(401);
    }
    let (before, behind) = upgrade_head("Authorization: Bearer ?\r\n")
        .split_once('?')
        .map(|(before, behind)| (before.to_owned(), behind.to_owned()))
        .unwrap();
    let mut raw = Raw::dial(setup.server.address());
    raw.write(&[before.as_bytes(), b"\xff", behind.as_bytes()].concat());
    raw.response().assert_error(401);
    // More lines than are looked at may hold another token.
    let cookies = "Cookie: a=b\r\n".repeat(4);
    let protocols = "Sec-WebSocket-Protocol: chat\r\n".repeat(4);
    for lines in [
        format!("{cookies}Cookie: session=forged\r\n"),
        format!("Cookie: session={cookie}\r\n{cookies}"),
        format!("{protocols}Sec-WebSocket-Protocol: corecast.token.forged\r\n"),
        format!("Sec-WebSocket-Protocol: corecast.token.{protocol}\r\n{protocols}"),
    ] {
        setup.open("/ws", &lines).expect_err(&lines).assert_error(400);
    }
}

#[test]
fn two_different_answers_in_one_place_are_none() {
    let setup = setup();
    let [one, two, ..] = &setup.tokens;
    for (target, lines) in [
        ("/ws", format!("Authorization: Bearer {one}\r\nAuthorization: Bearer {two}\r\n")),
        ("/ws", format!("Authorization: Bearer {one}\r\nAuthorization: Bearer {one}\r\n")),
        ("/ws", format!("Authorization: Basic x\r\nAuthorization: Bearer {one}\r\n")),
        ("/ws", format!("Cookie: session={one}; session={two}\r\n")),
        ("/ws", format!("Cookie: session={one}\r\nCookie: session=\"\"\r\n")),
        (&format!("/ws?access_token={one}&access_token={two}"), String::new()),
        (&format!("/ws?access_token={one}&%61ccess_token="), String::new()),
        ("/ws", format!("Sec-WebSocket-Protocol: corecast.token.{one}, corecast.token.{two}\r\n")),
    ] {
        setup.open(target, &lines).expect_err(&lines).assert_error(400);
    }
}

#[test]
fn the_answer_selects_the_protocol_and_never_the_token() {
    let setup = setup();
    let token = &setup.tokens[3];
    for (offer, selected) in [
        (format!("corecast.v1, corecast.token.{token}"), Some("corecast.v1")),
        (format!("corecast.token.{token}, corecast.v1"), Some("corecast.v1")),
        (format!("corecast.token.{token}"), None),
        ("chat, other".to_owned(), None),
    ] {
        let mut raw = Raw::dial(setup.server.address());
        let line = format!("Sec-WebSocket-Protocol: {offer}\r\n");
        raw.write(upgrade_head(&line).as_bytes());
        let response = raw.expect_upgraded();
        assert_eq!(response.header("sec-websocket-protocol"), selected, "{offer}");
        assert!(!format!("{response:?}").contains(token.as_str()), "{response:?}");
        assert_eq!(raw.envelope().event(), "cast:welcome");
    }
    assert!(!setup.server.log().contains("eyJ"), "no token is logged");
}

#[test]
fn an_event_stream_takes_a_token_that_may_join_its_room() {
    let setup = setup();
    let [bearer, cookie, query, _] = &setup.tokens;
    let ask = |room: &str, more: &str| {
        let mut raw = Raw::dial(setup.server.address());
        let (room, query) = room.split_once('?').unwrap_or((room, ""));
        let target = format!("/{room}/events?{query}");
        let head = events_head(room, more).replacen(&format!("/{room}/events"), &target, 1);
        raw.write(head.as_bytes());
        Events::answered(raw)
    };
    let status = |room: &str, more: &str| match ask(room, more) {
        Ok(_) => 200,
        Err(refused) => {
            refused.assert_error(refused.status);
            refused.status
        }
    };
    let authorization = format!("Authorization: Bearer {bearer}\r\n");
    assert_eq!(status("bearer", &authorization), 200);
    assert_eq!(status("other", &authorization), 403);
    assert_eq!(status("cookie", &format!("Cookie: session={cookie}\r\n")), 200);
    assert_eq!(status("query", &format!("Cookie: session={cookie}\r\n")), 403);
    assert_eq!(status(&format!("query?access_token={query}"), ""), 200);
    assert_eq!(status(&format!("query?access_token={}", setup.expired), ""), 401);
    assert_eq!(status(&format!("query?access_token={query}&access_token=x"), ""), 400);
    assert_eq!(status("any", "Authorization: Bearer the-key\r\n"), 200);
    assert_eq!(status("any", ""), 401);
    let words = ask("any", "").err().unwrap().json()["error"]["message"].to_string();
    assert!(words.contains("API key") && words.contains("token"), "{words}");
    // What is in a cookie counts for a page of this host alone.
    let foreign = format!("Cookie: session={cookie}\r\nOrigin: https://evil.example\r\n");
    assert_eq!(status("cookie", &foreign), 403);
}
