//! RFC 6455 on bytes, and the one bit of RFC 7692: knows nothing of rooms or shards.
//!
//! A client's bytes go into a [`Decoder`] and come out as [`Incoming`] messages or as the one
//! [`Violation`] that ends the connection; what the server says leaves through [`push_frame`] and
//! its neighbours. In the order in which a received byte meets them: `decoder`, `header`, `mask`,
//! `assembly`, `utf8`, `incoming`, `close`.
//!
//! Invariant: nothing is buffered before its declared length has been compared with the limit,
//! and no buffer is larger than what has arrived calls for.

mod assembly;
mod close;
mod decoder;
mod frame;
mod header;
mod incoming;
mod mask;
mod utf8;
mod violation;

pub use close::CloseFrame;
pub(crate) use close::may_be_sent;
pub use decoder::{Decoder, MessageRules};
pub(crate) use frame::{CLOSE_REASON_MAX, compressed_header, server_payload};
pub use frame::{
    FRAME_HEADER_MAX, Opcode, frame_header, push_client_frame, push_close, push_frame,
    server_frame_len,
};
pub use incoming::Incoming;
pub use violation::Violation;
