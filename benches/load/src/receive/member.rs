//! One connection that receives.

use std::ops::Range;

use crate::client::link::ClientLink;
use crate::client::position::Position;
use crate::setup::plan::Transport;

/// Its place in its thread's list is its token.
#[derive(Debug)]
pub(crate) struct Member {
    /// Among all members of the run.
    pub(crate) number: u32,
    pub(crate) room: u32,
    pub(crate) transport: Transport,
    /// Where its verifiers begin; one for each stream of its room.
    pub(crate) verifiers: usize,
    /// The streams of its room: the first, and how many.
    pub(crate) first_stream: u32,
    pub(crate) streams: u32,
    /// Where the payload stood in the last frame.
    pub(crate) distance: usize,
    pub(crate) stage: MemberStage,
    pub(crate) link: Option<ClientLink>,
    pub(crate) is_slow: bool,
    /// The beginning of a frame or chunk, or of the answer to the request.
    pub(crate) partial: Vec<u8>,
    /// The beginning of a message in several frames.
    pub(crate) fragments: Vec<u8>,
    /// Such a message has begun.
    pub(crate) is_fragmented: bool,
    /// And it is compressed.
    pub(crate) is_compressed: bool,
    /// And it is text.
    pub(crate) is_text: bool,
    /// What the socket did not take.
    pub(crate) unsent: Vec<u8>,
    /// While the socket was not emptied: what it still holds came later than this.
    unread_since: Option<u64>,
    /// When it began to connect or, in the open loop, should have.
    pub(crate) began: u64,
    /// When it began in truth, or was connected.
    pub(crate) moved: u64,
    /// Of the time since it should have begun, the most that was our own.
    pub(crate) own: u64,
    /// When it said hello or, on leaving, that it leaves.
    pub(crate) greeted: u64,
    /// Until then it is to be ready, or to have left.
    pub(crate) deadline: u64,
    /// It takes the place of one that has left.
    pub(crate) is_replacement: bool,
    /// Where it joined and left, as far as that matters and was said.
    pub(crate) joined: Option<Position>,
    pub(crate) left: Option<Position>,
    /// It was ready when publishing began, so that everything published is owed to it.
    pub(crate) is_checked: bool,
    pub(crate) end: Option<End>,
    /// Measured messages that gaps announced as skipped.
    pub(crate) skipped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberStage {
    Absent,
    Connecting,
    /// The request to upgrade, or for events, is sent.
    Upgrading,
    /// Hello is sent.
    Greeting,
    Ready,
    /// It has said that it leaves its room.
    Leaving,
    /// It has said that its connection ends.
    Closing,
}

/// How the server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a close frame: what was published after that is not lost but cut off.
    Announced,
    /// Without.
    Sudden,
    /// We ended it, because of what the server had sent.
    Broken,
}

impl Member {
    pub(crate) fn new(number: u32, room: u32, verifiers: usize, streams: Range<u32>) -> Self {
        Self {
            number,
            room,
            transport: Transport::WebSocket,
            verifiers,
            first_stream: streams.start,
            streams: streams.end - streams.start,
            distance: 0,
            stage: MemberStage::Absent,
            link: None,
            is_slow: false,
            partial: Vec::new(),
            fragments: Vec::new(),
            is_fragmented: false,
            is_compressed: false,
            is_text: false,
            unsent: Vec::new(),
            unread_since: None,
            began: 0,
            moved: 0,
            own: 0,
            greeted: 0,
            deadline: 0,
            is_replacement: false,
            joined: None,
            left: None,
            is_checked: false,
            end: None,
            skipped: 0,
        }
    }

    /// It was read, by a thread that had seen all that was ready at this time. When what was read
    /// came at the earliest: the rest of what one read did not empty has come as early as its begin.
    pub(crate) fn note_read(&mut self, seen: u64, is_emptied: bool) -> u64 {
        let since = self.unread_since.unwrap_or(seen);
        self.unread_since = (!is_emptied).then_some(since);
        since
    }

    /// While it connects: since then the thread may have been waited for so long.
    pub(crate) fn note_late(&mut self, now: u64, late: u64) {
        self.own += late.min(now.saturating_sub(self.moved));
        self.moved = now;
    }

    /// While it connects: all that passed since then was work of this side.
    pub(crate) fn note_work(&mut self, now: u64) {
        self.note_late(now, u64::MAX);
    }

    /// Notes that so many messages were announced as skipped. Of what is measured no more were
    /// than are missing by now: a gap of the warm-up excuses nothing that is lost after it.
    pub(crate) fn note_gap(&mut self, skipped: u64, missing: u64) {
        self.skipped = self.skipped.saturating_add(skipped).min(missing);
    }

    /// Forgets everything about a connection that is over.
    pub(crate) fn reset(&mut self) {
        self.stage = MemberStage::Absent;
        self.link = None;
        self.unread_since = None;
        self.is_fragmented = false;
        for buffer in [&mut self.partial, &mut self.fragments, &mut self.unsent] {
            *buffer = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_at_once_waits_since_the_same_time() {
        let mut member = Member::new(0, 0, 0, 0..1);
        let reads = [(100, false), (200, false), (300, true), (400, true), (500, false)];
        let since = reads.map(|(seen, is_emptied)| member.note_read(seen, is_emptied));
        assert_eq!(since, [100, 100, 100, 400, 500]);
        member.reset();
        assert_eq!(member.note_read(600, true), 600);
    }

    #[test]
    fn a_part_of_a_handshake_is_our_own_once() {
        let mut member = Member::new(0, 0, 0, 0..1);
        (member.moved, member.own) = (1_000, 5);
        // Read when the thread was 300 late, then worked on for 2,000.
        member.note_late(4_000, 300);
        member.note_work(6_000);
        assert_eq!(member.own, 5 + 300 + 2_000);
        member.note_late(6_100, 9_000);
        assert_eq!((member.own, member.moved), (5 + 300 + 2_000 + 100, 6_100));
    }

    #[test]
    fn a_gap_excuses_no_more_than_is_missing_when_it_comes() {
        let mut member = Member::new(0, 0, 0, 0..1);
        // Nothing that is measured was published yet.
        member.note_gap(1_000, 0);
        assert_eq!(member.skipped, 0);
        member.note_gap(12, 20);
        member.note_gap(3, 40);
        assert_eq!(member.skipped, 15);
        member.note_gap(u64::MAX, 50);
        assert_eq!(member.skipped, 50);
    }
}
