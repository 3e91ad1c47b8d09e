//! A server that does nothing but the sends: the line that every other one is measured against.
//!
//! It accepts WebSocket handshakes and joins, takes the payload out of each `cast:publish` where
//! it stands, writes one frame of the same length as the engine's, and sends it to every member:
//! the same sockets, the same bytes. One thread, one epoll, one buffer per room, sends in the order
//! of the members, all that waits for a room in one send.
//!
//! What it leaves out: parsing JSON, checking anything, slow members (a socket that refuses bytes
//! stops the server until it takes them), logs and cursors, leaving, pings, fairness between
//! rooms, other threads, HTTP but for its two counters. Nobody could use it, and nobody can send
//! less.

mod client;
mod message;
mod ring;
mod room;
mod server;

use std::io;
use std::net::{SocketAddr, TcpListener};

use clap::ValueEnum;

use ring::Ring;
use room::FloorSender;
use server::FloorServer;

/// How bytes get to the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Means {
    /// `send(2)` in a loop.
    Send,
    /// Batches on an io_uring of its own (`SINGLE_ISSUER`, `DEFER_TASKRUN`).
    Uring,
}

/// When what waits is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SendsAfter {
    /// When the events of one wait are handled: the fewest system calls where messages are rare.
    Turn,
    /// When a further look finds nothing more to read: the fullest sends.
    Silence,
}

/// What the server is told.
#[derive(Clone, Copy, Debug)]
pub struct FloorOptions {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How bytes get to the sockets.
    pub means: Means,
    /// When what waits is sent.
    pub sends_after: SendsAfter,
    /// Messages of a room that are sent at once even before that; none without a limit.
    pub coalesce: Option<usize>,
}

/// Listens, says where, and serves until the process ends.
///
/// # Errors
///
/// When the address cannot be listened on, or the kernel has no epoll or io_uring to give.
pub fn serve(options: FloorOptions, on_listening: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind(options.listen)?;
    // The standard library listens with room for 128 connections; listening again only changes
    // that number.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    on_listening(listener.local_addr()?);
    let sender = match options.means {
        Means::Send => FloorSender::Plain,
        Means::Uring => FloorSender::Ring(Box::new(Ring::new()?)),
    };
    let coalesce = options.coalesce.unwrap_or(usize::MAX).max(1);
    FloorServer::new(listener, sender, options.sends_after, coalesce)?.run()
}
