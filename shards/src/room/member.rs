//! One member of a room on this shard.

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
    holes: Vec<Range<u64>>,
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

    pub(super) fn holes(&self) -> &[Range<u64>] {
        self.extra.as_ref().map_or(&[], |extra| &extra.holes)
    }

    pub(super) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    pub(super) fn set_cursor(&mut self, cursor: u64) {
        self.cursor = cursor;
        let Some(extra) = &mut self.extra else { return };
        let passed = extra.holes.iter().take_while(|hole| hole.start <= self.cursor);
        let (mut count, mut cursor) = (0, self.cursor);
        for hole in passed {
            count += 1;
            cursor = cursor.max(hole.end);
        }
        self.cursor = cursor;
        extra.holes.drain(..count);
        self.drop_empty_extra();
    }

    pub(super) fn add_hole(&mut self, offset: u64, first: u64) {
        let holes = &mut self.extra_mut().holes;
        match holes.last_mut() {
            Some(last) if last.end == offset => last.end += 1,
            _ => {
                // What the log dropped will be in a gap anyway; so the list is bounded by the log.
                holes.retain(|hole| hole.end > first);
                holes.push(offset..offset + 1);
            }
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
