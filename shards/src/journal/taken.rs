//! What a journal brings back: rooms with their epochs, offsets and messages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::record::Record;
use super::refusal::JournalRefusal;
use crate::epoch::Epoch;
use crate::room_name::RoomName;

/// A room that a journal kept: its epoch, its last offset, and its newest messages without a hole up
/// to that one.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptRoom {
    pub(crate) name: RoomName,
    pub(crate) epoch: Epoch,
    pub(crate) offset: u64,
    frames: Vec<u8>,
    /// Where in `frames` each message ends, and the second in which it was numbered.
    entries: Vec<(usize, u32)>,
}

impl KeptRoom {
    /// Its name.
    pub fn name(&self) -> &RoomName {
        &self.name
    }

    /// How many messages there are.
    pub fn messages(&self) -> usize {
        self.entries.len()
    }

    /// The offset of its first message, or of its next one if there is none.
    pub(crate) fn first(&self) -> u64 {
        self.offset + 1 - self.entries.len() as u64
    }

    /// Its messages in order: when each was numbered, and its frame.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let starts = std::iter::once(0).chain(self.entries.iter().map(|(end, _)| *end));
        let entries = starts.zip(&self.entries);
        entries.map(|(start, (end, second))| (*second, &self.frames[start..*end]))
    }

    fn newest(&self) -> u32 {
        self.entries.last().map_or(0, |(_, second)| *second)
    }
}

impl fmt::Debug for KeptRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, next) = (self.first(), self.offset + 1);
        write!(f, "KeptRoom({:?} {} {first}..{next})", self.name.as_str(), self.epoch)
    }
}

/// What is found of one life of a room.
#[derive(Default)]
struct Found<'a> {
    name: Option<&'a str>,
    /// The position of the last record that names it.
    named_at: u64,
    offset: u64,
    messages: Vec<(u64, u32, &'a [u8])>,
}

