//! Every limit of Corecast in one table: what it bounds, its flag, its default, its bounds, and its
//! one visible consequence.
//!
//! From a row come the field of [`Limits`] with its documentation and default, the check of its
//! bounds, the flag with its help and environment variable, and the key in `/v1/stats`; a test
//! compares it with its row in `README.md`. Rules between limits are in `check.rs`.

mod check;
mod row;

use std::time::Duration;

use row::Field;
pub use row::{Amount, Limit, Preset};

/// The type of a field whose limit is an [`Amount`] of this kind.
macro_rules! field_type {
    (Time) => {
        Duration
    };
    ($number:ident) => {
        usize
    };
}

/// What holds when nothing is set.
macro_rules! preset {
    ($amount:expr) => {
        Preset::Fixed($amount)
    };
    ($amount:expr, $derived:literal) => {
        Preset::Derived($derived)
    };
}

/// What a row may leave out.
macro_rules! optional {
    () => {
        None
    };
    ($text:literal) => {
        Some($text)
    };
}

/// Makes [`Limits`] and its table from rows. In texts, backticks mark what is code.
macro_rules! limits {
    ($($field:ident: $kind:ident {
        flag: $flag:literal,
        default: $default:expr $(=> $derived:literal)?,
        bounds: $least:expr => $most:expr,
        what: $what:literal,
        beyond: $beyond:literal,
        $(more: $more:literal,)?
    })*) => {
        /// The limits that an operator sets. Each is a flag of the server and is shown in
        /// `/v1/stats`.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct Limits {
            $(
                #[doc = concat!($what, ". Beyond: ", $beyond, ".")]
                $(#[doc = ""] #[doc = $more])?
                #[doc = ""]
                #[doc = concat!("`--", $flag, "`; from `", stringify!($least), "` to `")]
                #[doc = concat!(stringify!($most), "`, by default `", stringify!($default), "`")]
                $(#[doc = concat!("for ", $derived)])?
                pub $field: field_type!($kind),
            )*
        }

        impl Default for Limits {
            fn default() -> Limits {
                Limits { $($field: $default,)* }
            }
        }

        impl Limits {
            /// One row for each limit, in the order of the help.
            pub const TABLE: &[Limit] = &[$(
                Limit {
                    flag: $flag,
                    preset: preset!(Amount::$kind($default) $(, $derived)?),
                    least: Amount::$kind($least),
                    most: Amount::$kind($most),
                    what: $what,
                    beyond: Some($beyond),
                    more: optional!($($more)?),
                    field: Some(Field {
                        get: |limits| Amount::$kind(limits.$field),
                        set: |limits, amount| match amount {
                            Amount::$kind(value) => limits.$field = value,
                            other => panic!("--{} is not measured as {other:?} is", $flag),
                        },
                    }),
                },
            )*];
        }
    };
}

limits! {
    message_bytes: Bytes {
        flag: "max-message",
        default: 256 << 10,
        bounds: 1 => usize::MAX,
        what: "Size of one message or HTTP body",
        beyond: "close 1009 before buffering, or status 413",
    }
    deflate_min: Bytes {
        flag: "deflate-min",
        default: 256,
        bounds: 0 => DEFLATED_MAX,
        what: "Size from which on messages of rooms are compressed",
        beyond: "compressed once for all members whose clients agree to it, if a tenth is saved",
        more: "Messages above 64 KiB and broadcasts are not compressed. `--deflate off` has the server \
               agree with no client.",
    }
    head_bytes: Bytes {
        flag: "max-head",
        default: 16 << 10,
        bounds: 512 => HEAD_BYTES_MAX,
        what: "Size of a request's head",
        beyond: "status 431",
    }
    handshake_timeout: Time {
        flag: "handshake-timeout",
        default: Duration::from_secs(10),
        bounds: Duration::from_nanos(1) => Duration::MAX,
        what: "How long a handshake may take",
        beyond: "closed, with status 408 if a head was begun",
    }
    frames_per_message: Count {
        flag: "max-frames",
        default: 4_096,
        bounds: 1 => usize::MAX,
        what: "Frames of one message",
        beyond: "close 1009 `too_big`",
        more: "Of these, 128 that carry nothing are a protocol error, close 1002.",
    }
    messages_per_second: Count {
        flag: "max-messages-per-second",
        default: 0,
        bounds: 0 => RATE_MAX,
        what: "Messages of one connection per second, where 0 means any number",
        beyond: "error `rate_limited`, and well beyond close 1008 `rate`",
        more: "Pings and pongs count. As many as may come in a second may come \
               at once. What is refused counts apart: once it is more than may come in 4 seconds, \
               and more than 16 messages, the connection is closed; it is forgiven at the pace of \
               the limit. Clients that no error can be sent to, because the program reads their \
               texts itself, are closed at once. Time in which a connection is not read counts.",
    }
    bytes_per_second: Bytes {
        flag: "max-bytes-per-second",
        default: 0,
        bounds: 0 => RATE_MAX,
        what: "Bytes that one connection sends per second, where 0 means any number",
        beyond: "error `rate_limited`, and well beyond close 1008 `rate`",
        more: "The same holds. A message that is larger than the limit is refused, and closes nothing \
               by itself.",
    }
    joins_per_second: Count {
        flag: "max-joins-per-second",
        default: 0,
        bounds: 0 => RATE_MAX,
        what: "Joins of one connection per second, where 0 means any number",
        beyond: "error `rate_limited`, and well beyond close 1008 `rate`",
    }
    publishes_per_second: Count {
        flag: "max-publishes-per-second",
        default: 0,
        bounds: 0 => RATE_MAX,
        what: "Publishes and broadcasts of one connection per second, where 0 means any number",
        beyond: "error `rate_limited`, and well beyond close 1008 `rate`",
    }
    rooms_per_connection: Count {
        flag: "max-rooms",
        default: 128,
        // A connection's rooms are searched one by one.
        bounds: 1 => 10_000,
        what: "Rooms per connection",
        beyond: "error `too_many_rooms`",
    }
    memberships: Count {
        flag: "max-memberships",
        default: 10_000_000,
        bounds: 1 => usize::MAX,
        what: "Memberships of all connections together",
        beyond: "error `too_many_rooms`",
        more: "An event stream ends with `capacity`. Each shard learns once per turn how many the \
               others have, so that in one turn they may pass it together.",
    }
    total_rooms: Count {
        flag: "max-total-rooms",
        default: 1_000_000,
        bounds: 1 => usize::MAX,
        what: "Rooms that have members",
        beyond: "error `too_many_rooms` for joins that would make one more",
        more: "An event stream ends with `capacity`. Rooms without members have \
               `--max-lingering-rooms`. Each shard learns once per turn how many the others have, so \
               that in one turn they may pass it together.",
    }
    room_log_bytes: Bytes {
        flag: "room-log",
        default: 4 << 20,
        bounds: 4 << 10 => usize::MAX,
        what: "Size of one room's log on one shard",
        beyond: "`--slow`, for members whose socket refuses bytes",
        more: "It keeps 4 messages of any size. Of each message the largest form that members get \
               counts: plain, compressed, or an event. In event streams a line break of a message \
               takes 7 bytes. Publishers that are faster than the members pause from half of it on.",
    }
    memory_bytes: Bytes {
        flag: "memory-limit",
        default: usize::MAX => "half of what the machine has, or its control group if that is less",
        bounds: 64 << 20 => usize::MAX,
        what: "Memory of the whole process",
        beyond: "in this order: histories give way, new rooms and connections are refused, connections \
                 that owe most are not read and joins are refused, slow members are struck, publishers \
                 pause",
        more: "The steps begin at 65, 70, 76, 82 and 88 % of it. Members that read lose nothing. What the \
               kernel keeps for sockets is not part of it.",
    }
    slow_timeout: Time {
        flag: "slow-timeout",
        default: Duration::from_secs(10),
        bounds: Duration::ZERO => Duration::MAX,
        what: "How long a member's socket may refuse bytes",
        beyond: "`--slow`",
        more: "It counts from when the socket last took some. Where no room has a message for the \
               member, `--own-bytes` and `--ping-timeout` apply instead. A member that takes bytes, \
               however few, is bounded by its rooms' logs.",
    }
    own_bytes: Bytes {
        flag: "own-bytes",
        default: 512 << 10,
        bounds: 4 << 10 => usize::MAX,
        what: "Unread replies and direct messages of one connection; from a quarter on it is not \
               read",
        beyond: "status 503, and close 1013 if it takes nothing",
        more: "A direct message waits up to 5 seconds before 503; one that could never fit is \
               refused with 413. The connection is closed when it takes nothing for 4 seconds \
               meanwhile.",
    }
    connections: Count {
        flag: "max-connections",
        default: usize::MAX => "what the descriptor limit allows, less 64",
        bounds: 1 => usize::MAX,
        what: "Connections",
        beyond: "status 503",
        more: "The answer comes before the upgrade and carries `Retry-After`. Where clients that \
               bring nothing may do nothing, an eighth is kept for those that bring a key or a token.",
    }
    http_connections: Count {
        flag: "max-http-connections",
        default: usize::MAX => "an eighth of --max-connections, 64 to 4096",
        bounds: 1 => usize::MAX,
        what: "Plain HTTP connections and handshakes",
        beyond: "status 503, after idle and slow ones have gone",
        more: "The answer carries `Retry-After`. Slow is what has not finished a head or a body \
               within a tenth of its time.",
    }
    address_connections: Count {
        flag: "max-connections-per-address",
        default: usize::MAX => "an eighth of --max-connections, at least 256, for public addresses",
        bounds: 0 => usize::MAX,
        what: "Connections of one client address, where 0 means no limit; of IPv6 a /64 is one",
        beyond: "status 429",
        more: "The answer comes before the upgrade and carries `Retry-After`; over TLS there is \
               none. Until it is set, \
               addresses of loopback, of private networks and of carriers' translation do not \
               count: many clients may stand behind one. What comes over a trusted proxy counts \
               from the upgrade, or the event stream, on, with the address of its client.",
    }
    address_handshakes: Count {
        flag: "handshakes-per-address",
        default: usize::MAX => "500 for public addresses",
        bounds: 0 => usize::MAX,
        what: "Handshakes and event streams that one client address begins per second, and at \
               once, where 0 means no limit",
        beyond: "status 429",
        more: "The answer carries `Retry-After`. A TLS handshake counts, and the first handshake or \
               event stream on its connection does not count again; beyond: closed without an \
               answer. Which addresses count is as for `--max-connections-per-address`.",
    }
    accepts: Count {
        flag: "accepts",
        default: 20_000,
        bounds: 0 => usize::MAX,
        what: "New connections that one shard accepts per second, and at once, where 0 means no \
               limit",
        beyond: "they wait in the kernel's backlog, and after half of `--handshake-timeout` get \
                 status 503",
        more: "The answer carries `Retry-After`.",
    }
    body_timeout: Time {
        flag: "body-timeout",
        default: Duration::from_secs(10),
        bounds: Duration::from_nanos(1) => Duration::MAX,
        what: "How long the body of an HTTP request may take",
        beyond: "status 408, and the connection ends",
    }
    keep_alive_timeout: Time {
        flag: "keep-alive-timeout",
        default: Duration::from_secs(60),
        bounds: Duration::ZERO => Duration::MAX,
        what: "How long an HTTP connection may be idle between two requests",
        beyond: "it ends",
    }
    ping_interval: Time {
        flag: "ping-interval",
        default: Duration::from_secs(25),
        bounds: Duration::ZERO => Duration::MAX,
        what: "Silence of a connection, where 0 means for ever",
        beyond: "it is pinged",
    }
    ping_timeout: Time {
        flag: "ping-timeout",
        default: Duration::from_secs(20),
        bounds: Duration::ZERO => Duration::MAX,
        what: "Silence after a ping",
        beyond: "close 1001 `idle`",
        more: "More than 0, unless `--ping-interval` is 0.",
    }
    message_timeout: Time {
        flag: "message-timeout",
        default: Duration::from_secs(60),
        bounds: Duration::ZERO => Duration::MAX,
        what: "How long a message may take from its first byte to its last, where 0 means for \
               ever",
        beyond: "close 1001 `idle`",
        more: "Only time in which the connection is read counts.",
    }
    close_timeout: Time {
        flag: "close-timeout",
        default: Duration::from_secs(5),
        bounds: Duration::ZERO => Duration::MAX,
        what: "How long a client may take to end its side after a close",
        beyond: "cut",
    }
    room_linger: Time {
        flag: "room-linger",
        default: Duration::from_secs(60),
        bounds: Duration::ZERO => Duration::MAX,
        what: "How long a room lives without member and publish",
        beyond: "it ends",
    }
    lingering_rooms: Count {
        flag: "max-lingering-rooms",
        default: 100_000,
        bounds: 0 => usize::MAX,
        what: "Rooms that linger",
        beyond: "the oldest goes first",
        more: "They are divided among the shards, and each shard keeps at least one unless this \
               is 0.",
    }
    publish_key_time: Time {
        flag: "publish-key-for",
        default: Duration::from_secs(120),
        bounds: Duration::from_nanos(1) => Duration::MAX,
        what: "How long the key of a publish is remembered",
        beyond: "a publish with the same key is a new message",
        more: "It counts from the first publish, also when the room has ended meanwhile.",
    }
    publish_keys: Count {
        flag: "publish-keys",
        default: 100_000,
        bounds: 1 => 100_000_000,
        what: "Keys of publishes that are remembered at the same time",
        beyond: "the oldest is forgotten, and its message can be delivered again",
        more: "They are divided among the shards, and each shard remembers at least one. `/v1/stats` \
               counts what was forgotten.",
    }
    history_memory: Bytes {
        flag: "history-memory",
        default: usize::MAX => "a tenth of --memory-limit",
        bounds: 0 => usize::MAX,
        what: "Memory of the histories of all rooms",
        beyond: "the oldest messages go of the room that was published to or recovered from least \
                 recently, and recovery of these is refused with `too_old`",
        more: "It is divided among the shards. Which rooms keep messages is said by `--room \
               PATTERN:history=100`; by default none do. The messages count, in the memory that they \
               take; the tables beside them and what a client is being sent of a history do not. \
               From 65 % of `--memory-limit` on histories give way, whatever this says.",
    }
    history_meta_for: Time {
        flag: "history-meta-for",
        default: Duration::from_secs(3_600),
        bounds: Duration::ZERO => Duration::MAX,
        what: "How long the epoch and the offset of a room with a history are remembered after its end",
        beyond: "the room begins a new epoch, and recovery is refused with `epoch`",
        more: "They are remembered at least for as long as its messages are kept, and of as many rooms \
               as `--max-lingering-rooms` says, besides those that linger; those of which no message \
               is kept any more are forgotten first. A room without a message has nothing to remember.",
    }
    presence_max: Count {
        flag: "presence-max",
        default: 1_000,
        bounds: 0 => 100_000,
        what: "Users of a room that its presence names",
        beyond: "it says only how many there are, with `more`",
        more: "The same holds where their list would be longer than half of `--own-bytes`. While \
               somebody watches, changes name them again when they are a tenth below that.",
    }
    presence_interval: Time {
        flag: "presence-interval",
        default: Duration::from_millis(500),
        bounds: Duration::from_millis(10) => Duration::from_secs(60),
        what: "How long changes of a room's presence are gathered",
        beyond: "they are told together, as one change",
        more: "A client that begins to watch a room does not wait for them.",
    }
    presence_linger: Time {
        flag: "presence-linger",
        default: Duration::from_secs(3),
        bounds: Duration::ZERO => Duration::MAX,
        what: "How long a user stays present whose last connection has left the room",
        beyond: "the user has left",
        more: "Until then it is shown with 0 connections. One that comes back within that time was \
               never away, so that a page that is loaded again changes nothing.",
    }
    revocations: Count {
        flag: "max-revocations",
        default: 100_000,
        bounds: 0 => 10_000_000,
        what: "Users and tokens that are revoked at the same time",
        beyond: "status 503",
        more: "A place becomes free when the `until` of a revocation passes. Shards are asked one \
               after the other, so that some may have revoked: repeat it.",
    }
    mesh_items: Count {
        flag: "mesh-items",
        default: 1024,
        // Each ring has the memory of its items from the start.
        bounds: 1 => 1 << 16,
        what: "Messages that fit one ring between two shards",
        beyond: "publishers pause",
        more: "With more than two shards each ring gets its share of what two would have.",
    }
    mesh_bytes: Bytes {
        flag: "mesh-bytes",
        default: 256 << 10,
        bounds: 1 => usize::MAX,
        what: "Bytes that fit one ring between two shards",
        beyond: "publishers pause",
        more: "At most an eighth of `--room-log` is used. With more than two shards each ring gets \
               its share of what two would have.",
    }
}

/// Settings of the server and of its command that are bounded like limits, but are no fields of
/// [`Limits`] and not shown in `/v1/stats`.
impl Limit {
    /// How many shards run.
    pub const SHARDS: Limit = Limit {
        flag: "shards",
        preset: Preset::Derived(
            "one per core that this process may use, or that its CPU quota allows",
        ),
        least: Amount::Count(1),
        most: Amount::Count(SHARDS_MAX),
        what: "Shards to run",
        beyond: None,
        more: Some(
            "Shards are pinned to their cores unless there are more of them than cores, or a CPU \
             quota of the control group allows less than the cores.",
        ),
        field: None,
    };

    /// What the kernel keeps for one connection.
    pub const SEND_BUFFER: Limit = Limit {
        flag: "send-buffer",
        preset: Preset::Fixed(Amount::Bytes(SEND_BUFFER_BYTES)),
        least: Amount::Bytes(0),
        most: Amount::Bytes(usize::MAX),
        what: "Kernel memory for a connection that does not read (`SO_SNDBUF`); 0 leaves it to \
               the kernel",
        beyond: None,
        more: None,
        field: None,
    };

    /// How long a drain lasts at most.
    pub const DRAIN_TIMEOUT: Limit = Limit {
        flag: "drain-timeout",
        preset: Preset::Fixed(Amount::Time(Duration::from_secs(10))),
        least: Amount::Time(Duration::ZERO),
        most: Amount::Time(Duration::MAX),
        what: "How long shutting down may take before what remains is cut",
        beyond: None,
        more: Some("The log says how many connections were cut."),
        field: None,
    };

    /// Every row of a limit or setting, in the order of `README.md`.
    pub fn all() -> impl Iterator<Item = &'static Limit> {
        const SETTINGS: &[Limit] = &[Limit::SHARDS, Limit::SEND_BUFFER, Limit::DRAIN_TIMEOUT];
        Limits::TABLE.iter().chain(SETTINGS)
    }
}

