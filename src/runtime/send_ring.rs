//! Sends in batches on an io_uring of the shard's own.

use std::fmt;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use io_uring::{
    CompletionQueue, IoUring, Probe, SubmissionQueue, Submitter, opcode, squeue, types,
};

use super::batch::{BATCH_SENDS_MAX, PendingSend};
use super::kernel::{self, Syscall};

/// A ring on which only sends are submitted, and of which none is under way between two calls.
///
/// It belongs to the thread that made it, which alone submits (`SINGLE_ISSUER`), and the kernel
/// does its work within our system call and nowhere else (`DEFER_TASKRUN`). The executor's own
/// rings can be neither, because it looks at them without entering the kernel.
pub(super) struct SendRing {
    ends: ManuallyDrop<Ends>,
    /// What the ends borrow; freed after them.
    ring: NonNull<IoUring>,
    /// What vectored sends point to, by their place in the batch.
    headers: Box<[libc::msghdr; BATCH_SENDS_MAX]>,
}

/// The three ends of a ring. They are kept, because only this submitter knows under which number
/// the thread has registered the ring.
struct Ends {
    submitter: Submitter<'static>,
    submission: SubmissionQueue<'static>,
    completion: CompletionQueue<'static>,
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
        // SAFETY: all zero is a valid msghdr: no address, no pieces, no control data (sendmsg(2)).
        let header = unsafe { std::mem::zeroed::<libc::msghdr>() };
        let mut ring = NonNull::from(Box::leak(Box::new(ring)));
        // SAFETY: the ring lives on the heap until `drop`, which ends these borrows before it, and
        // nothing else touches it meanwhile.
        let (submitter, submission, completion) = unsafe { ring.as_mut() }.split();
        let mut ends = ManuallyDrop::new(Ends { submitter, submission, completion });
        // Saves looking the ring's descriptor up in each call. Without it everything works.
        let _ = ends.submitter.register_ring_fd();
        Ok(SendRing { ends, ring, headers: Box::new([header; BATCH_SENDS_MAX]) })
    }

    /// Sends all and returns when all have ended; `ended` is told the place of each and how.
    ///
    /// # Errors
    ///
    /// When the kernel takes no more submissions. Then no send is under way, those of which `ended`
    /// was not told were never begun, and the ring is of no use any more.
    ///
    /// # Safety
    ///
    /// Each send's descriptor must be open, and its pieces among `iovecs` must be memory that can
    /// be read, until the call returns.
    pub(super) unsafe fn send(
        &mut self,
        sends: &[PendingSend],
        iovecs: &mut [libc::iovec],
        mut ended: impl FnMut(usize, io::Result<usize>),
    ) -> io::Result<()> {
        assert!(sends.len() <= BATCH_SENDS_MAX, "a batch fits the ring");
        // Learns that the last batch is gone.
        self.ends.submission.sync();
        let mut begun = 0;
        for (index, send) in sends.iter().enumerate() {
            if let Err(error) = kernel::enter(Syscall::RingSend, send.fd) {
                ended(send.place, Err(error));
                continue;
            }
            let entry = self.entry(index, send, iovecs).user_data(send.place as u64);
            // SAFETY: the kernel uses the descriptor, the pieces and, for a vectored send, the
            // header until the send completes. The caller keeps the first two, `iovecs` is borrowed
            // as it is, and `self.headers` is a box that nothing else touches. This function returns
            // only when no send is under way: `finish` sees to it.
            unsafe { self.ends.submission.push(&entry) }.expect("a batch fits the ring");
            begun += 1;
        }
        self.ends.submission.sync();
        self.finish(begun, &mut ended)
    }

    fn entry(
        &mut self,
        index: usize,
        send: &PendingSend,
        iovecs: &mut [libc::iovec],
    ) -> squeue::Entry {
        let fd = types::Fd(send.fd);
        let pieces = kernel::cut(Syscall::RingSend, send.fd, &mut iovecs[send.iovecs.clone()]);
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
    fn finish(
        &mut self,
        mut left: usize,
        ended: &mut impl FnMut(usize, io::Result<usize>),
    ) -> io::Result<()> {
        while left > 0 {
            let submitted = kernel::enter(Syscall::RingEnter, -1)
                .and_then(|()| self.ends.submitter.submit_and_wait(left));
            left -= self.reap(ended);
            match submitted {
                Ok(_) => {}
                // EAGAIN: no memory for a request at the moment; those before it are on their way.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => {}
                Err(error) if self.unsubmitted() == left => return Err(error),
                Err(error) => {
                    // The kernel may still be reading from memory that unwinding would free.
                    // Standard error may be closed or full.
                    let _ =
                        writeln!(io::stderr(), "corecast: the ring for sends is broken: {error}");
                    std::process::abort();
                }
            }
        }
        Ok(())
    }

    /// Takes what has completed; returns how many that were.
    fn reap(&mut self, ended: &mut impl FnMut(usize, io::Result<usize>)) -> usize {
        self.ends.completion.sync();
        let mut count = 0;
        for completion in &mut self.ends.completion {
            let result = completion.result();
            let result = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
            ended(completion.user_data() as usize, result);
            count += 1;
        }
        // Gives the places back to the kernel.
        self.ends.completion.sync();
        count
    }

    /// Sends that were pushed and that the kernel has not begun.
    fn unsubmitted(&mut self) -> usize {
        self.ends.submission.sync();
        self.ends.submission.len()
    }
}

impl Drop for SendRing {
    fn drop(&mut self) {
        // Else the thread would keep the ring open. It fails when registering did.
        let _ = self.ends.submitter.unregister_ring_fd();
        // SAFETY: the ends are dropped once, here, and not touched afterwards.
        unsafe { ManuallyDrop::drop(&mut self.ends) };
        // SAFETY: the pointer came from a box in `new`, and its last borrows have just ended.
        drop(unsafe { Box::from_raw(self.ring.as_ptr()) });
    }
}

impl fmt::Debug for SendRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendRing").finish_non_exhaustive()
    }
}
