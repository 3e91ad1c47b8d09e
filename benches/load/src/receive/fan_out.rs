//! When a message reached the first of the members that it was for, and when the last.
//!
//! Threads share nothing for that: each keeps what its own members got, in the order of the
//! messages, and all are added up when the run is over.

use std::ops::Range;

use hdrhistogram::Histogram;

use crate::setup::streams::Streams;
use crate::watch::histogram::histogram;

/// What one thread knows about that.
///
/// Messages that are followed become too many some time; then every second one is forgotten and
/// none of its kind is followed any more, until one in 2, 4, 8 … is left. Streams take turns, so
/// that what is left is not always the first message of each.
#[derive(Clone, Debug)]
pub(crate) struct FanOut {
    /// One message in 2 to the power of this is followed.
    shift: u32,
    kept: usize,
    most: usize,
    /// Messages that are followed, of each stream, in order.
    streams: Vec<Vec<Passage>>,
    /// Members of each room that messages are for: those that read as fast as they can.
    readers: Vec<u64>,
}

/// What is known about one message.
#[derive(Clone, Copy, Debug)]
struct Passage {
    /// The shortest latency, in nanoseconds.
    first: u64,
    longest: u64,
    members: u32,
}

/// Messages that are followed, by when they reached everybody.
#[derive(Debug)]
pub(crate) struct LastMembers {
    /// Until they reached the last member, since they were due or, in the closed loop, sent.
    pub(crate) last: Histogram<u64>,
    /// Between the first member and the last.
    pub(crate) skew: Histogram<u64>,
    /// Messages that did not reach all members that they were for, or were not even sent.
    pub(crate) missing: u64,
    /// One message in so many is followed.
    pub(crate) one_in: u64,
}

/// So many are followed: enough for a quantile of 99.9 %, and 1.5 MiB.
const MOST: usize = 1 << 16;

impl Default for Passage {
    fn default() -> Self {
        Self { first: u64::MAX, longest: 0, members: 0 }
    }
}

impl Passage {
    #[inline]
    fn note(&mut self, latency: u64) {
        self.first = self.first.min(latency);
        self.longest = self.longest.max(latency);
        self.members += 1;
    }

    fn add(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.longest = self.longest.max(other.longest);
        self.members += other.members;
    }
}

impl FanOut {
    /// To begin with, one message in so many is followed; a power of two.
    pub(crate) fn new(streams: Streams, one_in: u32) -> Self {
        Self { shift: one_in.ilog2(), ..Self::with_most(streams, MOST) }
    }

    fn with_most(streams: Streams, most: usize) -> Self {
        Self {
            shift: 0,
            kept: 0,
            most,
            streams: vec![Vec::new(); streams.count() as usize],
            readers: vec![0; streams.rooms as usize],
        }
    }

    /// A message reached one more member, once.
    #[inline]
    pub(crate) fn see(&mut self, stream: u32, sequence: u32, latency: u64) {
        let turn = u64::from(sequence) + u64::from(stream);
        let Some(nth) = self.place(stream, turn) else { return };
        match self.streams[stream as usize].get_mut(nth) {
            Some(passage) => passage.note(latency),
            None => self.begin(stream, turn, latency),
        }
    }

    /// Where a message of a stream is kept, if it is followed.
    #[inline]
    fn place(&self, stream: u32, turn: u64) -> Option<usize> {
        let is_followed = turn & ((1 << self.shift) - 1) == 0;
        is_followed.then(|| ((turn >> self.shift) - first_turn(stream, self.shift)) as usize)
    }

    /// Makes room first, so that a thread whose first message comes late in a stream takes no more
    /// than others. The message itself may be one of those that are forgotten then.
    #[cold]
    fn begin(&mut self, stream: u32, turn: u64, latency: u64) {
        while let Some(nth) = self.place(stream, turn) {
            let passages = &mut self.streams[stream as usize];
            let kept = self.kept + (nth + 1).saturating_sub(passages.len());
            if kept > self.most {
                self.thin();
                continue;
            }
            self.kept = kept;
            passages.resize(passages.len().max(nth + 1), Passage::default());
            return passages[nth].note(latency);
        }
    }

    fn thin(&mut self) {
        self.kept = 0;
        for (stream, passages) in (0..).zip(&mut self.streams) {
            let mut turn = first_turn(stream, self.shift);
            passages.retain(|_| {
                turn += 1;
                turn % 2 == 1
            });
            self.kept += passages.len();
        }
        self.shift += 1;
    }

    /// Messages of a room are for one member more.
    pub(crate) fn count_reader(&mut self, room: u32) {
        self.readers[room as usize] += 1;
    }

    /// Adds what another thread knows.
    pub(crate) fn merge(&mut self, mut other: Self) {
        while self.shift < other.shift {
            self.thin();
        }
        while other.shift < self.shift {
            other.thin();
        }
        for (ours, theirs) in self.streams.iter_mut().zip(other.streams) {
            if ours.len() < theirs.len() {
                ours.resize(theirs.len(), Passage::default());
            }
            ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| ours.add(theirs));
        }
        self.readers.iter_mut().zip(other.readers).for_each(|(ours, theirs)| *ours += theirs);
    }

    /// What became of all messages that are followed: of each stream so many were published, and
    /// others were not even sent.
    pub(crate) fn settle(
        &self,
        streams: Streams,
        published: impl Fn(u32) -> u32,
        unsent: u64,
    ) -> LastMembers {
        let one_in = 1 << self.shift;
        let mut all = LastMembers { last: histogram(3), skew: histogram(3), missing: 0, one_in };
        for (room, &readers) in (0..).zip(&self.readers) {
            // What is for nobody reaches everybody at once.
            for stream in streams.of(room).filter(|_| readers > 0) {
                self.settle_stream(stream, published(stream), readers, &mut all);
            }
        }
        if self.readers.iter().any(|&readers| readers > 0) {
            all.missing += unsent.div_ceil(one_in);
        }
        all
    }

    fn settle_stream(&self, stream: u32, published: u32, readers: u64, all: &mut LastMembers) {
        let passages = &self.streams[stream as usize];
        for nth in 0..self.turns(stream, published).count() {
            match passages.get(nth).filter(|passage| u64::from(passage.members) >= readers) {
                Some(passage) => {
                    all.last.saturating_record(passage.longest);
                    all.skew.saturating_record(passage.longest - passage.first);
                }
                None => all.missing += 1,
            }
        }
    }

    /// The turns of those messages of a stream that are followed.
    fn turns(&self, stream: u32, published: u32) -> Range<u64> {
        let end = u64::from(stream) + u64::from(published);
        first_turn(stream, self.shift)..end.div_ceil(1 << self.shift)
    }
}

