//! The embedding program's handlers.

use std::any::Any;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;

use futures_lite::FutureExt;

use crate::values::ClientError;

/// What a handler returns; `?` works on every error. An error, whatever it is, is logged and answers
/// the message with `handler_failed`, and the connection goes on. Its words stay in the log, but
/// for those of a [`ClientError`], which are the client's to read.
pub type HandlerResult<T = ()> = Result<T, Box<dyn Error>>;

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

/// How a handler failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the log says.
    pub(crate) log: String,
    /// What the client is told, if anything.
    pub(crate) client: Option<String>,
}

impl Failure {
    /// One of which the client is told no more than that.
    pub(crate) fn unseen(log: String) -> Failure {
        Failure { log, client: None }
    }

    /// One that is nothing but words for the client.
    pub(crate) fn for_client(words: String) -> Failure {
        Failure { log: words.clone(), client: Some(words) }
    }

    /// Words for the client may stand anywhere in the chain of causes.
    fn new(error: &(dyn Error + 'static)) -> Failure {
        let causes = std::iter::successors(Some(error), |cause| (*cause).source());
        let client = causes.filter_map(|cause| cause.downcast_ref::<ClientError>()).next();
        Failure { log: error.to_string(), client: client.map(ToString::to_string) }
    }
}

/// Runs the program's own code that does not wait; a panic becomes words.
pub(crate) fn catch_panic_now<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| in_words(&*panic))
}

/// Runs the program's own code; a panic becomes words.
pub(crate) async fn catch_panic<T>(work: impl Future<Output = T>) -> Result<T, String> {
    // The work is dropped within the block, so that a panic of its destructors is caught, too.
    #[expect(clippy::redundant_async_block, reason = "see above")]
    let within = async move { work.await };
    let run = AssertUnwindSafe(within).catch_unwind().await;
    run.map_err(|panic| in_words(&*panic))
}

/// Runs a handler, from its first line on; an error and a panic are failures alike.
pub(crate) async fn finish<A, T>(
    handler: Handler<A, Result<T, Box<dyn Error>>>,
    argument: A,
) -> Result<T, Failure> {
    let result = catch_panic(async move { handler(argument).await }).await;
    match result {
        Ok(result) => result.map_err(|error| Failure::new(&*error)),
        Err(panic) => Err(Failure::unseen(panic)),
    }
}

fn in_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("without words");
    match NO_GLOMMIO.iter().any(|words| text.contains(words)) {
        true => format!("panicked: {text} ({ASK_FOR_GLOMMIO})"),
        false => format!("panicked: {text}"),
    }
}

/// What glommio 0.9 says on a thread without its executor, depending on its features.
const NO_GLOMMIO: [&str; 2] =
    ["cannot access a scoped thread local variable", "this thread doesn't have a LocalExecutor"];

const ASK_FOR_GLOMMIO: &str = "if that was a call of glommio: its executor does not run here; ask for it with \
     Builder::executor(Executor::Glommio) or --executor glommio, or use corecast::sleep and \
     corecast::spawn";
