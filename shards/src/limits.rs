//! Every limit of Corecast: its name, its default, its one visible consequence.

use std::time::Duration;

/// The limits that an operator sets. Each is a flag of the server and is shown in `/v1/stats`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one message, an HTTP body included. Beyond: close 1009 before buffering, or 413.
    pub message_bytes: usize,
    /// Bytes of a request's head. Beyond: 431.
    pub head_bytes: usize,
    /// How long a handshake may take. Then: closed, with 408 if a head was begun.
    pub handshake_timeout: Duration,
    /// Rooms that one connection is in. Beyond: `too_many_rooms`.
    pub rooms_per_connection: usize,
    /// Bytes that one room's log may hold on one shard, though always
    /// 4 messages. Beyond: the slow policy, for members whose socket
    /// refuses bytes; for publishers, press.
    pub room_log_bytes: usize,
    /// How long a member's socket may refuse bytes, from when it last took one. Then: the slow
    /// policy. A socket that takes bytes, however few, is bounded by its rooms' logs instead.
    pub slow_timeout: Duration,
    /// Bytes of one connection's own frames. From a quarter on its commands are not read; beyond:
    /// what the program sends it is refused, and a socket that takes nothing for 4 seconds
    /// meanwhile is closed with 1013 `slow`.
    pub own_bytes: usize,
    /// Connections of the process. Beyond: 503 with `Retry-After`, before the upgrade.
    pub connections: usize,
    /// Plain HTTP connections and handshakes of the process. Beyond: 503 with `Retry-After`, once
    /// no idle one can make way. `usize::MAX` means an eighth of `connections`, 64 to 4,096.
    pub http_connections: usize,
    /// Silence after which a connection is pinged; zero means never.
    pub ping_interval: Duration,
    /// Silence after a ping. Then: close 1001 `idle`.
    pub ping_timeout: Duration,
    /// How long a message may take from its first byte to its last, while it is read; zero means for
    /// ever. Then: close 1001 `idle`.
    pub message_timeout: Duration,
    /// How long the client may take to end its side after our close frame. Then: cut.
    pub close_timeout: Duration,
    /// How long a room lives without member and without publish.
    pub room_linger: Duration,
    /// Rooms of the process that linger. Beyond: the oldest goes first.
    pub lingering_rooms: usize,
    /// Messages that fit one ring of the mesh between two shards; more shards divide it among
    /// their rings. Beyond: publishers pause.
    pub mesh_items: usize,
    /// Bytes that fit one ring of the mesh, likewise. Beyond: publishers pause.
    pub mesh_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_bytes: 256 << 10,
            head_bytes: 16 << 10,
            handshake_timeout: Duration::from_secs(10),
            rooms_per_connection: 128,
            room_log_bytes: 4 << 20,
            slow_timeout: Duration::from_secs(10),
            own_bytes: 512 << 10,
            connections: usize::MAX,
            http_connections: usize::MAX,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            message_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(5),
            room_linger: Duration::from_secs(60),
            lingering_rooms: 100_000,
            mesh_items: 1024,
            mesh_bytes: 256 << 10,
        }
    }
}

/// Bytes of an event's name, after JSON unescaping.
pub(crate) const EVENT_BYTES_MAX: usize = 128;

/// Bytes of a room's name, after JSON unescaping.
pub(crate) const ROOM_BYTES_MAX: usize = 200;

/// Bytes of a string `id`, after JSON unescaping.
pub(crate) const ID_BYTES_MAX: usize = 64;

/// Bytes of the epoch in a join's `since`, after JSON unescaping. Ours are shorter.
pub(crate) const EPOCH_BYTES_MAX: usize = 32;

/// The largest integer that a JSON number carries exactly everywhere (RFC 8259 section 6).
pub(crate) const ID_INTEGER_MAX: i64 = (1 << 53) - 1;

/// How deep `data` may be nested.
pub(crate) const DATA_DEPTH_MAX: usize = 128;

const _: () = assert!(EVENT_BYTES_MAX <= ROOM_BYTES_MAX);
