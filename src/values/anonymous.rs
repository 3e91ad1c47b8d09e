//! What connections may do that brought no credentials.

use std::fmt;
use std::str::FromStr;

use corecast_shards::{Permission, Permissions};

use super::word_list;

/// What connections may do that are not known: those that brought no API key and that no
/// [`Builder::authorize`](crate::Builder::authorize) gave any claims. Leaving a room and
/// `cast:ping` are always allowed, and the program's own events are the program's affair.
///
/// As text it is `all`, `none`, or a list such as `join,publish`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Anonymous {
    /// Whether they may join rooms.
    pub join: bool,
    /// Whether they may publish to rooms.
    pub publish: bool,
    /// Whether they may send to everybody.
    pub broadcast: bool,
}

impl Anonymous {
    /// They may do everything.
    pub const fn all() -> Anonymous {
        Anonymous { join: true, publish: true, broadcast: true }
    }

    /// They may connect, and hear what everybody hears.
    pub const fn none() -> Anonymous {
        Anonymous { join: false, publish: false, broadcast: false }
    }

    /// What is left of these permissions for them.
    pub(crate) fn restrict(self, mut permissions: Permissions) -> Permissions {
        for (allowed, permission) in [
            (self.join, &mut permissions.join),
            (self.publish, &mut permissions.publish),
            (self.broadcast, &mut permissions.broadcast),
        ] {
            if !allowed {
                *permission = Permission::Forbidden;
            }
        }
        permissions
    }
}

impl Default for Anonymous {
    fn default() -> Anonymous {
        Anonymous::all()
    }
}

impl FromStr for Anonymous {
    type Err = String;

    fn from_str(text: &str) -> Result<Anonymous, String> {
        let mut anonymous = Anonymous::none();
        let Anonymous { join, publish, broadcast } = &mut anonymous;
        word_list::read(
            text,
            [("join", join), ("publish", publish), ("broadcast", broadcast)],
            "not known",
        )?;
        Ok(anonymous)
    }
}

impl fmt::Display for Anonymous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Anonymous { join, publish, broadcast } = *self;
        word_list::write(f, [("join", join), ("publish", publish), ("broadcast", broadcast)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_the_same_as_the_value() {
        for text in ["all", "none", "join", "join,publish", "publish,broadcast"] {
            assert_eq!(text.parse::<Anonymous>().unwrap().to_string(), text);
        }
        assert_eq!("broadcast, join ,publish".parse(), Ok(Anonymous::all()));
        for text in ["", "joins", "all,none", "join,", "Join"] {
            assert!(text.parse::<Anonymous>().unwrap_err().contains("broadcast"), "{text}");
        }
    }

    #[test]
    fn what_is_not_allowed_is_forbidden() {
        let mut anonymous = Anonymous::none();
        anonymous.publish = true;
        let left = anonymous.restrict(Permissions::default());
        assert_eq!(
            (left.join, left.publish, left.broadcast),
            (Permission::Forbidden, Permission::Allowed, Permission::Forbidden)
        );
    }
}
