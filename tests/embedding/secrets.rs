//! Proves that no key and no token shows in what a program prints of the library's types.

use std::sync::{Arc, Mutex};

use corecast::{Handshake, HttpRequest, HttpResponse, Method, Refusal};

use crate::socket::{PATIENCE, Socket, builder};
use crate::support::http;

const SECRETS: [&str; 4] = ["s3cret-key", "s3cret-token", "s3cret-cookie", "s3cret-query"];

fn assert_hidden(shown: &str) {
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{secret} shows in {shown}");
    }
}

#[test]
fn no_debug_output_shows_a_secret() {
    let shown = Arc::new(Mutex::new(String::new()));
    let (on_route, on_handshake) = (shown.clone(), shown.clone());
    let builder = builder()
        .api_key("s3cret-key")
        .route(Method::GET, "/show", async move |request: HttpRequest| {
            *on_route.lock().unwrap() += &format!("{request:?}");
            Ok(HttpResponse::text("shown"))
        })
        .authorize(async move |handshake: Handshake| {
            *on_handshake.lock().unwrap() += &format!("{handshake:?}");
            Err(Refusal::forbidden("nobody may"))
        });
    assert_hidden(&format!("{builder:?}"));
    let server = builder.start().unwrap();
    assert_hidden(&format!("{server:?}"));
    let cast = server.broadcaster();
    assert_hidden(&format!("{cast:?} {:?}", cast.to_room("r")));
    let headers = [
        ("authorization", "Bearer s3cret-token"),
        ("cookie", "session=s3cret-cookie"),
        ("sec-websocket-protocol", "corecast.token.s3cret-token"),
    ];
    let target = "/show?access_token=s3cret-query";
    assert_eq!(http(server.local_addr(), "GET", target, &headers, "").status, 200);
    let target = "/ws?access_token=s3cret-query";
    assert!(Socket::open(server.local_addr(), target, &headers[..2]).is_err());
    let shown = shown.lock().unwrap();
    assert!(shown.contains("HttpRequest") && shown.contains("Handshake"), "{shown}");
    assert_hidden(&shown);
    server.shutdown(PATIENCE);
}
