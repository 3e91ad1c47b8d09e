//! What the whole process holds: what its shards count, and what they cannot.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use corecast_shards::{MemoryStage, OthersMemory, ShardId, Time};

use super::sys;

/// How often the kernel is asked what the process holds: from half of the limit on so often that what
/// no shard counts cannot pass the rest of it unseen.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
const SAMPLE_EVERY_WHEN_NEAR: Duration = Duration::from_millis(5);

/// How often free memory is given back at most: each time the allocator's lists are walked.
const TRIM_EVERY: Duration = Duration::from_millis(250);

/// What the shards of a process hold, and the process beside them. Each shard writes its own figures,
/// once per turn.
#[derive(Debug)]
pub(crate) struct ProcessMemory {
    limit: usize,
    shards: Vec<ShardMemory>,
    resident: AtomicUsize,
    /// What is resident and counted by no shard: code, stacks, HTTP, the executor, the allocator's own
    /// and free memory that it has not given back.
    uncounted: AtomicUsize,
    /// The same as it was before histories gave way of which nothing is given back to the kernel yet,
    /// and what they had ever given way with when free memory was given back last.
    uncounted_before: AtomicUsize,
    given_back: AtomicUsize,
    /// When to ask the kernel again, and when free memory may be given back again, in nanoseconds.
    next_sample: AtomicU64,
    next_trim: AtomicU64,
    stage: AtomicU8,
    connections_refused: AtomicU64,
}

/// What a shard says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ShardHeld {
    pub(crate) bytes: usize,
    /// How much of that is in logs.
    pub(crate) logs: usize,
    /// What its histories have ever given way with.
    pub(crate) given_way: usize,
}

/// What one shard holds, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ShardMemory {
    bytes: AtomicUsize,
    logs: AtomicUsize,
    given_way: AtomicUsize,
}

/// Where the kernel says what is resident. A shard keeps its own open for as long as it runs, so that
/// it can look when the process is out of descriptors, and handles to an ended server keep none.
#[derive(Debug)]
pub(crate) struct Statm(File);

impl ProcessMemory {
    pub(crate) fn new(limit: usize, shards: usize) -> ProcessMemory {
        ProcessMemory {
            limit,
            shards: (0..shards).map(|_| ShardMemory::default()).collect(),
            resident: AtomicUsize::new(0),
            uncounted: AtomicUsize::new(0),
            uncounted_before: AtomicUsize::new(0),
            given_back: AtomicUsize::new(0),
            next_sample: AtomicU64::new(0),
            next_trim: AtomicU64::new(0),
            stage: AtomicU8::new(0),
            connections_refused: AtomicU64::new(0),
        }
    }

    /// None where the kernel does not say, or there is no limit.
    pub(crate) fn open_statm(&self) -> Option<Statm> {
        let has_limit = self.limit != usize::MAX;
        has_limit.then(|| File::open("/proc/self/statm").ok()).flatten().map(Statm)
    }

    /// A shard holds this now. Returns what the others and the process hold; the kernel is asked now
    /// and then, if the shard can.
    pub(crate) fn exchange(
        &self,
        shard: ShardId,
        held: ShardHeld,
        statm: Option<&Statm>,
        now: Time,
    ) -> OthersMemory {
        let entry = &self.shards[shard.index()];
        // Who sees that less is held sees that histories gave way, too.
        entry.given_way.store(held.given_way, Ordering::Relaxed);
        entry.bytes.store(held.bytes, Ordering::Release);
        entry.logs.store(held.logs, Ordering::Relaxed);
        if let Some(statm) = statm {
            self.sample_if_due(statm, now);
        }
        let sum = |figure: fn(&ShardMemory) -> &AtomicUsize| -> usize {
            let others = self.shards.iter().enumerate();
            let others = others.filter(|(index, _)| *index != shard.index());
            others.map(|(_, entry)| figure(entry).load(Ordering::Relaxed)).sum()
        };
        OthersMemory {
            bytes: sum(|entry| &entry.bytes) + self.uncounted.load(Ordering::Relaxed),
            logs: sum(|entry| &entry.logs),
            stage: Some(self.stage()),
        }
    }

    /// A shard is at this stage. Returns whether that is news for the others.
    pub(crate) fn announce(&self, stage: MemoryStage) -> bool {
        let stage = stage as u8;
        self.stage.load(Ordering::Relaxed) != stage
            && self.stage.swap(stage, Ordering::Relaxed) != stage
    }

