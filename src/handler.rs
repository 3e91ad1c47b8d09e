//! The embedding program's handlers.

use std::any::Any;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;

use futures_lite::FutureExt;

/// What a handler returns. An error, whatever it is, answers the message with `handler_failed`; it
/// is shown to the client and logged, and the connection goes on.
pub type HandlerResult = Result<(), Box<dyn Error>>;

/// A handler at work.
pub(crate) type Work<R> = Pin<Box<dyn Future<Output = R>>>;

/// A handler as a shard keeps it.
pub(crate) type Handler<A, R> = Rc<dyn Fn(A) -> Work<R>>;

/// A handler on its way to the shards, each of which gets a clone of its own.
pub(crate) trait Template<A, R>: Send {
    /// For one more shard.
    fn clone_box(&self) -> Box<dyn Template<A, R>>;

    /// On the shard's own thread.
    fn instantiate(self: Box<Self>) -> Handler<A, R>;
}

impl<A, R> Clone for Box<dyn Template<A, R>> {
    fn clone(&self) -> Self {
        self.as_ref().clone_box()
    }
}

/// A closure of one argument. It lives as long as the shard; what it returns borrows from a clone
/// of the pointer to it.
#[derive(Clone)]
struct Unary<F>(F);

impl<A, R, F> Template<A, R> for Unary<F>
where
    A: 'static,
    F: AsyncFn(A) -> R + Clone + Send + 'static,
{
    fn clone_box(&self) -> Box<dyn Template<A, R>> {
        Box::new(self.clone())
    }

    fn instantiate(self: Box<Self>) -> Handler<A, R> {
        let closure = Rc::new(self.0);
        Rc::new(move |argument| {
            let closure = Rc::clone(&closure);
            Box::pin(async move { closure(argument).await })
        })
    }
}

/// A closure of two arguments.
#[derive(Clone)]
struct Binary<F>(F);

impl<A, B, R, F> Template<(A, B), R> for Binary<F>
where
    A: 'static,
    B: 'static,
    F: AsyncFn(A, B) -> R + Clone + Send + 'static,
{
    fn clone_box(&self) -> Box<dyn Template<(A, B), R>> {
        Box::new(self.clone())
    }

    fn instantiate(self: Box<Self>) -> Handler<(A, B), R> {
        let closure = Rc::new(self.0);
        Rc::new(move |(first, second)| {
            let closure = Rc::clone(&closure);
            Box::pin(async move { closure(first, second).await })
        })
    }
}

/// Prepares a closure of one argument for the shards.
pub(crate) fn unary<A, R, F>(closure: F) -> Box<dyn Template<A, R>>
where
    A: 'static,
    F: AsyncFn(A) -> R + Clone + Send + 'static,
{
    Box::new(Unary(closure))
}

/// Prepares a closure of two arguments for the shards.
pub(crate) fn binary<A, B, R, F>(closure: F) -> Box<dyn Template<(A, B), R>>
where
    A: 'static,
    B: 'static,
    F: AsyncFn(A, B) -> R + Clone + Send + 'static,
{
    Box::new(Binary(closure))
}

/// Runs the program's own code; a panic becomes words.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let run = AssertUnwindSafe(work).catch_unwind().await;
    run.map_err(|panic| format!("panicked: {}", panic_message(&*panic)))
}

/// Runs a handler, from its first line on; an error and a panic are failures alike.
pub(crate) async fn finish<A, T>(
    handler: Handler<A, Result<T, Box<dyn Error>>>,
    argument: A,
) -> Result<T, String> {
    let result = caught(async move { handler(argument).await }).await?;
    result.map_err(|error| error.to_string())
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}