/// The turn of a stream's first message that is followed.
fn first_turn(stream: u32, shift: u32) -> u64 {
    u64::from(stream).div_ceil(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Streams = Streams { rooms: 1, publishers: 1 };

    #[test]
    fn the_last_of_all_threads_counts_and_the_first() {
        let [mut a, mut b] = [(); 2].map(|()| FanOut::new(ONE, 1));
        for (sequence, first, last) in [(0, 1_000, 4_000), (1, 2_000, 3_000), (2, 500, 600)] {
            a.see(0, sequence, first);
            b.see(0, sequence, last);
        }
        // This one reached one of them only.
        b.see(0, 3, 900);
        a.count_reader(0);
        b.count_reader(0);
        a.merge(b);
        let all = a.settle(ONE, |_| 5, 7);
        assert_eq!((all.last.len(), all.missing, all.one_in), (3, 2 + 7, 1));
        let equal = |histogram: &Histogram<u64>, share, value| {
            histogram.equivalent(histogram.value_at_quantile(share), value)
        };
        assert!(equal(&all.last, 1.0, 4_000) && equal(&all.last, 0.0, 600), "{all:?}");
        assert!(equal(&all.skew, 1.0, 3_000) && equal(&all.skew, 0.0, 100), "{all:?}");
    }

    #[test]
    fn what_nobody_got_is_missing_unless_it_was_for_nobody() {
        let mut fan_out = FanOut::new(Streams { rooms: 2, publishers: 2 }, 1);
        let settled = |it: &FanOut| it.settle(Streams { rooms: 2, publishers: 2 }, |_| 10, 0);
        assert_eq!(settled(&fan_out).missing, 0);
        fan_out.count_reader(1);
        assert_eq!(settled(&fan_out).missing, 10);
    }

    /// Whatever is forgotten on the way, what is left is whole, and all streams have their share.
    #[test]
    fn a_part_of_the_messages_stands_for_all() {
        let streams = Streams { rooms: 3, publishers: 7 };
        let all = || (0..1_000).flat_map(|sequence| (0..7).map(move |stream| (stream, sequence)));
        let mut threads: Vec<_> = [300, 5_000].map(|most| FanOut::with_most(streams, most)).into();
        for (stream, sequence) in all() {
            for (nth, thread) in threads.iter_mut().enumerate() {
                // The second thread misses every hundredth message.
                if nth == 0 || sequence % 100 != 99 {
                    thread.see(stream, sequence, 1_000 + u64::from(sequence));
                }
            }
        }
        for thread in &mut threads {
            (0..3).for_each(|room| thread.count_reader(room));
            assert!(thread.kept <= thread.most, "{} of {}", thread.kept, thread.most);
        }
        let (mut sum, other) = (threads.remove(0), threads.remove(0));
        sum.merge(other);
        let settled = sum.settle(streams, |_| 1_000, 64);
        assert_eq!(settled.one_in, 32);
        let followed =
            all().filter(|(stream, sequence)| (stream + sequence) % 32 == 0).collect::<Vec<_>>();
        let missing = followed.iter().filter(|(_, sequence)| sequence % 100 == 99).count() as u64;
        assert!(missing > 0);
        assert_eq!(settled.missing, missing + 2);
        assert_eq!(settled.last.len(), followed.len() as u64 - missing);
        assert_eq!(settled.skew.max(), 0);
    }

    /// A thread whose members were not served before.
    #[test]
    fn a_first_message_that_comes_late_takes_no_more_room() {
        let mut fan_out = FanOut::with_most(ONE, 100);
        fan_out.see(0, 4_000_000_001, 5_000);
        assert_eq!(fan_out.kept, 0, "it is not followed any more");
        fan_out.see(0, 1 << 31, 5_000);
        assert!(fan_out.streams[0].capacity() <= 100, "{}", fan_out.streams[0].capacity());
        assert_eq!((fan_out.kept, fan_out.shift), (65, 25));
        fan_out.count_reader(0);
        let settled = fan_out.settle(ONE, |_| (1 << 31) + 1, 0);
        assert_eq!((settled.last.len(), settled.missing, settled.one_in), (1, 64, 1 << 25));
    }

    /// A stream of its own for each room, and one message in each.
    #[test]
    fn many_rooms_do_not_keep_more_than_there_is_place_for() {
        let streams = Streams { rooms: 1_000, publishers: 1 };
        let mut fan_out = FanOut::with_most(streams, 100);
        for room in 0..1_000 {
            fan_out.see(room, 0, 5_000);
            fan_out.count_reader(room);
        }
        assert!(fan_out.kept <= 100);
        let settled = fan_out.settle(streams, |_| 1, 0);
        assert_eq!((settled.one_in, settled.missing), (16, 0));
        assert_eq!(settled.last.len(), 63);
    }
}
