//! Handlers at work, and what their end means for the shard.

use std::sync::Arc;
use std::time::Duration;

use corecast_shards::{AskedCommand, ConnId, Draft, Message, Refresh};

use super::handle::ShardHandle;
use crate::http::Backend;
use crate::program::{Failure, HandlerWork, Work, catch_panic, verdict};
use crate::values::Claims;

/// Handles one message, or the begin of a connection; the connection's next message waits for the
/// end of it.
pub(super) async fn handle(
    handle: ShardHandle,
    id: ConnId,
    message: Option<Arc<Message>>,
    work: Option<HandlerWork>,
    timeout: Option<Duration>,
) {
    let failure = match work {
        Some(work) => in_time(&handle, timeout, work).await.err(),
        None => None,
    };
    if let Some(failure) = &failure {
        log_failure(id, failure);
    }
    handle.end_call(id, failure, message.as_deref());
}

/// Decides about a command, for which the connection's next message waits.
pub(super) async fn decide(
    handle: ShardHandle,
    id: ConnId,
    mut asked: AskedCommand,
    work: Work<Result<Option<Draft>, Failure>>,
    timeout: Option<Duration>,
) {
    let judged = in_time(&handle, timeout, work).await;
    if let Err(failure) = &judged {
        log_failure(id, failure);
    }
    let verdict = verdict(&mut asked, judged);
    handle.decide(id, asked, verdict);
}

/// Verifies a fresh token, for which the connection's next message waits.
pub(super) async fn refresh(
    handle: ShardHandle,
    id: ConnId,
    refresh: Refresh,
    work: Work<Result<Claims, Failure>>,
    timeout: Option<Duration>,
) {
    let claims = in_time(&handle, timeout, work).await.map_err(|failure| {
        log_failure(id, &failure);
        failure.client.unwrap_or_else(|| NOT_VERIFIED.to_owned())
    });
    handle.end_refresh(id, refresh, claims);
}

/// What a client is sent when its token could not be verified, whatever it says.
const NOT_VERIFIED: &str = "the server could not verify the token; try again later";

/// Tells the program that a connection has ended.
pub(super) async fn part(
    handle: ShardHandle,
    id: ConnId,
    work: HandlerWork,
    timeout: Option<Duration>,
) {
    if let Err(failure) = in_time(&handle, timeout, work).await {
        tracing::warn!(connection = %id, "on_disconnect failed: {}", failure.log);
    }
}

/// Runs a handler for as long as it may take. Its future ends here in any case, where a panic of
/// its destructors is caught.
async fn in_time<T>(
    handle: &ShardHandle,
    timeout: Option<Duration>,
    work: Work<Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(timeout) = timeout else { return work.await };
    let done = catch_panic(async { handle.within(timeout, work).await }).await;
    match done {
        Ok(Some(result)) => result,
        Ok(None) => Err(Failure::unseen(format!("it took longer than {timeout:?}"))),
        Err(panic) => Err(Failure::unseen(panic)),
    }
}

/// What a client did wrong is no news for the operator.
fn log_failure(id: ConnId, failure: &Failure) {
    match failure.client {
        Some(_) => tracing::debug!(connection = %id, "a handler refused: {}", failure.log),
        None => tracing::warn!(connection = %id, "a handler failed: {}", failure.log),
    }
}