/// Shards of one process at most: the mesh has two rings for each ordered pair.
pub const SHARDS_MAX: usize = 256;

/// Bytes that the kernel keeps for a connection that does not read, unless something else is set.
pub const SEND_BUFFER_BYTES: usize = 256 << 10;

/// The highest limit per second: so the arithmetic of rates never saturates within a minute.
pub const RATE_MAX: usize = 1 << 30;

/// Larger messages go uncompressed: a shard does nothing else while it compresses one.
pub(crate) const DEFLATED_MAX: usize = 64 << 10;

/// Bytes of a request's head at most: it is put together in the shard's read buffer.
pub const HEAD_BYTES_MAX: usize = 32 << 10;

/// Bytes of an event's name, after JSON unescaping.
pub(crate) const EVENT_BYTES_MAX: usize = 128;

/// Bytes of a room's name, after JSON unescaping.
pub(crate) const ROOM_BYTES_MAX: usize = 200;

/// Bytes of a string `id`, after JSON unescaping.
pub(crate) const ID_BYTES_MAX: usize = 64;

/// Bytes of the `key` of a publish, after JSON unescaping.
pub(crate) const KEY_BYTES_MAX: usize = 64;

/// Bytes of the epoch in a join's `since`, after JSON unescaping. Ours are shorter.
pub(crate) const EPOCH_BYTES_MAX: usize = 32;

/// The largest integer that a JSON number carries exactly everywhere (RFC 8259 section 6).
pub(crate) const ID_INTEGER_MAX: i64 = (1 << 53) - 1;

/// What a line break of a message takes in an event stream: it ends one line of data and begins the
/// next. Nothing else in a message grows as much.
pub(crate) const LINE_BREAK_BYTES: usize = 7;

/// How deep `data` may be nested.
pub(crate) const DATA_DEPTH_MAX: usize = 128;

const _: () = assert!(EVENT_BYTES_MAX <= ROOM_BYTES_MAX);
