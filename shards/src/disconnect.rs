//! Every way in which a connection ends, and how the program ends one.

use std::sync::Arc;

use crate::close_code::CloseCode;
use crate::wire::{CLOSE_REASON_MAX, Violation};

/// Why a connection ends: one variant, one close code, one verdict on whether to reconnect.
///
/// The reason on the wire is the variant's name in snake case, then ` retry=<ms>` where
/// reconnecting is welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Disconnect {
    /// Either side is done. Carries 1000, or the code that the client or the program closed with.
    Normal(CloseCode),
    /// The socket ended or failed without a close frame: no client is left to read one. The client
    /// of an event stream may have ended its side alone: its last comment is sent.
    Lost,
    /// Nothing arrived for a whole `ping_timeout` after a ping.
    Idle,
    /// The server goes away.
    Shutdown,
    /// The client broke a rule of RFC 6455, such as sending an unmasked frame.
    Protocol,
    /// The client sent a binary message, and no program here handles them.
    Binary,
    /// A text message or a close reason was not UTF-8.
    BadUtf8,
    /// A compressed message could not be inflated.
    BadDeflate,
    /// An operator or the embedding program threw the connection out.
    Kicked,
    /// The time is over until which the client may stay, or what it may stay by was revoked.
    Expired,
    /// A message was larger than `message_bytes`, perhaps only when it was inflated, came in more
    /// frames than `frames_per_message`, or was compressed in more blocks than it may have.
    TooBig,
    /// The client reads too slowly: its socket took nothing for `slow_timeout` while a room had
    /// messages for it, a room's log dropped messages that it was still to be sent, or more replies
    /// and direct messages waited for it than `own_bytes` allows. While memory is short, it need only
    /// be slow for a second.
    Slow,
    /// The client went well beyond what it may send per second.
    Rate,
    /// Memory was short, and a message of the client had begun and did not get on; or the event stream
    /// asked for a room that did not exist. Or a limit of the whole server leaves the stream no place.
    Capacity,
}

impl Disconnect {
    /// How many variants there are, for counters.
    pub const COUNT: usize = 14;

    /// Every variant, in the order of [`Disconnect::index`].
    pub const ALL: [Disconnect; Disconnect::COUNT] = [
        Disconnect::Normal(CloseCode::NORMAL),
        Disconnect::Lost,
        Disconnect::Idle,
        Disconnect::Shutdown,
        Disconnect::Protocol,
        Disconnect::Binary,
        Disconnect::BadUtf8,
        Disconnect::Kicked,
        Disconnect::TooBig,
        Disconnect::Slow,
        Disconnect::Rate,
        Disconnect::Capacity,
        Disconnect::Expired,
        Disconnect::BadDeflate,
    ];

    /// The close code (RFC 6455 section 7.4.1); none when no client is left to read it.
    pub const fn close_code(self) -> Option<u16> {
        Some(match self {
            Disconnect::Normal(code) => code.get(),
            Disconnect::Lost => return None,
            Disconnect::Idle | Disconnect::Shutdown => 1001,
            Disconnect::Protocol => 1002,
            Disconnect::Binary => 1003,
            Disconnect::BadUtf8 | Disconnect::BadDeflate => 1007,
            Disconnect::Kicked | Disconnect::Rate | Disconnect::Expired => 1008,
            Disconnect::TooBig => 1009,
            Disconnect::Slow | Disconnect::Capacity => 1013,
        })
    }

