//! The dumb model: what was said, and a map from each offset of a room to its message.

use std::collections::BTreeMap;
use std::rc::Rc;

use corecast_shards::Time;

use crate::keys::{self, Keyed};

/// What said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Speaker {
    Client(usize),
    /// A caller at this shard.
    Program(usize),
}

/// One message, published or broadcast or emitted. All differ.
#[derive(Debug)]
pub(crate) struct Saying {
    pub(crate) room: usize,
    pub(crate) by: Speaker,
    pub(crate) data: Rc<str>,
    /// The client that does not get it, by number.
    pub(crate) excluded: Option<usize>,
    /// The step in which it was handed to a client or shard.
    pub(crate) said_at: u64,
    /// The time of that, and of when it was seen first.
    pub(crate) said_time: Time,
    pub(crate) seen_time: Option<Time>,
    /// The offset that its speaker was sent, 0 for a broadcast; of an emit, the client that it is for.
    pub(crate) known: Option<u64>,
    /// Whether a shard took it from a caller.
    pub(crate) accepted: bool,
    /// The offset at which it was seen.
    pub(crate) seen: Option<u64>,
    pub(crate) keyed: Option<Keyed>,
    /// Its speaker was sent that it repeats another.
    pub(crate) repeated: bool,
}

/// The index of the room of everybody, after all others.
pub(crate) const EVERYBODY: usize = usize::MAX;
/// The index of what is for one connection alone, in no room.
pub(crate) const NO_ROOM: usize = usize::MAX - 1;

/// Everything that was said and seen.
#[derive(Default)]
pub(crate) struct Model {
    /// Whether there are event streams.
    pub(crate) has_streams: bool,
    /// The time now.
    pub(crate) now: Time,
    /// Whether clients agree to compression.
    pub(crate) has_deflate: bool,
    pub(crate) sayings: Vec<Saying>,
    /// The messages of each room and epoch, by offset.
    lives: BTreeMap<(usize, Rc<str>), BTreeMap<u64, usize>>,
    /// Which broadcast follows which.
    after: BTreeMap<usize, usize>,
    before: BTreeMap<usize, usize>,
}

impl Model {
    pub(crate) fn new(has_streams: bool, has_deflate: bool) -> Model {
        Model { has_streams, has_deflate, ..Model::default() }
    }

