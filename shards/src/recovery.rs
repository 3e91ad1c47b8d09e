//! From where on a client that joins wants a room's messages, and whether it gets all of them.

use std::fmt;

/// What a join asks for besides membership.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinOptions {
    /// Which messages of before the join it brings.
    pub start: Start,
    /// Whether it brings who is in the room, and then every change of that.
    pub presence: bool,
}

impl JoinOptions {
    /// Bytes that it refers to.
    pub(crate) fn len(&self) -> usize {
        self.start.len()
    }
}

impl From<Start> for JoinOptions {
    fn from(start: Start) -> JoinOptions {
        JoinOptions { start, presence: false }
    }
}

/// Which messages of before a join it brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// None.
    #[default]
    Live,
    /// All that came after this one, or none.
    Since(Position),
    /// So many of the newest that there are.
    Last(u32),
}

impl Start {
    /// Bytes that it refers to.
    pub(crate) fn len(&self) -> usize {
        match self {
            Start::Since(position) => position.epoch.len(),
            Start::Live | Start::Last(_) => 0,
        }
    }
}

/// A message of a room, as its client names it: where that has stopped reading. Made of a pair:
/// `Position::from((epoch, offset))`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The life of the room, as text: it need not be one that ever was.
    pub epoch: Box<str>,
    /// The offset of the message; 0 is the one before the first.
    pub offset: u64,
}

impl<E: fmt::Display> From<(E, u64)> for Position {
    fn from((epoch, offset): (E, u64)) -> Position {
        Position { epoch: epoch.to_string().into(), offset }
    }
}

/// What became of a join that said where its client had stopped reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Every message that the client missed is sent to it.
    Complete,
    /// None is, for this reason.
    Refused(Unrecovered),
}

impl Recovery {
    /// Whether nothing is missed.
    pub fn is_complete(self) -> bool {
        self == Recovery::Complete
    }

    /// Why something is, or may be.
    pub fn reason(self) -> Option<Unrecovered> {
        match self {
            Recovery::Complete => None,
            Recovery::Refused(reason) => Some(reason),
        }
    }
}

/// Why what a client missed is not sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrecovered {
    /// Some of it is not kept any more.
    TooOld,
    /// The room has not come as far.
    Future,
    /// The room's life is another one.
    Epoch,
    /// The room keeps no messages.
    Off,
}

impl Unrecovered {
    /// How many reasons there are.
    pub const COUNT: usize = Unrecovered::ALL.len();

    /// Every reason.
    pub const ALL: [Unrecovered; 4] =
        [Unrecovered::TooOld, Unrecovered::Future, Unrecovered::Epoch, Unrecovered::Off];

    /// Its place among all reasons.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The reason as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unrecovered::TooOld => "too_old",
            Unrecovered::Future => "future",
            Unrecovered::Epoch => "epoch",
            Unrecovered::Off => "off",
        }
    }
}
