//! What people hold of a running server: in their handlers, and beside them.

mod broadcaster;
mod client;
mod history;
mod http_request;
mod join;
mod presence;
mod shard_program;
mod task;

pub use broadcaster::Broadcaster;
pub use client::Client;
pub use history::History;
pub use http_request::HttpRequest;
pub use join::Join;
pub(crate) use shard_program::on_shard;
pub use task::{Spawned, sleep, spawn};
