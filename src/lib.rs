#![doc = include_str!("../README.md")]
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod broadcaster;
mod builder;
mod claims;
mod client;
mod error;
mod handler;
mod handshake;
mod http;
mod message;
mod payload;
mod program;
mod receipt;
mod room;
mod route;
mod runtime;
mod server;
mod session;
mod settings;
mod shard_state;

pub use broadcaster::{Broadcaster, RoomPublisher};
pub use builder::Builder;
pub use claims::Claims;
pub use client::Client;
pub use corecast_shards::{
    BadRoomName, ConnId, Disconnect, Epoch, Joined, Limits, RoomInfo, RoomName, SlowPolicy,
};
pub use error::{JoinError, PublishError};
pub use handler::HandlerResult;
pub use handshake::{Handshake, Refusal};
pub use hyper::Method;
pub use message::Message;
pub use payload::PayloadError;
pub use receipt::Receipt;
pub use room::ToRoom;
pub use route::{HttpRequest, HttpResponse, RouteResult};
pub use runtime::StartError;
pub use server::{Drained, Server};
