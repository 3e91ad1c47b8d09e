//! Whether limits can work: each within its bounds, and all of them together.

use super::{LINE_BREAK_BYTES, Limits};

/// The share of a room log that a ring of the mesh takes at most. A room is paused at half its
/// log's limit, and what is on its way already comes on top.
const MESH_SHARE: usize = 8;

/// Bytes of histories where neither they nor the memory of the process are limited.
const HISTORY_MEMORY: usize = 256 << 20;

impl Limits {
    /// Whether a server can start with these limits.
    ///
    /// # Errors
    ///
    /// The first limit that cannot work, in words that say what could.
    pub fn check(&self) -> Result<(), String> {
        for limit in Limits::TABLE {
            let amount = limit.get(self).expect("each row of the table has its field");
            limit.check(amount)?;
        }
        if self.ping_timeout.is_zero() && !self.ping_interval.is_zero() {
            return Err("--ping-timeout is 0: no client would be fast enough; --ping-interval 0 \
                        never pings"
                .to_owned());
        }
        Ok(())
    }

    /// What works and is probably not meant: limits of which one undoes a part of another.
    pub fn remarks(&self) -> Vec<String> {
        let (message, log, own) = (self.message_bytes, self.room_log_bytes, self.own_bytes);
        let mut remarks = Vec::new();
        if message > log {
            remarks.push(format!(
                "--max-message is {message} and --room-log {log}: a room keeps 4 messages of any \
                 size, which may take {} bytes on each shard, and {} more for event streams if \
                 they are line breaks; raise --room-log, or lower --max-message",
                message.saturating_mul(4),
                message.saturating_mul(4 * LINE_BREAK_BYTES)
            ));
        }
        if message > own {
            remarks.push(format!(
                "--max-message is {message} and --own-bytes {own}: what is emitted to one \
                 connection fits only up to --own-bytes; raise it, or lower --max-message"
            ));
        }
        let rate = self.bytes_per_second;
        if rate > 0 && message > rate {
            remarks.push(format!(
                "--max-message is {message} and --max-bytes-per-second {rate}: a larger message than \
                 that is always refused; raise it, or lower --max-message"
            ));
        }
        let (asked, used) = (self.mesh_bytes, self.ring_bytes());
        if asked > used && asked != Limits::default().mesh_bytes {
            remarks.push(format!(
                "--mesh-bytes is {asked} and works as {used}, an eighth of --room-log; raise \
                 --room-log"
            ));
        }
        remarks
    }

    /// Bytes of the histories of all rooms: what was set, or a tenth of the memory of the process.
    pub fn history_bytes(&self) -> usize {
        match (self.history_memory, self.memory_bytes) {
            (usize::MAX, usize::MAX) => HISTORY_MEMORY,
            (usize::MAX, memory) => memory / 10,
            (set, _) => set,
        }
    }

