//! The WebSocket client that the tests of all packages share: a client that we did not write, with
//! the events of our protocol, and a deadline on every read. What it does not expect is a panic.

mod client;
mod envelope;
mod patience;

pub use client::{Client, Close, Joined, Refused};
pub use envelope::Envelope;
pub use patience::{PATIENCE, Wait};
