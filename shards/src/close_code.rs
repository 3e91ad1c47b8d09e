//! Which codes a close frame may carry.

use std::fmt;

use crate::wire::may_be_sent;

/// A code that a close frame may carry (RFC 6455 section 7.4): 1000 to 1003, 1007 to 1014, and 3000
/// to 4999, of which those from 4000 on are the program's own.
///
/// ```
/// # use corecast_shards::CloseCode;
/// const SIGNED_OUT: u16 = 4001;
/// assert_eq!(CloseCode::new(SIGNED_OUT)?.get(), 4001);
/// assert!(CloseCode::new(1005).is_err(), "it stands for a close without a code");
/// # Ok::<(), corecast_shards::BadCloseCode>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: both sides are done.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: the server goes away, or the page does.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// 1008: a rule of the program was broken.
    pub const POLICY: CloseCode = CloseCode(1008);
    /// 1011: the program cannot go on with this connection.
    pub const INTERNAL: CloseCode = CloseCode(1011);
    /// 1013: not now; come back later.
    pub const TRY_AGAIN: CloseCode = CloseCode(1013);

    /// Checks a code.
    ///
    /// # Errors
    ///
    /// [`BadCloseCode`] for everything that no close frame may carry.
    pub const fn new(code: u16) -> Result<CloseCode, BadCloseCode> {
        match may_be_sent(code) {
            true => Ok(CloseCode(code)),
            false => Err(BadCloseCode(code)),
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = BadCloseCode;

    fn try_from(code: u16) -> Result<CloseCode, BadCloseCode> {
        CloseCode::new(code)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// No close frame may carry this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCloseCode(pub u16);

impl fmt::Display for BadCloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BadCloseCode(code) = self;
        write!(f, "{code} is no close code that may be sent; choose 1000, or 4000 to 4999")
    }
}

impl std::error::Error for BadCloseCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_be_sent_exist() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
            let refused = CloseCode::new(code).expect_err("no frame may carry it");
            assert!(refused.to_string().contains("4000 to 4999"), "{refused}");
        }
        for code in [1000, 1003, 1007, 1014, 3000, 3999, 4000, 4999] {
            assert_eq!(CloseCode::new(code).map(CloseCode::get), Ok(code));
        }
        for code in [
            CloseCode::NORMAL,
            CloseCode::GOING_AWAY,
            CloseCode::POLICY,
            CloseCode::INTERNAL,
            CloseCode::TRY_AGAIN,
        ] {
            assert_eq!(CloseCode::new(code.get()), Ok(code));
        }
    }
}
