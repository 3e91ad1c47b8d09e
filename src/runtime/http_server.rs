//! What becomes of a connection that speaks plain HTTP.

use std::convert::Infallible;
use std::rc::Rc;
use std::task::Poll;

use futures_lite::{FutureExt, future};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;

use super::http_stream::{HttpStream, Outcome};
use super::hub::Hub;
use super::sys;
use crate::http::{self, HttpError, Reply};

/// hyper's buffer is no smaller than this (`MINIMUM_MAX_BUFFER_SIZE`).
const HYPER_HEAD_MIN: usize = 8192;

/// Serves one request after the other. Hands the connection back to the core if the next one is a
/// handshake, or the last one is answered with events.
pub(super) async fn serve(hub: Hub, stream: HttpStream) {
    // Only a peer that has gone already leaves a socket without address.
    let Ok(remote_addr) = sys::peer_address(stream.fd()) else { return };
    let exchange = stream.exchange();
    let (answerer, answered) = (hub.clone(), Rc::clone(&exchange));
    let service = service_fn(move |request| {
        let (hub, exchange) = (answerer.clone(), Rc::clone(&answered));
        let is_judged = exchange.begin(hub.answering());
        let answer = async move {
            let reply = match is_judged {
                true => http::respond(&hub, request, remote_addr).await,
                false => Reply::Response(HttpError::garbage().into_response()),
            };
            let mut response = match reply {
                Reply::Response(response) => response,
                Reply::Events(events) => {
                    exchange.leave(events);
                    future::pending().await
                }
            };
            if hub.is_draining() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            exchange.set_answered();
            Ok::<_, Infallible>(response)
        };
        answer.boxed_local()
    });
    let mut connection = http1::Builder::new()
        .max_buf_size(hub.limits().head_bytes.max(HYPER_HEAD_MIN))
        .header_read_timeout(None)
        .half_close(true)
        .serve_connection(stream, service);
    // An error here is a client that hung up or spoke badly; hyper has told it what it could.
    let _ = future::poll_fn(|cx| match connection.poll_without_shutdown(cx) {
        Poll::Pending if exchange.has_left() => Poll::Ready(Ok(())),
        served => served,
    })
    .await;
    end(hub, connection.into_parts().io).await;
}

async fn end(hub: Hub, mut stream: HttpStream) {
    match stream.take_outcome() {
        Outcome::Ended => stream.linger(hub.limits().close_timeout).await,
        Outcome::Lost => stream.reset(),
        Outcome::Evicted => {}
        Outcome::Refused(error) => end_with(&hub, stream, &error.to_bytes()).await,
        Outcome::Upgrade => {
            let (fd, place, bytes) = stream.into_socket();
            hub.take_back(fd, place, &bytes);
        }
        Outcome::Events(events) => match claim_stream(&hub) {
            Ok(()) => {
                // What was sent behind the request is none: this connection serves no other.
                let (fd, _, _) = stream.into_socket();
                hub.open_events(fd, events);
            }
            Err((error, reason)) => {
                let answer = events.refusal(reason).unwrap_or_else(|| error.to_bytes());
                end_with(&hub, stream, &answer).await;
            }
        },
    }
}

/// Takes the place of a connection; or says why there is none, as a status and as a close reason.
fn claim_stream(hub: &Hub) -> Result<(), (HttpError, &'static str)> {
    hub.refuse_while_draining().map_err(|error| (error, "shutdown"))?;
    hub.claim_connection().map_err(|error| (error, "capacity"))
}

/// Writes a last answer.
async fn end_with(hub: &Hub, mut stream: HttpStream, answer: &[u8]) {
    if stream.write_all(answer).await.is_ok() {
        stream.linger(hub.limits().close_timeout).await;
    }
}
