//! What processes cost, as the kernel accounts for it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// One or more processes of this machine that are measured together.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    pids: Vec<u32>,
    /// What each thread had used when it was last looked at.
    seen: HashMap<(u32, u32), u64>,
    total: u64,
    /// What threads have used that ended before they were looked at.
    missed: u64,
}

/// What one thread has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ran {
    /// Nanoseconds on a CPU.
    pub(crate) on_cpu: u64,
    /// Nanoseconds of waiting for one.
    pub(crate) waited: u64,
}

impl ServerProcess {
    pub(crate) fn new(pids: &[u32]) -> Result<Self, String> {
        for &pid in pids {
            if !Path::new(&format!("/proc/{pid}/task")).exists() {
                return Err(format!("there is no process {pid}; give the server's --pid"));
            }
        }
        Ok(Self { pids: pids.to_vec(), seen: HashMap::new(), total: 0, missed: 0 })
    }

    pub(crate) fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// Nanoseconds on a CPU since they were first looked at, of threads that have ended too.
    pub(crate) fn cpu(&mut self) -> u64 {
        for pid in self.pids.clone() {
            for thread in threads(pid) {
                let Some(ran) = ran(pid, thread) else { continue };
                let seen = self.seen.insert((pid, thread), ran.on_cpu).unwrap_or(0);
                // Less than before: another thread with an old number.
                self.total += ran.on_cpu.checked_sub(seen).unwrap_or(ran.on_cpu);
            }
        }
        // Of a whole process the kernel tells no more than ticks, so that this is at most what it was.
        let all = self.pids.iter().filter_map(|pid| used(*pid)).sum::<u64>();
        self.missed = self.missed.max(all.saturating_sub(self.total));
        self.total + self.missed
    }

    /// Bytes of memory that are in RAM.
    pub(crate) fn resident(&self) -> u64 {
        self.pids.iter().filter_map(|&pid| resident(pid)).sum()
    }
}

/// By all threads of a process that there ever were.
fn used(pid: u32) -> Option<u64> {
    Some(ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?.on_cpu)
}

fn threads(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// From the scheduler in nanoseconds or, where it does not tell, in ticks.
pub(crate) fn ran(pid: u32, thread: u32) -> Option<Ran> {
    let task = format!("/proc/{pid}/task/{thread}");
    let Ok(text) = fs::read_to_string(format!("{task}/schedstat")) else {
        return ticks(&fs::read_to_string(format!("{task}/stat")).ok()?);
    };
    let mut numbers = text.split_ascii_whitespace().map_while(|number| number.parse().ok());
    Some(Ran { on_cpu: numbers.next()?, waited: numbers.next()? })
}

/// The 14th and 15th fields of `stat`; the second may contain spaces, but ends with the last `)`.
fn ticks(stat: &str) -> Option<Ran> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let nanos = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    Some(Ran { on_cpu: (user + system) * nanos, waited: 0 })
}

fn resident(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// What the kernel calls this thread.
pub(crate) fn thread_id() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        let nanos = 1_000_000_000 / rustix::param::clock_ticks_per_second();
        assert_eq!(ticks(stat).unwrap().on_cpu, 300 * nanos);
    }

    #[test]
    fn threads_count_that_nobody_has_seen() {
        let mut process = ServerProcess::new(&[std::process::id()]).unwrap();
        let before = process.cpu();
        let work = || {
            let used = || ran(std::process::id(), thread_id()).unwrap().on_cpu;
            while used() < 60_000_000 {}
        };
        for _ in 0..3 {
            std::thread::spawn(work).join().unwrap();
        }
        let used = process.cpu() - before;
        assert!(used >= 150_000_000, "{used}");
    }

    #[test]
    fn this_process_uses_cpu_and_memory() {
        let mut process = ServerProcess::new(&[std::process::id()]).unwrap();
        let first = process.cpu();
        while process.cpu() == first {}
        assert!(process.resident() > 100_000);
        assert!(ServerProcess::new(&[u32::MAX]).is_err());
    }
}
