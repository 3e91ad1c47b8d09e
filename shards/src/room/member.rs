//! One member of a room on this shard.

use std::collections::VecDeque;
use std::collections::vec_deque;
use std::ops::Range;

use crate::connection::table::Slot;
use crate::format::Encoding;
use crate::log::Pin;

/// One member on this shard.
#[derive(Debug)]
pub(crate) struct Member {
    /// The next message for it, as the log counts.
    pub(crate) cursor: u64,
    /// How many offsets from the cursor the begun send carries.
    pub(crate) in_flight: u32,
    /// The slot of its connection.
    pub(crate) slot: Slot,
    /// Where the connection lists this room.
    pub(crate) place: u16,
    pub(crate) pin: Option<Pin>,
    /// How it gets its messages.
    pub(crate) encoding: Encoding,
    pub(super) extra: Option<Box<Extra>>,
}

/// What only few members need.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// Messages that this member does not get because it sent them; sorted, apart, at or above the
    /// cursor.
    excluded: VecDeque<Range<u64>>,
    /// The first message that was skipped and is not yet announced.
    pub(super) gap_from: Option<u64>,
    departure: Option<Departure>,
}

/// A leave that is answered, and whose last message may still have to be sent.
#[derive(Debug)]
pub(crate) struct Departure {
    /// The offset of the last message that the member gets.
    pub(crate) until: u64,
    /// The client's id for the reply.
    pub(crate) id: Option<Box<str>>,
    /// Behind that message, as the log counts.
    pub(super) end: u64,
}

impl Member {
    /// Somebody whose next message is at `cursor`.
    pub(super) fn new(slot: Slot, place: u16, encoding: Encoding, cursor: u64) -> Member {
        Member { cursor, in_flight: 0, slot, place, pin: None, encoding, extra: None }
    }

    pub(super) fn depart(&mut self, departure: Departure) {
        self.extra_mut().departure = Some(departure);
    }

    pub(crate) fn departure(&self) -> Option<&Departure> {
        self.extra.as_ref().and_then(|extra| extra.departure.as_ref())
    }

    pub(super) fn gap_from(&self) -> Option<u64> {
        self.extra.as_ref().and_then(|extra| extra.gap_from)
    }

    #[cfg(debug_assertions)]
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

    pub(super) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    pub(super) fn set_cursor(&mut self, cursor: u64) {
        self.cursor = cursor;
        let Some(extra) = &mut self.extra else { return };
        while let Some(range) = extra.excluded.pop_front_if(|range| range.start <= cursor) {
            self.cursor = self.cursor.max(range.end);
        }
        self.drop_empty_extra();
    }

    pub(super) fn add_excluded(&mut self, offset: u64, first: u64) {
        let excluded = &mut self.extra_mut().excluded;
        // What the log dropped will be in a gap anyway; so the list is bounded by the log.
        while excluded.pop_front_if(|range| range.end <= first).is_some() {}
        match excluded.back_mut() {
            Some(last) if last.end == offset => last.end += 1,
            _ => excluded.push_back(offset..offset + 1),
        }
    }

    pub(super) fn drop_empty_extra(&mut self) {
        let used = |extra: &Extra| {
            !extra.excluded.is_empty() || extra.gap_from.is_some() || extra.departure.is_some()
        };
        if !self.extra.as_deref().is_some_and(used) {
            self.extra = None;
        }
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
        // The cursor never stands on a hole, and holes are apart.
        Some(from..end.0)
    }
}
