//! One directory for the journals of one server, and what an earlier one has left there.

use std::ffi::CString;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use corecast_shards::{
    JOURNAL_HEAD_BYTES, JournalFile, JournalTag, KeptRoom, SHARDS_MAX, unite_rooms,
};
use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::super::start_error::StartError;

/// A directory that this process alone uses, for as long as this lives.
#[derive(Debug)]
pub(crate) struct JournalDir {
    pub(super) path: PathBuf,
    /// It holds the lock.
    pub(super) fd: OwnedFd,
    pub(super) boot: [u8; 16],
}

/// Which files are the journals of the server that wrote last.
const CURRENT: &str = "current";

/// How the names of journals end.
const ENDING: &str = ".journal";

/// The first words of `current`.
const CURRENT_WORDS: &str = "corecast journals";

/// No `current` is longer.
const CURRENT_BYTES_MAX: u64 = 100;

/// For the files: the server's user, and none besides.
pub(super) const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Journals that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SetName {
    pub(super) set: u64,
    pub(super) shards: u16,
}

impl SetName {
    /// The file of one shard.
    pub(super) fn file(self, shard: u16) -> String {
        format!("{:016x}-{shard}{ENDING}", self.set)
    }

    fn parse(text: &str) -> Option<SetName> {
        let (set, shards) = text.strip_prefix(CURRENT_WORDS)?.trim().split_once(' ')?;
        let shards = shards.parse().ok().filter(|shards| (1..=SHARDS_MAX).contains(shards))?;
        let set = u64::from_str_radix(set, 16).ok()?;
        Some(SetName { set, shards: u16::try_from(shards).ok()? })
    }

    pub(super) fn text(self) -> String {
        format!("{CURRENT_WORDS} {:016x} {}\n", self.set, self.shards)
    }
}

impl JournalDir {
    /// Opens the directory, which is made if it is not there, and keeps others out of it.
    pub(crate) fn open(path: &Path) -> Result<JournalDir, StartError> {
        // Without what would follow a link at its end.
        let path: PathBuf = path.components().collect();
        let refused = |reason: &dyn Display| StartError::HistoryDir {
            reason: format!("--history-dir {}: {reason}", path.display()),
        };
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(refused(&format!("it cannot be made: {error}"))),
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, &path, flags, Mode::empty()).map_err(|error| {
            refused(&match error {
                Errno::NOTDIR | Errno::LOOP => {
                    "it is no directory, or a symbolic link; name the directory itself".to_owned()
                }
                error => format!("it cannot be opened: {error}"),
            })
        })?;
        let stat = rustix::fs::fstat(&fd).map_err(|error| refused(&error))?;
        check_owner(&stat, FileType::Directory).map_err(|reason| refused(&reason))?;
        // The directory itself, not a file in it: that could be deleted, and another one locked.
        rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            refused(&match error {
                Errno::WOULDBLOCK => {
                    "another server uses it; give each a directory of its own, or \
                                      end that one first"
                        .to_owned()
                }
                error => format!("it cannot be locked: {error}; choose another file system"),
            })
        })?;
        let boot = boot_id().map_err(|error| refused(&error))?;
        Ok(JournalDir { path, fd, boot })
    }

    /// The rooms that an earlier server has left. What cannot be taken up is logged.
    pub(crate) fn take_up(&self) -> Vec<KeptRoom> {
        let began = Instant::now();
        let current = match self.current() {
            Ok(Some(current)) => current,
            Ok(None) => return Vec::new(),
            Err(reason) => {
                self.warn(CURRENT, &reason);
                return Vec::new();
            }
        };
        let mut journals = Vec::new();
        for shard in 0..current.shards {
            let name = current.file(shard);
            match self.read(current, shard, &name) {
                Ok(rooms) => journals.push(rooms),
                Err(reason) => self.warn(&name, &reason),
            }
        }
        let rooms = unite_rooms(journals);
        let messages: usize = rooms.iter().map(KeptRoom::messages).sum();
        tracing::info!(
            rooms = rooms.len(),
            messages,
            "--history-dir {}: read in {:?}",
            self.path.display(),
            began.elapsed()
        );
        rooms
    }

    fn warn(&self, name: &str, reason: &dyn Display) {
        tracing::warn!(
            "{} is refused: {reason}; the rooms in it begin new epochs",
            self.path.join(name).display()
        );
    }

    /// The journals of the server that wrote last, if any did.
    fn current(&self) -> Result<Option<SetName>, String> {
        let file = match open_private(&self.fd, CURRENT, OFlags::RDONLY) {
            Ok(file) => File::from(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let mut text = String::new();
        let read = file.take(CURRENT_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|error| error.to_string())?;
        let name = SetName::parse(&text).filter(|name| name.text() == text);
        name.map(Some).ok_or_else(|| "it is damaged".to_owned())
    }

    fn read(&self, current: SetName, shard: u16, name: &str) -> Result<Vec<KeptRoom>, String> {
        let words = |error: io::Error| error.to_string();
        let file = File::from(open_private(&self.fd, name, OFlags::RDONLY).map_err(words)?);
        let size = file.metadata().map_err(words)?.len();
        let expected = self.tag(current, shard, &file, 0).map_err(words)?;
        let mut page = vec![0; size.min(JOURNAL_HEAD_BYTES) as usize];
        file.read_exact_at(&mut page, 0).map_err(words)?;
        let journal = JournalFile::read(&page, size, &expected).map_err(|it| it.to_string())?;
        let mut records = vec![0; journal.places().iter().map(|(_, len)| len).sum()];
        let mut rest = &mut records[..];
        for (at, len) in journal.places() {
            let (part, after) = rest.split_at_mut(len);
            file.read_exact_at(part, at).map_err(words)?;
            rest = after;
        }
        journal.rooms(&records).map_err(|it| it.to_string())
    }

    /// What a file of this set must be.
    pub(super) fn tag(
        &self,
        name: SetName,
        shard: u16,
        file: &File,
        capacity: u64,
    ) -> io::Result<JournalTag> {
        let SetName { set, shards } = name;
        let file = identity(file)?;
        Ok(JournalTag { boot: self.boot, set, shard, shards, file, capacity })
    }

    /// Makes these the journals that count. Those of other servers are deleted.
    pub(super) fn set_current(&self, name: SetName) -> io::Result<()> {
        const NEXT: &str = "current.next";
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY;
        let file = File::from(open_private(&self.fd, NEXT, flags)?);
        file.write_all_at(name.text().as_bytes(), 0)?;
        rustix::fs::renameat(&self.fd, NEXT, &self.fd, CURRENT)?;
        self.delete(&self.others(Some(name)));
        Ok(())
    }

    /// Deletes what an earlier start has left that did not get as far as to count. Where it cannot be
    /// read which journals count, all stay until others do; where no file says it, that is logged: they
    /// are those of a first start that was killed, or what says it was lost.
    pub(super) fn delete_leftovers(&self) {
        let Ok(current) = self.current() else { return };
        let journals = self.others(current);
        if current.is_none() && !journals.is_empty() {
            tracing::warn!(
                "--history-dir {}: no `{CURRENT}` file says which journals count: those there ({}) are \
                 deleted and not taken up; their rooms begin new epochs",
                self.path.display(),
                journals.len()
            );
        }
        self.delete(&journals);
    }

    /// All journals but these.
    fn others(&self, kept: Option<SetName>) -> Vec<CString> {
        let kept = kept.map(|name| format!("{:016x}-", name.set));
        let is_other = |name: &str| {
            is_journal(name) && kept.as_ref().is_none_or(|kept| !name.starts_with(kept))
        };
        let entries = Dir::read_from(&self.fd).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_owned());
        names.filter(|name| name.to_str().is_ok_and(is_other)).collect()
    }

    /// What cannot be deleted takes space and is not read.
    fn delete(&self, journals: &[CString]) {
        for name in journals {
            let _ = rustix::fs::unlinkat(&self.fd, name, AtFlags::empty());
        }
    }
}

