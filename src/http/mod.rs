//! HTTP beside `/ws`, on the same port.

mod access;
mod api_keys;
mod error;
mod event_stream;
mod fields;
mod head;
mod host;
mod intake;
mod origin;
mod path;
mod rooms;
mod router;
mod routes;
mod stats;

pub(crate) use access::{AccessRules, ApiAccess, bearer_token};
pub(crate) use api_keys::ApiKeys;
pub(crate) use error::HttpError;
pub(crate) use event_stream::EventStream;
pub(crate) use head::{Body, HEADERS_MAX, Head, SUBPROTOCOL, Upgrade};
pub(crate) use host::Host;
pub(crate) use intake::Intake;
pub(crate) use origin::Origins;
pub(crate) use path::{decode, parameter};
pub(crate) use router::{Found, Route, Router, check as check_routes};
pub(crate) use routes::{Reply, respond};
