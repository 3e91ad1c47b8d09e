//! Records as they travel (RFC 8446 section 5): where they end, how large they are, and how many
//! may bring nothing.

use std::time::Duration;

use corecast_shards::Time;

/// Type, version and length.
const HEADER: usize = 5;

/// Bytes of a whole record at most; more than this is no record of either version.
pub(super) const RECORD_MAX: usize = HEADER + PLAIN_MAX + 2048;

/// Plaintext of one record at most.
pub(super) const PLAIN_MAX: usize = 16 << 10;

/// Bytes of records that are read from a socket at once at most: no more than some 1,400 records,
/// the smallest of which bring a byte each, and opening them takes about as long as a quantum may.
pub(super) const READ_MAX: usize = 32 << 10;

/// What a record costs beside its bytes, in bytes of the budgets of a turn, in which 64 KiB stand for
/// half a millisecond: it is opened for itself.
pub(super) const RECORD_COST: usize = 64;

/// What sealing adds to a record at most, in either version and suite.
pub(super) const OVERHEAD: usize = HEADER + 40;

/// The type of the first record of any client.
const HANDSHAKE: u8 = 0x16;

/// Whether these bytes, which are not empty, may be the first of a TLS client.
pub(super) fn begins_handshake(bytes: &[u8]) -> bool {
    bytes.first() == Some(&HANDSHAKE)
}

/// The length of the record that begins here, if it is here as a whole.
pub(super) fn whole_record(bytes: &[u8]) -> Option<usize> {
    let [_, _, _, high, low, ..] = *bytes else { return None };
    let len = HEADER + usize::from(u16::from_be_bytes([high, low]));
    (len <= bytes.len()).then_some(len)
}

/// The buffers of a shard in which bytes are gathered and sealed, whatever the number of its
/// connections.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(super) plain: Vec<u8>,
    pub(super) sealed: Vec<u8>,
}

/// Bytes that are sealed at once, and so the most that a connection keeps when its socket blocks; a
/// connection that has just blocked is given one record at a time.
pub(super) const CHUNK: usize = 4 * PLAIN_MAX;

impl Default for Scratch {
    fn default() -> Scratch {
        let sealed = CHUNK + 5 * OVERHEAD;
        Scratch { plain: Vec::with_capacity(CHUNK), sealed: Vec::with_capacity(sealed) }
    }
}

/// Records that bring no data after the handshake: each updates keys, or is empty, and costs as much
/// as hundreds of small messages. A connection may send a few at once, and then one per second: as
/// many as it likes over its life, which may be weeks.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u8,
    refilled: Time,
}

/// As many as BoringSSL takes in a row.
const AT_ONCE: u8 = 32;

const REFILL: Duration = Duration::from_secs(1);

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance { left: AT_ONCE, refilled: Time::default() }
    }
}

impl Allowance {
    /// Whether one more may come now.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let seconds = now.since(self.refilled).as_secs() / REFILL.as_secs();
        if seconds > 0 {
            let more = u8::try_from(seconds).unwrap_or(AT_ONCE);
            (self.left, self.refilled) = (self.left.saturating_add(more).min(AT_ONCE), now);
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or_default();
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_whole_when_its_last_byte_is_there() {
        let record = [0x17, 3, 3, 0, 3, 1, 2, 3, 0x17];
        for len in 0..8 {
            assert_eq!(whole_record(&record[..len]), None, "{len} bytes");
        }
        assert_eq!(whole_record(&record[..8]), Some(8));
        assert_eq!(whole_record(&record), Some(8));
        assert_eq!(whole_record(&[0x17, 3, 3, 0, 0]), Some(5));
    }

    #[test]
    fn records_without_data_are_limited_by_their_rate_alone() {
        let mut allowance = Allowance::default();
        let at = |second: u64| Time::from_nanos(second * 1_000_000_000);
        assert_eq!((0..100).filter(|_| allowance.take(at(100))).count(), 32);
        assert!(!allowance.take(at(100)));
        assert_eq!((0..100).filter(|_| allowance.take(at(103))).count(), 3);
        assert!((104..10_000).all(|second| allowance.take(at(second))));
        assert_eq!((0..100).filter(|_| allowance.take(at(20_000))).count(), 32);
    }
}
