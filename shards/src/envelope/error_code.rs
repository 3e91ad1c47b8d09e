//! The codes of errors.

/// The code of a `cast:error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    /// The text is no envelope, or a member is wrong.
    BadEnvelope,
    /// No handler is registered for this event.
    UnknownEvent,
    /// The connection has no permission for it.
    Forbidden,
    /// A fresh token is not accepted.
    BadToken,
    /// The connection is not in the room.
    NotAMember,
    /// The connection is in as many rooms as it may.
    TooManyRooms,
    /// It sends more per second than it may.
    RateLimited,
    /// Memory is short: for a join of a room that does not exist, or so short that no join is accepted.
    Overloaded,
    /// The embedding program's handler returned an error or panicked.
    HandlerFailed,
}

impl ErrorCode {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            ErrorCode::BadEnvelope => "bad_envelope",
            ErrorCode::UnknownEvent => "unknown_event",
            ErrorCode::Forbidden => "forbidden",
            ErrorCode::BadToken => "bad_token",
            ErrorCode::NotAMember => "not_a_member",
            ErrorCode::TooManyRooms => "too_many_rooms",
            ErrorCode::RateLimited => "rate_limited",
            ErrorCode::Overloaded => "overloaded",
            ErrorCode::HandlerFailed => "handler_failed",
        }
    }
}
