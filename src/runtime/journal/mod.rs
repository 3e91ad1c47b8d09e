//! The directory in which the shards keep their journals, so that the next process takes up their
//! histories when this one has died.
//!
//! Journals are written with `pwrite`, and are not mapped: the page cache keeps either across the
//! death of the process, and where another program cuts the file, or its memory cannot be had, a
//! write fails while a store into a mapping ends the process (SIGBUS). What is written at a time is
//! one call, and one more for the page that makes it count: all that other shards published in a turn,
//! and each message of the shard's own connections. For 300 bytes they take 5 µs together
//! on ext4 and 4 on tmpfs, for 32 KiB 24 and 17 µs; into a mapping it is 0.02 to 0.5, and 9 µs (two
//! virtual cores, Linux 6.18, which others shared). That is what a send or two costs there.

mod dir;
mod set;
mod store;

pub(super) use set::{JournalSet, ShardJournal};
