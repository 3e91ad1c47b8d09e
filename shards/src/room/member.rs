//! One member of a room on this shard.

use std::collections::VecDeque;
use std::collections::vec_deque;
use std::ops::Range;

use crate::log::Pin;

/// One member on this shard.
#[derive(Debug)]
pub(crate) struct Member {
    /// The next message for it, as the log counts.
    pub(crate) cursor: u64,
    /// How many offsets from the cursor the begun send carries.
    pub(crate) in_flight: u32,
    /// The slot of its connection.
    pub(crate) slot: u32,
    /// Where the connection lists this room.
    pub(crate) place: u16,
    pub(crate) pin: Option<Pin>,
    pub(super) extra: Option<Box<Extra>>,
}

/// What only few members need.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// Messages that this member does not get because it sent them; sorted, apart, at or above the
    /// cursor.
    holes: VecDeque<Range<u64>>,
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
    pub(super) fn new(slot: u32, place: u16, cursor: u64) -> Member {
        Member { cursor, in_flight: 0, slot, place, pin: None, extra: None }
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
    pub(super) fn holes(&self) -> impl Iterator<Item = &Range<u64>> {
        self.extra.iter().flat_map(|extra| &extra.holes)
    }

    /// The runs of messages from the cursor to `to` that this member gets.
    pub(crate) fn runs(&self, to: u64) -> Runs<'_> {
        Runs { holes: self.extra.as_ref().map(|extra| extra.holes.iter()), from: self.cursor, to }
    }

    pub(super) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    pub(super) fn set_cursor(&mut self, cursor: u64) {
        self.cursor = cursor;
        let Some(extra) = &mut self.extra else { return };
        while let Some(hole) = extra.holes.pop_front_if(|hole| hole.start <= cursor) {
            self.cursor = self.cursor.max(hole.end);
        }
        self.drop_empty_extra();
    }

    pub(super) fn add_hole(&mut self, offset: u64, first: u64) {
        let holes = &mut self.extra_mut().holes;
        // What the log dropped will be in a gap anyway; so the list is bounded by the log.
        while holes.pop_front_if(|hole| hole.end <= first).is_some() {}
        match holes.back_mut() {
            Some(last) if last.end == offset => last.end += 1,
            _ => holes.push_back(offset..offset + 1),
        }
    }

    pub(super) fn drop_empty_extra(&mut self) {
        let used = |extra: &Extra| {
            !extra.holes.is_empty() || extra.gap_from.is_some() || extra.departure.is_some()
        };
        if !self.extra.as_deref().is_some_and(used) {
            self.extra = None;
        }
    }
}

/// See [`Member::runs`].
#[derive(Debug)]
pub(crate) struct Runs<'a> {
    holes: Option<vec_deque::Iter<'a, Range<u64>>>,
    from: u64,
    to: u64,
}

impl Iterator for Runs<'_> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        if self.from >= self.to {
            return None;
        }
        let hole = self.holes.as_mut().and_then(Iterator::next).filter(|hole| hole.start < self.to);
        let from = self.from;
        let end = match hole {
            Some(hole) => (hole.start, hole.end),
            None => (self.to, self.to),
        };
        self.from = end.1;
        // The cursor never stands on a hole, and holes are apart.
        Some(from..end.0)
    }
}
