//! What a client may do by its own commands.

use crate::name_set::NameSet;

/// What one connection may do by its own commands. What the embedding program does on its behalf
/// needs no permission. By default everything is allowed.
///
/// Leaving is always allowed, and so are pings. Connections share these values: a connection with
/// the same ones as others costs a pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Permissions {
    /// `cast:join`.
    pub join: Permission,
    /// `cast:publish`.
    pub publish: Permission,
    /// `cast:broadcast`.
    pub broadcast: Permission,
}

/// Whether a connection may give one kind of command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Permission {
    /// It is carried out.
    #[default]
    Allowed,
    /// It is answered with `forbidden`, and nothing happens.
    Forbidden,
    /// The program decides about each one: [`CallKind::Command`](crate::CallKind::Command).
    Asked,
    /// It is carried out for rooms with these names. For all others, and without a room, it is
    /// answered with `forbidden`.
    Within(NameSet),
    /// The program decides about each one for rooms with these names. For all others, and without a
    /// room, it is answered with `forbidden`.
    AskedWithin(NameSet),
}

/// A kind of command that needs a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Join,
    Publish,
    Broadcast,
}

/// What a permission says of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    Allowed,
    Forbidden,
    Asked,
}

impl Permissions {
    /// The same permission for every kind of command.
    pub fn all(permission: Permission) -> Permissions {
        Permissions { join: permission.clone(), publish: permission.clone(), broadcast: permission }
    }

    /// What they say of a command that names this room, or none.
    pub(crate) fn ruling(&self, action: Action, room: Option<&str>) -> Ruling {
        let permission = match action {
            Action::Join => &self.join,
            Action::Publish => &self.publish,
            Action::Broadcast => &self.broadcast,
        };
        permission.ruling(room)
    }
}

impl Permission {
    /// The same for rooms with these names alone, in place of any names that it had.
    pub fn within(self, names: NameSet) -> Permission {
        match self {
            Permission::Allowed | Permission::Within(_) => Permission::Within(names),
            Permission::Asked | Permission::AskedWithin(_) => Permission::AskedWithin(names),
            Permission::Forbidden => Permission::Forbidden,
        }
    }

    fn ruling(&self, room: Option<&str>) -> Ruling {
        let is_in = |names: &NameSet| room.is_some_and(|room| names.contains(room));
        match self {
            Permission::Allowed => Ruling::Allowed,
            Permission::Asked => Ruling::Asked,
            Permission::Within(names) if is_in(names) => Ruling::Allowed,
            Permission::AskedWithin(names) if is_in(names) => Ruling::Asked,
            Permission::Within(_) | Permission::AskedWithin(_) | Permission::Forbidden => {
                Ruling::Forbidden
            }
        }
    }
}

impl Action {
    /// The message to a client without the permission.
    pub(crate) const fn refusal(self) -> &'static str {
        match self {
            Action::Join => "this connection may not join this room",
            Action::Publish => "this connection may not publish to this room",
            Action::Broadcast => "this connection may not broadcast",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Pattern;

    fn names(patterns: &[&str]) -> NameSet {
        NameSet::new(patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap())).unwrap()
    }

    #[test]
    fn a_permission_within_names_says_nothing_of_others() {
        for (permission, inside) in
            [(Permission::Allowed, Ruling::Allowed), (Permission::Asked, Ruling::Asked)]
        {
            assert_eq!(permission.ruling(None), inside);
            let within = permission.within(names(&["news.*"]));
            assert_eq!(within.ruling(Some("news.uk")), inside);
            assert_eq!(within.ruling(Some("chat")), Ruling::Forbidden);
            assert_eq!(within.ruling(None), Ruling::Forbidden, "no name is in no set");
            let elsewhere = within.within(names(&["chat"]));
            assert_eq!(elsewhere.ruling(Some("chat")), inside);
            assert_eq!(elsewhere.ruling(Some("news.uk")), Ruling::Forbidden);
        }
        assert_eq!(Permission::Forbidden.within(names(&["*"])), Permission::Forbidden);
    }

    #[test]
    fn each_kind_of_command_has_its_own() {
        let mut permissions = Permissions::all(Permission::Forbidden);
        permissions.publish = Permission::Within(names(&["a"]));
        let ruling = |action| permissions.ruling(action, Some("a"));
        assert_eq!(ruling(Action::Publish), Ruling::Allowed);
        assert_eq!([Action::Join, Action::Broadcast].map(ruling), [Ruling::Forbidden; 2]);
    }
}
