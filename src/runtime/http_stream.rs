//! A connection that speaks plain HTTP, as hyper wants it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite};
use glommio::net::TcpStream;
use glommio::timer::Timer;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::sys;

/// A socket in the executor's care, with the bytes of the first request that were read already.
#[derive(Debug)]
pub(crate) struct HttpStream {
    inner: TcpStream,
    head: Vec<u8>,
    head_taken: usize,
    silence: Option<Timer>,
    silence_max: Duration,
}

impl HttpStream {
    /// Takes a non-blocking socket over. It ends by itself after `silence_max` without a byte.
    pub(crate) fn new(fd: OwnedFd, head: Vec<u8>, silence_max: Duration) -> HttpStream {
        // SAFETY: the number comes from an owned descriptor that gives up its ownership here.
        let inner = unsafe { TcpStream::from_raw_fd(fd.into_raw_fd()) };
        HttpStream { inner, head, head_taken: 0, silence: None, silence_max }
    }

    /// Ends our side, and discards what the peer still sends until its end, so that our last
    /// answer is not torn away by a reset.
    pub(crate) async fn linger(mut self, timeout: Duration) {
        sys::shutdown_write(&self);
        let discard = async {
            let mut buffer = [0; 4096];
            while matches!(self.inner.read(&mut buffer).await, Ok(1..)) {}
        };
        let timer = async {
            Timer::new(timeout).await;
        };
        futures_lite::future::or(discard, timer).await;
        // The executor still waits for the socket; this ends that wait, and with it the connection.
        sys::shutdown_both(&self);
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let silence = self.silence.get_or_insert_with(|| Timer::new(self.silence_max));
        Pin::new(silence).poll(cx).map(|_| Err(io::ErrorKind::TimedOut.into()))
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
        stream.head = Vec::new();
        stream.head_taken = 0;
        let mut buffer = [0; READ_BYTES];
        let wanted = room.min(READ_BYTES);
        match Pin::new(&mut stream.inner).poll_read(cx, &mut buffer[..wanted]) {
            Poll::Ready(read) => {
                stream.silence = None;
                cursor.put_slice(&buffer[..read?]);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => stream.poll_silence(cx),
        }
    }
}

impl Write for HttpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        sys::shutdown_write(&*self);
        Poll::Ready(Ok(()))
    }
}

impl AsRawFd for HttpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}
