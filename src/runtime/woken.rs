//! Which tasks of a shard want to run.
//!
//! Invariant: what a thread did before it woke a task is seen by a run of that task that begins
//! after. A wake-up adds the task to the queue, or finds it there: then the run that takes it from
//! the queue acquires what the wake-up released.

use std::collections::VecDeque;
use std::sync::PoisonError;

use super::ring::ShardWaker;
use super::sync::{Arc, AtomicBool, Mutex, MutexGuard, Ordering};

/// The tasks that want to run.
#[derive(Debug)]
pub(crate) struct Woken {
    /// Each at most once.
    keys: Mutex<VecDeque<u64>>,
    has_keys: AtomicBool,
    shard_waker: ShardWaker,
}

/// Wakes one task, from any thread.
#[derive(Debug)]
pub(crate) struct TaskWaker {
    key: u64,
    /// It stands among those that want to run.
    queued: AtomicBool,
    woken: Arc<Woken>,
}

impl Woken {
    /// No task wants to run yet. One that does wakes the shard.
    pub(crate) fn new(shard_waker: ShardWaker) -> Woken {
        Woken { keys: Mutex::new(VecDeque::new()), has_keys: AtomicBool::new(false), shard_waker }
    }

    /// Whether none wants to run. After [`ShardWaker::announce_park`], true means that the thread
    /// that wakes one next wakes the shard.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_keys.load(Ordering::Relaxed)
    }

    /// How many want to run. Without a lock when none does, as in most turns.
    pub(crate) fn count(&self) -> usize {
        if self.is_empty() { 0 } else { self.lock().len() }
    }

    /// Takes the task that waits longest. [`TaskWaker::begin_run`] comes next, then its run.
    pub(crate) fn next(&self) -> Option<u64> {
        let mut keys = self.lock();
        let key = keys.pop_front();
        self.has_keys.store(!keys.is_empty(), Ordering::Relaxed);
        key
    }

    fn push(&self, key: u64) {
        let mut keys = self.lock();
        keys.push_back(key);
        self.has_keys.store(true, Ordering::Relaxed);
    }

    /// Nothing panics while the lock is held: it guards one push or one pop.
    fn lock(&self) -> MutexGuard<'_, VecDeque<u64>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskWaker {
    /// Wakes the task with this key, which wants to run from here on.
    pub(crate) fn queued(key: u64, woken: Arc<Woken>) -> TaskWaker {
        woken.push(key);
        TaskWaker { key, queued: AtomicBool::new(true), woken }
    }

    /// Says that the task runs now: from here on a wake-up asks for one more run.
    pub(crate) fn begin_run(&self) {
        // An exchange and not a store: a wake-up that found the task in the queue leaves its run to
        // this one, which has to acquire what came before that wake-up. After a store, what the task
        // reads could be older than the wake-up whose flag the store has cleared.
        self.queued.swap(false, Ordering::AcqRel);
    }

    /// Makes the task want to run.
    pub(crate) fn queue(&self) {
        // Releases what the waking thread did to the run that clears the flag.
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        self.woken.push(self.key);
        // Fences between the push above and its look at whether the loop sleeps.
        self.woken.shard_waker.wake();
    }
}
