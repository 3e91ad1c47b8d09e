#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod wire;

mod bounds;
mod close_code;
mod config;
mod disconnect;
mod epoch;
mod id;
mod limit;
mod limits;
mod permissions;
mod rng;
mod room_name;
mod time;
mod tuning;

mod envelope;
mod format;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod mesh;

mod call;
mod connection;
mod home;
mod latencies;
mod log;
mod room;
mod shard;
mod shard_stats;
mod timers;
mod wait_queue;

pub use call::{Call, CallKind, Message, Petition, Said, Verdict, Wish};
pub use close_code::{BadCloseCode, Close, CloseCode};
pub use config::{Config, Hooks, SlowPolicy};
pub use disconnect::Disconnect;
pub use envelope::{BadBody, Publication};
pub use epoch::Epoch;
pub use format::{Encoding, Format, Frames, Reply, RoomMessage, event_frame, reply_frame};
pub use id::{BadConnId, ConnId, ShardId};
pub use latencies::Latencies;
pub use limit::{Amount, Limit, Preset};
pub use limits::{HEAD_BYTES_MAX, Limits, SEND_BUFFER_BYTES, SHARDS_MAX};
pub use mesh::{
    Answer, Capacity, FromHome, Joined, LeaveRequest, Origin, Query, RequestId, Requester,
    RoomInfo, ToHome,
};
pub use permissions::{Permission, Permissions};
pub use room_name::{BadRoomName, RoomName};
pub use shard::{CloseStep, Full, Refused, SendEnd, Shard, Unsent};
pub use shard_stats::{Counters, ShardStats};
pub use time::Time;
#[doc(hidden)]
pub use tuning::Tuning;
