//! HTTP beside `/ws`, on the same port.

mod access;
mod api_keys;
mod error;
mod head;
mod path;
mod rooms;
mod router;
mod routes;
mod stats;

pub(crate) use access::bearer_token;
pub(crate) use api_keys::ApiKeys;
pub(crate) use error::HttpError;
pub(crate) use head::{Accept, HEADERS_MAX, Head};
pub(crate) use path::parameter;
pub(crate) use router::{Route, Router, check as check_routes};
pub(crate) use routes::respond;