    /// The variant's name in snake case: the reason on the wire and the key in figures.
    pub const fn name(self) -> &'static str {
        match self {
            Disconnect::Normal(_) => "normal",
            Disconnect::Lost => "lost",
            Disconnect::Idle => "idle",
            Disconnect::Shutdown => "shutdown",
            Disconnect::Protocol => "protocol",
            Disconnect::Binary => "binary",
            Disconnect::BadUtf8 => "bad_utf8",
            Disconnect::BadDeflate => "bad_deflate",
            Disconnect::Kicked => "kicked",
            Disconnect::Expired => "expired",
            Disconnect::TooBig => "too_big",
            Disconnect::Slow => "slow",
            Disconnect::Rate => "rate",
            Disconnect::Capacity => "capacity",
        }
    }

    /// Whether the client is invited to come back.
    pub const fn reconnect(self) -> bool {
        use Disconnect::{Capacity, Idle, Shutdown, Slow};
        matches!(self, Idle | Shutdown | Slow | Capacity)
    }

    /// The index of this variant's counter.
    pub const fn index(self) -> usize {
        match self {
            Disconnect::Normal(_) => 0,
            Disconnect::Lost => 1,
            Disconnect::Idle => 2,
            Disconnect::Shutdown => 3,
            Disconnect::Protocol => 4,
            Disconnect::Binary => 5,
            Disconnect::BadUtf8 => 6,
            Disconnect::Kicked => 7,
            Disconnect::TooBig => 8,
            Disconnect::Slow => 9,
            Disconnect::Rate => 10,
            Disconnect::Capacity => 11,
            Disconnect::Expired => 12,
            Disconnect::BadDeflate => 13,
        }
    }

    /// The reason on the wire. `random` spreads the clients that reconnect over 0.5 to 5 seconds, so that
    /// a restart is not followed by a stampede.
    pub(crate) fn reason(self, random: u64) -> String {
        match self.reconnect() {
            true => format!("{} retry={}", self.name(), 500 + random % 4_501),
            false => self.name().to_owned(),
        }
    }
}

impl From<Violation> for Disconnect {
    fn from(violation: Violation) -> Disconnect {
        match violation {
            Violation::Protocol(_) => Disconnect::Protocol,
            Violation::BadUtf8 => Disconnect::BadUtf8,
            Violation::BadDeflate => Disconnect::BadDeflate,
            Violation::TooBig => Disconnect::TooBig,
        }
    }
}

/// How a program closes a connection: for a reason of the engine's, or with a code and words of its
/// own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    pub(crate) reason: Disconnect,
    /// The close frame's text instead of the reason's name.
    pub(crate) text: Option<Arc<str>>,
}

impl Close {
    /// A close with a code and the program's own words, such as `4001` and `signed out`.
    ///
    /// A close frame has room for 123 bytes of them. Longer words are cut there, between two
    /// characters, so that a close never fails because of its words.
    pub fn new(code: CloseCode, text: &str) -> Close {
        let text = &text[..text.floor_char_boundary(CLOSE_REASON_MAX)];
        Close { reason: Disconnect::Normal(code), text: Some(text.into()) }
    }
}

impl From<Disconnect> for Close {
    /// With the reason's name as words.
    fn from(reason: Disconnect) -> Close {
        Close { reason, text: None }
    }
}

impl From<CloseCode> for Close {
    /// With `normal` as words.
    fn from(code: CloseCode) -> Close {
        Disconnect::Normal(code).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_has_its_own_counter_and_name() {
        for (index, disconnect) in Disconnect::ALL.into_iter().enumerate() {
            assert_eq!(disconnect.index(), index);
            let same_name = Disconnect::ALL.into_iter().filter(|d| d.name() == disconnect.name());
            assert_eq!(same_name.count(), 1, "{disconnect:?}");
        }
    }

    #[test]
    fn only_reasons_with_a_return_say_when() {
        for disconnect in Disconnect::ALL {
            let reason = disconnect.reason(7);
            assert_eq!(reason.contains(" retry="), disconnect.reconnect(), "{reason}");
            assert!(reason.starts_with(disconnect.name()));
        }
    }

    #[test]
    fn words_are_cut_between_two_characters() {
        let close = Close::new(CloseCode::NORMAL, &"é".repeat(100));
        assert_eq!(close.text.as_deref(), Some(&*"é".repeat(61)));
    }
}
