//! A turn's sends.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use corecast_shards::{ConnId, SendEnd, Shard};

use super::batch::BATCH_SENDS_MAX;
use super::driver::ShardDriver;
use super::kernel::Syscall;
use super::sockets::Ending;
use super::sys;
use super::turn_time::QUANTUM_TIME_MAX;

/// Connections flushed for their own frames in one turn.
const DIRECT_SENDS_PER_TURN: usize = 64;

/// Bytes of one batch, give or take one send: some 60 µs, so that the clock is read in time.
const BATCH_BYTES_MAX: u64 = 256 << 10;

impl ShardDriver {
    pub(super) fn flush_direct(&mut self) {
        let mut left = DIRECT_SENDS_PER_TURN;
        let mut begin = None;
        while left > 0 && self.begin_sends(left, Shard::next_direct_send) {
            left -= self.begun.len();
            if self.send_batch(&mut begin) > QUANTUM_TIME_MAX {
                return;
            }
        }
    }

    pub(super) fn flush_quantum(&mut self) {
        self.shard.begin_quantum();
        self.send_quantum();
        if self.shard.wants_quantum_end() {
            let now = self.now();
            self.shard.on_quantum_end(now);
        }
    }

    fn send_quantum(&mut self) {
        let mut begin = None;
        while self.begin_sends(BATCH_SENDS_MAX, Shard::next_room_send) {
            if self.send_batch(&mut begin) > QUANTUM_TIME_MAX {
                return;
            }
        }
    }

    /// Sends what is begun. Returns how long ago the first batch began.
    fn send_batch(&mut self, begin: &mut Option<Instant>) -> Duration {
        let begin = *begin.get_or_insert_with(Instant::now);
        self.send_begun();
        begin.elapsed()
    }

    /// Begins the next sends, as many as one batch takes. Returns whether there were any.
    fn begin_sends(&mut self, most: usize, next: fn(&mut Shard) -> Option<ConnId>) -> bool {
        self.begun.clear();
        let offered_max = self.shard.offered() + BATCH_BYTES_MAX;
        while self.begun.len() < most.min(BATCH_SENDS_MAX) && self.shard.offered() < offered_max {
            let Some(id) = next(&mut self.shard) else { break };
            self.begun.push(id);
        }
        !self.begun.is_empty()
    }

    /// Hands the begun sends to the kernel and ends all of them. Nothing else happens in between:
    /// no event, no command, no close.
    fn send_begun(&mut self) {
        if self.sealed.is_some() {
            return self.send_sealed();
        }
        let (shard, sockets) = (&self.shard, &self.sockets);
        let sends = self.begun.iter().map(|id| {
            let socket = sockets.get(*id);
            let socket = socket.expect("a connection keeps its descriptor while it is sent to");
            (socket.as_fd(), move |each: &mut dyn FnMut(_)| shard.for_each_iovec(*id, each))
        });
        if let Err(error) = self.sender.send(sends, &mut self.counts) {
            self.note_failure(Syscall::RingEnter, &error);
            self.state.gauges(self.shard.id()).set_sends_on_ring(false);
        }
        for place in 0..self.begun.len() {
            let (id, end) = (self.begun[place], self.sender.end(place));
            self.shard.end_send(id, end);
            if end == SendEnd::Failed {
                self.on_failed_send(id);
            }
        }
    }

    /// What has arrived can still be read, and then comes the end.
    pub(super) fn on_failed_send(&mut self, id: ConnId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        sys::shutdown_both(socket);
        socket.readable = true;
        socket.ending = socket.ending.max(Ending::Broken);
        self.queue_read(id);
    }
}
