//! The tasks of a shard.

use std::cell::Cell;
use std::rc::Rc;

/// Counts what runs beside the hub: HTTP connections and handlers of the program.
///
/// While nothing does, the hub may wait in its own epoll, which costs one system call; otherwise
/// it waits in the executor, which takes about nine and looks at the tasks' descriptors and
/// wakers, too.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(Rc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    alive: Cell<usize>,
    /// A task has ended since the executor last looked at its rings: it may have operations to
    /// cancel there, and descriptors that are released only with them.
    ended: Cell<bool>,
}

impl Tasks {
    /// Runs a future on this shard.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let alive = Alive::new(&self.0);
        let task = async move {
            future.await;
            drop(alive);
        };
        glommio::spawn_local(task).detach();
    }

    pub(crate) fn are_alive(&self) -> bool {
        self.0.alive.get() > 0
    }

    /// Whether the executor has to be visited before the hub waits on its own.
    pub(crate) fn need_executor(&self) -> bool {
        self.0.ended.take() || self.are_alive()
    }
}

struct Alive(Rc<Counts>);

impl Alive {
    fn new(counts: &Rc<Counts>) -> Alive {
        counts.alive.set(counts.alive.get() + 1);
        Alive(Rc::clone(counts))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
        self.0.ended.set(true);
    }
}
