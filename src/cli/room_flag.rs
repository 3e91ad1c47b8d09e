//! How policies of rooms are typed: `--slow latest`, `--room ticker.*:slow=latest,log=256KiB`.

use clap::ValueEnum;
use corecast::{RoomPolicy, SlowPolicy};
use corecast_load::units::parse::{duration, size, whole};

/// What happens to members that read too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SlowFlag {
    /// Close them with 1013 and a time to come back
    Disconnect,
    /// Skip what they missed and tell them exactly what that was (cast:gap)
    Skip,
    /// Send them a room's newest message alone, and tell them exactly what they missed (cast:gap)
    Latest,
}

impl SlowFlag {
    pub(super) fn policy(self) -> SlowPolicy {
        match self {
            SlowFlag::Disconnect => SlowPolicy::Disconnect,
            SlowFlag::Skip => SlowPolicy::Skip,
            SlowFlag::Latest => SlowPolicy::Latest,
        }
    }
}

/// What `--room` says: a pattern of rooms, and what holds in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoomFlag {
    pub(super) pattern: String,
    pub(super) policy: RoomPolicy,
}

/// One thing that a policy can say.
struct Key {
    name: &'static str,
    /// Its values, for people.
    values: &'static str,
    read: fn(RoomPolicy, &str) -> Result<RoomPolicy, String>,
}

const KEYS: &[Key] = &[
    Key {
        name: "slow",
        values: "disconnect, skip or latest",
        read: |policy, value| Ok(policy.slow(SlowFlag::from_str(value, false)?.policy())),
    },
    Key {
        name: "log",
        values: "a size, such as 256KiB",
        read: |policy, value| Ok(policy.log_bytes(size(value)?)),
    },
    Key {
        name: "deflate",
        values: "on or off",
        read: |policy, value| match value {
            "on" => Ok(policy.deflate(true)),
            "off" => Ok(policy.deflate(false)),
            _ => Err("it is neither".to_owned()),
        },
    },
    Key {
        name: "history",
        values: "how many messages are kept for clients that come back, 0 for none",
        read: |policy, value| Ok(policy.history(whole(value)?)),
    },
    Key {
        name: "history-bytes",
        values: "a size, such as 256KiB",
        read: |policy, value| Ok(policy.history_bytes(size(value)?)),
    },
    Key {
        name: "history-for",
        values: "a time, such as 10m",
        read: |policy, value| Ok(policy.history_for(duration(value)?)),
    },
    Key {
        name: "linger",
        values: "how long messages may wait for others, such as 5ms",
        read: |policy, value| Ok(policy.linger(duration(value)?)),
    },
    Key {
        name: "linger-bytes",
        values: "a size, such as 16KiB",
        read: |policy, value| Ok(policy.linger_bytes(size(value)?)),
    },
];

/// Reads `PATTERN:KEY=VALUE,KEY=VALUE`. The last colon ends the pattern, which may contain others.
pub(super) fn room(text: &str) -> Result<RoomFlag, String> {
    let (pattern, policy) = text.rsplit_once(':').ok_or_else(|| {
        format!("write PATTERN:KEY=VALUE, such as ticker.*:slow=latest; keys are {}", keys())
    })?;
    let (mut read, mut seen) = (RoomPolicy::default(), Vec::new());
    for item in policy.split(',') {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        let key = KEYS
            .iter()
            .find(|key| key.name == name)
            .ok_or_else(|| format!("{name:?} is no key of a room's policy; keys are {}", keys()))?;
        if seen.contains(&name) {
            return Err(format!("{name} stands twice; a room has one"));
        }
        seen.push(name);
        let refused = |words| format!("{name}={value}: {words}; {name} is {}", key.values);
        read = (key.read)(read, value).map_err(refused)?;
    }
    Ok(RoomFlag { pattern: pattern.to_owned(), policy: read })
}

/// The keys with their values.
fn keys() -> String {
    let keys = KEYS.iter().map(|key| format!("{} ({})", key.name, key.values));
    keys.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_policy_is_a_pattern_and_its_keys() {
        let policy = RoomPolicy::default;
        let latest = policy().slow(SlowPolicy::Latest);
        let rows = [
            ("ticker.*:slow=latest", "ticker.*", latest.clone()),
            ("ticker.*:slow=latest,log=256KiB", "ticker.*", latest.clone().log_bytes(256 << 10)),
            ("secret.*:deflate=off", "secret.*", policy().deflate(false)),
            ("*:deflate=on", "*", policy().deflate(true)),
            ("chat.*:history=100", "chat.*", policy().history(100)),
            ("chat.*:history=5,history-bytes=64KiB,history-for=10m", "chat.*", {
                let policy = policy().history(5).history_bytes(64 << 10);
                policy.history_for(Duration::from_secs(600))
            }),
            ("ticker.*:linger=5ms", "ticker.*", policy().linger(Duration::from_millis(5))),
            ("ticker.*:slow=latest,linger=0.25,linger-bytes=4k", "ticker.*", {
                latest.linger(Duration::from_millis(250)).linger_bytes(4 << 10)
            }),
            ("a:b,c=d:slow=skip", "a:b,c=d", policy().slow(SlowPolicy::Skip)),
            ("*:log=8k,slow=disconnect", "*", {
                policy().slow(SlowPolicy::Disconnect).log_bytes(8 << 10)
            }),
        ];
        for (text, pattern, policy) in rows {
            let expected = RoomFlag { pattern: pattern.to_owned(), policy };
            assert_eq!(room(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_policy_is_refused_with_what_would_be() {
        for (text, words) in [
            ("ticker.*", "PATTERN:KEY=VALUE"),
            ("ticker.*:", "keys are slow (disconnect, skip or latest), log ("),
            ("ticker.*:fast=yes", "\"fast\" is no key of a room's policy; keys are slow"),
            ("ticker.*:slow", "disconnect, skip or latest"),
            ("ticker.*:slow=Latest", "disconnect, skip or latest"),
            ("ticker.*:log=big", "a size"),
            ("ticker.*:deflate=gzip", "on or off"),
            ("chat.*:history=many", "how many messages"),
            ("chat.*:history=1,history-bytes=all", "a size"),
            ("chat.*:history=1,history-for=ever", "a time"),
            ("ticker.*:linger=soon", "such as 5ms"),
            ("ticker.*:linger=5ms,linger-bytes=few", "a size"),
            ("ticker.*:log=8k,log=9k", "log stands twice"),
            ("ticker.*:slow=skip,", "\"\" is no key"),
        ] {
            let refused = room(text).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
