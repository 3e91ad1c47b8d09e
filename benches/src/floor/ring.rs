//! Sends in batches on an io_uring of its own.

use std::io;
use std::os::fd::RawFd;

use io_uring::{IoUring, opcode, types};

/// Sends per submission. 64, 256 and 1,024 differ by less than the noise.
const BATCH: u32 = 256;

/// A ring on which only sends are submitted, and of which none is under way between two calls.
pub(super) struct Ring {
    ring: IoUring,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

impl Ring {
    pub(super) fn new() -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .build(BATCH)?;
        Ok(Ring { ring })
    }

    /// Sends the bytes to each of the sockets and returns when all have taken them or died.
    pub(super) fn send(
        &mut self,
        bytes: &[u8],
        fds: impl IntoIterator<Item = RawFd>,
    ) -> io::Result<()> {
        let mut fds = fds.into_iter();
        loop {
            let batch = fds.by_ref().take(BATCH as usize);
            let submitted = self.push(bytes, batch)?;
            if submitted == 0 {
                return Ok(());
            }
            self.finish(submitted)?;
        }
    }

    fn push(&mut self, bytes: &[u8], fds: impl Iterator<Item = RawFd>) -> io::Result<usize> {
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let mut submitted = 0;
        let mut queue = self.ring.submission();
        for fd in fds {
            // MSG_WAITALL: the kernel goes on with a send that was cut, instead of saying so.
            let send = opcode::Send::new(types::Fd(fd), bytes.as_ptr(), len)
                .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
                .build();
            // SAFETY: the kernel reads `bytes` and `fd` until the send completes. `Ring::send`,
            // the only caller, returns only when `finish` has seen every completion; until then
            // it holds the borrow of `bytes`, and its caller the sockets. `finish` aborts the
            // process rather than return early. A push that fails, which a batch no longer than
            // the queue cannot, leaves what was pushed before it unsubmitted: the error ends the
            // server, which submits nothing more.
            unsafe { queue.push(&send) }.map_err(io::Error::other)?;
            submitted += 1;
        }
        Ok(submitted)
    }

    /// Waits until `submitted` sends have completed, in whatever way. A socket that has died is
    /// noticed where it is read.
    fn finish(&mut self, mut submitted: usize) -> io::Result<()> {
        while submitted > 0 {
            match self.ring.submit_and_wait(submitted) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    eprintln!("floor: the ring is broken: {error}");
                    std::process::abort();
                }
            }
            submitted -= self.ring.completion().count();
        }
        Ok(())
    }
}
