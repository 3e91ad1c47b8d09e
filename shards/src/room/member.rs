//! One member of a room on this shard.

use std::collections::VecDeque;
use std::collections::vec_deque;
use std::ops::{Index, IndexMut, Range};

use crate::format::Encoding;
use crate::log::Pin;
use crate::memory::{HeapBytes, Held, HeldVec, Sum, block, vec_bytes};
use crate::place::{MembershipIndex, Slot};

/// Which entry of a room's list of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemberIndex(u32);

impl MemberIndex {
    /// No entry.
    pub(crate) const NONE: MemberIndex = MemberIndex(u32::MAX);

    pub(super) const fn new(index: u32) -> MemberIndex {
        MemberIndex(index)
    }

    pub(crate) fn get(self) -> usize {
        self.0 as usize
    }
}

impl Index<MemberIndex> for [Member] {
    type Output = Member;

    fn index(&self, index: MemberIndex) -> &Member {
        &self[index.get()]
    }
}

impl IndexMut<MemberIndex> for [Member] {
    fn index_mut(&mut self, index: MemberIndex) -> &mut Member {
        &mut self[index.get()]
    }
}

/// One member on this shard.
#[derive(Debug)]
pub(crate) struct Member {
    /// The position of the next message for it.
    pub(crate) cursor: u64,
    /// How many positions from the cursor on the begun send carries.
    pub(crate) in_flight: u32,
    /// The slot of its connection.
    pub(crate) slot: Slot,
    /// Where the connection lists this room.
    pub(crate) membership: MembershipIndex,
    pub(crate) pin: Option<Pin>,
    /// How it gets its messages.
    pub(crate) encoding: Encoding,
    extra: Held<Option<Box<Extra>>>,
}

/// What only few members need.
#[derive(Debug, Default)]
struct Extra {
    /// Positions of messages that this member does not get because it sent them: sorted, apart, at or
    /// above the cursor.
    excluded: VecDeque<Range<u64>>,
    /// The position of the first message that was skipped and is not announced yet.
    gap_from: Option<u64>,
    departure: Option<Departure>,
}

/// A leave that the home has answered, and whose last message may still have to be sent.
#[derive(Debug)]
pub(crate) struct Departure {
    /// The offset, in the room, of the last message that the member gets.
    pub(crate) until: u64,
    /// The client's id for the reply.
    pub(crate) id: Option<Box<str>>,
    /// It may be in the room no longer, and has not asked for this.
    pub(crate) is_forbidden: bool,
    /// The position after that message in the log.
    pub(super) end: u64,
}

impl HeapBytes for Extra {
    fn heap_bytes(&self) -> usize {
        let id = self.departure.as_ref().and_then(|departure| departure.id.as_ref());
        vec_bytes::<Range<u64>>(self.excluded.capacity()) + id.map_or(0, |id| block(id.len()))
    }
}

/// The members of a room. What the members own is counted in the same sum.
pub(crate) type MemberList = HeldVec<Member>;

impl Member {
    /// A member whose next message is at `cursor`.
    pub(super) fn new(
        slot: Slot,
        membership: MembershipIndex,
        encoding: Encoding,
        cursor: u64,
    ) -> Member {
        Member {
            cursor,
            in_flight: 0,
            slot,
            membership,
            pin: None,
            encoding,
            extra: Held::default(),
        }
    }

    pub(super) fn depart(&mut self, departure: Departure, lists: &mut Sum) {
        self.change_extra(lists, |extra| extra.departure = Some(departure));
    }

    pub(crate) fn departure(&self) -> Option<&Departure> {
        self.extra.as_ref().and_then(|extra| extra.departure.as_ref())
    }

    pub(super) fn gap_from(&self) -> Option<u64> {
        self.extra.as_ref().and_then(|extra| extra.gap_from)
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn excluded(&self) -> impl Iterator<Item = &Range<u64>> {
        self.extra.iter().flat_map(|extra| &extra.excluded)
    }

    /// The runs of messages from the cursor to `to` that this member gets.
    pub(crate) fn runs(&self, to: u64) -> Runs<'_> {
        Runs {
            excluded: self.extra.as_ref().map(|extra| extra.excluded.iter()),
            from: self.cursor,
            to,
        }
    }

    /// Bytes that it owns.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn heap_bytes(&self) -> usize {
        self.extra.heap_bytes()
    }

    fn change_extra<R>(&mut self, lists: &mut Sum, change: impl FnOnce(&mut Extra) -> R) -> R {
        self.extra.change(lists, |extra| {
            let result = change(extra.get_or_insert_default());
            *extra = extra.take().filter(|extra| extra.is_used());
            result
        })
    }

    pub(super) fn set_cursor(&mut self, cursor: u64, lists: &mut Sum) {
        self.cursor = cursor;
        if self.extra.is_none() {
            return;
        }
        self.cursor = self.change_extra(lists, |extra| {
            let mut reached = cursor;
            while let Some(range) = extra.excluded.pop_front_if(|range| range.start <= cursor) {
                reached = reached.max(range.end);
            }
            reached
        });
    }

    /// The messages from its cursor on are skipped, which is still to be announced.
    pub(super) fn begin_gap(&mut self, lists: &mut Sum) {
        let cursor = self.cursor;
        self.change_extra(lists, |extra| {
            extra.gap_from.get_or_insert(cursor);
        });
    }

    /// The position of the first message that was skipped; from here on that is announced.
    pub(super) fn take_gap(&mut self, lists: &mut Sum) -> Option<u64> {
        self.gap_from()?;
        self.change_extra(lists, |extra| extra.gap_from.take())
    }

    /// The message at `position` is not for this member; the log begins at `first`.
    pub(super) fn add_excluded(&mut self, position: u64, first: u64, lists: &mut Sum) {
        self.change_extra(lists, |Extra { excluded, .. }| {
            // What the log dropped will be in a gap anyway; so the list is bounded by the log.
            while excluded.pop_front_if(|range| range.end <= first).is_some() {}
            match excluded.back_mut() {
                Some(last) if last.end == position => last.end += 1,
                _ => excluded.push_back(position..position + 1),
            }
        });
    }

    /// It is no member any more.
    pub(super) fn drop_extra(mut self, lists: &mut Sum) {
        self.extra.change(lists, |extra| *extra = None);
    }
}

impl Extra {
    fn is_used(&self) -> bool {
        !self.excluded.is_empty() || self.gap_from.is_some() || self.departure.is_some()
    }
}

/// See [`Member::runs`].
#[derive(Debug)]
pub(crate) struct Runs<'a> {
    excluded: Option<vec_deque::Iter<'a, Range<u64>>>,
    from: u64,
    to: u64,
}

impl Iterator for Runs<'_> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        if self.from >= self.to {
            return None;
        }
        let range =
            self.excluded.as_mut().and_then(Iterator::next).filter(|range| range.start < self.to);
        let from = self.from;
        let end = match range {
            Some(range) => (range.start, range.end),
            None => (self.to, self.to),
        };
        self.from = end.1;
        // The cursor is never in an excluded range, and excluded ranges are apart.
        Some(from..end.0)
    }
}
