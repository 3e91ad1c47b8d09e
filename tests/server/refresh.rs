//! Proves that a server which verifies no tokens refuses every fresh one, and the connection stays.

use crate::support::{Client, Server};
use serde_json::json;

#[test]
fn a_server_without_keys_for_tokens_refuses_a_fresh_one() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    let token = json!({"token": "eyJhbGciOiJub25lIn0.e30."});
    let error = client.request(json!({"event": "cast:refresh", "data": token}));
    assert_eq!((error.event().as_str(), error.error_code().as_str()), ("cast:error", "bad_token"));
    for data in [json!(null), json!({}), json!({"token": 7})] {
        let error = client.request(json!({"event": "cast:refresh", "data": data}));
        assert_eq!(error.error_code(), "bad_envelope", "{error:?}");
    }
    client.assert_alive();
}
