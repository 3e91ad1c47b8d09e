//! What an evil server does to a message.

/// Where things stand in a payload, from its marker on.
const SEQUENCE: usize = 16;
const DUE: usize = 24;
const PADDING: usize = 48;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoil {
    /// The second half is missing.
    Cut,
    /// Most of the padding is something else.
    WipePadding,
    /// One bit of the padding is another.
    FlipPadding,
    /// Around the payload there is a byte that no text has.
    BadUtf8,
    /// It has a number that is far beyond all others.
    FlipSequence,
    /// It is due in some days.
    LateDue,
    /// It was due earlier.
    EarlyDue,
    /// It is delivered, and then again with a number that nobody has published.
    Invent,
}

impl Spoil {
    /// What is delivered instead of a message.
    pub(crate) fn apply(self, message: &[u8]) -> Vec<Vec<u8>> {
        let mut spoilt = message.to_vec();
        let marker = message.windows(2).position(|two| two == b"~c").expect("it has a payload");
        let payload = &mut spoilt[marker..];
        match self {
            Self::Cut => spoilt.truncate(message.len() / 2),
            Self::WipePadding => payload[PADDING..PADDING + 60].fill(b'-'),
            Self::FlipPadding => payload[PADDING + 9] ^= 1,
            Self::BadUtf8 => spoilt[message.len() - 3] = 0xff,
            Self::FlipSequence => payload[SEQUENCE] = b'7',
            Self::LateDue => payload[DUE + 3] = b'f',
            Self::EarlyDue => {
                let digit = payload[DUE..].iter_mut().find(|digit| **digit != b'0');
                *digit.expect("time has passed") = b'0';
            }
            Self::Invent => {
                payload[SEQUENCE + 2] = b'9';
                return vec![message.to_vec(), spoilt];
            }
        }
        vec![spoilt]
    }
}
