//! What holds in rooms, by their names.

use std::num::NonZeroU32;
use std::time::Duration;

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
    /// How many of the newest messages are kept for clients that come back; by default, and with 0,
    /// none are.
    pub history: Option<usize>,
    /// Bytes of these messages at most, 256 KiB by default. Older ones go first.
    pub history_bytes: Option<usize>,
    /// How long they are kept at most, in whole seconds, 10 minutes by default.
    pub history_for: Option<Duration>,
    /// How long a message may wait on a shard for others of its room, so that one send carries them
    /// all; by default none waits. It begins with the first message that waits.
    ///
    /// Order, offsets, receipts and what happens to slow members are as without it, and what a
    /// connection is sent alone waits for nothing: answers, acks, pings, what the program emits. A
    /// client that leaves the room is sent what waits at once, and a server that drains lets
    /// nothing wait.
    pub linger: Option<Duration>,
    /// At so many waiting bytes they are sent at once, 16 KiB by default; at a quarter of the room's
    /// log in any case.
    pub linger_bytes: Option<usize>,
}

/// What a history keeps unless its policy says something else.
const HISTORY_BYTES: usize = 256 << 10;
const HISTORY_FOR: Duration = Duration::from_secs(600);

/// How many bytes end a linger unless its policy says something else.
const LINGER_BYTES: usize = 16 << 10;

/// A shorter linger would be no longer than a turn; with a longer one clients would take their
/// connection for dead.
const LINGER_MIN: Duration = Duration::from_millis(1);
const LINGER_MAX: Duration = Duration::from_secs(10);
const LINGER_BYTES_MAX: usize = 1 << 30;

/// Of a room's log at most this part lingers: publishers pause at half of it.
const LINGER_PART: usize = 4;

/// The most that a history may keep.
const HISTORY_MESSAGES_MAX: usize = 1_000_000;
const HISTORY_BYTES_MAX: usize = 1 << 30;
const HISTORY_FOR_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The least that it may be told to keep, but for none at all.
const HISTORY_BYTES_MIN: usize = 1 << 10;
const HISTORY_FOR_MIN: Duration = Duration::from_secs(1);

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

    /// This, and how many of the newest messages are kept.
    pub fn history(self, messages: usize) -> RoomPolicy {
        RoomPolicy { history: Some(messages), ..self }
    }

    /// This, and the bytes of the messages that are kept.
    pub fn history_bytes(self, bytes: usize) -> RoomPolicy {
        RoomPolicy { history_bytes: Some(bytes), ..self }
    }

    /// This, and how long they are kept.
    pub fn history_for(self, duration: Duration) -> RoomPolicy {
        RoomPolicy { history_for: Some(duration), ..self }
    }

    /// This, and how long a message may wait for others.
    pub fn linger(self, duration: Duration) -> RoomPolicy {
        RoomPolicy { linger: Some(duration), ..self }
    }

    /// This, and the bytes at which waiting messages are sent at once.
    pub fn linger_bytes(self, bytes: usize) -> RoomPolicy {
        RoomPolicy { linger_bytes: Some(bytes), ..self }
    }

    /// How long messages linger in a room whose log has so many bytes, if they do.
    fn lingers(&self, log_bytes: usize) -> Option<LingerPolicy> {
        let micros = self.linger?.as_nanos().div_ceil(1_000);
        let bytes = self.linger_bytes.unwrap_or(LINGER_BYTES).min(log_bytes / LINGER_PART);
        let micros = NonZeroU32::new(u32::try_from(micros).unwrap_or(u32::MAX))?;
        Some(LingerPolicy { micros, bytes: u32::try_from(bytes).unwrap_or(u32::MAX) })
    }

    /// What a room keeps, if it keeps anything.
    fn kept(&self) -> Option<HistoryPolicy> {
        let messages = self.history.filter(|messages| *messages > 0)?;
        let duration = self.history_for.unwrap_or(HISTORY_FOR);
        let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
        Some(HistoryPolicy {
            messages,
            bytes: self.history_bytes.unwrap_or(HISTORY_BYTES),
            seconds: u32::try_from(whole).unwrap_or(u32::MAX),
        })
    }

    fn check_history(&self) -> Result<(), String> {
        if self.history.is_none() && (self.history_bytes.is_some() || self.history_for.is_some()) {
            return Err("history-bytes and history-for keep nothing by themselves; write \
                        history=100, or as many messages as are to be kept"
                .to_owned());
        }
        if self.history.is_some_and(|messages| messages > HISTORY_MESSAGES_MAX) {
            return Err(format!("history must be at most {HISTORY_MESSAGES_MAX} messages"));
        }
        let bounds = HISTORY_BYTES_MIN..=HISTORY_BYTES_MAX;
        if self.history_bytes.is_some_and(|bytes| !bounds.contains(&bytes)) {
            return Err("history-bytes must be from 1 KiB to 1 GiB".to_owned());
        }
        let bounds = HISTORY_FOR_MIN..=HISTORY_FOR_MAX;
        if self.history_for.is_some_and(|duration| !bounds.contains(&duration)) {
            return Err("history-for must be from 1 second to 7 days".to_owned());
        }
        Ok(())
    }

    fn check_linger(&self) -> Result<(), String> {
        if self.linger.is_none() && self.linger_bytes.is_some() {
            return Err(
                "linger-bytes delays nothing by itself; write linger=5ms, or as long as a \
                        message may wait"
                    .to_owned(),
            );
        }
        let bounds = LINGER_MIN..=LINGER_MAX;
        if self.linger.is_some_and(|duration| !bounds.contains(&duration)) {
            return Err("linger must be from 1 millisecond to 10 seconds; leave it out where no \
                        message is to wait"
                .to_owned());
        }
        let bounds = 1..=LINGER_BYTES_MAX;
        if self.linger_bytes.is_some_and(|bytes| !bounds.contains(&bytes)) {
            return Err("linger-bytes must be from 1 byte to 1 GiB".to_owned());
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        self.check_history()?;
        self.check_linger()?;
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

    /// What works and is probably not meant: rooms that cannot keep what they may. The limits are those
    /// of a process that is about to run so many shards.
    pub fn remarks(&self, limits: &Limits, shards: usize) -> Vec<String> {
        let kept = |(pattern, rule): &(Pattern, RoomPolicy)| Some((pattern.clone(), rule.kept()?));
        let kept: Vec<_> = self.0.iter().filter_map(kept).collect();
        let (all, memory) = (limits.history_bytes(), limits.memory_bytes);
        let share = all / shards.max(1);
        let is_less = kept.iter().filter(|(_, kept)| kept.bytes > share);
        let is_less = is_less.map(|(pattern, kept)| {
            format!(
                "rooms {pattern}: history-bytes is {}, and each of {shards} shards has {share} bytes of \
                 --history-memory: a room keeps no more than these; raise --history-memory, or lower \
                 history-bytes",
                kept.bytes
            )
        });
        let is_much = (!kept.is_empty() && all > memory / 2).then(|| {
            format!(
                "--history-memory is {all} and --memory-limit {memory}: from 65 % of that on, with \
                 whatever else is held, histories give way; lower --history-memory to half of it at \
                 most, or raise --memory-limit"
            )
        });
        is_less.chain(is_much).collect()
    }

    fn of(&self, room: &str) -> Option<&RoomPolicy> {
        let rule = self.0.iter().find(|(pattern, _)| pattern.matches(room));
        rule.map(|(_, policy)| policy)
    }
}

/// What holds in one room, on each shard with members. Each holds it, and there may be very many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) slow: SlowPolicy,
    pub(crate) log_bytes: usize,
    /// Messages are compressed for members that agreed to it.
    pub(crate) deflate: bool,
    pub(crate) linger: Option<LingerPolicy>,
}

