//! Proves that a program knows where a client comes from, behind a trusted proxy as well.

use corecast::{
    ApiRequest, Client, HttpApi, HttpRequest, HttpResponse, Message, Method, Refusal, Server,
    StartError,
};
use serde_json::json;

use crate::socket::{PATIENCE, Socket, builder};
use crate::support::http;

fn start(network: &str) -> Server {
    builder()
        .trusted_proxy(network)
        .on_connect(async |client: Client| {
            let addresses = json!([client.client_addr(), client.remote_addr().ip()]);
            Ok(client.try_publish(Message::event("from", &addresses)?)?)
        })
        .start()
        .unwrap()
}

#[test]
fn the_client_of_a_trusted_proxy_is_the_one_that_it_names() {
    for (network, client) in [("loopback", "192.0.2.1"), ("10.0.0.0/8", "127.0.0.1")] {
        let server = start(network);
        let fields = [("x-forwarded-for", "198.51.100.1, 192.0.2.1")];
        let mut socket = Socket::open(server.local_addr(), "/ws", &fields).unwrap();
        assert_eq!(socket.recv()["event"], "cast:welcome");
        socket.expect(json!({"event": "from", "data": [client, "127.0.0.1"]}));
        server.shutdown(PATIENCE);
    }
}

#[test]
fn requests_have_the_addresses_of_their_clients_too() {
    let server = builder()
        .trusted_proxy("127.0.0.1")
        .http_api(HttpApi::rule(async |request: ApiRequest| {
            let addresses = json!([request.client_addr(), request.remote_addr().ip()]);
            Err(Refusal::forbidden(addresses.to_string()))
        }))
        .route(Method::GET, "/from", async |request: HttpRequest| {
            let addresses = json!([request.client_addr(), request.remote_addr().ip()]);
            Ok(HttpResponse::text(addresses.to_string()))
        })
        .start()
        .unwrap();
    for (value, client) in [("192.0.2.1", "192.0.2.1"), ("192.0.2.1, nonsense", "127.0.0.1")] {
        let get = |target| {
            let headers = [("Forwarded", "for=192.0.2.1"), ("X-Forwarded-For", value)];
            let from = if client == value { 0 } else { 1 };
            http(server.local_addr(), "GET", target, &headers[from..], "")
        };
        let expected = json!([client, "127.0.0.1"]);
        assert_eq!(get("/from").json(), expected);
        let said = get("/v1/stats").json()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(said, expected.to_string());
    }
    server.shutdown(PATIENCE);
}

#[test]
fn what_cannot_be_a_proxy_is_an_error_of_the_start() {
    let error = builder().trusted_proxy("a proxy").start().unwrap_err();
    assert!(matches!(error, StartError::TrustedProxy { .. }), "{error}");
    let error = builder().proxy_protocol(true).start().unwrap_err();
    assert!(matches!(error, StartError::ProxyProtocol), "{error}");
}
