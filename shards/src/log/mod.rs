//! A room's recent frames on one shard: which are kept, freed and dropped.

#[cfg(any(test, debug_assertions))]
mod check;
mod chunk;
mod pins;
mod segment;
mod totals;

use std::collections::VecDeque;
use std::ops::Range;

use crate::format::{Encoding, Encodings, Frames};
use crate::memory::{Sum, vec_bytes};
use chunk::{Chunk, Fit};
pub(crate) use chunk::{ChunkPool, Rest};
pub(crate) use pins::Pin;
use pins::Pins;
use segment::Segment;

/// A room log: frames that are encoded for the wire, one after the other in memory, from the
/// oldest that a member still needs to the newest.
///
/// A log is a list of segments of consecutive messages. A segment holds each of them in every
/// encoding that members had when it came, one chunk of memory per encoding: so one cursor, one pin
/// and one low-water mark serve members of all formats.
///
/// Publishing appends once, whatever the number of members. A *position* counts what was ever
/// appended, from 1 on. A member has the position of the next message that it is to get, its
/// *cursor*. Positions run on when the room's offsets jump, because no member was here for a while,
/// or begin again, because the room ended meanwhile: the room knows the distance.
///
/// A member that a pass or a send leaves behind *pins* the segment that its cursor is in, so that the log
/// knows in O(1) what no member needs any more. Members that merely wait for the running pass are
/// not pinned: none of their cursors is below the *low-water mark*.
///
/// The limit of a log holds for the largest frame of each message, and not for all of its frames:
/// so a member has its place for as many messages, whatever encodings the others have.
///
/// Invariant: segments are in order of position, `first() <= next()`, `bytes` is the sum of the
/// frames kept, and `largest_bytes` that of the largest of each message. An empty log owns no
/// chunk.
#[derive(Debug)]
pub(crate) struct Log {
    segments: VecDeque<Segment>,
    next: u64,
    bytes: usize,
    largest_bytes: usize,
    /// Bytes of each chunk but the first.
    chunk_bytes: u32,
    /// Its index in the shard's totals.
    total_index: u32,
    appended_bytes: u64,
    /// Pins of members whose cursor is the end, in a segment that does not exist yet.
    tail: Pins,
    /// Members that are pinned because they are sent a history first.
    replay_pins: u32,
}

/// How much one send can still carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// Iovecs, each of consecutive memory.
    pub(crate) iovecs: usize,
    /// Bytes; the iovec that uses them up is carried whole.
    pub(crate) bytes: usize,
    /// Bytes that it carries already.
    pub(crate) used: usize,
}

impl Space {
    pub(crate) fn is_used_up(self) -> bool {
        self.iovecs == 0 || self.used >= self.bytes
    }
}

/// Where a short write ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The position of the first message of which nothing was taken.
    pub(crate) cursor: u64,
    /// The rest of the frame before it, if that was taken in part.
    pub(crate) rest: Option<Rest>,
}

impl Log {
    /// An empty log whose next message will have position `next`. Its chunks but the first have so many
    /// bytes ([`ChunkPool::chunk_bytes`]).
    pub(crate) fn new(next: u64, chunk_bytes: usize) -> Log {
        let chunk_bytes = u32::try_from(chunk_bytes).expect("Tuning::check says so");
        Log {
            segments: VecDeque::new(),
            next,
            bytes: 0,
            largest_bytes: 0,
            chunk_bytes,
            total_index: 0,
            appended_bytes: 0,
            tail: Pins::default(),
            replay_pins: 0,
        }
    }

    /// The same log, whose bytes are counted at this index of the shard's totals.
    pub(crate) fn counted_at(self, total_index: u32) -> Log {
        debug_assert_eq!(self.bytes, 0, "nothing was counted elsewhere");
        Log { total_index, ..self }
    }