/// How long messages wait for others, and how many bytes of them. Each room holds it, and there may be
/// very many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LingerPolicy {
    micros: NonZeroU32,
    bytes: u32,
}

impl LingerPolicy {
    pub(crate) fn duration(self) -> Duration {
        Duration::from_micros(u64::from(self.micros.get()))
    }

    /// At so many bytes they wait no longer.
    pub(crate) fn bytes(self) -> u64 {
        u64::from(self.bytes)
    }
}

/// How much of a room is kept at its home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HistoryPolicy {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) seconds: u32,
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
            // Broadcasts are never skipped, and are not compressed: no home counts who needs it. They
            // wait for nothing.
            let slow = SlowPolicy::Disconnect;
            return Policy { slow, deflate: false, linger: None, ..otherwise };
        }
        let Some(rule) = self.rules.of(room.as_str()) else { return otherwise };
        let log_bytes = rule.log_bytes.unwrap_or(otherwise.log_bytes);
        Policy {
            slow: rule.slow.unwrap_or(otherwise.slow),
            log_bytes,
            deflate: rule.deflate.unwrap_or(otherwise.deflate),
            linger: rule.lingers(log_bytes).or(otherwise.linger),
        }
    }

    /// What the home of this room keeps of its messages, if anything.
    pub(crate) fn history_of(&self, room: &RoomName) -> Option<HistoryPolicy> {
        if room.is_everybody() { None } else { self.rules.of(room.as_str())?.kept() }
    }

    /// Whether any room keeps messages.
    pub(crate) fn keep_anything(&self) -> bool {
        self.rules.0.iter().any(|(_, rule)| rule.kept().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn otherwise() -> Policy {
        let (slow, log_bytes) = (SlowPolicy::Skip, 4 << 20);
        Policy { slow, log_bytes, deflate: true, linger: None }
    }

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
        let otherwise = otherwise();
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

    #[test]
    fn what_rooms_cannot_keep_is_remarked_upon() {
        let limits = |history_memory, memory_bytes| Limits {
            history_memory,
            memory_bytes,
            ..Limits::default()
        };
        let policy = RoomPolicy::default().history(100).history_bytes(1 << 20);
        let mut rules = RoomPolicies::default();
        rules.add("chat.*", RoomPolicy::default().history_for(HISTORY_FOR).history(0)).unwrap();
        let all = limits(usize::MAX, 64 << 20);
        assert_eq!(rules.remarks(&limits(usize::MAX, 1 << 20), 16), [""; 0], "nothing is kept");
        rules.add("live.*", policy).unwrap();
        assert_eq!(rules.remarks(&all, 6), [""; 0], "a tenth of 64 MiB, for 6 shards");
        let less = rules.remarks(&all, 7).join("\n");
        for words in ["rooms live.*: history-bytes is 1048576", "each of 7 shards has 958698 bytes"]
        {
            assert!(less.contains(words), "{less}");
        }
        assert_eq!(rules.remarks(&limits(32 << 20, 64 << 20), 1), [""; 0]);
        let much = rules.remarks(&limits(33 << 20, 64 << 20), 1).join("\n");
        let words = "--history-memory is 34603008 and --memory-limit 67108864";
        assert!(much.contains(words), "{much}");
    }

    #[test]
    fn a_history_has_bounds_and_defaults() {
        let kept = |policy: RoomPolicy| policy.check().map(|()| policy.kept());
        let defaults = HistoryPolicy { messages: 5, bytes: 256 << 10, seconds: 600 };
        let policy = || RoomPolicy::default().history(5);
        assert_eq!(kept(policy()), Ok(Some(defaults)));
        assert_eq!(kept(RoomPolicy::default()), Ok(None));
        assert_eq!(kept(RoomPolicy::default().history(0)), Ok(None));
        let short = policy().history_for(Duration::from_millis(1_500)).history_bytes(1 << 10);
        let short = kept(short).map(|kept| kept.map(|kept| (kept.seconds, kept.bytes)));
        assert_eq!(short, Ok(Some((2, 1 << 10))), "no message goes before its time");
        let day = Duration::from_secs(86_400);
        let rows = [
            (policy().history(1_000_000), policy().history(1_000_001), "1000000"),
            (policy().history_bytes(1 << 10), policy().history_bytes((1 << 10) - 1), "1 KiB"),
            (policy().history_bytes(1 << 30), policy().history_bytes((1 << 30) + 1), "1 GiB"),
            (policy().history_for(day / 86_400), policy().history_for(day / 86_401), "1 second"),
            (policy().history_for(7 * day), policy().history_for(8 * day), "7 days"),
            (policy(), RoomPolicy::default().history_for(day), "history=100"),
            (policy(), RoomPolicy::default().history_bytes(2_000), "history=100"),
        ];
        for (legal, illegal, words) in rows {
            assert!(kept(legal).is_ok());
            let refused = kept(illegal).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }
    #[test]
    fn a_linger_has_bounds_and_a_part_of_the_log() {
        let linger = |millis| RoomPolicy::default().linger(Duration::from_millis(millis));
        let rows = [
            (linger(1), RoomPolicy::default().linger(Duration::from_micros(999)), "1 millisecond"),
            (linger(10_000), linger(10_001), "10 seconds"),
            (linger(5).linger_bytes(1), linger(5).linger_bytes(0), "1 byte"),
            (linger(5).linger_bytes(1 << 30), linger(5).linger_bytes((1 << 30) + 1), "1 GiB"),
            (linger(5), RoomPolicy::default().linger_bytes(1 << 10), "linger=5ms"),
        ];
        for (legal, illegal, words) in rows {
            assert_eq!(legal.check(), Ok(()));
            let refused = illegal.check().unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
        let mut rules = RoomPolicies::default();
        rules.add("small", linger(5).log_bytes(8 << 10)).unwrap();
        rules.add("large", linger(5).linger_bytes(3 << 20)).unwrap();
        rules.add("*", linger(20)).unwrap();
        let policies = Policies::new(rules, otherwise());
        let of = |room: &RoomName| {
            policies.of(room).linger.map(|linger| (linger.duration(), linger.bytes()))
        };
        let named = |name: &str| of(&RoomName::new(name).unwrap());
        let millis = Duration::from_millis;
        assert_eq!(named("small"), Some((millis(5), 2 << 10)), "a quarter of its log");
        assert_eq!(named("large"), Some((millis(5), 1 << 20)));
        assert_eq!(named("other"), Some((millis(20), 16 << 10)));
        assert_eq!(of(&RoomName::everybody()), None, "broadcasts wait for nothing");
        assert_eq!(size_of::<Option<LingerPolicy>>(), 8, "each room holds one");
    }
}
