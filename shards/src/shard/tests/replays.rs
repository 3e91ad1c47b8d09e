//! How connections are sent histories, beside everything else that a shard sends.

use super::history::{keeping, offsets, room, stream};
use super::*;
use crate::policy::SlowPolicy;
use crate::recovery::Start;
use crate::tuning::Tuning;

/// The bytes of the next send that needs no pass, which ends like this.
fn send_one(shard: &mut Shard, end: Option<SendEnd>) -> String {
    shard.begin_quantum();
    let conn = shard.next_direct_send().expect("something is to be sent");
    let mut sent = Vec::new();
    shard.for_each_iovec(conn, |iovec| sent.extend_from_slice(iovec));
    shard.end_send(conn, end.unwrap_or(SendEnd::Taken(sent.len())));
    shard.check();
    String::from_utf8_lossy(&sent).into_owned()
}

#[test]
fn a_stream_that_ends_its_history_while_it_is_slow_is_sent_its_gap_before_what_is_new() {
    for (slow, reason) in [(SlowPolicy::Latest, "latest"), (SlowPolicy::Skip, "slow")] {
        let mut shard = keeping(3, |config| {
            config.slow = slow;
            config.limits.room_log_bytes = 100;
            let (small_chunk_bytes, log_messages) = (100, 1);
            config.tuning = Tuning {
                events_ahead_bytes: 1,
                small_chunk_bytes,
                log_messages,
                copy_bytes: 100,
                large_chunk_bytes: 100,
                ..Tuning::DEFAULT
            };
        });
        (0..3).for_each(|_| publish(&mut shard, &room()));
        let conn = stream(&mut shard, Start::Last(3));
        assert!(send_one(&mut shard, None).contains("cast:at"));
        assert_eq!(offsets(&send_one(&mut shard, Some(SendEnd::Blocked))), [1], "one at a time");
        for _ in 0..3 {
            publish(&mut shard, &room());
            assert_eq!(send(&mut shard, None), "", "its socket is blocked");
        }
        publish(&mut shard, &room());
        shard.on_writable(conn);
        let sent = send(&mut shard, None);
        shard.check();
        assert_eq!(offsets(&sent), [1, 2, 3, 7], "{slow:?}: {sent}");
        let gap = format!(r#"{{"from":4,"to":6,"reason":"{reason}"}}"#);
        let gap = sent.find(&gap).unwrap_or_else(|| panic!("{slow:?}: a gap in {sent}"));
        let (last, first) = (sent.find(r#""offset":3}"#), sent.find(r#""offset":7}"#));
        assert!(last < Some(gap) && Some(gap) < first, "{slow:?}: in order: {sent}");
    }
}
