//! The tasks of a shard.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use super::fatal::catch_and_log;
use super::ring::ShardWaker;
use super::woken::{TaskWaker, Woken};

/// What runs beside the event loop: HTTP connections and handlers of the program.
///
/// The loop polls them itself, between two turns: it sleeps in its own epoll, where the executor's
/// queue is not seen. A wake-up of a task, from any thread, is seen by it and wakes the shard.
pub(crate) struct Tasks {
    tasks: RefCell<HashMap<u64, Task>>,
    next_key: Cell<u64>,
    user_tasks: Cell<usize>,
    /// Nothing runs any more, and what is spawned is dropped.
    ended: Cell<bool>,
    /// One of them wants something of the driver.
    notified: Cell<bool>,
    woken: Arc<Woken>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    wake: Arc<TaskWaker>,
    waker: Waker,
    is_user: bool,
}

/// Tasks run between two turns, and how long: the driver waits meanwhile. One that takes longer by
/// itself has its time all the same.
const RUNS_PER_TURN: usize = 256;
const RUN_TIME_PER_TURN: Duration = Duration::from_micros(500);

impl Tasks {
    pub(crate) fn new(shard_waker: ShardWaker) -> Tasks {
        Tasks {
            tasks: RefCell::default(),
            next_key: Cell::new(0),
            user_tasks: Cell::new(0),
            ended: Cell::new(false),
            notified: Cell::new(false),
            woken: Arc::new(Woken::new(shard_waker)),
        }
    }

    /// Adds a task, which runs for the first time in the next [`Tasks::run_woken`].
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.insert(Box::pin(future), false);
    }

    /// The same for a future of the program.
    pub(crate) fn spawn_user(&self, future: impl Future<Output = ()> + 'static) {
        self.insert(Box::pin(future), true);
    }

    /// Whether a future of the program is unfinished.
    pub(crate) fn has_user_tasks(&self) -> bool {
        self.user_tasks.get() > 0
    }

    fn insert(&self, future: Pin<Box<dyn Future<Output = ()>>>, is_user: bool) {
        if self.ended.get() {
            catch_and_log("the destructor of a task", || drop(future));
            return;
        }
        self.user_tasks.set(self.user_tasks.get() + usize::from(is_user));
        let key = self.next_key.get();
        self.next_key.set(key + 1);
        let woken = Arc::clone(&self.woken);
        let wake = Arc::new(TaskWaker::queued(key, woken));
        let waker = Waker::from(Arc::clone(&wake));
        self.tasks.borrow_mut().insert(key, Task { future, wake, waker, is_user });
    }

    /// Runs tasks that were woken, each once, as many as fit into their share of a turn. The
    /// others, and one that wakes itself, have their turn after the driver's.
    pub(crate) fn run_woken(&self) {
        let mut begun: Option<Instant> = None;
        for _ in 0..RUNS_PER_TURN.min(self.woken.count()) {
            let Some(key) = self.woken.next() else { return };
            self.run(key);
            if begun.get_or_insert_with(Instant::now).elapsed() > RUN_TIME_PER_TURN {
                return;
            }
        }
    }

    fn run(&self, key: u64) {
        // A task is out of the table while it runs, so that it may spawn others.
        let task = self.tasks.borrow_mut().remove(&key);
        let Some(mut task) = task else { return };
        task.wake.begin_run();
        let mut context = Context::from_waker(&task.waker);
        let poll = catch_and_log("a task", || task.future.as_mut().poll(&mut context));
        if poll.is_some_and(|poll| poll.is_pending()) && !self.ended.get() {
            self.tasks.borrow_mut().insert(key, task);
            return;
        }
        self.user_tasks.set(self.user_tasks.get() - usize::from(task.is_user));
        catch_and_log("the destructor of a task", || drop(task));
    }

    /// Drops every task where it stands, and from now on what is spawned.
    pub(crate) fn end(&self) {
        self.ended.set(true);
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        for task in tasks.into_values() {
            catch_and_log("the destructor of a task", || drop(task));
        }
    }

    /// Says that a task wants something of the driver.
    pub(crate) fn notify(&self) {
        self.notified.set(true);
    }

    /// Whether a task has notified the driver since this was last asked, or wants to run.
    pub(crate) fn take_notification(&self) -> bool {
        self.notified.take() || !self.woken.is_empty()
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.queue();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::task::Poll;

    fn tasks() -> Tasks {
        Tasks::new(ShardWaker::new(|| ()))
    }

    /// A task that never ends, and wakes itself so often each time that it runs.
    fn self_waking(wakes: usize, runs: &Rc<Cell<usize>>) -> impl Future<Output = ()> + use<> {
        let runs = Rc::clone(runs);
        poll_fn(move |cx| {
            runs.set(runs.get() + 1);
            (0..wakes).for_each(|_| cx.waker().wake_by_ref());
            Poll::Pending
        })
    }

    #[test]
    fn a_task_that_wakes_itself_runs_once_per_turn_however_often_it_does() {
        let (tasks, runs) = (tasks(), Rc::default());
        tasks.spawn(self_waking(5, &runs));
        for turn in 1..=3 {
            tasks.run_woken();
            assert_eq!(runs.get(), turn);
            assert!(tasks.take_notification(), "it wants to run again");
        }
    }

    #[test]
    fn many_woken_tasks_share_several_turns_and_each_has_its_own() {
        let (tasks, runs) = (tasks(), Rc::default());
        (0..3 * RUNS_PER_TURN).for_each(|_| tasks.spawn(self_waking(0, &runs)));
        tasks.run_woken();
        assert!(runs.get() <= RUNS_PER_TURN, "the driver has its turn in between");
        while tasks.take_notification() {
            tasks.run_woken();
        }
        assert_eq!(runs.get(), 3 * RUNS_PER_TURN);
    }

    #[test]
    fn a_task_that_panics_or_whose_destructor_does_costs_the_others_nothing() {
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                panic!("on purpose");
            }
        }
        let (tasks, runs) = (tasks(), Rc::default());
        tasks.spawn_user(async { panic!("on purpose") });
        let bad = Bad;
        tasks.spawn_user(poll_fn(move |_| {
            let _held = &bad;
            Poll::Ready(())
        }));
        let bad = Bad;
        tasks.spawn_user(poll_fn(move |_| {
            let _held = &bad;
            Poll::Pending
        }));
        tasks.spawn(self_waking(0, &runs));
        while tasks.take_notification() {
            tasks.run_woken();
        }
        assert_eq!(runs.get(), 1);
        assert!(tasks.has_user_tasks(), "one waits");
        tasks.end();
        tasks.spawn(self_waking(0, &runs));
        tasks.run_woken();
        assert_eq!(
            (runs.get(), Rc::strong_count(&runs)),
            (1, 1),
            "nothing runs and nothing is kept"
        );
    }
}
