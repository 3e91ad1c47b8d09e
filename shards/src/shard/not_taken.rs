//! Why something that the program or a caller asks for is not taken.

/// The message was not accepted, and nothing has happened: the ring has no capacity, or the
/// room's publishers are too fast. Try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the message was not accepted because too many are on their way; try again")
    }
}

impl std::error::Error for Full {}

/// Why a join or leave of the program was not taken; nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// Not now: the ring has no capacity, an earlier join or leave of the same room has not ended, or
    /// a room that the connection leaves still counts among its rooms.
    /// It may be tried again in the next turn.
    Busy,
    /// The connection is closed or closes, its client has hung up, or the program does not know it.
    Gone,
    /// The connection is in as many rooms as it may, which is this many.
    TooManyRooms(usize),
    /// All connections together have as many memberships as may be, which is this many.
    TooManyMemberships(usize),
    /// The connection is not in this room.
    NotAMember,
}

/// Why a frame for one connection was not queued; nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsent {
    /// The connection is closed or closes, its client has hung up, or the program does not know it.
    Gone,
    /// Too much waits for the client to read it. It may be tried again later.
    Full,
    /// The frame is larger than what may wait for one connection, `own_bytes`, which is this many.
    TooLarge(usize),
}
