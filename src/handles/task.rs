//! What runs and waits on the thread of a shard, whatever executor it has.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::runtime::{OneshotReceiver, ShardHandle, current_shard, oneshot};

/// Waits for this long, in a handler or in what it [`spawn`]ed. Even no time lets the shard have a
/// turn first: a loop of long work stops for the other connections with `Duration::ZERO`.
///
/// ```
/// # use corecast::{Client, Event, HandlerResult, Message};
/// # use std::time::Duration;
/// async fn remind(client: Client, event: Event) -> HandlerResult {
///     corecast::sleep(Duration::from_secs(60)).await;
///     Ok(client.try_publish(Message::event("reminder", event.data())?)?)
/// }
/// ```
///
/// # Panics
///
/// On a thread that is no shard's, and in a closure of
/// [`Builder::shard_state`](crate::Builder::shard_state), which runs before its shard does.
pub fn sleep(duration: Duration) -> impl Future<Output = ()> + use<> {
    shard("sleep").sleep(duration)
}

/// Runs a future on the thread of the calling handler's shard, beside all connections, whether or
/// not what this returns is awaited. It need not be `Send`; a panic ends it alone, and is logged.
/// The same as [`Client::spawn`](crate::Client::spawn), with a result.
///
/// ```
/// # use corecast::{Client, Event, HandlerResult, Message};
/// # use std::time::Duration;
/// async fn count_down(client: Client, _: Event) -> HandlerResult {
///     let ticking = client.clone();
///     let ticks = corecast::spawn(async move {
///         for left in (0..3).rev() {
///             corecast::sleep(Duration::from_secs(1)).await;
///             ticking.try_publish(Message::event("left", left).ok()?).ok()?;
///         }
///         Some("lift-off")
///     });
///     if let Some(Some(last)) = ticks.await {
///         client.try_publish(Message::event("done", last)?)?;
///     }
///     Ok(())
/// }
/// ```
///
/// # Panics
///
/// On a thread that is no shard's, and in a closure of
/// [`Builder::shard_state`](crate::Builder::shard_state), which runs before its shard does.
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Spawned<T> {
    let (result, receiver) = oneshot();
    shard("spawn").spawn(async move { result.send(future.await) });
    Spawned(receiver)
}

/// The result of a future that was [`spawn`]ed: none when it panicked, or ended with its shard. The
/// future goes on when this is dropped.
#[derive(Debug)]
pub struct Spawned<T>(OneshotReceiver<T>);

impl<T> Future for Spawned<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

fn shard(verb: &str) -> ShardHandle {
    current_shard().unwrap_or_else(|| {
        panic!(
            "corecast::{verb} works on the threads of shards: in handlers and in what they spawn; \
             another thread has its own runtime for that"
        )
    })
}
