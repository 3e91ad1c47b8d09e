//! Something that a task or a thread waits for and a shard delivers.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The shard's end. Dropping it unused ends the wait.
#[derive(Debug)]
pub(crate) struct OneshotSender<T>(OneshotShared<T>);

/// The waiting end: a future of any runtime, ready when the other end was used, or none when it
/// was dropped.
#[derive(Debug)]
pub(crate) struct OneshotReceiver<T>(OneshotShared<T>);

#[derive(Debug)]
struct OneshotShared<T>(Arc<Mutex<State<T>>>);

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    closed: bool,
    waker: Option<Waker>,
}

/// Both ends of one oneshot.
pub(crate) fn oneshot<T>() -> (OneshotSender<T>, OneshotReceiver<T>) {
    let state = Arc::new(Mutex::new(State { value: None, closed: false, waker: None }));
    (OneshotSender(OneshotShared(Arc::clone(&state))), OneshotReceiver(OneshotShared(state)))
}

impl<T> OneshotShared<T> {
    /// Nothing panics while the lock is held: it guards a few moves.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> OneshotSender<T> {
    pub(crate) fn send(self, value: T) {
        self.0.lock().value = Some(value);
        // Dropping the sender wakes the task that waits.
    }

    /// Whether nothing waits any more.
    pub(crate) fn is_closed(&self) -> bool {
        Arc::strong_count(&self.0.0) == 1
    }
}

impl<T> Drop for OneshotSender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.0.lock();
            state.closed = true;
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Future for OneshotReceiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        match (state.value.take(), state.closed) {
            (Some(value), _) => Poll::Ready(Some(value)),
            (None, true) => Poll::Ready(None),
            (None, false) => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;

    #[test]
    fn whoever_waits_hears_of_either_end() {
        let (sender, kept) = oneshot();
        std::thread::spawn(move || sender.send(7));
        assert_eq!(block_on(kept), Some(7));
        let (sender, closed) = oneshot::<u8>();
        std::thread::spawn(move || drop(sender));
        assert_eq!(block_on(closed), None);
        let (sender, abandoned) = oneshot::<u8>();
        drop(abandoned);
        assert!(sender.is_closed());
    }
}