/// Whether a file has the name of a journal: no other is ever deleted.
fn is_journal(name: &str) -> bool {
    let parts = name.strip_suffix(ENDING).and_then(|name| name.split_once('-'));
    parts.is_some_and(|(set, shard)| {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        set.len() == 16 && set.bytes().all(is_hex) && shard.parse::<u16>().is_ok()
    })
}

/// Opens a file of the directory that the server's user alone can write, and that is no link.
pub(super) fn open_private(dir: impl AsFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::openat(dir, name, flags, PRIVATE).map_err(|error| match error {
        Errno::LOOP => io::Error::other("it is a symbolic link"),
        error => error.into(),
    })?;
    let stat = rustix::fs::fstat(&file)?;
    check_owner(&stat, FileType::RegularFile).map_err(io::Error::other)?;
    Ok(file)
}

/// Whether what was opened belongs to the server's user, and can be written by no other.
fn check_owner(stat: &Stat, kind: FileType) -> Result<(), String> {
    let mode = Mode::from_raw_mode(stat.st_mode);
    let own = rustix::process::geteuid().as_raw();
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Err("it is no regular file".to_owned());
    }
    if stat.st_uid != own {
        return Err(format!("it belongs to user {}, and the server runs as {own}", stat.st_uid));
    }
    if mode.intersects(Mode::WGRP | Mode::WOTH) {
        return Err("other users can write it; take that away with chmod go-w".to_owned());
    }
    Ok(())
}

/// Which file this is: its device, its number, and when it was made, as far as its file system says.
fn identity(file: &File) -> io::Result<[u64; 3]> {
    let stat = file.metadata()?;
    let made = stat.created().ok();
    let made = made.and_then(|made| made.duration_since(SystemTime::UNIX_EPOCH).ok());
    let made = made.map_or(0, |made| made.as_nanos() as u64);
    Ok([stat.dev(), stat.ino(), made])
}

/// Which boot of the machine this is.
fn boot_id() -> Result<[u8; 16], String> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(PATH).map_err(|error| format!("{PATH}: {error}"))?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let id = u128::from_str_radix(&digits, 16).map_err(|error| format!("{PATH}: {error}"))?;
    Ok(id.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_journals_have_names_of_journals() {
        let name = SetName { set: 0xabc, shards: 300 };
        assert!(is_journal(&name.file(0)) && is_journal(&name.file(255)));
        for other in ["current", "lock", "x.journal", "0000000000000abc-.journal", "a-1.journal"] {
            assert!(!is_journal(other), "{other}");
        }
    }

    #[test]
    fn what_names_the_journals_is_read_as_it_was_written() {
        let name = SetName { set: u64::MAX, shards: 2 };
        assert_eq!(SetName::parse(&name.text()), Some(name));
        for damaged in ["", "corecast journals", "corecast journals 1", "corecast journals 1 0"] {
            assert_eq!(SetName::parse(damaged), None, "{damaged}");
        }
    }
}
