//! What becomes of a connection that speaks plain HTTP.

use std::convert::Infallible;
use std::rc::Rc;
use std::task::Poll;

use corecast_shards::MemoryStage;
use futures_lite::{FutureExt, future};
use hyper::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use super::response::close_behind;
use super::routes::{Reply, respond};
use super::stream::{HttpStream, Outcome};
use super::{Backend, HttpError, Service, Transport};

/// hyper's buffer is no smaller than this (`MINIMUM_MAX_BUFFER_SIZE`).
const HYPER_HEAD_MIN: usize = 8192;

/// Serves one request after the other on a socket from which these bytes were read already. Hands
/// the connection back to the shard if the next one is a handshake, or the last one is answered
/// with events.
pub(crate) async fn serve<T: Transport>(
    service: Rc<Service<T::Shard>>,
    transport: T,
    bytes: Vec<u8>,
) {
    let shard = service.shard.clone();
    let stream = HttpStream::new(transport, bytes);
    let exchange = stream.exchange();
    let answered = Rc::clone(&exchange);
    let answer = service_fn(move |request| {
        let (service, exchange) = (Rc::clone(&service), Rc::clone(&answered));
        let is_judged = exchange.begin(service.shard.answering());
        let answer = async move {
            let reply = match is_judged {
                true => respond(&service, request, exchange.caller(), exchange.prepaid()).await,
                false => Reply::Response(HttpError::garbage().into_response()),
            };
            let mut response = match reply {
                Reply::Response(response) => response,
                Reply::Events(events) => {
                    exchange.leave(events);
                    future::pending().await
                }
            };
            if service.shard.is_draining() {
                close_behind(&mut response);
            }
            exchange.set_answered(response.body().size_hint().lower() as usize);
            Ok::<_, Infallible>(response)
        };
        answer.boxed_local()
    });
    let mut connection = http1::Builder::new()
        .max_buf_size(shard.limits().head_bytes.max(HYPER_HEAD_MIN))
        .header_read_timeout(None)
        .half_close(true)
        .serve_connection(stream, answer);
    // An error here is a client that hung up or spoke badly; hyper has told it what it could.
    let _ = future::poll_fn(|cx| match connection.poll_without_shutdown(cx) {
        Poll::Pending if exchange.has_left() => Poll::Ready(Ok(())),
        served => served,
    })
    .await;
    end(shard, connection.into_parts().io).await;
}

async fn end<T: Transport>(shard: T::Shard, mut stream: HttpStream<T>) {
    match stream.take_outcome() {
        Outcome::Ended => stream.linger(shard.limits().close_timeout).await,
        Outcome::Lost => stream.reset(),
        Outcome::Evicted => {}
        Outcome::Refused(error) => end_with(&shard, stream, &error.to_bytes()).await,
        Outcome::Upgrade => {
            let (transport, bytes) = stream.into_parts();
            transport.take_back(&bytes);
        }
        Outcome::Events(events) => match claim_stream(&shard, &mut stream) {
            // What was sent behind the request is none: this connection serves no other.
            Ok(()) => stream.into_parts().0.open_event_stream(events),
            Err((error, reason)) => {
                let answer = events.refusal(reason).unwrap_or_else(|| error.to_bytes());
                end_with(&shard, stream, &answer).await;
            }
        },
    }
}

/// Takes the place of a connection; or says why there is none, as a status and as a close reason.
fn claim_stream<T: Transport>(
    shard: &T::Shard,
    stream: &mut HttpStream<T>,
) -> Result<(), (HttpError, &'static str)> {
    shard.refuse_while_draining().map_err(|error| (error, "shutdown"))?;
    if shard.process_memory().stage >= MemoryStage::Refusing {
        shard.count_refused_for_memory();
        return Err((HttpError::short_of_memory(), "capacity"));
    }
    if !stream.claim_address() {
        let limit = shard.limits().address_connections;
        return Err((HttpError::too_many_connections(limit), "capacity"));
    }
    let full = || (HttpError::capacity(shard.limits().connections), "capacity");
    shard.claim_connection().then_some(()).ok_or_else(full)
}

/// Writes a last answer.
async fn end_with<T: Transport>(shard: &T::Shard, mut stream: HttpStream<T>, answer: &[u8]) {
    if stream.write_all(answer).await.is_ok() {
        stream.linger(shard.limits().close_timeout).await;
    }
}
