//! Plain HTTP requests, each on a connection of its own.

use super::Raw;
use serde_json::Value;
use std::net::SocketAddr;

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("the body is no JSON ({error}): {self:?}"))
    }

    /// Checks the status and that the body is a JSON error with a code and a message.
    pub(crate) fn assert_error(&self, status: u16) {
        assert_eq!(self.status, status, "in {self:?}");
        let error = &self.json()["error"];
        for member in ["code", "message"] {
            let text = error[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "error.{member} is missing in {self:?}");
        }
        let kind = self.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "content-type {kind} in {self:?}");
    }

    pub(crate) fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// One request and its answer. A body is sent as JSON unless a header says otherwise.
pub(crate) fn http(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let mut request = format!("{method} {target} HTTP/1.1\r\n");
    let given = |name: &str| headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
    if !given("host") {
        request += "Host: localhost\r\n";
    }
    if !body.is_empty() {
        request += &format!("Content-Length: {}\r\n", body.len());
        if !given("content-type") {
            request += "Content-Type: application/json\r\n";
        }
    }
    if !given("connection") {
        request += "Connection: close\r\n";
    }
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    request += body;
    let mut raw = Raw::dial(address);
    raw.write(request.as_bytes());
    raw.response()
}
