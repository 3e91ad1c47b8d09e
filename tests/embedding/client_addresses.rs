//! Proves that a program knows where a client comes from, behind a trusted proxy as well.

use corecast::{Client, HttpApi, Message, Server, StartError};
use serde_json::json;

use crate::socket::{PATIENCE, Socket, builder};

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
fn what_cannot_be_a_proxy_is_an_error_of_the_start() {
    let error = builder().trusted_proxy("a proxy").http_api(HttpApi::off()).start().unwrap_err();
    assert!(matches!(error, StartError::TrustedProxy { .. }), "{error}");
    let error = builder().proxy_protocol(true).start().unwrap_err();
    assert!(matches!(error, StartError::ProxyProtocol), "{error}");
}
