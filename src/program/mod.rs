//! What a program registers: its handlers, hooks and routes, and what it keeps about connections.
//!
//! What handlers are handed of a running server is made further up. So what names it here is
//! generic, and a shard sees [`ShardProgram`] alone.

mod command_hooks;
mod handler;
mod handshake;
mod http_api;
mod registered;
mod room_hooks;
mod route;
mod session;
mod shard_state;

pub(crate) use command_hooks::verdict;
pub use handler::HandlerResult;
pub(crate) use handler::{Failure, Work, binary, catch_panic, catch_panic_now, finish, unary};
pub(crate) use handshake::{Caller, HEADERS_MAX, hide_secrets};
pub use handshake::{Handshake, Refusal};
pub(crate) use http_api::ApiAccess;
pub use http_api::{ApiRequest, HttpApi};
pub(crate) use registered::{HandlerWork, Handlers, Needs, Program, SessionPolicy, ShardProgram};
pub use route::{HttpResponse, RouteResult};
pub(crate) use route::{Route, RouteHandler, RouteRequest, ShardRoute};
pub(crate) use session::{Session, SessionSeed};
pub(crate) use shard_state::{ShardState, ShardStates};
