//! A connection that speaks plain HTTP, as hyper wants it.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::future;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::alarms::Sleep;
use super::hub::Hub;
use super::sys;

/// A socket that one task reads and writes, woken by the hub's poller; with the bytes of the first
/// request that were read already.
///
/// It stays in the hub's epoll rather than becoming a stream of glommio's: so the hub sleeps in one
/// place, whether or not there are HTTP connections.
pub(crate) struct HttpStream {
    hub: Hub,
    fd: OwnedFd,
    watch: u64,
    head: Vec<u8>,
    head_taken: usize,
    stage: Rc<Cell<Stage>>,
    /// When the present stage has lasted too long.
    patience: Option<(Stage, Sleep)>,
}

/// What the client of an HTTP connection is doing, which says how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Between two requests.
    Idle,
    /// It has begun a head.
    Head,
    /// Its request is being answered; whoever reads the body looks at the clock.
    Busy,
}

/// How long a connection may be idle between two requests.
const IDLE_MAX: Duration = Duration::from_secs(60);

impl HttpStream {
    /// Takes a non-blocking socket over that the poller watches under the key `watch`.
    pub(crate) fn new(hub: Hub, fd: OwnedFd, watch: u64, head: Vec<u8>) -> HttpStream {
        let stage = Rc::new(Cell::new(Stage::Head));
        HttpStream { hub, fd, watch, head, head_taken: 0, stage, patience: None }
    }

    /// For whoever answers the requests, to tell when one begins and ends.
    pub(crate) fn stage(&self) -> Rc<Cell<Stage>> {
        Rc::clone(&self.stage)
    }

    /// Ends our side, and discards what the peer still sends until its end, so that our last
    /// answer is not torn away by a reset.
    pub(crate) async fn linger(mut self, timeout: Duration) {
        sys::shutdown_write(&self.fd);
        let hub = self.hub.clone();
        let discard = async {
            let mut buffer = [0; READ_BYTES];
            while matches!(future::poll_fn(|cx| self.poll_receive(cx, &mut buffer)).await, Ok(1..))
            {
            }
        };
        hub.within(timeout, discard).await;
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match sys::receive(&self.fd, buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.hub.with_core(|core| core.watches.wait_to_read(self.watch, cx.waker()));
                Poll::Pending
            }
            received => Poll::Ready(received),
        }
    }

    /// Ends a connection that takes too long. A head's time runs from its first byte, however
    /// slowly the others trickle in.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let limit = match self.stage.get() {
            Stage::Idle => IDLE_MAX,
            Stage::Head => self.hub.limits().handshake_timeout,
            Stage::Busy => {
                self.patience = None;
                return Poll::Pending;
            }
        };
        let stage = self.stage.get();
        if self.patience.as_ref().is_none_or(|(began_in, _)| *began_in != stage) {
            self.patience = Some((stage, Sleep::new(&self.hub, limit)));
        }
        let Some((_, patience)) = &mut self.patience else { return Poll::Pending };
        Pin::new(patience).poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Bytes read at once: requests are small, and a body arrives in several reads.
const READ_BYTES: usize = 4096;

impl Read for HttpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let room = cursor.remaining();
        let stream = &mut *self;
        if stream.head_taken < stream.head.len() {
            let head = &stream.head[stream.head_taken..];
            let taken = head.len().min(room);
            cursor.put_slice(&head[..taken]);
            stream.head_taken += taken;
            return Poll::Ready(Ok(()));
        }
        (stream.head, stream.head_taken) = (Vec::new(), 0);
        let mut buffer = [0; READ_BYTES];
        match stream.poll_receive(cx, &mut buffer[..room.min(READ_BYTES)]) {
            Poll::Ready(received) => {
                if stream.stage.get() == Stage::Idle {
                    stream.stage.set(Stage::Head);
                }
                cursor.put_slice(&buffer[..received?]);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => stream.poll_patience(cx),
        }
    }
}

impl Write for HttpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match sys::send(&self.fd, bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.hub.with_core(|core| core.watches.wait_to_write(self.watch, cx.waker()));
                Poll::Pending
            }
            sent => Poll::Ready(sent),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        sys::shutdown_write(&self.fd);
        Poll::Ready(Ok(()))
    }
}

impl Drop for HttpStream {
    fn drop(&mut self) {
        self.hub.with_core(|core| core.watches.remove(self.watch));
    }
}
