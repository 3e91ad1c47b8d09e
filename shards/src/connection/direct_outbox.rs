//! Frames for one connection alone.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::format::Encoding;
use crate::log::Rest;
use crate::memory::{HeapBytes, vec_bytes};
use crate::tuning::DIRECT_IOVECS;

/// What one connection is sent besides its rooms' messages: the rest of a frame that was
/// cut, then its direct frames (replies, acks, emits) in order. Both go before any room's messages.
///
/// Frames that come while a send is under way wait in `next`, because the bytes of a send must not
/// move. Large frames that others are sent, too, are shared: each ends a *run*, and a send carries one
/// run, behind which nothing else follows while there are more.
///
/// Invariant: `start <= sent <= sending.len()`, a frame starts at `start`, and no frame starts
/// between `start + 1` and `sent`. Nothing of `shared` is sent before all of `sending` is.
#[derive(Debug, Default)]
pub(crate) struct DirectOutbox {
    rest: Vec<u8>,
    shared_rest: Option<Arc<[u8]>>,
    rest_taken: usize,
    /// The rest is whole events of a history, of which the first may have begun.
    rest_is_events: bool,
    sending: Vec<u8>,
    start: usize,
    sent: usize,
    /// The frame behind `sending`, and how much of it is sent.
    shared: Option<Arc<[u8]>>,
    shared_sent: usize,
    /// Runs behind that.
    runs: VecDeque<(Vec<u8>, Arc<[u8]>)>,
    /// Bytes of these.
    runs_bytes: usize,
    /// What is behind the last of them.
    next: Vec<u8>,
}

impl HeapBytes for DirectOutbox {
    /// Without large frames: those are shared.
    fn heap_bytes(&self) -> usize {
        let buffers = [&self.rest, &self.sending, &self.next];
        let runs = self.runs.iter().map(|(bytes, _)| bytes);
        let buffers = buffers.into_iter().chain(runs);
        let bytes: usize = buffers.map(|buffer| vec_bytes::<u8>(buffer.capacity())).sum();
        bytes + vec_bytes::<(Vec<u8>, Arc<[u8]>)>(self.runs.capacity())
    }
}

impl DirectOutbox {
    /// The large frames that it refers to.
    pub(crate) fn shared_frames(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        let runs = self.runs.iter().map(|(_, frame)| frame);
        self.shared_rest.iter().chain(&self.shared).chain(runs)
    }

    /// Queues a large frame behind what is there, without a copy.
    pub(crate) fn push_shared(&mut self, frame: Arc<[u8]>) {
        let before = std::mem::take(&mut self.next);
        self.runs_bytes += before.len() + frame.len();
        self.runs.push_back((before, frame));
    }

    /// Where whole frames are queued, after what is there.
    pub(crate) fn queue(&mut self) -> &mut Vec<u8> {
        &mut self.next
    }

    /// Queues the rest of a room's frame, in front of everything else.
    pub(crate) fn push_rest(&mut self, rest: Rest) {
        assert!(self.rest_bytes().is_empty(), "one frame is cut at a time");
        match rest {
            Rest::Copied(bytes) => (self.rest, self.rest_taken) = (bytes, 0),
            Rest::Shared(frame, taken) => {
                (self.shared_rest, self.rest_taken) = (Some(frame), taken);
            }
        }
    }

    /// Queues events that a stream's client missed, in front of everything else: they are the room's, as
    /// the rest of a frame is.
    pub(crate) fn push_events(&mut self, events: Vec<u8>) {
        self.push_rest(Rest::Copied(events));
        self.rest_is_events = true;
    }

    /// Whether there is an event of a history of which nothing was taken.
    pub(crate) fn owes_events(&self, encoding: Encoding) -> bool {
        let mut end = 0;
        while self.rest_is_events && end < self.rest.len() {
            if self.rest_taken <= end {
                return true;
            }
            let event = encoding.frame_len(&self.rest[end..]);
            end += event.expect("whole events are queued");
        }
        false
    }

    /// Bytes of direct frames, for their limit. The rest of a cut frame is the room's.
    pub(crate) fn len(&self) -> usize {
        self.sending.len() - self.sent
            + self.shared_bytes().len()
            + self.runs_bytes
            + self.next.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0 && self.rest_bytes().is_empty()
    }

    /// Makes everything queued so far part of the send that begins. What was left of the send
    /// before may move: no send refers to it now.
    ///
    /// All of it, because the rooms' messages come right after: an answer that stayed in `next`
    /// would be overtaken by the messages that it announces. Returns whether it is all, and not one run
    /// of several: then nothing may come after.
    pub(crate) fn begin(&mut self) -> bool {
        if self.shared.is_none() {
            let (mut bytes, shared) = match self.runs.pop_front() {
                Some((bytes, frame)) => {
                    self.runs_bytes -= bytes.len() + frame.len();
                    (bytes, Some(frame))
                }
                None => (std::mem::take(&mut self.next), None),
            };
            (self.shared, self.shared_sent) = (shared, 0);
            if self.sent == self.sending.len() {
                self.sending.clear();
                std::mem::swap(&mut self.sending, &mut bytes);
                (self.start, self.sent) = (0, 0);
            } else if !bytes.is_empty() {
                self.sending.drain(..self.start);
                self.sent -= self.start;
                self.start = 0;
                self.sending.append(&mut bytes);
            }
            if self.shared.is_none() {
                // Its memory is used again.
                self.next = bytes;
            }
        }
        self.runs.is_empty() && self.next.is_empty()
    }

