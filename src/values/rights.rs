//! What an API key may do.

use std::fmt;
use std::str::FromStr;

use super::word_list;

/// What a caller with an API key may do. As text it is `all`, `none`, or a list such as
/// `publish,read`.
///
/// At `/ws` a key joins rooms by `read`, and publishes and broadcasts by `publish`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rights {
    /// Publish to rooms, broadcast, and send to single connections.
    pub publish: bool,
    /// Read what there is: rooms, their messages, figures.
    pub read: bool,
    /// Close connections; and everything else.
    pub admin: bool,
}

impl Rights {
    /// Everything.
    pub const fn all() -> Rights {
        Rights { publish: true, read: true, admin: true }
    }

    /// Nothing.
    pub const fn none() -> Rights {
        Rights { publish: false, read: false, admin: false }
    }

    /// These and others.
    pub(crate) fn and(self, others: Rights) -> Rights {
        Rights {
            publish: self.publish || others.publish,
            read: self.read || others.read,
            admin: self.admin || others.admin,
        }
    }

    /// Whether this right is among them; `admin` has all of them.
    pub(crate) fn include(self, right: Right) -> bool {
        self.admin
            || match right {
                Right::Publish => self.publish,
                Right::Read => self.read,
                Right::Admin => false,
            }
    }
}

/// What a route of `/v1` needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Publish,
    Read,
    Admin,
}

impl Right {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Right::Publish => "publish",
            Right::Read => "read",
            Right::Admin => "admin",
        }
    }
}

impl FromStr for Rights {
    type Err = String;

    fn from_str(text: &str) -> Result<Rights, String> {
        let mut rights = Rights::none();
        let Rights { publish, read, admin } = &mut rights;
        word_list::read(
            text,
            [("publish", publish), ("read", read), ("admin", admin)],
            "no right",
        )?;
        Ok(rights)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rights { publish, read, admin } = *self;
        word_list::write(f, [("publish", publish), ("read", read), ("admin", admin)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_the_same_as_the_value() {
        for text in ["all", "none", "publish", "read", "publish,read", "read,admin"] {
            assert_eq!(text.parse::<Rights>().unwrap().to_string(), text);
        }
        assert_eq!("read,admin,publish".parse(), Ok(Rights::all()));
        assert_eq!(" read , publish ".parse::<Rights>().unwrap().to_string(), "publish,read");
        for text in ["", "reads", "read,", "all,read", "Read"] {
            assert!(text.parse::<Rights>().unwrap_err().contains("publish, read, admin"), "{text}");
        }
    }

    #[test]
    fn an_admin_may_do_everything() {
        let rights = |text: &str| text.parse::<Rights>().unwrap();
        for right in [Right::Publish, Right::Read, Right::Admin] {
            assert!(rights("admin").include(right) && !Rights::none().include(right));
            assert_eq!(rights("publish").include(right), right == Right::Publish);
            assert_eq!(rights("read").include(right), right == Right::Read);
            assert_eq!(rights("publish,read").include(right), right != Right::Admin);
        }
    }
}
