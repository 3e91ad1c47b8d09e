//! TLS: the only folder that knows rustls.
//!
//! It has two faces. The *handshake* ([`Tls`], [`certificates`](self)): one configuration for all
//! shards, so that a session is resumed on any of them, and certificates that change while the
//! server runs. The *records* ([`TlsSession`]): what arrives is opened in the shard's read buffer, what
//! is sent is sealed into a scratch buffer of the shard, and a connection keeps only what cannot be
//! finished yet: the begin of a record that has not arrived whole, and sealed bytes that its socket
//! has not taken. An idle connection owns no buffer.
//!
//! A [`Link`] is a socket with or without such a session, for connections that are not the shard's
//! yet.

mod certificates;
mod config;
mod link;
mod records;
mod sealing;
mod session;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use certificates::CertificateFiles;
pub(super) use config::Tls;
pub(super) use link::Link;
pub(super) use records::Scratch;
pub(super) use sealing::Sealing;
pub(super) use session::{Flushed, Received, TlsSession};
pub(crate) use watch::Watch;