    /// The memory of the send that was begun, in order; empty pieces mean nothing.
    pub(crate) fn iovecs(&self) -> [&[u8]; DIRECT_IOVECS] {
        [self.rest_bytes(), &self.sending[self.sent..], self.shared_bytes()]
    }

    fn shared_bytes(&self) -> &[u8] {
        self.shared.as_ref().map_or(&[], |frame| &frame[self.shared_sent..])
    }

    /// Takes `taken` bytes off what the send offered, which are frames of this encoding.
    ///
    /// Returns how many of `taken` were not ours.
    pub(crate) fn consume(&mut self, taken: usize, encoding: Encoding) -> usize {
        let rest = taken.min(self.rest_bytes().len());
        self.rest_taken += rest;
        if self.rest_bytes().is_empty() {
            (self.rest, self.shared_rest, self.rest_taken) = (Vec::new(), None, 0);
            self.rest_is_events = false;
        }
        let direct = (taken - rest).min(self.sending.len() - self.sent);
        self.sent += direct;
        self.advance_start(encoding);
        let shared = (taken - rest - direct).min(self.shared_bytes().len());
        self.shared_sent += shared;
        if self.shared_bytes().is_empty() {
            (self.shared, self.shared_sent) = (None, 0);
        }
        taken - rest - direct - shared
    }

    /// Drops every frame of which nothing was sent, but for the head that a response begins with.
    pub(crate) fn keep_frame_in_progress(&mut self, encoding: Encoding) {
        let head = |bytes: &[u8]| encoding.head_len(bytes);
        // An event stream is sent no shared frames, so that its head is not among the runs.
        (self.runs, self.runs_bytes) = (VecDeque::new(), 0);
        if self.shared_sent == 0 {
            self.shared = None;
        }
        let next = head(&self.next);
        self.next.truncate(next);
        let end = match self.sent > self.start {
            true => self.frame_end(encoding),
            false => self.sent + head(&self.sending[self.sent..]),
        };
        self.sending.truncate(end);
    }

    fn rest_bytes(&self) -> &[u8] {
        let rest = self.shared_rest.as_deref().unwrap_or(&self.rest);
        &rest[self.rest_taken..]
    }

    fn advance_start(&mut self, encoding: Encoding) {
        while self.start < self.sent {
            let end = self.frame_end(encoding);
            if end > self.sent {
                return;
            }
            self.start = end;
        }
    }

    fn frame_end(&self, encoding: Encoding) -> usize {
        let frame = encoding.frame_len(&self.sending[self.start..]);
        self.start + frame.expect("whole frames are queued, and this one starts here")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Opcode, push_frame};

    const WS: Encoding = Encoding::WebSocket;

    fn frame(payload: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        push_frame(&mut frame, Opcode::Text, payload.as_bytes());
        frame
    }

    fn pending(direct: &DirectOutbox) -> Vec<u8> {
        direct.iovecs().concat()
    }

    #[test]
    fn the_rest_goes_first_and_frames_keep_their_order() {
        let mut direct = DirectOutbox::default();
        direct.queue().extend_from_slice(&frame("a"));
        direct.push_rest(Rest::Copied(b"rest".to_vec()));
        direct.begin();
        direct.queue().extend_from_slice(&frame("b"));
        assert_eq!(pending(&direct), [b"rest".to_vec(), frame("a")].concat());
        assert_eq!(direct.consume(4 + 3 + 10, WS), 10);
        direct.begin();
        assert_eq!(pending(&direct), frame("b"));
        assert_eq!(direct.consume(3, WS), 0);
        assert!(direct.is_empty());
    }

    #[test]
    fn a_send_takes_up_everything_behind_the_rest_of_the_one_before() {
        let whole = [frame("one"), frame("two"), frame("later")].concat();
        for taken in 0..10 {
            let mut direct = DirectOutbox::default();
            direct.queue().extend_from_slice(&[frame("one"), frame("two")].concat());
            direct.begin();
            direct.queue().extend_from_slice(&frame("later"));
            direct.consume(taken, WS);
            direct.begin();
            assert_eq!(pending(&direct), &whole[taken..], "{taken} bytes taken");
            direct.keep_frame_in_progress(WS);
            let kept = if taken % 5 == 0 { 0 } else { 5 - taken % 5 };
            assert_eq!(pending(&direct), &whole[taken..taken + kept], "{taken} bytes taken");
        }
    }

