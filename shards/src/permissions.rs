//! What a client may do by its own commands.

/// What one connection may do by its own commands: allowed, forbidden, or asked of the program each
/// time. What the embedding program does on its behalf needs none. By default everything is allowed.
///
/// Leaving is always allowed, and so are pings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Permission {
    /// It is carried out.
    #[default]
    Allowed,
    /// It is answered with `forbidden`, and nothing happens.
    Forbidden,
    /// The program decides about each one: [`CallKind::Command`](crate::CallKind::Command).
    Asked,
}

/// A kind of command that needs a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Join,
    Publish,
    Broadcast,
}

impl Permissions {
    /// The same permission for every kind of command.
    pub const fn all(permission: Permission) -> Permissions {
        Permissions { join: permission, publish: permission, broadcast: permission }
    }

    pub(crate) fn of(self, action: Action) -> Permission {
        match action {
            Action::Join => self.join,
            Action::Publish => self.publish,
            Action::Broadcast => self.broadcast,
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
