//! One journal as its shard writes it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use corecast_shards::{JOURNAL_HEAD_BYTES, JournalStore};
use rustix::fs::AtFlags;

use super::dir::JournalDir;

/// The file of one journal.
#[derive(Debug)]
pub(super) struct Store {
    file: File,
    dir: Arc<JournalDir>,
    name: String,
}

impl Store {
    pub(super) fn new(file: File, dir: Arc<JournalDir>, name: String) -> Store {
        Store { file, dir, name }
    }
}

impl JournalStore for Store {
    fn write(&mut self, at: u64, bytes: &[u8]) -> bool {
        let written = self.file.write_all_at(bytes, at);
        if let Err(error) = &written {
            let path = self.dir.path.join(&self.name);
            tracing::error!(
                "{} cannot be written: {error}; the histories of this shard will not outlive the \
                 process. Free some space, and start the server again",
                path.display()
            );
        }
        written.is_ok()
    }

    fn give_up(&mut self) {
        // Each of these alone keeps it from being taken up.
        let zeros = [0; JOURNAL_HEAD_BYTES as usize];
        let is_erased = self.file.write_all_at(&zeros, 0).is_ok();
        let is_cut = self.file.set_len(0).is_ok();
        let is_gone = rustix::fs::unlinkat(&self.dir.fd, &self.name, AtFlags::empty()).is_ok();
        if !(is_erased || is_cut || is_gone) {
            tracing::error!(
                "{} cannot be deleted either; delete it before the next start, which would otherwise \
                 give offsets again that clients have seen",
                self.dir.path.join(&self.name).display()
            );
        }
    }
}
