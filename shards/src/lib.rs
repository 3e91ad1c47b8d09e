#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod wire;

mod admission;
mod close_code;
mod config;
mod deflate;
mod disconnect;
mod epoch;
mod id;
mod identity;
mod journal;
mod limits;
mod memory;
mod name_index;
mod name_set;
mod pattern;
mod permissions;
mod place;
mod placement;
mod policy;
mod publish_key;
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

mod connection;
mod handler;
mod history;
mod home;
mod latencies;
mod log;
mod presence;
mod rates;
mod recovery;
mod room;
mod room_bytes;
mod shard;
mod shard_stats;
mod timers;
mod wait_queue;

pub use admission::{AddressKey, AddressTable, IDLE_MAX, Pace, Paced};
pub use close_code::{BadCloseCode, CloseCode};
pub use config::{Config, Hooks};
pub use deflate::{Codecs, Deflater, Inflater, NotInflated, Window, blocks_max};
pub use disconnect::{Close, Disconnect};
pub use envelope::{BadBody, Publication};
pub use epoch::Epoch;
pub use format::{Encoding, Format, Frames, Joined, Reply, RoomMessage, event_frame, reply_frame};
pub use handler::{
    AskedCommand, AskedKind, Call, CallKind, Credentials, Draft, Message, Refresh, RoomEvent,
    Token, Verdict,
};
pub use history::{Block, Kept, Parts};
pub use id::{BadConnId, ConnId, ShardId};
pub use identity::{BadName, Expiry, Identity, Name, Revocable};
pub use journal::{
    JOURNAL_HEAD_BYTES, JournalFile, JournalRefusal, JournalStore, JournalTag, KeptRoom,
    journal_bytes, unite_rooms,
};
pub use latencies::Latencies;
pub use limits::{
    Amount, HEAD_BYTES_MAX, Limit, Limits, Preset, RATE_MAX, SEND_BUFFER_BYTES, SHARDS_MAX,
};
pub use memory::{MemoryStage, MemoryUse, OthersMemory};
pub use mesh::{
    Answer, AnswerToken, Capacity, FromHome, LeaveRequest, Origin, Parcel, Query, Requester,
    RoomHistory, RoomInfo, ToHome, Unjoined,
};
pub use name_set::NameSet;
pub use pattern::Pattern;
pub use permissions::{Permission, Permissions};
pub use placement::{Placement, Stay};
pub use policy::{RoomPolicies, RoomPolicy, SlowPolicy};
pub use presence::Presence;
pub use publish_key::{BadKey, PublishKey};
pub use recovery::{JoinOptions, Position, Recovery, Start, Unrecovered};
pub use room_bytes::{room_bytes_at_home, room_bytes_with_members};
pub use room_name::{BadRoomName, RoomName};
pub use shard::{CloseStep, Full, Listening, Opening, Outputs, Refused, SendEnd, Shard, Unsent};
pub use shard_stats::{
    Counters, DeflateCounters, HistoryCounters, InflateCounters, JournalCounters, MemoryCounters,
    PlacementCounters, PresenceCounters, ShardStats, Totals,
};
pub use time::Time;
#[doc(hidden)]
pub use tuning::Tuning;
