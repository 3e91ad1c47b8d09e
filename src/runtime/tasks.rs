//! The tasks of a shard.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_lite::future::poll_fn;

use super::ring::Doorbell;

/// What runs beside the hub: HTTP connections and handlers of the program.
///
/// The hub sleeps in its own epoll, where it does not see that the executor has something to run.
/// So whoever wakes a task also kicks the hub, which then yields to it. Timers and sockets of
/// glommio's own, which a handler may use, are seen only by the executor: while a handler is at
/// work the hub looks at it every millisecond.
#[derive(Debug)]
pub(crate) struct Tasks {
    all: Rc<Cell<usize>>,
    handlers: Rc<Cell<usize>>,
    /// A handler has ended since the executor was last visited, and may have left it something to
    /// clean up.
    ended: Rc<Cell<bool>>,
    kick: Arc<Kick>,
}

/// Says that a task wants to run, or wants something of the core.
#[derive(Debug)]
struct Kick {
    kicked: AtomicBool,
    doorbell: Doorbell,
}

impl Tasks {
    pub(crate) fn new(doorbell: Doorbell) -> Tasks {
        let kick = Arc::new(Kick { kicked: AtomicBool::new(false), doorbell });
        Tasks { all: Rc::default(), handlers: Rc::default(), ended: Rc::default(), kick }
    }

    /// Runs a task that waits for nothing but the hub.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.spawn_counted(&self.all, future);
    }

    /// Runs a task of the program's.
    pub(crate) fn spawn_handler(&self, future: impl Future<Output = ()> + 'static) {
        let (handler, ended) = (Alive::new(&self.handlers), Rc::clone(&self.ended));
        self.spawn_counted(&self.all, async move {
            future.await;
            ended.set(true);
            drop(handler);
        });
    }

    fn spawn_counted(&self, count: &Rc<Cell<usize>>, future: impl Future<Output = ()> + 'static) {
        let (alive, kick) = (Alive::new(count), Arc::clone(&self.kick));
        let task = async move {
            let mut future = pin!(future);
            poll_fn(|cx| poll_kicking(future.as_mut(), cx, &kick)).await;
            drop(alive);
        };
        glommio::spawn_local(task).detach();
    }

    pub(crate) fn are_alive(&self) -> bool {
        self.all.get() > 0
    }

    /// Whether the executor has something to look after.
    pub(crate) fn need_executor(&self) -> bool {
        self.ended.take() || self.handlers.get() > 0
    }

    /// Says that a task wants something of the core.
    pub(crate) fn kick(&self) {
        self.kick.kicked.store(true, Ordering::Relaxed);
    }

    /// Whether anybody kicked since this was last asked.
    pub(crate) fn take_kick(&self) -> bool {
        self.kick.kicked.swap(false, Ordering::Relaxed)
    }
}

/// Polls a task with a waker that also kicks the hub.
fn poll_kicking(
    future: Pin<&mut impl Future<Output = ()>>,
    cx: &mut Context<'_>,
    kick: &Arc<Kick>,
) -> Poll<()> {
    let waker = KickingWaker { task: cx.waker().clone(), kick: Arc::clone(kick) };
    future.poll(&mut Context::from_waker(&Waker::from(Arc::new(waker))))
}

struct KickingWaker {
    task: Waker,
    kick: Arc<Kick>,
}

impl Wake for KickingWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.task.wake_by_ref();
        self.kick.kicked.store(true, Ordering::Relaxed);
        // Fences between the kick above and its look at whether the hub sleeps.
        self.kick.doorbell.ring();
    }
}

struct Alive(Rc<Cell<usize>>);

impl Alive {
    fn new(count: &Rc<Cell<usize>>) -> Alive {
        count.set(count.get() + 1);
        Alive(Rc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
