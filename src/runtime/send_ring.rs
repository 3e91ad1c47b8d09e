//! Sends in batches on an io_uring of the shard's own.

use std::fmt;
use std::io;

use io_uring::{IoUring, Probe, opcode, squeue, types};

use super::sender::{BATCH_SENDS_MAX, Send};

/// A ring on which only sends are submitted, and of which none is under way between two calls.
///
/// It belongs to the thread that made it, which alone submits (`SINGLE_ISSUER`), and the kernel
/// does its work within our system call and nowhere else (`DEFER_TASKRUN`). glommio's own rings
/// can be neither, because it looks at them without entering the kernel.
pub(super) struct SendRing {
    ring: IoUring,
    /// What vectored sends point to, by their place in the batch.
    headers: Box<[libc::msghdr; BATCH_SENDS_MAX]>,
}

/// A socket that cannot take bytes says so at once. Without this the kernel would keep the send
/// until it can, and a reader that stalls would hold up the whole batch.
const FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

impl SendRing {
    /// Makes a ring, or says why there is none.
    pub(super) fn new() -> io::Result<SendRing> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .build(BATCH_SENDS_MAX as u32)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let known = [opcode::Send::CODE, opcode::SendMsg::CODE];
        if !known.into_iter().all(|code| probe.is_supported(code)) {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        // Saves looking the ring's descriptor up in each call. Without it everything works.
        let _ = ring.submitter().register_ring_fd();
        // SAFETY: all zero is a valid msghdr: no address, no pieces, no control data (sendmsg(2)).
        let header = unsafe { std::mem::zeroed::<libc::msghdr>() };
        Ok(SendRing { ring, headers: Box::new([header; BATCH_SENDS_MAX]) })
    }

    /// Sends all and returns when all have ended; `ended` is told the place of each and how.
    pub(super) fn send(
        &mut self,
        sends: &[Send],
        iovecs: &mut [libc::iovec],
        mut ended: impl FnMut(usize, io::Result<usize>),
    ) {
        assert!(sends.len() <= BATCH_SENDS_MAX, "a batch fits the ring");
        for (index, send) in sends.iter().enumerate() {
            let entry = self.entry(index, send, iovecs).user_data(send.place as u64);
            // SAFETY: the kernel reads the descriptor, the pieces and, for a vectored send, the
            // header until the send completes. `Sender` has made the pieces from slices that are
            // borrowed until this function returns, it keeps the list of pieces as it is, and
            // `self.headers` is a box that nobody else touches; the socket is open as long as its
            // send is begun. This function returns only when `finish` has seen every completion.
            unsafe { self.ring.submission().push(&entry) }.expect("a batch fits the ring");
        }
        self.finish(sends.len(), &mut ended);
    }

    fn entry(&mut self, index: usize, send: &Send, iovecs: &mut [libc::iovec]) -> squeue::Entry {
        let fd = types::Fd(send.fd);
        let pieces = &mut iovecs[send.iovecs.clone()];
        if let [only] = pieces
            && let Ok(len) = u32::try_from(only.iov_len)
        {
            return opcode::Send::new(fd, only.iov_base.cast(), len).flags(FLAGS).build();
        }
        let header = &mut self.headers[index];
        header.msg_iov = pieces.as_mut_ptr();
        header.msg_iovlen = pieces.len();
        opcode::SendMsg::new(fd, header).flags(FLAGS as u32).build()
    }

    /// Submits what was pushed and waits until all of it has completed, in whatever way.
    fn finish(&mut self, mut left: usize, ended: &mut impl FnMut(usize, io::Result<usize>)) {
        while left > 0 {
            match self.ring.submit_and_wait(left) {
                Ok(_) => {}
                // EAGAIN: no memory for a request at the moment; those before it are on their way.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => {}
                Err(error) => {
                    // The kernel may still be reading from memory that unwinding would free.
                    eprintln!("corecast: the ring for sends is broken: {error}");
                    std::process::abort();
                }
            }
            for completion in self.ring.completion() {
                let result = completion.result();
                let result =
                    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
                ended(completion.user_data() as usize, result);
                left -= 1;
            }
        }
    }
}

impl fmt::Debug for SendRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendRing").finish_non_exhaustive()
    }
}
