//! HTTP beside `/ws`, on the same port. It reaches the shard below by [`Backend`], and a socket by
//! [`Transport`].

mod access;
mod admission;
mod api_keys;
mod backend;
mod claimed;
mod error;
mod event_stream;
mod fields;
mod head;
mod host;
mod intake;
pub(crate) mod last_words;
mod origin;
mod path;
mod proxies;
mod response;
mod rooms;
mod router;
mod routes;
mod server;
mod service;
mod stats;
mod stream;
mod transport;
mod users;

pub(crate) use access::AccessRules;
pub(crate) use api_keys::ApiKeys;
pub(crate) use backend::{Backend, ThreadStats};
pub(crate) use claimed::Grants;
pub(crate) use error::HttpError;
pub(crate) use event_stream::EventStream;
pub(crate) use fields::Body;
pub(crate) use head::{Door, Head, Upgrade};
pub(crate) use host::Host;
pub(crate) use intake::Intake;
pub(crate) use origin::Origins;
pub(crate) use proxies::{ProxyHeader, TrustedProxies};
pub(crate) use router::{Router, check as check_routes};
pub(crate) use server::serve;
pub(crate) use service::Service;
pub(crate) use transport::Transport;
