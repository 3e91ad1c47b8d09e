//! Answers in JSON.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Response, StatusCode, header};
use serde_json::Value;

use super::HttpError;
use super::error::declare_json;

/// What a request of the server's own routes comes to.
pub(super) type Answered = Result<Response<Full<Bytes>>, HttpError>;

pub(super) fn ok(value: &Value) -> Answered {
    Ok(json_response(StatusCode::OK, value))
}

/// The same of what is JSON already.
pub(super) fn ok_text(json: Vec<u8>) -> Answered {
    Ok(response(StatusCode::OK, json))
}

pub(super) fn accepted(value: &Value) -> Answered {
    Ok(json_response(StatusCode::ACCEPTED, value))
}

/// Lets the connection end with this answer, whatever else `Connection` says.
pub(super) fn close_behind(response: &mut Response<Full<Bytes>>) {
    let close = header::HeaderValue::from_static("close");
    let headers = response.headers_mut();
    if !headers.get_all(header::CONNECTION).iter().any(|options| options == "close") {
        headers.append(header::CONNECTION, close);
    }
}

fn json_response(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    response(status, value.to_string().into_bytes())
}

fn response(status: StatusCode, json: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(json));
    *response.status_mut() = status;
    declare_json(response.headers_mut());
    response
}
