//! What travels between shards, and what waits for that.

mod messages;
mod outbox;
mod outboxes;
mod parcel;

pub(crate) use messages::Weigh;
pub use messages::{
    Answer, AnswerToken, FromHome, LeaveRequest, Origin, Query, Requester, RoomHistory, RoomInfo,
    ToHome, Unjoined,
};
pub use outbox::Capacity;
pub(crate) use outbox::Outbox;
pub(crate) use outboxes::{Loopback, Outboxes};
pub use parcel::Parcel;