    #[test]
    fn only_the_frame_in_progress_survives_a_goodbye() {
        let whole = [frame("one"), frame("two"), frame("three")].concat();
        for taken in 0..whole.len() {
            let mut direct = DirectOutbox::default();
            direct.queue().extend_from_slice(&whole);
            direct.begin();
            direct.queue().extend_from_slice(&frame("later"));
            direct.consume(taken, WS);
            direct.keep_frame_in_progress(WS);
            let expected = match taken {
                1..=4 => &whole[taken..5],
                6..=9 => &whole[taken..10],
                11.. => &whole[taken..],
                _ => &[],
            };
            assert_eq!(pending(&direct), expected, "{taken} bytes taken");
        }
    }

    #[test]
    fn a_large_rest_is_not_copied() {
        let large: Arc<[u8]> = Arc::from(vec![7; 40_000]);
        let mut direct = DirectOutbox::default();
        direct.push_rest(Rest::Shared(Arc::clone(&large), 39_998));
        direct.begin();
        assert_eq!(Arc::strong_count(&large), 2);
        assert_eq!((direct.len(), pending(&direct)), (0, vec![7, 7]));
        assert_eq!(direct.consume(2, WS), 0);
        assert_eq!(Arc::strong_count(&large), 1);
    }

    #[test]
    fn events_are_owed_until_the_last_has_begun() {
        let (one, two) = ("3\r\none\r\n", "a\r\n0123456789\r\n");
        let events = [one, two].concat();
        for taken in 0..=events.len() {
            let mut direct = DirectOutbox::default();
            direct.push_events(events.clone().into_bytes());
            direct.consume(taken, Encoding::Sse);
            assert_eq!(
                direct.owes_events(Encoding::Sse),
                taken <= one.len(),
                "{taken} bytes taken"
            );
            assert_eq!(pending(&direct), &events.as_bytes()[taken..]);
        }
        let mut direct = DirectOutbox::default();
        direct.push_rest(Rest::Copied(two.into()));
        assert!(!direct.owes_events(Encoding::Sse), "the rest of an event is owed in any case");
    }

    #[test]
    fn shared_frames_keep_their_place_and_are_not_copied() {
        let large: Arc<[u8]> = Arc::from(frame(&"x".repeat(100)));
        let queued = |direct: &mut DirectOutbox| {
            direct.queue().extend_from_slice(&frame("one"));
            direct.push_shared(Arc::clone(&large));
            direct.queue().extend_from_slice(&frame("two"));
            direct.push_shared(Arc::clone(&large));
            direct.push_shared(Arc::clone(&large));
            direct.queue().extend_from_slice(&frame("three"));
        };
        let (one, two, three) = (frame("one"), frame("two"), frame("three"));
        let whole = [&one[..], &large, &two, &large, &large, &three].concat();
        for step in 1..whole.len() {
            let (mut direct, mut sent) = (DirectOutbox::default(), Vec::new());
            queued(&mut direct);
            assert_eq!(direct.shared_frames().count(), 3);
            while !direct.is_empty() {
                let is_all = direct.begin();
                let offered = pending(&direct);
                assert_eq!(is_all, offered.len() == direct.len(), "{step}");
                let taken = step.min(offered.len());
                sent.extend_from_slice(&offered[..taken]);
                assert_eq!(direct.consume(taken, WS), 0);
                assert_eq!(direct.len(), whole.len() - sent.len());
            }
            assert_eq!(sent, whole, "{step} bytes at a time");
        }
        assert_eq!(Arc::strong_count(&large), 1);
        for taken in 0..one.len() + large.len() {
            let mut direct = DirectOutbox::default();
            queued(&mut direct);
            direct.begin();
            direct.consume(taken, WS);
            direct.keep_frame_in_progress(WS);
            let end = if taken <= one.len() { one.len() } else { one.len() + large.len() };
            let kept = if taken == 0 || taken == one.len() { taken..taken } else { taken..end };
            assert_eq!(pending(&direct), &whole[kept], "{taken} bytes taken");
            assert_eq!(direct.shared_frames().count(), usize::from(taken > one.len()));
        }
    }

    #[test]
    fn chunks_are_cut_anywhere_and_the_head_survives_a_goodbye() {
        let (head, one, two) = ("HTTP/1.1 200 OK\r\n\r\n", "3\r\none\r\n", "a\r\n0123456789\r\n");
        let whole = [head, one, two].concat();
        let ends = [head.len(), head.len() + one.len(), whole.len()];
        for begun in [true, false] {
            for taken in 0..if begun { whole.len() } else { 1 } {
                let mut direct = DirectOutbox::default();
                direct.queue().extend_from_slice(whole.as_bytes());
                if begun {
                    direct.begin();
                    direct.consume(taken, Encoding::Sse);
                }
                direct.keep_frame_in_progress(Encoding::Sse);
                direct.begin();
                let end = ends.into_iter().find(|end| taken < *end).expect("not all is taken");
                let between = taken > 0 && ends.contains(&taken);
                let kept = if between { "" } else { &whole[taken..end] };
                assert_eq!(pending(&direct), kept.as_bytes(), "{taken} bytes taken");
            }
        }
    }
}
