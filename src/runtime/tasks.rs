//! The tasks of a shard.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

use super::ring::Doorbell;

/// What runs beside the hub: HTTP connections and handlers of the program.
///
/// The hub polls them itself, between two turns: it sleeps in its own epoll, where the executor's
/// queue is not seen. Whoever wakes a task, from whatever thread, notes it here and rings the hub's
/// doorbell.
pub(crate) struct Tasks {
    tasks: RefCell<HashMap<u64, Task>>,
    next_key: Cell<u64>,
    guests: Cell<usize>,
    woken: Arc<Woken>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
    is_guest: bool,
}

/// Which tasks want to run, and whether one wants something of the core.
#[derive(Debug)]
struct Woken {
    keys: Mutex<Vec<u64>>,
    noted: AtomicBool,
    kicked: AtomicBool,
    doorbell: Doorbell,
}

impl Tasks {
    pub(crate) fn new(doorbell: Doorbell) -> Tasks {
        let (noted, kicked) = (AtomicBool::new(false), AtomicBool::new(false));
        let woken = Arc::new(Woken { keys: Mutex::default(), noted, kicked, doorbell });
        Tasks { tasks: RefCell::default(), next_key: Cell::new(0), guests: Cell::new(0), woken }
    }

    /// Adds a task, which runs for the first time in the next [`Tasks::run_woken`].
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.insert(Box::pin(future), false);
    }

    /// The same for a future of the program, which may wait for something of the executor's.
    pub(crate) fn spawn_guest(&self, future: impl Future<Output = ()> + 'static) {
        self.guests.set(self.guests.get() + 1);
        self.insert(Box::pin(future), true);
    }

    /// Whether a future of the program is unfinished.
    pub(crate) fn has_guests(&self) -> bool {
        self.guests.get() > 0
    }

    fn insert(&self, future: Pin<Box<dyn Future<Output = ()>>>, is_guest: bool) {
        let key = self.next_key.get();
        self.next_key.set(key + 1);
        let waker = Arc::new(TaskWaker { key, woken: Arc::clone(&self.woken) });
        let task = Task { future, waker: Waker::from(waker), is_guest };
        self.tasks.borrow_mut().insert(key, task);
        self.woken.note(key);
    }

    /// Runs every task that was woken, once. One that wakes itself has its turn after the core's.
    pub(crate) fn run_woken(&self) {
        for key in self.woken.take() {
            // A task is out of the table while it runs, so that it may spawn others.
            let task = self.tasks.borrow_mut().remove(&key);
            let Some(mut task) = task else { continue };
            let mut context = Context::from_waker(&task.waker);
            if task.future.as_mut().poll(&mut context).is_pending() {
                self.tasks.borrow_mut().insert(key, task);
            } else if task.is_guest {
                self.guests.set(self.guests.get() - 1);
            }
        }
    }

    /// Says that a task wants something of the core.
    pub(crate) fn kick(&self) {
        self.woken.kicked.store(true, Ordering::Relaxed);
    }

    /// Whether anybody kicked since this was last asked, or a task wants to run.
    pub(crate) fn take_kick(&self) -> bool {
        let kicked = self.woken.kicked.swap(false, Ordering::Relaxed);
        kicked || self.woken.noted.load(Ordering::Relaxed)
    }
}

impl Woken {
    fn note(&self, key: u64) {
        // Nobody panics while holding the lock: it guards one push or one take.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.push(key);
        self.noted.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> Vec<u64> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        self.noted.store(false, Ordering::Relaxed);
        std::mem::take(&mut keys)
    }
}

struct TaskWaker {
    key: u64,
    woken: Arc<Woken>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.note(self.key);
        // Fences between the note above and its look at whether the hub sleeps.
        self.woken.doorbell.ring();
    }
}
