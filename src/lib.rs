#![doc = include_str!("../README.md")]
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod broadcaster;
mod client;
mod handler;
mod http;
mod message;
mod payload;
mod runtime;
mod server;
mod settings;

pub use broadcaster::{Broadcaster, PublishError};
pub use client::Client;
pub use corecast_shards::{ConnId, Disconnect, Limits, SlowPolicy};
pub use handler::HandlerResult;
pub use message::Message;
pub use payload::PayloadError;
pub use runtime::StartError;
pub use server::{Builder, Drained, Server};
pub use settings::Sends;
