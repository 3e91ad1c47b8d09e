//! Whether the kernel gives this process the io_urings that glommio needs.

use std::sync::mpsc;
use std::{io, thread};

use io_uring::{IoUring, Probe, opcode};

use super::executor::{RING_DEPTH, is_out_of_memory};
use super::obstacle::{NEWER_KERNEL, io_uring_obstacle, no_thread, thread_killing_filter};
use super::sys;
use crate::values::Obstacle;

/// What glommio insists on (`GLOMMIO_URING_OPS`, glommio 0.9.0 src/sys/uring.rs:234): without one
/// of these it ends the process.
const OPERATIONS: [(u8, &str); 23] = [
    (opcode::Nop::CODE, "NOP"),
    (opcode::Readv::CODE, "READV"),
    (opcode::Writev::CODE, "WRITEV"),
    (opcode::Fsync::CODE, "FSYNC"),
    (opcode::ReadFixed::CODE, "READ_FIXED"),
    (opcode::WriteFixed::CODE, "WRITE_FIXED"),
    (opcode::PollAdd::CODE, "POLL_ADD"),
    (opcode::PollRemove::CODE, "POLL_REMOVE"),
    (opcode::SendMsg::CODE, "SENDMSG"),
    (opcode::RecvMsg::CODE, "RECVMSG"),
    (opcode::Timeout::CODE, "TIMEOUT"),
    (opcode::TimeoutRemove::CODE, "TIMEOUT_REMOVE"),
    (opcode::Accept::CODE, "ACCEPT"),
    (opcode::LinkTimeout::CODE, "LINK_TIMEOUT"),
    (opcode::Connect::CODE, "CONNECT"),
    (opcode::Fallocate::CODE, "FALLOCATE"),
    (opcode::OpenAt::CODE, "OPENAT"),
    (opcode::Close::CODE, "CLOSE"),
    (opcode::Statx::CODE, "STATX"),
    (opcode::Read::CODE, "READ"),
    (opcode::Write::CODE, "WRITE"),
    (opcode::Send::CODE, "SEND"),
    (opcode::Recv::CODE, "RECV"),
];

/// Makes rings as glommio does and lets one do nothing once: what a filter of system calls refuses
/// is found out before glommio trips over it. Whether there is enough memory to lock is found out
/// where an executor is made, which can wait for it.
///
/// A thread of its own makes the rings: their end would interrupt the system calls in which the
/// calling thread waits later.
pub(super) fn probe() -> Result<(), Obstacle> {
    let (found, missing) = mpsc::channel();
    let look = move || {
        // It is waited for, until the thread ends.
        let _ = found.send(missing_operations());
    };
    let probing = thread::Builder::new().spawn(look).map_err(|error| no_thread(&error))?;
    sys::join(probing);
    // A thread that is killed drops nothing: the channel is empty and has its sender still.
    missing.try_recv().map_or_else(|_| Err(thread_killing_filter()), judge)
}

fn judge(missing: io::Result<Vec<&'static str>>) -> Result<(), Obstacle> {
    match missing {
        Ok(none) if none.is_empty() => Ok(()),
        Err(error) if is_out_of_memory(&error) => Ok(()),
        Err(error) => Err(io_uring_obstacle(&error)),
        Ok(missing) => Err(Obstacle {
            reason: format!("the io_uring of this kernel lacks {}", missing.join(", ")),
            remedy: NEWER_KERNEL.to_owned(),
        }),
    }
}

fn missing_operations() -> io::Result<Vec<&'static str>> {
    let mut ring = IoUring::new(RING_DEPTH)?;
    // The one for files, which glommio makes in any case.
    let _for_files: IoUring = IoUring::builder().setup_iopoll().build(RING_DEPTH)?;
    let mut known = Probe::new();
    ring.submitter().register_probe(&mut known)?;
    // SAFETY: it refers to no memory.
    unsafe { ring.submission().push(&opcode::Nop::new().build()) }
        .expect("an empty ring takes one entry");
    ring.submit_and_wait(1)?;
    let missing = OPERATIONS.into_iter().filter(|(code, _)| !known.is_supported(*code));
    Ok(missing.map(|(_, name)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_is_named_once() {
        let codes: std::collections::BTreeSet<u8> = OPERATIONS.map(|(code, _)| code).into();
        assert_eq!(codes.len(), OPERATIONS.len());
    }
}
