//! What goes over the wire.

pub(crate) mod agreement;
pub(crate) mod announcement;
pub(crate) mod chunks;
pub(crate) mod frames;
pub(crate) mod handshake;
pub(crate) mod inflater;
pub(crate) mod link;
pub(crate) mod poller;
pub(crate) mod position;
pub(crate) mod socket;
pub(crate) mod tls;
pub(crate) mod wire;
