//! Something that a task waits for and the hub delivers.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The hub's end.
#[derive(Debug)]
pub(crate) struct Resolver<T>(Rc<RefCell<State<T>>>);

/// The task's end: a future that is ready when the other end has been used.
#[derive(Debug)]
pub(crate) struct Promise<T>(Rc<RefCell<State<T>>>);

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

/// Both ends of one promise. They never leave their thread.
pub(crate) fn promise<T>() -> (Resolver<T>, Promise<T>) {
    let state = Rc::new(RefCell::new(State { value: None, waker: None }));
    (Resolver(Rc::clone(&state)), Promise(state))
}

impl<T> Resolver<T> {
    pub(crate) fn resolve(self, value: T) {
        let mut state = self.0.borrow_mut();
        state.value = Some(value);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }
}

impl<T> Future for Promise<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.borrow_mut();
        match state.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
