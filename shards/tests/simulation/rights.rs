//! What clients may do, as the engine is handed it and as the model knows it.

use std::collections::BTreeSet;

use corecast_shards::{NameSet, Pattern, Permission, Permissions};

use crate::chance::Chance;

/// What a client may do by its own commands.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    pub(crate) join: Right,
    pub(crate) publish: Right,
    pub(crate) broadcast: Right,
}

/// Whether it may do one kind of thing, and where.
#[derive(Clone, Debug)]
pub(crate) struct Right {
    ruling: Ruling,
    /// The rooms where it may; none if it may in all.
    within: Option<BTreeSet<usize>>,
    patterns: Vec<String>,
}

/// What becomes of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    Allowed,
    Forbidden,
    Asked,
}

impl Rights {
    /// Each kind is restricted with this probability.
    pub(crate) fn drawn(restrict: f64, rooms: usize, chance: &mut Chance) -> Rights {
        let mut drawn = || match chance.happens(restrict) {
            true => Right::restricted(rooms, chance),
            false => Right { ruling: Ruling::Allowed, within: None, patterns: Vec::new() },
        };
        Rights { join: drawn(), publish: drawn(), broadcast: drawn() }
    }

    /// As the engine is handed them.
    pub(crate) fn permissions(&self) -> Permissions {
        let mut permissions = Permissions::default();
        permissions.join = self.join.permission();
        permissions.publish = self.publish.permission();
        permissions.broadcast = self.broadcast.permission();
        permissions
    }
}

impl Right {
    fn restricted(rooms: usize, chance: &mut Chance) -> Right {
        use Ruling::{Allowed, Asked, Forbidden};
        let ruling = chance.pick(&[Asked, Asked, Forbidden, Allowed, Allowed]);
        if ruling == Forbidden || (ruling == Asked && chance.happens(0.5)) {
            return Right { ruling, within: None, patterns: Vec::new() };
        }
        let (mut within, mut patterns) = (BTreeSet::new(), Vec::new());
        for _ in 0..chance.below(4) {
            let (pattern, names) = pattern(chance);
            within.extend((0..rooms).filter(|room| names(*room)));
            patterns.push(pattern.to_owned());
        }
        Right { ruling, within: Some(within), patterns }
    }

    /// What becomes of a command for this room, or for all connections.
    pub(crate) fn ruling(&self, room: usize) -> Ruling {
        match &self.within {
            Some(rooms) if !rooms.contains(&room) => Ruling::Forbidden,
            _ => self.ruling,
        }
    }

    fn permission(&self) -> Permission {
        let permission = match self.ruling {
            Ruling::Allowed => Permission::Allowed,
            Ruling::Forbidden => Permission::Forbidden,
            Ruling::Asked => Permission::Asked,
        };
        if self.within.is_none() {
            return permission;
        }
        let patterns = self.patterns.iter().map(|text| Pattern::parse(text).expect("a pattern"));
        permission.within(NameSet::new(patterns).expect("few patterns"))
    }
}

/// A pattern, and which rooms it stands for: `room-0`, `quote"d`, `zimmer-ü`, `room-3`, `room-4` and so
/// on.
fn pattern(chance: &mut Chance) -> (&'static str, fn(usize) -> bool) {
    chance.pick::<(&'static str, fn(usize) -> bool)>(&[
        ("*", |_| true),
        ("room-0", |room| room == 0),
        ("room-*", |room| room != 1 && room != 2),
        ("room-1*", |room| (10..=19).contains(&room)),
        ("*-*", |room| room != 1),
        ("quote*d", |room| room == 1),
        ("*ü", |room| room == 2),
        ("zimmer-ü*", |_| false),
        ("r**m-3", |room| room == 3),
        ("Room-*", |_| false),
    ])
}
