//! The WebSocket client that the tests of all packages share: a client that we did not write, with
//! the events of our protocol, and a deadline on every read. What it does not expect is a panic.

mod client;
mod envelope;

use std::time::Duration;

pub use client::{Client, Close, Joined, Refused};
pub use envelope::Envelope;

/// How long anything may take before a test gives up. No pass ever depends on it: it only turns a
/// hang into a failure, so it is far longer than the slowest machine needs.
pub const PATIENCE: Duration = Duration::from_secs(30);
