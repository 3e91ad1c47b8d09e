//! The journals of a server that starts: made before anything listens, and counting once they hold
//! all that the earlier ones had.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use corecast_shards::{
    Config, JOURNAL_HEAD_BYTES, JournalTag, KeptRoom, Shard, Time, journal_bytes,
};
use rustix::fs::{AtFlags, FallocateFlags, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::super::start_error::StartError;
use super::dir::{JournalDir, SetName, open_private};
use super::store::Store;

/// The journals of one server.
#[derive(Debug)]
pub(crate) struct JournalSet {
    dir: Arc<JournalDir>,
    name: SetName,
    counts: bool,
}

/// One shard's journal, and the rooms that go on there.
#[derive(Debug)]
pub(crate) struct ShardJournal {
    store: Store,
    tag: JournalTag,
    rooms: Vec<KeptRoom>,
}

impl ShardJournal {
    /// Hands it over to its shard, which writes what it takes up.
    pub(crate) fn begin(self, shard: &mut Shard, now: Time) {
        let ShardJournal { store, tag, rooms } = self;
        shard.begin_journal(&tag, Box::new(store), &rooms, now);
    }
}

impl JournalSet {
    /// Reads what an earlier server has left, and makes the files for these shards.
    pub(crate) fn make(
        path: &Path,
        config: &Config,
        set: u64,
    ) -> Result<(JournalSet, Vec<ShardJournal>), StartError> {
        let dir = Arc::new(JournalDir::open(path)?);
        dir.delete_leftovers();
        let mut by_shard: Vec<Vec<KeptRoom>> = (0..config.shards).map(|_| Vec::new()).collect();
        for room in dir.take_up() {
            by_shard[config.home(room.name()).index()].push(room);
        }
        let name = SetName { set, shards: config.shards };
        let set = JournalSet { dir, name, counts: false };
        let capacity = journal_bytes(&config.limits, config.shards);
        let journals = (0..).zip(by_shard).map(|(shard, rooms)| {
            let made = set.make_file(shard, capacity);
            made.map(|(store, tag)| ShardJournal { store, tag, rooms })
        });
        let journals = journals.collect::<io::Result<Vec<_>>>();
        let journals = journals.map_err(|error| set.no_space(capacity, &error))?;
        Ok((set, journals))
    }

    fn make_file(&self, shard: u16, capacity: u64) -> io::Result<(Store, JournalTag)> {
        let name = self.name.file(shard);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
        let file = File::from(open_private(&self.dir.fd, &name, flags)?);
        let bytes = JOURNAL_HEAD_BYTES.saturating_add(capacity);
        reserve(&file, bytes)?;
        let tag = self.dir.tag(self.name, shard, &file, capacity)?;
        Ok((Store::new(file, Arc::clone(&self.dir), name), tag))
    }

    fn no_space(&self, capacity: u64, error: &io::Error) -> StartError {
        let all = capacity.saturating_add(JOURNAL_HEAD_BYTES);
        let all = all.saturating_mul(u64::from(self.name.shards));
        let reason = format!(
            "--history-dir {} has no place for {all} bytes of journals: {error}; free some, choose \
             another directory, or lower --history-memory, of which it is three times",
            self.dir.path.display()
        );
        StartError::HistoryDir { reason }
    }

    /// All shards have written what they took up: from here on it is these journals that count.
    pub(crate) fn set_current(&mut self) -> Result<(), StartError> {
        self.dir.set_current(self.name).map_err(|error| StartError::HistoryDir {
            reason: format!(
                "--history-dir {} cannot be written: {error}; free some space, or choose another \
                 directory",
                self.dir.path.display()
            ),
        })?;
        self.counts = true;
        Ok(())
    }
}

impl Drop for JournalSet {
    /// A start that fails leaves what was there before it.
    fn drop(&mut self) {
        if !self.counts {
            for shard in 0..self.name.shards {
                let _ = rustix::fs::unlinkat(&self.dir.fd, self.name.file(shard), AtFlags::empty());
            }
        }
    }
}

/// Sees to it that the file has its size, and that writes within it find space.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    // Beyond it a call would end the process with SIGXFSZ.
    if getrlimit(Resource::Fsize).current.is_some_and(|most| most < bytes) {
        return Err(io::Error::other("the process may not write files of that size (ulimit -f)"));
    }
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => fill(file, bytes),
        reserved => Ok(reserved?),
    }
}

/// The same on a file system that reserves nothing.
fn fill(file: &File, bytes: u64) -> io::Result<()> {
    use std::io::Write;
    let zeros = vec![0; 1 << 20];
    let (mut file, mut left) = (file, bytes);
    while left > 0 {
        let some = left.min(zeros.len() as u64) as usize;
        file.write_all(&zeros[..some])?;
        left -= some as u64;
    }
    Ok(())
}
