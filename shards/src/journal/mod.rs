//! What a shard writes of its rooms' histories before any member sees it, so that the next process
//! can take it up when this one has died: its journal.
//!
//! A journal is a file of fixed size: a page that says what it is and how far it goes ([`JournalFile`]),
//! and a ring of records, each with a checksum: what a room is, and its messages. What is needed
//! no longer is overwritten; what is still needed when its place comes is written again further on.
//! The engine encodes and decodes all of it. Its caller keeps the file, hands over what was read, and
//! writes what it is given ([`JournalStore`]).
//!
//! Invariant: what leaves a home was written before. So everything that any client knows is in the
//! file at any moment, and what is torn at its end is known to no client.

mod header;
mod record;
mod refusal;
mod ring;
mod taken;

pub use header::{JOURNAL_HEAD_BYTES, JournalFile, JournalTag};
pub(crate) use record::Record;
pub use refusal::JournalRefusal;
pub(crate) use ring::{Journal, Place};
pub use ring::{JournalStore, journal_bytes};
#[cfg(any(test, fuzzing))]
pub(crate) use taken::read_rooms;
pub use taken::{KeptRoom, unite_rooms};
