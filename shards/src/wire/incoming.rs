//! A whole message or control frame, as its reader gets it.

use super::close::CloseFrame;
use super::frame::Opcode;
use super::utf8::Invalid;
use super::violation::Violation;

/// One whole message or control frame, as a peer sent it (RFC 6455 sections 5.5 and 5.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A whole message that is compressed, and is still to be inflated (RFC 7692 section 6.2).
    Deflated {
        /// Whether it is a text message.
        is_text: bool,
        /// What it is compressed to.
        payload: &'a [u8],
        /// How many frames it came in.
        frames: usize,
    },
    /// A ping, to be answered with a pong of the same payload (RFC 6455 section 5.5.2).
    Ping(&'a [u8]),
    /// A pong, asked for or not (RFC 6455 section 5.5.3).
    Pong(&'a [u8]),
    /// The peer's last frame (RFC 6455 section 5.5.1).
    Close(CloseFrame),
}

impl<'a> Incoming<'a> {
    /// What a whole, unmasked payload of a compressed message means.
    pub(super) fn deflated(opcode: Opcode, payload: &'a [u8], frames: usize) -> Incoming<'a> {
        debug_assert!(
            matches!(opcode, Opcode::Text | Opcode::Binary),
            "only messages are compressed"
        );
        Incoming::Deflated { is_text: opcode == Opcode::Text, payload, frames }
    }

    /// What an inflated message means.
    pub(crate) fn inflated(is_text: bool, message: &'a [u8]) -> Result<Incoming<'a>, Violation> {
        Incoming::whole(if is_text { Opcode::Text } else { Opcode::Binary }, message)
    }

    /// What a whole, unmasked payload means under the opcode it was begun with.
    pub(super) fn whole(opcode: Opcode, payload: &'a [u8]) -> Result<Incoming<'a>, Violation> {
        match opcode {
            Opcode::Text => Ok(Incoming::Text(str::from_utf8(payload).map_err(Invalid::from)?)),
            Opcode::Binary => Ok(Incoming::Binary(payload)),
            Opcode::Ping => Ok(Incoming::Ping(payload)),
            Opcode::Pong => Ok(Incoming::Pong(payload)),
            Opcode::Close => Ok(Incoming::Close(CloseFrame::parse(payload)?)),
            Opcode::Continuation => Err(Violation::Protocol("continuation without a start")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_opcode_decides_what_a_payload_means() {
        let check = |opcode, payload, expected| {
            assert_eq!(Incoming::whole(opcode, payload), expected, "{opcode:?} {payload:?}");
        };
        let orphan = Violation::Protocol("continuation without a start");
        check(Opcode::Text, "é".as_bytes(), Ok(Incoming::Text("é")));
        check(Opcode::Text, &[0xc3], Err(Violation::BadUtf8));
        check(Opcode::Binary, &[0xc3], Ok(Incoming::Binary(&[0xc3])));
        check(Opcode::Ping, &[0xc3], Ok(Incoming::Ping(&[0xc3])));
        check(Opcode::Pong, &[], Ok(Incoming::Pong(&[])));
        check(Opcode::Close, &[], Ok(Incoming::Close(CloseFrame::default())));
        check(Opcode::Close, &[3, 232, 0xc3], Err(Violation::BadUtf8));
        check(Opcode::Continuation, &[], Err(orphan));
    }
}
