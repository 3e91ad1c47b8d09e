//! Why a journal is not taken up.

use std::fmt;

/// What is written of records, and of frames and rooms in them: another one is not read.
pub(super) const VERSION: u32 = 1;

/// Why a journal is not taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalRefusal {
    /// The file is no journal, or its first page is damaged.
    Foreign,
    /// It is a journal of another version of the server, which writes it in another way.
    Version(u32),
    /// It was written before the machine was booted.
    Boot,
    /// It is another server's journal, another shard's, or a copy.
    Other,
    /// It is shorter or longer than it was made.
    Size,
    /// What says how far its records go is damaged.
    Ends,
    /// The record at this position is damaged.
    Record(u64),
}

impl fmt::Display for JournalRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalRefusal::Foreign => f.write_str("it is no journal, or its begin is damaged"),
            JournalRefusal::Version(version) => {
                write!(f, "it has format {version}, and this version reads {VERSION}")
            }
            JournalRefusal::Boot => f.write_str("it is from before the machine was booted"),
            JournalRefusal::Other => {
                f.write_str("it is a copy, or another server's or shard's journal")
            }
            JournalRefusal::Size => f.write_str("it has another size than it was made with"),
            JournalRefusal::Ends => f.write_str("what says where it ends is damaged"),
            JournalRefusal::Record(at) => write!(f, "the record at {at} is damaged"),
        }
    }
}

impl std::error::Error for JournalRefusal {}