    /// Bytes that a ring of the mesh holds: `mesh_bytes`, but no more than a share of a room log.
    pub fn ring_bytes(&self) -> usize {
        self.mesh_bytes.min(self.room_log_bytes / MESH_SHARE).max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::limits::{Amount, Limit, Preset};

    /// Limits in which each may have every amount within its own bounds: no ping can be late,
    /// because there is none.
    fn independent() -> Limits {
        Limits { ping_interval: Duration::ZERO, ..Limits::default() }
    }

    fn with(limit: &Limit, amount: Amount) -> Limits {
        let mut limits = independent();
        limit.set(&mut limits, amount);
        assert_eq!(limit.get(&limits), Some(amount), "--{} is set", limit.flag);
        limits
    }

    /// The next amount below and above, where there is one.
    fn neighbours(amount: Amount) -> [Option<Amount>; 2] {
        let nano = Duration::from_nanos(1);
        match amount {
            Amount::Bytes(n) => [n.checked_sub(1), n.checked_add(1)].map(|n| n.map(Amount::Bytes)),
            Amount::Count(n) => [n.checked_sub(1), n.checked_add(1)].map(|n| n.map(Amount::Count)),
            Amount::Time(time) => {
                [time.checked_sub(nano), time.checked_add(nano)].map(|time| time.map(Amount::Time))
            }
        }
    }

    #[test]
    fn every_limit_is_checked_from_both_sides() {
        let mut refused = 0;
        for limit in Limits::TABLE {
            for amount in [limit.least, limit.most] {
                assert_eq!(with(limit, amount).check(), Ok(()), "--{} {amount}", limit.flag);
            }
            let outside = [neighbours(limit.least)[0], neighbours(limit.most)[1]];
            for (amount, bound) in outside.into_iter().zip(["least", "most"]) {
                let Some(amount) = amount else { continue };
                let words = with(limit, amount).check().expect_err("it is out of bounds");
                assert!(words.starts_with(&format!("--{} is ", limit.flag)), "{words}");
                assert!(words.contains(bound) || words.contains("more than 0"), "{words}");
                refused += 1;
            }
        }
        assert!(refused >= 12, "{refused} bounds exclude something");
    }

    #[test]
    fn every_row_is_complete_and_its_default_works() {
        let defaults = Limits::default();
        assert_eq!((defaults.check(), defaults.remarks()), (Ok(()), Vec::new()));
        let flags: BTreeSet<_> = Limit::all().map(|limit| limit.flag).collect();
        assert_eq!(flags.len(), Limit::all().count(), "no two limits share a flag");
        for limit in Limit::all() {
            let is_flag = limit.flag.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase());
            assert!(is_flag && limit.least <= limit.most, "{limit:?}");
            if let Preset::Fixed(preset) = limit.preset {
                assert_eq!(limit.check(preset), Ok(()), "{limit:?}");
                assert!(limit.get(&defaults).is_none_or(|amount| amount == preset), "{limit:?}");
            }
        }
        assert!(Limits::TABLE.iter().all(|limit| limit.beyond.is_some()), "each has a consequence");
    }

    #[test]
    fn pings_without_time_to_answer_are_refused() {
        let mut limits = Limits { ping_timeout: Duration::ZERO, ..Limits::default() };
        let words = limits.check().expect_err("no client answers at once");
        assert!(words.contains("--ping-timeout is 0") && words.contains("--ping-interval 0"));
        limits.ping_interval = Duration::ZERO;
        assert_eq!(limits.check(), Ok(()), "without pings no answer is late");
    }

    #[test]
    fn what_four_messages_may_take_is_said_for_both_encodings() {
        let limits = Limits { message_bytes: 5 << 20, ..Limits::default() };
        let remarks = limits.remarks().join("\n");
        let (frames, events) = (20 << 20, (20 << 20) * LINE_BREAK_BYTES);
        assert!(remarks.contains(&format!("take {frames} bytes on each shard")), "{remarks}");
        assert!(remarks.contains(&format!("{events} more for event streams")), "{remarks}");
        let row = Limits::TABLE.iter().find(|limit| limit.flag == "room-log").expect("a limit");
        let said = format!("a line break of a message takes {LINE_BREAK_BYTES} bytes");
        assert!(row.more.is_some_and(|more| more.contains(&said)), "{row:?}");
    }

    #[test]
    fn limits_that_undo_each_other_are_remarked_upon() {
        let check = |change: fn(&mut Limits), flags: [&str; 2]| {
            let mut limits = Limits::default();
            change(&mut limits);
            let remarks = limits.remarks().join("\n");
            assert!(flags.iter().all(|flag| remarks.contains(flag)), "{flags:?} in {remarks}");
            assert_eq!(limits.check(), Ok(()), "they work all the same");
        };
        check(|limits| limits.message_bytes = 5 << 20, ["--max-message", "--room-log"]);
        check(|limits| limits.message_bytes = 1 << 20, ["--max-message", "--own-bytes"]);
        let flags = ["--max-message", "--max-bytes-per-second"];
        check(|limits| limits.bytes_per_second = 1 << 10, flags);
        check(|limits| limits.mesh_bytes = 1 << 20, ["--mesh-bytes", "--room-log"]);
    }
}
