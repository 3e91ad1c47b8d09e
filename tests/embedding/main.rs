//! Proves what programs that embed the library rely on: each test starts a server in its own
//! process, with handlers, and looks at it from outside over real sockets.
#![allow(clippy::unwrap_used)] // A step that fails has failed the test.

mod authorize;
mod claims;
mod client_addresses;
mod commands;
mod compression;
mod ending;
mod event_streams;
mod executors;
mod failing;
mod gone;
mod handlers;
mod history;
mod http_api;
mod lingering;
mod placement;
mod presence;
mod publishing;
mod rooms;
mod routes;
mod secrets;
mod shutdown;
mod socket;
mod threads;
mod tls;
mod tokens;
mod users;
mod values;
mod watching;

#[allow(dead_code, unused_imports)] // It serves the tests of the server, which need more of it.
#[path = "../server/support/mod.rs"]
mod support;
