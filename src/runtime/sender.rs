//! How the bytes of begun sends get to sockets.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use corecast_shards::SendEnd;

use super::batch::PendingSend;
use super::send_ring::SendRing;
use super::settings::Sends;
use super::sys;
use crate::values::Counts;

/// Hands begun sends to the kernel: several with one system call on an io_uring of the shard's own,
/// or one by one.
///
/// Invariant: between two calls of [`BatchSender::send`] it holds no pointer into a message, so that
/// none outlives the slices it was made from.
#[derive(Debug)]
pub(crate) struct BatchSender {
    ring: Option<SendRing>,
    iovecs: Vec<libc::iovec>,
    sends: Vec<PendingSend>,
    /// How the sends of the last batch ended, by place; none until they have.
    ends: Vec<Option<SendEnd>>,
}

/// A send of more bytes goes alone, so that a batch hands over a megabyte at most and no slice takes
/// much longer than it may. Up to here the ring never loses: 1,000 members, CPU per delivery with
/// and without it, 4.8 and 5.4 µs at 1 KiB, 8.1 and 7.7 at 4 KiB, 8.5 and 8.8 at 8 KiB, 7.3 and 7.9
/// at 16 KiB, where from 4 KiB on the spreads overlap.
const RING_BYTES_MAX: usize = (16 << 10) + 1024;

/// Fewer sends than this are not worth a batch: with 10 members at 200 messages per second it cost
/// 10.1 µs per delivery (8.8 to 10.1), and plain sends 9.3 µs (9.1 to 9.3).
const RING_SENDS_MIN: usize = 16;

impl BatchSender {
    /// Decides between a ring and plain sends. Only a ring that was insisted on may fail.
    pub(crate) fn new(sends: Sends) -> io::Result<BatchSender> {
        let ring = match sends {
            Sends::Plain => None,
            Sends::Ring => Some(SendRing::new().map_err(explain)?),
            Sends::Auto => match SendRing::new() {
                Ok(ring) => Some(ring),
                Err(error) => {
                    tracing::warn!(%error, "no io_uring for sends; they go one by one");
                    None
                }
            },
        };
        Ok(BatchSender { ring, iovecs: Vec::new(), sends: Vec::new(), ends: Vec::new() })
    }

    /// Whether sends go over a ring.
    pub(crate) fn has_ring(&self) -> bool {
        self.ring.is_some()
    }

    /// Hands each socket the slices that its function gives, and returns when all have taken what
    /// they take. At most [`BATCH_SENDS_MAX`](super::batch::BATCH_SENDS_MAX).
    ///
    /// # Errors
    ///
    /// When the ring is lost. The sends have ended all the same, one by one, and so will all others.
    pub(crate) fn send<'a>(
        &mut self,
        sends: impl Iterator<Item = (BorrowedFd<'a>, impl FnOnce(&mut dyn FnMut(&'a [u8])))>,
        counts: &mut Counts,
    ) -> io::Result<()> {
        self.ends.clear();
        sends.for_each(|(fd, for_each)| self.gather(fd, for_each));
        if self.ring.is_some() {
            self.send_large(counts);
        }
        let ring = match self.sends.len() >= RING_SENDS_MIN {
            true => self.send_on_ring(counts),
            false => Ok(()),
        };
        self.send_plainly(0, counts);
        self.sends.clear();
        self.iovecs.clear();
        ring
    }

    /// How the send at `place` of the last batch ended.
    pub(crate) fn end(&self, place: usize) -> SendEnd {
        self.ends[place].expect("a batch is left when all its sends have ended")
    }

    fn gather<'a>(&mut self, fd: BorrowedFd<'a>, for_each: impl FnOnce(&mut dyn FnMut(&'a [u8]))) {
        let (first, mut bytes) = (self.iovecs.len(), 0);
        for_each(&mut |slice: &'a [u8]| {
            bytes += slice.len();
            self.iovecs.push(libc::iovec {
                iov_base: slice.as_ptr().cast_mut().cast(),
                iov_len: slice.len(),
            });
        });
        let (fd, place) = (fd.as_raw_fd(), self.ends.len());
        self.sends.push(PendingSend { fd, iovecs: first..self.iovecs.len(), bytes, place });
        self.ends.push(None);
    }

    /// Sends on the ring, if there is one, and leaves on the list what it did not take.
    fn send_on_ring(&mut self, counts: &mut Counts) -> io::Result<()> {
        let Some(ring) = &mut self.ring else { return Ok(()) };
        counts.send_batches += 1;
        counts.sends_batched += self.sends.len() as u64;
        let mut ended = 0;
        let note = |place: usize, result: io::Result<usize>| {
            // A send that a signal has interrupted is made again.
            if !is_interrupted(&result) {
                self.ends[place] = Some(end_of(result));
                ended += 1;
            }
        };
        // SAFETY: `gather` made the sends from descriptors and slices that live until
        // `BatchSender::send` returns.
        let sent = unsafe { ring.send(&self.sends, &mut self.iovecs, note) };
        if sent.is_err() {
            self.ring = None;
        }
        match ended == self.sends.len() {
            true => self.sends.clear(),
            false => self.sends.retain(|send| self.ends[send.place].is_none()),
        }
        sent
    }

    /// Sends what is too large for the ring, and takes it off the list.
    fn send_large(&mut self, counts: &mut Counts) {
        let small = self.sends.iter().filter(|send| send.bytes <= RING_BYTES_MAX).count();
        if small < self.sends.len() {
            self.sends.sort_by_key(|send| send.bytes > RING_BYTES_MAX);
            self.send_plainly(small, counts);
            self.sends.truncate(small);
        }
    }

    /// Sends those from `first` on, one by one.
    fn send_plainly(&mut self, first: usize, counts: &mut Counts) {
        counts.sends += (self.sends.len() - first) as u64;
        for send in &self.sends[first..] {
            // SAFETY: `gather` made the send from a descriptor and slices that live until
            // `BatchSender::send` returns.
            let result =
                unsafe { sys::send_iovecs(send.fd, &mut self.iovecs[send.iovecs.clone()]) };
            self.ends[send.place] = Some(end_of(result));
        }
    }
}

fn end_of(result: io::Result<usize>) -> SendEnd {
    match result {
        Ok(bytes) => SendEnd::Taken(bytes),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => SendEnd::Blocked,
            _ => SendEnd::Failed,
        },
    }
}

fn is_interrupted(result: &io::Result<usize>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::Interrupted)
}

fn explain(error: io::Error) -> io::Error {
    let message = format!("no io_uring for sends ({error}); choose --sends auto or plain");
    io::Error::new(error.kind(), message)
}
