//! The socket below a connection that speaks plain HTTP.

use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};

use super::{Backend, EventStream, Prepaid};
use crate::program::Caller;

/// A connected socket in the hands of one task, which it wakes.
pub(crate) trait Transport: Sized + Unpin + 'static {
    /// The shard that it belongs to.
    type Shard: Backend;

    fn shard(&self) -> &Self::Shard;

    /// Where it came from, before header fields say otherwise.
    fn caller(&self) -> Caller;

    /// Whether its TLS handshake was counted for its client's address.
    fn prepaid(&self) -> Prepaid;

    /// Reads what is there; 0 at the end of the stream.
    fn poll_receive(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Takes bytes for the kernel; may take fewer.
    fn poll_send(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Is ready when the kernel has all that was taken.
    fn poll_flush(&self, cx: &Context<'_>) -> Poll<io::Result<()>>;

    /// Bytes that have not reached the peer's machine.
    fn unsent(&self) -> usize;

    /// Ends our side.
    fn shutdown_write(&self);

    /// Lets the close drop what the peer has not taken.
    fn reset_on_close(&self);

    /// Says whether the connection is between two requests, and may be ended for another's sake.
    fn set_idle(&self, is_idle: bool);

    /// So many bytes are held for the connection from now on, beside those of the transport itself.
    fn set_held(&self, bytes: usize);

    /// Whether its place was wanted while it was idle.
    fn is_evicted(&self) -> bool;

    /// Counts it among the connections of this client from now on; false when those are as many as
    /// they may be.
    fn claim_address(&mut self, client: IpAddr) -> bool;

    /// Gives it back to the shard, because its next request is a handshake: the first of these
    /// bytes.
    fn take_back(self, bytes: &[u8]);

    /// Gives it to the shard as an event stream, for which a connection was claimed.
    fn open_event_stream(self, events: EventStream);
}