    /// Makes up a message of about `len` bytes.
    pub(crate) fn say(
        &mut self,
        room: usize,
        by: Speaker,
        len: usize,
        excluded: Option<usize>,
        now: u64,
    ) -> usize {
        let number = self.sayings.len();
        let pad = (b'a' + (number % 26) as u8) as char;
        let pad: String = std::iter::repeat_n(pad, len).collect();
        // Between two tokens there may be any line break, which an event carries in lines.
        let space = [" ", "", "\n", " ", "\r\n", "\r", "\n\r\n\r"][number % 7];
        let data = format!(r#"{{"c":{number},{space}"pad":"{pad}"}}"#).into();
        let (known, seen, accepted, keyed) = (None, None, false, None);
        let saying = Saying {
            room,
            by,
            data,
            excluded,
            said_at: now,
            said_time: self.now,
            seen_time: None,
            known,
            accepted,
            seen,
            keyed,
            repeated: false,
        };
        self.sayings.push(saying);
        number
    }

    /// The room of a message.
    pub(crate) fn room_of(&self, data: &str) -> usize {
        self.sayings[self.number_of(data)].room
    }

    /// The same of a message whose lines may end in other ways.
    pub(crate) fn room_of_lines(&self, data: &str) -> usize {
        self.sayings[self.numbered(data)].room
    }

    /// Which message this is, line by line: every line break counts the same.
    pub(crate) fn recognise_lines(&self, data: &str, room: usize) -> usize {
        let number = self.numbered(data);
        let lines = self.sayings[number].data.replace("\r\n", "\n").replace('\r', "\n");
        assert_eq!(lines, data, "message {number} is carried line by line");
        assert_eq!(self.sayings[number].room, room, "message {number} stays in its room");
        number
    }

    /// Which message this is, byte for byte.
    pub(crate) fn recognise(&self, data: &str, room: usize) -> usize {
        let number = self.number_of(data);
        assert_eq!(self.sayings[number].room, room, "message {number} stays in its room");
        number
    }

    pub(crate) fn number_of(&self, data: &str) -> usize {
        let number = self.numbered(data);
        assert_eq!(&*self.sayings[number].data, data, "message {number} is carried byte for byte");
        number
    }

    fn numbered(&self, data: &str) -> usize {
        let digits = data.strip_prefix(r#"{"c":"#).and_then(|data| data.split(',').next());
        let number = digits.and_then(|digits| digits.parse::<usize>().ok());
        let number = number.unwrap_or_else(|| panic!("no message has {data:.40}"));
        assert!(number < self.sayings.len(), "there is no message {number}");
        number
    }

    /// Bytes of the largest frame of this message at most: a WebSocket's, or an event, whose data may
    /// be in base64 or in several lines. That is what the limit of a log counts, in however many
    /// encodings it is.
    pub(crate) fn frame_bytes(&self, number: usize) -> usize {
        let data = self.sayings[number].data.len();
        if self.has_streams { data * 4 / 3 + 256 } else { data + 128 }
    }

    /// The newest offset that a client saw in each life of a room.
    pub(crate) fn newest_by_epoch(&self, room: usize) -> BTreeMap<Rc<str>, u64> {
        let lives = self.lives.iter().filter(|((name, _), _)| *name == room);
        let newest = |life: &BTreeMap<u64, usize>| life.last_key_value().map_or(0, |last| *last.0);
        lives.map(|((_, epoch), life)| (epoch.clone(), newest(life))).collect()
    }

    /// Bytes of this room's messages from `next` on at most.
    pub(crate) fn bytes_from(&self, room: usize, next: u64) -> usize {
        let one_life = self.lives_of(room) <= 1;
        let is_before = |saying: &Saying| one_life && saying.seen.is_some_and(|seen| seen < next);
        let waits = |number: &usize| {
            let saying = &self.sayings[*number];
            saying.room == room && !is_before(saying)
        };
        (0..self.sayings.len()).filter(waits).map(|number| self.frame_bytes(number)).sum()
    }

    /// Bytes of the broadcasts at most that are neither these nor before these.
    pub(crate) fn broadcast_bytes_beside(&self, seen: &[usize]) -> usize {
        let mut before = seen.first().map_or(Vec::new(), |first| self.broadcasts_before(*first));
        before.extend(seen);
        before.sort_unstable();
        let waits = |number: &usize| {
            self.sayings[*number].room == EVERYBODY && before.binary_search(number).is_err()
        };
        (0..self.sayings.len()).filter(waits).map(|number| self.frame_bytes(number)).sum()
    }

    /// A client saw this message at this offset.
    pub(crate) fn place(&mut self, room: usize, epoch: &Rc<str>, offset: u64, number: usize) {
        let life = self.lives.entry((room, epoch.clone())).or_default();
        let there = *life.entry(offset).or_insert(number);
        assert_eq!(there, number, "every client sees the same at room {room} offset {offset}");
        let saying = &mut self.sayings[number];
        keys::note_handled(&mut saying.keyed, self.now);
        saying.seen_time.get_or_insert(self.now);
        assert_eq!(*saying.seen.get_or_insert(offset), offset, "message {number} has one offset");
        if let Some(known) = saying.known {
            assert_eq!(known, offset, "the ack of message {number} had its offset");
        }
    }

    /// The speaker was sent the offset of its message.
    pub(crate) fn acked(&mut self, number: usize, offset: u64, repeated: bool) {
        let saying = &mut self.sayings[number];
        assert_eq!(saying.known, None, "message {number} is answered once");
        saying.known = Some(offset);
        saying.repeated = repeated;
        assert!(
            !repeated || saying.keyed.is_some(),
            "message {number} has no key and repeats none"
        );
        keys::note_handled(&mut saying.keyed, self.now);
        if let Some(seen) = saying.seen {
            assert_eq!(seen, offset, "the ack of message {number} has its offset");
        }
    }

    /// An epoch belongs to one room.
    pub(crate) fn live(&mut self, room: usize, epoch: &Rc<str>) {
        self.lives.entry((room, epoch.clone())).or_default();
        let rooms = self.lives.keys().filter(|(_, other)| other == epoch).count();
        assert_eq!(rooms, 1, "epoch {epoch} belongs to one room");
    }

    /// How many lives this room had, as far as clients saw.
    pub(crate) fn lives_of(&self, room: usize) -> usize {
        self.lives.keys().filter(|(name, _)| *name == room).count()
    }

    /// The room's last epoch and offset that a client saw, if it is in its first life.
    pub(crate) fn present(&self, room: usize) -> Option<(String, u64)> {
        let mut lives = self.lives.iter().filter(|((name, _), _)| *name == room);
        let ((_, epoch), life) = lives.next()?;
        let newest = life.last_key_value().map_or(0, |(offset, _)| *offset);
        Some((epoch.to_string(), newest))
    }

    /// The messages that had this offset in the room's lives, as far as clients saw.
    pub(crate) fn in_all_lives(&self, room: usize, offset: u64) -> Vec<usize> {
        let lives = self.lives.iter().filter(|((name, _), _)| *name == room);
        lives.filter_map(|(_, life)| life.get(&offset).copied()).collect()
    }

    /// The message with this offset, if a client saw it.
    pub(crate) fn at(&self, room: usize, epoch: &Rc<str>, offset: u64) -> Option<usize> {
        self.lives.get(&(room, epoch.clone()))?.get(&offset).copied()
    }

    /// The highest offset that a client saw.
    pub(crate) fn newest(&self, room: usize, epoch: &Rc<str>) -> u64 {
        let life = self.lives.get(&(room, epoch.clone()));
        life.and_then(|life| life.last_key_value()).map_or(0, |(offset, _)| *offset)
    }

    /// A client saw one broadcast directly after another.
    pub(crate) fn follow(&mut self, before: usize, after: usize) {
        let next = *self.after.entry(before).or_insert(after);
        assert_eq!(next, after, "after broadcast {before} every client sees the same");
        let previous = *self.before.entry(after).or_insert(before);
        assert_eq!(previous, before, "before broadcast {after} every client sees the same");
    }

    /// The broadcasts after this one, as far as clients saw them.
    pub(crate) fn broadcasts_after(&self, number: usize) -> Vec<usize> {
        let next = |number: &usize| self.after.get(number).copied();
        std::iter::successors(next(&number), next).take(self.sayings.len()).collect()
    }

    /// The broadcasts before this one, the nearest first, as far as clients saw them.
    pub(crate) fn broadcasts_before(&self, mut number: usize) -> Vec<usize> {
        let mut chain = Vec::new();
        while let Some(&before) = self.before.get(&number) {
            assert!(chain.len() <= self.sayings.len(), "broadcasts come in a circle");
            chain.push(before);
            number = before;
        }
        chain
    }

    /// What one speaker said in one room has offsets in the order in which it was said.
    pub(crate) fn check_order(&self) {
        for ((room, _), life) in &self.lives {
            let mut last = BTreeMap::new();
            for (offset, number) in life {
                let by = self.sayings[*number].by;
                let before = last.insert(by, *number);
                assert!(before < Some(*number), "order of {by:?} in room {room} at {offset}");
            }
        }
        let mut last: BTreeMap<Speaker, usize> = BTreeMap::new();
        let mut number = self.after.keys().find(|first| !self.before.contains_key(first)).copied();
        while let Some(broadcast) = number {
            let by = self.sayings[broadcast].by;
            let before = last.insert(by, broadcast);
            assert!(before < Some(broadcast), "order of broadcasts of {by:?}");
            number = self.after.get(&broadcast).copied();
        }
    }
}
