//! What holds in rooms, by their names.

use crate::limits::{Amount, Limits};
use crate::pattern::Pattern;
use crate::room_name::RoomName;

/// What happens to a member in either of two cases:
///
/// - a room has messages for it, and its socket has taken nothing for `slow_timeout`;
/// - the room log has dropped its next message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// It is closed with 1013 `slow` and may come back.
    #[default]
    Disconnect,
    /// It jumps forward, and a `cast:gap` says exactly what it missed. Broadcasts are never
    /// skipped.
    Skip,
    /// Only a room's newest message matters. A member whose socket refuses bytes keeps nothing else
    /// waiting: when the socket takes bytes again, a `cast:gap` says exactly what it missed, and the
    /// newest message follows. Broadcasts are never skipped.
    Latest,
}

/// What holds in some rooms. What it leaves open holds there as everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomPolicy {
    /// What happens to slow members.
    pub slow: Option<SlowPolicy>,
    /// Bytes of a room's log on one shard, within the bounds of
    /// [`Limits::room_log_bytes`](crate::Limits::room_log_bytes).
    pub log_bytes: Option<usize>,
    /// Whether messages are compressed for members whose clients agree to that; by default they are.
    ///
    /// Not to be done where a message has both a secret and what an attacker has chosen: from the
    /// lengths of many such messages, which encryption does not hide, the secret can be guessed (BREACH).
    pub deflate: Option<bool>,
}

impl RoomPolicy {
    /// This, and what happens to slow members.
    pub fn slow(self, slow: SlowPolicy) -> RoomPolicy {
        RoomPolicy { slow: Some(slow), ..self }
    }

    /// This, and the bytes of a room's log on one shard.
    pub fn log_bytes(self, bytes: usize) -> RoomPolicy {
        RoomPolicy { log_bytes: Some(bytes), ..self }
    }

    /// This, and whether messages are compressed.
    pub fn deflate(self, deflate: bool) -> RoomPolicy {
        RoomPolicy { deflate: Some(deflate), ..self }
    }

    fn check(&self) -> Result<(), String> {
        let row = Limits::TABLE.iter().find(|limit| limit.flag == ROOM_LOG);
        match (row, self.log_bytes) {
            (Some(row), Some(bytes)) => {
                let bounds = row.check(Amount::Bytes(bytes));
                bounds.map_err(|words| words.replace(&format!("--{ROOM_LOG}"), "log"))
            }
            _ => Ok(()),
        }
    }
}

/// The flag of the limit that a policy's log is bounded like.
const ROOM_LOG: &str = "room-log";

/// Policies of rooms by patterns of their names. In a room holds the first one whose pattern stands
/// for its name, and no other.
///
/// It is looked up once for each life of a room on a shard, and never for a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomPolicies(Vec<(Pattern, RoomPolicy)>);

/// Each new room is compared with all patterns, and clients choose the names.
const PATTERNS_MAX: usize = 256;

impl RoomPolicies {
    /// Adds a policy behind the others.
    ///
    /// # Errors
    ///
    /// When the pattern is none (see [`Pattern::parse`]), the policy is out of bounds, or there are
    /// 256 already; in words for the operator.
    pub fn add(&mut self, pattern: &str, policy: RoomPolicy) -> Result<(), String> {
        let parsed = Pattern::parse(pattern)?;
        policy.check().map_err(|words| format!("rooms {pattern}: {words}"))?;
        if self.0.len() >= PATTERNS_MAX {
            return Err(format!(
                "there are more than {PATTERNS_MAX} patterns of rooms; let some stand for more rooms"
            ));
        }
        self.0.push((parsed, policy));
        Ok(())
    }

    fn of(&self, room: &str) -> Option<&RoomPolicy> {
        let rule = self.0.iter().find(|(pattern, _)| pattern.matches(room));
        rule.map(|(_, policy)| policy)
    }
}

/// What holds in one room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) slow: SlowPolicy,
    pub(crate) log_bytes: usize,
    /// Messages are compressed for members that agreed to it.
    pub(crate) deflate: bool,
}

/// What holds in each room.
#[derive(Debug)]
pub(crate) struct Policies {
    rules: RoomPolicies,
    otherwise: Policy,
}

impl Policies {
    pub(crate) fn new(rules: RoomPolicies, otherwise: Policy) -> Policies {
        Policies { rules, otherwise }
    }

    /// What holds in the room of this name.
    pub(crate) fn of(&self, room: &RoomName) -> Policy {
        let otherwise = self.otherwise;
        if room.is_everybody() {
            // Broadcasts are never skipped, and are not compressed: no home counts who needs it.
            return Policy { slow: SlowPolicy::Disconnect, deflate: false, ..otherwise };
        }
        let Some(rule) = self.rules.of(room.as_str()) else { return otherwise };
        Policy {
            slow: rule.slow.unwrap_or(otherwise.slow),
            log_bytes: rule.log_bytes.unwrap_or(otherwise.log_bytes),
            deflate: rule.deflate.unwrap_or(otherwise.deflate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_stands_for_a_room_decides_alone() {
        let mut rules = RoomPolicies::default();
        let rows = [
            ("ticker.usd", RoomPolicy::default().slow(SlowPolicy::Disconnect)),
            ("ticker.*", RoomPolicy::default().slow(SlowPolicy::Latest).log_bytes(8 << 10)),
            ("*", RoomPolicy::default().log_bytes(1 << 20).deflate(false)),
            ("never", RoomPolicy::default().slow(SlowPolicy::Latest)),
        ];
        for (pattern, policy) in rows {
            rules.add(pattern, policy).unwrap();
        }
        let otherwise = Policy { slow: SlowPolicy::Skip, log_bytes: 4 << 20, deflate: true };
        let policies = Policies::new(rules, otherwise);
        let of = |name: &str| {
            let policy = policies.of(&RoomName::new(name).unwrap());
            (policy.slow, policy.log_bytes, policy.deflate)
        };
        assert_eq!(of("ticker.usd"), (SlowPolicy::Disconnect, 4 << 20, true));
        assert_eq!(of("ticker.eur"), (SlowPolicy::Latest, 8 << 10, true));
        assert_eq!(of("ticker."), (SlowPolicy::Skip, 1 << 20, false));
        assert_eq!(of("never"), (SlowPolicy::Skip, 1 << 20, false));
        let everybody = policies.of(&RoomName::everybody());
        assert_eq!((everybody.slow, everybody.log_bytes), (SlowPolicy::Disconnect, 4 << 20));
        assert!(!everybody.deflate);
    }

    #[test]
    fn what_cannot_hold_is_refused_in_words() {
        let mut rules = RoomPolicies::default();
        let refused = rules.add("", RoomPolicy::default()).unwrap_err();
        assert!(refused.contains("empty"), "{refused}");
        let small = RoomPolicy::default().log_bytes((4 << 10) - 1);
        let refused = rules.add("r.*", small).unwrap_err();
        assert_eq!(refused, "rooms r.*: log is 4095 and must be at least 4096");
        assert_eq!(rules.add("r.*", RoomPolicy::default().log_bytes(4 << 10)), Ok(()));
        for nth in 2..=PATTERNS_MAX {
            assert_eq!(rules.add(&format!("r{nth}"), RoomPolicy::default()), Ok(()));
        }
        let refused = rules.add("one more", RoomPolicy::default()).unwrap_err();
        assert!(refused.contains("256"), "{refused}");
    }
}