    /// The stage of which a shard spoke last.
    pub(crate) fn stage(&self) -> MemoryStage {
        MemoryStage::ALL[usize::from(self.stage.load(Ordering::Relaxed))]
    }

    /// Whether memory is at least so short.
    pub(crate) fn is_short(&self, stage: MemoryStage) -> bool {
        self.stage() >= stage
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// What was resident when the kernel was asked last.
    pub(crate) fn resident(&self) -> usize {
        self.resident.load(Ordering::Relaxed)
    }

    pub(crate) fn count_refused(&self) {
        self.connections_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that were refused because memory was short.
    pub(crate) fn connections_refused(&self) -> u64 {
        self.connections_refused.load(Ordering::Relaxed)
    }

    fn sample_if_due(&self, statm: &Statm, now: Time) {
        if is_due(&self.next_sample, now, self.sample_every()) {
            let Some(resident) = resident_bytes(&statm.0) else { return };
            if self.note(resident) && is_due(&self.next_trim, now, TRIM_EVERY) {
                let given_way = self.given_way();
                sys::give_free_memory_back();
                self.given_back.store(given_way, Ordering::Relaxed);
                if let Some(resident) = resident_bytes(&statm.0) {
                    self.note(resident);
                }
            }
        }
    }

    fn sample_every(&self) -> Duration {
        match self.resident() >= self.limit / 2 {
            true => SAMPLE_EVERY_WHEN_NEAR,
            false => SAMPLE_EVERY,
        }
    }

    /// So much is resident. Returns whether the allocator may hold so much of it free that the shards
    /// would take the process for fuller than it is.
    ///
    /// What histories gave way with is free, and stays resident until it is given back. It does not
    /// count: else they would give way for the same bytes each time that the kernel is asked.
    fn note(&self, resident: usize) -> bool {
        let counted = self.shards.iter().map(|entry| entry.bytes.load(Ordering::Acquire)).sum();
        let uncounted = resident.saturating_sub(counted);
        let kept_back = self.given_way().saturating_sub(self.given_back.load(Ordering::Relaxed));
        if kept_back == 0 {
            self.uncounted_before.store(uncounted, Ordering::Relaxed);
        }
        // Less, where it was used for something else that is counted.
        let more = uncounted.saturating_sub(self.uncounted_before.load(Ordering::Relaxed));
        self.resident.store(resident, Ordering::Relaxed);
        self.uncounted.store(uncounted - more.min(kept_back), Ordering::Relaxed);
        let is_near = resident / MemoryStage::Refusing.begins_at() >= self.limit / 110;
        kept_back > 0 || is_near && uncounted > self.limit / 8
    }

    /// Bytes that the histories of all shards have ever given way with.
    fn given_way(&self) -> usize {
        self.shards.iter().map(|entry| entry.given_way.load(Ordering::Relaxed)).sum()
    }
}

/// Whether something is due that happens once in a while, whichever thread looks first.
fn is_due(next: &AtomicU64, now: Time, every: Duration) -> bool {
    let (due, now) = (next.load(Ordering::Relaxed), now);
    if now.as_nanos() < due {
        return false;
    }
    let after = (now + every).as_nanos();
    next.compare_exchange(due, after, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// The second number in `/proc/self/statm`, in pages (proc_pid_statm(5)).
fn resident_bytes(statm: &File) -> Option<usize> {
    let mut text = [0; 128];
    let len = statm.read_at(&mut text, 0).ok()?;
    let pages = str::from_utf8(&text[..len]).ok()?.split(' ').nth(1)?;
    Some(pages.parse::<usize>().ok()? * rustix::param::page_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_is_given_what_the_others_hold() {
        let memory = ProcessMemory::new(usize::MAX, 3);
        assert!(memory.open_statm().is_none(), "without a limit the kernel is not asked");
        let exchange = |shard, bytes, logs| {
            let held = ShardHeld { bytes, logs, given_way: 0 };
            memory.exchange(ShardId::new(shard), held, None, Time::default())
        };
        for (shard, logs) in [(0, 10), (1, 200), (2, 3_000)] {
            exchange(shard, 2 * logs, logs);
        }
        let others = exchange(1, 7, 7);
        assert_eq!(others, OthersMemory { bytes: 6_020, logs: 3_010, ..others });
        let others = exchange(2, 6_000, 3_000);
        assert_eq!(others, OthersMemory { bytes: 27, logs: 17, ..others });
    }

    #[test]
    fn what_no_shard_counts_is_found_in_what_is_resident() {
        let memory = ProcessMemory::new(1 << 40, 1);
        let shard = ShardId::new(0);
        let statm = memory.open_statm();
        let others = memory.exchange(shard, ShardHeld::default(), statm.as_ref(), Time::default());
        assert!(others.bytes > 1 << 20, "this process is larger than {others:?}");
        assert_eq!(others.bytes, memory.resident());
        let (half, later) = (memory.resident() / 2, Time::default() + SAMPLE_EVERY);
        let held = ShardHeld { bytes: half, ..ShardHeld::default() };
        let others = memory.exchange(shard, held, statm.as_ref(), later);
        assert!(others.bytes < memory.resident() * 3 / 4, "{others:?} beside {half}");
    }

    #[test]
    fn the_kernel_is_asked_more_often_when_the_limit_is_near() {
        for (limit, every) in [(1 << 40, SAMPLE_EVERY), (1, SAMPLE_EVERY_WHEN_NEAR)] {
            let memory = ProcessMemory::new(limit, 1);
            let statm = memory.open_statm();
            let held = ShardHeld::default();
            memory.exchange(ShardId::new(0), held, statm.as_ref(), Time::default());
            assert_eq!(memory.sample_every(), every, "{limit}");
        }
    }

    /// What a shard is told that the process holds beside it, and whether free memory is to be given
    /// back, when it says this of itself and so much is resident.
    fn beside(
        memory: &ProcessMemory,
        bytes: usize,
        given_way: usize,
        resident: usize,
    ) -> (usize, bool) {
        let held = ShardHeld { bytes, logs: 0, given_way };
        memory.exchange(ShardId::new(0), held, None, Time::default());
        let trims = memory.note(resident);
        (memory.exchange(ShardId::new(0), held, None, Time::default()).bytes, trims)
    }

    #[test]
    fn what_histories_gave_way_with_is_not_held_although_it_is_resident() {
        let memory = ProcessMemory::new(100_000, 1);
        assert_eq!(beside(&memory, 60_000, 0, 65_500), (5_500, false));
        // Histories gave way with 500 bytes, which the allocator keeps, and the kernel is asked often.
        for _ in 0..50 {
            assert_eq!(beside(&memory, 59_500, 500, 65_500), (5_500, true));
        }
        // What is used for something else is counted there, and what else is there counts.
        assert_eq!(beside(&memory, 59_700, 500, 65_500), (5_500, true));
        assert_eq!(beside(&memory, 59_500, 500, 65_900), (5_900, true));
        assert_eq!(beside(&memory, 60_500, 500, 65_500), (5_000, true));
        // What stays resident although free memory was given back is held.
        memory.given_back.store(500, Ordering::Relaxed);
        assert_eq!(beside(&memory, 59_500, 500, 65_400), (5_900, false));
        assert_eq!(beside(&memory, 59_100, 900, 65_400), (5_900, true));
    }

    #[test]
    fn free_memory_is_given_back_once_histories_gave_way() {
        let memory = ProcessMemory::new(1 << 40, 1);
        let statm = memory.open_statm();
        let given_back = |given_way, now| {
            let held = ShardHeld { given_way, ..ShardHeld::default() };
            memory.exchange(ShardId::new(0), held, statm.as_ref(), now);
            memory.given_back.load(Ordering::Relaxed)
        };
        let after = |times: u32| Time::default() + times * SAMPLE_EVERY;
        assert_eq!(given_back(0, after(0)), 0);
        assert_eq!(given_back(100, after(1)), 100, "the first time");
        assert_eq!([given_back(200, after(2)), given_back(300, after(5))], [100; 2], "too soon");
        assert_eq!(given_back(300, after(6)), 300, "as often as may be");
    }

    #[test]
    fn a_stage_is_news_once() {
        let memory = ProcessMemory::new(usize::MAX, 1);
        assert!(!memory.announce(MemoryStage::Plenty));
        assert!(memory.announce(MemoryStage::Striking));
        assert!(!memory.announce(MemoryStage::Striking));
        assert!(memory.is_short(MemoryStage::Unread) && !memory.is_short(MemoryStage::Pausing));
    }
}
