//! Proves that every example does what its first lines promise: each is started as anybody would
//! start it, and used.
#![allow(clippy::unwrap_used)] // A step that fails has failed the test.

mod axum_beside;
#[allow(dead_code)] // It serves the tests of the server, which need more of it.
mod browser;
mod chat;
mod echo;
mod lines;
mod member;
mod program;
mod ticker;
