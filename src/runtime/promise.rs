//! Something that a task or a thread waits for and a shard delivers.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The shard's end. Dropping it unused ends the wait.
#[derive(Debug)]
pub(crate) struct Resolver<T>(Shared<T>);

/// The waiting end: a future of any runtime, ready when the other end was used, or none when it
/// was dropped.
#[derive(Debug)]
pub(crate) struct Promise<T>(Shared<T>);

#[derive(Debug)]
struct Shared<T>(Arc<Mutex<State<T>>>);

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    broken: bool,
    waker: Option<Waker>,
}

/// Both ends of one promise.
pub(crate) fn promise<T>() -> (Resolver<T>, Promise<T>) {
    let state = Arc::new(Mutex::new(State { value: None, broken: false, waker: None }));
    (Resolver(Shared(Arc::clone(&state))), Promise(Shared(state)))
}

impl<T> Shared<T> {
    /// Nobody panics while holding the lock: it guards a few moves.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Resolver<T> {
    pub(crate) fn resolve(self, value: T) {
        self.0.lock().value = Some(value);
        // Dropping the resolver wakes whoever waits.
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.0.0) == 1
    }
}

impl<T> Drop for Resolver<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.0.lock();
            state.broken = true;
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Future for Promise<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        match (state.value.take(), state.broken) {
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
        let (resolver, kept) = promise();
        std::thread::spawn(move || resolver.resolve(7));
        assert_eq!(block_on(kept), Some(7));
        let (resolver, broken) = promise::<u8>();
        std::thread::spawn(move || drop(resolver));
        assert_eq!(block_on(broken), None);
        let (resolver, abandoned) = promise::<u8>();
        drop(abandoned);
        assert!(resolver.is_abandoned());
    }
}
