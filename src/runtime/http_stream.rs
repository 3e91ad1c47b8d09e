//! A connection that speaks plain HTTP, as hyper wants it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::pin::Pin;
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
    watch: u32,
    head: Vec<u8>,
    head_taken: usize,
    silence: Option<Sleep>,
    silence_max: Duration,
}

impl HttpStream {
    /// Takes a non-blocking socket over that the poller watches under the key `watch`. It ends by
    /// itself after `silence_max` without a byte.
    pub(crate) fn new(
        hub: Hub,
        fd: OwnedFd,
        watch: u32,
        head: Vec<u8>,
        silence_max: Duration,
    ) -> HttpStream {
        HttpStream { hub, fd, watch, head, head_taken: 0, silence: None, silence_max }
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
            Err(error) if is_transient(&error) => {
                self.hub.with_core(|core| core.watches.wait_to_read(self.watch, cx.waker()));
                Poll::Pending
            }
            received => Poll::Ready(received),
        }
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (hub, silence_max) = (&self.hub, self.silence_max);
        let silence = self.silence.get_or_insert_with(|| Sleep::new(hub, silence_max));
        Pin::new(silence).poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Bytes read at once: requests are small, and a body arrives in several reads.
const READ_BYTES: usize = 4096;

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

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
                stream.silence = None;
                cursor.put_slice(&buffer[..received?]);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => stream.poll_silence(cx),
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
            Err(error) if is_transient(&error) => {
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

impl AsRawFd for HttpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