    /// The position of the oldest message kept; `next` when there is none.
    pub(crate) fn first(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.first)
    }

    /// The position of the next message.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Bytes of the messages kept, in all encodings; a frame that several share counts once.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The position after the oldest segment, which is freed when no member's cursor is before it.
    pub(crate) fn end_of_oldest(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.end())
    }

    /// Bytes ever appended, of each message those of its largest frame; the difference of two
    /// readings is what came in between.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.appended_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Appends the next message in the encodings that members need. Returns how many bytes were
    /// copied.
    pub(crate) fn append(
        &mut self,
        frames: &Frames,
        needed: Encodings,
        pool: &mut ChunkPool,
    ) -> usize {
        assert!(!needed.is_empty(), "a message is kept for members");
        let last = self.segments.len().saturating_sub(1);
        let fit = Fit { segments: last, bytes: self.chunk_bytes as usize };
        let fits = self.segments.back_mut().is_some_and(|last| {
            debug_assert_eq!(last.end(), self.next);
            last.append(frames, needed, fit, pool)
        });
        if !fits {
            let fit = Fit { segments: self.segments.len(), ..fit };
            let segment = Segment::new(self.next, frames, needed, fit, pool);
            self.change_list(&mut pool.lists, |segments| segments.push_back(segment));
        }
        let (bytes, largest) = frames.sizes(needed);
        let is_large = largest > pool.tuning.copy_bytes;
        self.bytes += if is_large { frames.distinct_bytes(needed) } else { bytes };
        self.largest_bytes += largest;
        pool.totals.set(self.total_index, self.bytes);
        self.appended_bytes += largest as u64;
        self.next += 1;
        let tail = std::mem::take(&mut self.tail);
        let last = self.segments.back_mut().expect("a message was just appended");
        last.pins.add(tail);
        if is_large { 0 } else { bytes }
    }

    /// A member that a pass leaves behind has this cursor.
    pub(crate) fn pin(&mut self, cursor: u64, pin: Pin) {
        if let Some(pins) = self.pins_at(cursor) {
            *pins.count(pin) += 1;
            self.replay_pins += u32::from(pin == Pin::Replay);
        }
    }

    /// Takes back [`Log::pin`] of a member with this cursor.
    pub(crate) fn unpin(&mut self, cursor: u64, pin: Pin) {
        if let Some(pins) = self.pins_at(cursor) {
            let count = pins.count(pin);
            *count = count.checked_sub(1).expect("what is unpinned was pinned");
            self.replay_pins -= u32::from(pin == Pin::Replay);
        }
    }

    /// Whether members are pinned that are sent a history first.
    pub(crate) fn waits_for_replays(&self) -> bool {
        self.replay_pins > 0
    }

    /// Bytes from the oldest segment on in which such a member is pinned.
    pub(crate) fn bytes_behind_replays(&self) -> usize {
        if self.replay_pins == 0 {
            return 0;
        }
        let kept = self.segments.iter().take_while(|segment| segment.pins.replay == 0);
        self.largest_bytes - kept.map(|segment| segment.largest_bytes).sum::<usize>()
    }

    /// None when the segment was dropped, and its pins with it.
    fn pins_at(&mut self, cursor: u64) -> Option<&mut Pins> {
        if cursor >= self.next {
            assert_eq!(cursor, self.next, "no cursor is past the end");
            return Some(&mut self.tail);
        }
        let index = self.segment_of(cursor)?;
        Some(&mut self.segments[index].pins)
    }

    /// The index of the segment that holds a position; none when it was dropped.
    fn segment_of(&self, position: u64) -> Option<usize> {
        match self.segments.back() {
            // A member that waits for its pass is in the newest one, but in very large logs.
            Some(last) if last.first <= position => Some(self.segments.len() - 1),
            _ => self.segments.partition_point(|segment| segment.first <= position).checked_sub(1),
        }
    }

    /// Frees the oldest segments that lie wholly below the low-water mark and have no pins: no member
    /// that is not pinned has a cursor below the mark.
    pub(crate) fn free(&mut self, low_water: u64, pool: &mut ChunkPool) {
        while let Some(front) = self.segments.front() {
            if front.end() > low_water || front.pins != Pins::default() {
                return;
            }
            self.drop_front(pool);
        }
    }

    /// Drops the oldest segments while the log is over its limit. Kept are segments in which a member
    /// is held, those that reach above the low-water mark, and those that are being sent.
    pub(crate) fn trim(&mut self, bytes_max: usize, low_water: u64, pool: &mut ChunkPool) {
        while self.largest_bytes > bytes_max
            && let Some(front) = self.segments.front()
        {
            let kept = self.next - front.end();
            if front.end() > low_water
                || front.pins.keep_places()
                || kept < pool.tuning.log_messages
            {
                return;
            }
            self.drop_front(pool);
        }
    }

    fn drop_front(&mut self, pool: &mut ChunkPool) {
        let front = self.segments.pop_front().expect("the caller looked at it");
        self.bytes -= front.bytes();
        self.largest_bytes -= front.largest_bytes;
        pool.totals.set(self.total_index, self.bytes);
        front.recycle(pool);
        if self.segments.is_empty() {
            self.change_list(&mut pool.lists, |segments| *segments = VecDeque::new());
        }
    }

    fn change_list(&mut self, lists: &mut Sum, change: impl FnOnce(&mut VecDeque<Segment>)) {
        let before = self.list_bytes();
        change(&mut self.segments);
        lists.change(before, self.list_bytes());
    }

    fn list_bytes(&self) -> usize {
        vec_bytes::<Segment>(self.segments.capacity())
    }

    /// Calls `each` with the memory of the messages at these positions, in order.
    pub(crate) fn for_each_iovec<'a>(
        &'a self,
        positions: Range<u64>,
        encoding: Encoding,
        mut each: impl FnMut(&'a [u8]),
    ) {
        self.for_each_part(positions, encoding, |_, chunk, messages| each(chunk.slice(messages)));
    }

    /// Bytes of the messages at these positions.
    pub(crate) fn bytes_of(&self, positions: Range<u64>, encoding: Encoding) -> usize {
        let mut bytes = 0;
        self.for_each_iovec(positions, encoding, |iovec| bytes += iovec.len());
        bytes
    }

    /// The end of the longest run of these positions that there is space for; takes what it needs off.
    pub(crate) fn reach(
        &self,
        positions: Range<u64>,
        encoding: Encoding,
        space: &mut Space,
    ) -> u64 {
        let mut reached = positions.start;
        let index = self.segment_of(positions.start).expect("a cursor is in the log");
        for segment in self.segments.range(index..) {
            if space.is_used_up() || reached == positions.end {
                break;
            }
            let from = (reached - segment.first) as usize;
            reached = positions.end.min(segment.end());
            let iovec = segment.chunk(encoding).slice(from..(reached - segment.first) as usize);
            space.iovecs -= 1;
            space.used += iovec.len();
        }
        reached
    }

    /// Where a send of these positions ended of which only `taken` bytes were taken.
    pub(crate) fn cut(&self, positions: Range<u64>, encoding: Encoding, mut taken: usize) -> Cut {
        let mut cut = Cut { cursor: positions.end, rest: None };
        let mut found = false;
        self.for_each_part(positions, encoding, |first, chunk, messages| {
            if found {
                return;
            }
            let bytes = chunk.slice(messages.clone()).len();
            if taken >= bytes {
                taken -= bytes;
                return;
            }
            found = true;
            let (index, within) = chunk.locate(messages.start, taken);
            let whole = first + index as u64;
            cut = match within {
                0 => Cut { cursor: whole, rest: None },
                _ => Cut { cursor: whole + 1, rest: Some(chunk.rest(index, within)) },
            };
        });
        cut
    }

    /// Calls `each` with every chunk that holds some of these positions: the position of its first
    /// message, and which messages of it are meant.
    fn for_each_part<'a>(
        &'a self,
        positions: Range<u64>,
        encoding: Encoding,
        mut each: impl FnMut(u64, &'a Chunk, Range<usize>),
    ) {
        if positions.is_empty() {
            return;
        }
        let index = self.segment_of(positions.start).expect("a cursor is in the log");
        for segment in self.segments.range(index..) {
            let start = positions.start.max(segment.first);
            let end = positions.end.min(segment.end());
            if start >= end {
                return;
            }
            let messages = (start - segment.first) as usize..(end - segment.first) as usize;
            each(segment.first, segment.chunk(encoding), messages);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::Tuning;

    const TUNING: Tuning = Tuning::DEFAULT;
    const COPY_BYTES_MAX: usize = TUNING.copy_bytes;

    const WS: Encoding = Encoding::WebSocket;

    fn append(log: &mut Log, number: u64, bytes: usize, pool: &mut ChunkPool) {
        let frames = Frames::one(WS, &vec![number as u8; bytes]);
        log.append(&frames, Encodings::of([WS]), pool);
    }

    /// Messages 1..=count of `bytes` each.
    fn log(count: u64, bytes: usize) -> (Log, ChunkPool) {
        let (mut log, mut pool) =
            (Log::new(1, TUNING.large_chunk_bytes), ChunkPool::new(4 << 20, TUNING));
        for number in 1..=count {
            append(&mut log, number, bytes, &mut pool);
        }
        (log, pool)
    }

    fn text(log: &Log, positions: Range<u64>) -> Vec<u8> {
        let mut all = Vec::new();
        log.for_each_iovec(positions, WS, |iovec| all.extend_from_slice(iovec));
        all
    }

    #[test]
    fn any_range_is_its_frames_in_order() {
        for bytes in [1, 100, 3_000, COPY_BYTES_MAX, COPY_BYTES_MAX + 1] {
            let (log, _) = log(40, bytes);
            for (from, to) in [(1, 41), (1, 2), (17, 30), (40, 41), (20, 20)] {
                let expected: Vec<u8> = (from..to).flat_map(|n| vec![n as u8; bytes]).collect();
                assert_eq!(text(&log, from..to), expected, "{bytes} bytes, {from}..{to}");
                assert_eq!(log.bytes_of(from..to, WS), expected.len());
            }
        }
    }

    #[test]
    fn a_short_write_ends_between_or_inside_frames() {
        for bytes in [10, COPY_BYTES_MAX, COPY_BYTES_MAX + 1] {
            let (log, _) = log(20, bytes);
            assert_eq!(log.cut(3..21, WS, 0), Cut { cursor: 3, rest: None });
            assert_eq!(log.cut(3..21, WS, 5 * bytes), Cut { cursor: 8, rest: None });
            assert_eq!(log.cut(3..21, WS, 18 * bytes), Cut { cursor: 21, rest: None });
            let cut = log.cut(3..21, WS, 5 * bytes + 4);
            assert_eq!(cut.cursor, 9);
            match cut.rest.expect("frame 8 was cut") {
                Rest::Copied(rest) => assert_eq!(rest, vec![8; bytes - 4]),
                Rest::Shared(whole, taken) => {
                    assert!(bytes > COPY_BYTES_MAX);
                    assert_eq!((whole.len(), whole[0], taken), (bytes, 8, 4));
                }
            }
        }
    }

    #[test]
    fn a_log_that_no_member_needs_owns_nothing() {
        let (mut log, mut pool) = log(5_000, 200);
        log.free(5_000, &mut pool);
        assert!(!log.is_empty(), "the last message is above the low-water mark");
        log.free(5_001, &mut pool);
        assert!(log.is_empty());
        assert_eq!((log.first(), log.next(), log.bytes()), (5_001, 5_001, 0));
    }

    #[test]
    fn a_pin_keeps_its_segment_and_all_after_it() {
        let (mut log, mut pool) = log(5_000, 200);
        log.pin(2_000, Pin::Slow);
        log.free(5_001, &mut pool);
        assert!(log.first() <= 2_000);
        assert_eq!(text(&log, 2_000..2_001), vec![2_000_u64 as u8; 200]);
        log.unpin(2_000, Pin::Slow);
        log.free(5_001, &mut pool);
        assert!(log.is_empty());
    }

    #[test]
    fn a_pin_at_the_end_holds_the_message_that_comes() {
        let (mut log, mut pool) = log(3, 100);
        log.pin(4, Pin::Slow);
        log.free(4, &mut pool);
        assert!(log.is_empty());
        append(&mut log, 4, 100, &mut pool);
        log.free(5, &mut pool);
        assert_eq!(text(&log, 4..5), vec![4; 100]);
        log.unpin(4, Pin::Slow);
        log.free(5, &mut pool);
        assert!(log.is_empty());
    }

    #[test]
    fn only_slow_members_lose_their_place() {
        let limit = 64 << 10;
        let (mut log, mut pool) = log(5_000, 200);
        log.trim(limit, 1, &mut pool);
        assert_eq!(log.first(), 1, "nothing above the low-water mark is dropped");
        log.pin(1, Pin::Held);
        log.trim(limit, 5_001, &mut pool);
        assert_eq!(log.first(), 1, "nothing that is being sent is dropped");
        log.pin(1, Pin::Slow);
        log.unpin(1, Pin::Held);
        log.trim(limit, 5_001, &mut pool);
        assert!(log.first() > 1 && log.bytes() <= limit);
        log.unpin(1, Pin::Slow);
    }

    #[test]
    fn a_few_messages_stay_whatever_their_size() {
        let (mut log, mut pool) = log(10, 200 << 10);
        log.trim(1, 11, &mut pool);
        assert_eq!(log.next() - log.first(), TUNING.log_messages);
    }

    #[test]
    fn reach_counts_iovecs() {
        let (log, _) = log(10, COPY_BYTES_MAX + 1);
        let reach = |positions, iovecs| {
            let mut space = Space { iovecs, bytes: usize::MAX, used: 0 };
            (log.reach(positions, WS, &mut space), space.iovecs)
        };
        assert_eq!(reach(3..11, 0), (3, 0));
        assert_eq!(reach(3..11, 1), (4, 0));
        assert_eq!(reach(3..11, 5), (8, 0));
        assert_eq!(reach(3..11, 500), (11, 492));
        assert_eq!(reach(3..6, 5), (6, 2));
    }

    #[test]
    fn reach_counts_bytes_up_to_the_iovec_that_uses_them_up() {
        let frame = COPY_BYTES_MAX + 1;
        let (log, _) = log(10, frame);
        let reach = |positions, bytes| {
            let mut space = Space { iovecs: 100, bytes, used: 0 };
            (log.reach(positions, WS, &mut space), space.used)
        };
        assert_eq!(reach(3..11, 0), (3, 0));
        assert_eq!(reach(3..11, 1), (4, frame));
        assert_eq!(reach(3..11, 2 * frame), (5, 2 * frame));
        assert_eq!(reach(3..11, 2 * frame + 1), (6, 3 * frame));
        assert_eq!(reach(3..11, 9 * frame), (11, 8 * frame));
    }

    /// Messages of which some are for readers of one encoding, some for those of the other, and some
    /// for both: each of `bytes` bytes, and of twice as many in the second.
    fn mixed(bytes: usize, wanted: impl Fn(u64) -> (bool, bool)) -> (Log, ChunkPool) {
        let (mut log, mut pool) =
            (Log::new(1, TUNING.large_chunk_bytes), ChunkPool::new(4 << 20, TUNING));
        for number in 1..=40 {
            let frames = Frames::one(WS, &vec![number as u8; bytes])
                .and(Encoding::Sse, &vec![number as u8; 2 * bytes]);
            let (first, second) = wanted(number);
            let needed = [(WS, first), (Encoding::Sse, second)];
            let needed = needed.into_iter().filter(|(_, wanted)| *wanted);
            log.append(&frames, Encodings::of(needed.map(|(encoding, _)| encoding)), &mut pool);
        }
        (log, pool)
    }

    #[test]
    fn members_of_two_formats_come_and_go_in_one_log() {
        for bytes in [1, 100, 3_000, COPY_BYTES_MAX / 2 + 1, COPY_BYTES_MAX + 1] {
            // The second is there from 5 to 9, and from 20 to 29; the first leaves with 35.
            let second = |n| (5..10).contains(&n) || (20..30).contains(&n) || n >= 35;
            let (mut log, mut pool) = mixed(bytes, |n| (n < 35, second(n)));
            let text = |log: &Log, positions: Range<u64>, encoding| {
                let mut all = Vec::new();
                log.for_each_iovec(positions, encoding, |iovec| all.extend_from_slice(iovec));
                all
            };
            let expected = |from: u64, to: u64, bytes: usize| -> Vec<u8> {
                (from..to).flat_map(|n| vec![n as u8; bytes]).collect()
            };
            for (from, to) in [(1, 35), (4, 12), (9, 30)] {
                assert_eq!(text(&log, from..to, WS), expected(from, to, bytes), "{bytes}");
            }
            for (from, to) in [(5, 10), (7, 8), (20, 30), (35, 41)] {
                let sse = text(&log, from..to, Encoding::Sse);
                assert_eq!(sse, expected(from, to, 2 * bytes), "{bytes}, {from}..{to}");
                let cut = log.cut(from..to, Encoding::Sse, 2 * bytes);
                assert_eq!(cut, Cut { cursor: from + 1, rest: None }, "{bytes}, {from}..{to}");
            }
            log.free(41, &mut pool);
            assert_eq!((log.is_empty(), log.bytes()), (true, 0));
        }
    }

    #[test]
    fn a_log_smaller_than_others_has_smaller_chunks_and_shares_none() {
        let mut pool = ChunkPool::new(4 << 20, TUNING);
        let mut kept = Vec::new();
        for log_bytes in [4 << 20, 256 << 10, 4 << 10] {
            let chunk_bytes = pool.chunk_bytes(log_bytes);
            for _ in 0..2 {
                let mut log = Log::new(1, chunk_bytes);
                for number in 1..=3_000 {
                    append(&mut log, number, 200, &mut pool);
                    log.trim(log_bytes, number, &mut pool);
                }
                let most = log_bytes.max(4 * 200) + chunk_bytes;
                assert!(log.bytes() <= most, "{} bytes in a log of {log_bytes}", log.bytes());
                kept.push((chunk_bytes, log.segments.len()));
                log.free(3_001, &mut pool);
            }
        }
        let sizes: Vec<usize> = kept.iter().step_by(2).map(|(bytes, _)| bytes >> 10).collect();
        assert_eq!(sizes, [64, 32, 16]);
        let again = kept.chunks(2).all(|pair| pair[0] == pair[1]);
        assert!(again, "as many segments with used chunks as with new ones: {kept:?}");
    }

    #[test]
    fn an_encoding_that_comes_and_goes_takes_no_more_segments() {
        let (log, _) = mixed(100, |n| (true, n % 2 == 0));
        let (plain, _) = mixed(100, |_| (true, false));
        assert!(log.segments.len() <= plain.segments.len() + 1, "{}", log.segments.len());
        assert_eq!(log.bytes(), plain.bytes() + 20 * 200, "bytes of all encodings count");
    }

    /// A message of so many bytes, in one encoding, in two, and in three: the second has the same
    /// frame, and the third a frame of its own that is smaller.
    fn in_more_and_more(bytes: usize) -> [(Frames, Encodings); 3] {
        use Encoding::{Deflate9, Deflate15};
        let frames = Frames::one(WS, &vec![b'x'; bytes])
            .and_shared(Deflate15, WS)
            .and(Deflate9, &vec![b'y'; bytes / 3]);
        let encodings = [&[WS][..], &[WS, Deflate15], &[WS, Deflate15, Deflate9]];
        encodings.map(|encodings| (frames.clone(), Encodings::of(encodings.iter().copied())))
    }

    #[test]
    fn a_log_keeps_the_same_messages_in_however_many_encodings() {
        for bytes in [100, 3_000, COPY_BYTES_MAX, COPY_BYTES_MAX + 1, 70_000] {
            let kept = in_more_and_more(bytes).map(|(frames, needed)| {
                let (mut log, mut pool) = log(0, 0);
                log.pin(1, Pin::Slow);
                let (limit, before) = (1 << 20, log.appended_bytes());
                for number in 2..=2 + (3 << 20) / bytes as u64 {
                    log.append(&frames, needed, &mut pool);
                    log.trim(limit, number, &mut pool);
                }
                (log.first(), log.next(), log.appended_bytes() - before)
            });
            assert!(kept[0].0 > 1 && kept[0].0 < kept[0].1, "{kept:?}");
            assert!(kept.iter().all(|one| *one == kept[0]), "{bytes} bytes: {kept:?}");
        }
    }

    #[test]
    fn what_encodings_share_is_held_once() {
        let large = COPY_BYTES_MAX + 3;
        let rows = [(large, [large, large, large + large / 3]), (300, [300, 600, 700])];
        for (bytes, expected) in rows {
            for ((frames, needed), each) in in_more_and_more(bytes).into_iter().zip(expected) {
                let (mut log, mut pool) = log(0, 0);
                (0..10).for_each(|_| _ = log.append(&frames, needed, &mut pool));
                assert_eq!((log.bytes(), pool.totals.total()), (10 * each, 10 * each as u64));
                log.check(std::iter::empty());
                log.free(11, &mut pool);
                assert_eq!((log.bytes(), pool.totals.total()), (0, 0));
            }
        }
    }
}
