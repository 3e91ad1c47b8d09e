//! HTTP beside `/ws`, on the same port.

mod auth;
mod error;
mod head;
mod path;
mod rooms;
mod routes;
mod stats;

pub(crate) use error::HttpError;
pub(crate) use head::{Accept, Head};
pub(crate) use routes::respond;
