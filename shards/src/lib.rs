#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod wire;

mod chance;
mod close_code;
mod config;
mod disconnect;
mod epoch;
mod id;
mod limits;
mod permissions;
mod room_name;
mod time;
mod tuning;

mod envelope;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod lane;
mod message;

mod call;
mod connection;
mod connections;
mod home;
mod inbound;
mod latencies;
mod line;
mod log;
mod own;
mod places;
mod room;
mod rooms;
mod shard;
mod shard_stats;
mod timers;

pub use call::{Call, Called, Message, Petition, Said, Verdict, Wish};
pub use close_code::{BadCloseCode, Close, CloseCode};
pub use config::{Config, Handled, SlowPolicy};
pub use disconnect::Disconnect;
pub use envelope::{BadBody, Publication, Unnumbered, event_frame, reply_frame};
pub use epoch::Epoch;
pub use id::{BadConnId, ConnId, ShardId};
pub use lane::Room as LaneRoom;
pub use latencies::Latencies;
pub use limits::Limits;
pub use message::{Answer, Asked, Asker, Joined, Origin, Outcome, Query, Request, RoomInfo, Token};
pub use permissions::{Permission, Permissions};
pub use room_name::{BadRoomName, RoomName};
pub use shard::{Full, Goodbye, Refused, SendEnd, Shard, Unsent};
pub use shard_stats::{Counters, ShardStats};
pub use time::Time;
#[doc(hidden)]
pub use tuning::Tuning;