/// The rooms of all records, the first of which is at this position.
pub(crate) fn read_rooms(
    seal: u32,
    tail: u64,
    bytes: &[u8],
) -> Result<Vec<KeptRoom>, JournalRefusal> {
    let mut lives: BTreeMap<u64, Found<'_>> = BTreeMap::new();
    let mut at = 0;
    while at < bytes.len() {
        let position = tail + at as u64;
        let record = Record::read(seal, position, &bytes[at..]);
        let record = record.ok_or(JournalRefusal::Record(position))?;
        at += record.len();
        match record {
            Record::Room { epoch, offset, name } => {
                let life = lives.entry(epoch.bits()).or_default();
                life.offset = life.offset.max(offset);
                (life.name, life.named_at) = (Some(name), position);
            }
            Record::Message { epoch, offset, second, frame } => {
                lives.entry(epoch.bits()).or_default().messages.push((offset, second, frame));
            }
        }
    }
    // Only a room that is there is named again: so the life that was named last is the newest.
    let mut newest: BTreeMap<&str, (u64, Found<'_>)> = BTreeMap::new();
    for (epoch, life) in lives {
        let Some(name) = life.name else { continue };
        if newest.get(name).is_none_or(|(_, other)| other.named_at < life.named_at) {
            newest.insert(name, (epoch, life));
        }
    }
    let kept = newest.into_iter().filter_map(|(name, (epoch, life))| {
        let name = RoomName::new(name).ok()?;
        Some(kept(name, Epoch::from_bits(epoch), life))
    });
    Ok(kept.collect())
}

/// The room, with the messages that lead up to its last offset without a hole.
fn kept(name: RoomName, epoch: Epoch, found: Found<'_>) -> KeptRoom {
    let Found { mut messages, .. } = found;
    // What was written again is the same, and comes later.
    messages.sort_by_key(|(offset, ..)| *offset);
    messages.dedup_by_key(|(offset, ..)| *offset);
    let last = messages.last().map_or(0, |(offset, ..)| *offset);
    let offset = last.max(found.offset);
    let follows = |(back, message): &(u64, &(u64, u32, &[u8]))| message.0 == offset - back;
    let run = (0..).zip(messages.iter().rev()).take_while(follows).count();
    let (mut frames, mut entries) = (Vec::new(), Vec::with_capacity(run));
    for (_, second, frame) in &messages[messages.len() - run..] {
        frames.extend_from_slice(frame);
        entries.push((frames.len(), *second));
    }
    KeptRoom { name, epoch, offset, frames, entries }
}

/// The rooms of all journals of a server, those first that were published to least recently. A room has
/// one home, so that one which is in two journals is in none.
pub fn unite_rooms(journals: Vec<Vec<KeptRoom>>) -> Vec<KeptRoom> {
    let mut rooms: Vec<KeptRoom> = journals.into_iter().flatten().collect();
    let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for room in &rooms {
        if !seen.insert(room.name.clone()) {
            twice.insert(room.name.clone());
        }
    }
    rooms.retain(|room| !twice.contains(&room.name));
    rooms.sort_by_key(KeptRoom::newest);
    rooms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Opcode, push_frame};

    const TAIL: u64 = 1_000;

    fn frame(text: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        push_frame(&mut frame, Opcode::Text, text.as_bytes());
        frame
    }

    fn room(epoch: u64, offset: u64, name: &str) -> (u64, u64, String) {
        (epoch, offset, format!("room {name}"))
    }

    fn message(epoch: u64, offset: u64) -> (u64, u64, String) {
        (epoch, offset, format!("{epoch}-{offset}"))
    }

    fn read(records: &[(u64, u64, String)]) -> Vec<KeptRoom> {
        let mut bytes = Vec::new();
        for (epoch, offset, text) in records {
            let (epoch, offset, position) =
                (Epoch::from_bits(*epoch), *offset, TAIL + bytes.len() as u64);
            let frame = frame(text);
            let record = match text.strip_prefix("room ") {
                Some(name) => Record::Room { epoch, offset, name },
                None => Record::Message { epoch, offset, second: 5, frame: &frame },
            };
            record.push(7, position, &mut bytes);
        }
        read_rooms(7, TAIL, &bytes).expect("all of it is valid")
    }

    fn ends(rooms: &[KeptRoom]) -> Vec<(&str, u64, u64, u64)> {
        let end = |room: &'_ KeptRoom| (room.epoch.bits(), room.first(), room.offset);
        let ends = rooms.iter().map(|room| (room.name.as_str(), end(room)));
        ends.map(|(name, (epoch, first, offset))| (name, epoch, first, offset)).collect()
    }

    #[test]
    fn messages_without_a_hole_up_to_the_last_offset_are_kept() {
        let messages: Vec<_> = (1..=9).map(|offset| message(1, offset)).collect();
        let all = [&[room(1, 0, "a")], &messages[..]].concat();
        assert_eq!(ends(&read(&all)), [("a", 1, 1, 9)]);
        let frames: Vec<_> = read(&all)[0].frames().map(|(_, frame)| frame.to_vec()).collect();
        let expected: Vec<_> = (1..=9).map(|offset| frame(&format!("1-{offset}"))).collect();
        assert_eq!(frames, expected);
        // Written again in any order, also before the room.
        let again = [&messages[3..], &[room(1, 4, "a")], &messages[..5]].concat();
        assert_eq!(ends(&read(&again)), [("a", 1, 1, 9)]);
        let hole = [&[room(1, 0, "a")], &messages[..4], &messages[6..]].concat();
        assert_eq!(ends(&read(&hole)), [("a", 1, 7, 9)]);
        let unkept = [&[room(1, 0, "a")], &messages[..], &[room(1, 10, "a")]].concat();
        assert_eq!(ends(&read(&unkept)), [("a", 1, 11, 10)], "the last one was too large");
        assert_eq!(ends(&read(&messages)), [], "their room is unknown");
    }

    #[test]
    fn of_two_lives_of_a_room_the_later_one_counts() {
        let first = [room(1, 0, "a"), message(1, 1), room(3, 0, "b")];
        let second = [room(2, 0, "a"), message(2, 1), message(2, 2)];
        let both = [&first[..], &second].concat();
        assert_eq!(ends(&read(&both)), [("a", 2, 1, 2), ("b", 3, 1, 0)]);
        let both = [&second[..], &first].concat();
        assert_eq!(ends(&read(&both)), [("a", 1, 1, 1), ("b", 3, 1, 0)]);
    }

    #[test]
    fn any_damage_refuses_all_of_it() {
        let mut bytes = Vec::new();
        for offset in 1..=3 {
            let (epoch, frame) = (Epoch::from_bits(1), frame("text"));
            let record = Record::Message { epoch, offset, second: 5, frame: &frame };
            record.push(7, TAIL + bytes.len() as u64, &mut bytes);
        }
        let record = bytes.len() / 3;
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let position = TAIL + (bit / 8 / record * record) as u64;
            assert_eq!(read_rooms(7, TAIL, &bytes), Err(JournalRefusal::Record(position)));
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(read_rooms(7, TAIL, &bytes), Ok(Vec::new()));
    }

    #[test]
    fn a_room_in_two_journals_is_in_none() {
        let (a, b) = ([room(1, 0, "a"), message(1, 1)], [room(2, 5, "b")]);
        let both = [&a[..], &b].concat();
        assert_eq!(ends(&unite_rooms(vec![read(&a), read(&both)])), [("b", 2, 6, 5)]);
        assert_eq!(ends(&unite_rooms(vec![read(&a), read(&b)])), [("b", 2, 6, 5), ("a", 1, 1, 1)]);
    }
}
