//! Event streams: what their clients do and see, and what must have happened to them by now.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use corecast_shards::{ConnId, Format, Listening, Time};

use crate::bounds::SLACK;
use crate::count::Happened;
use crate::lies::Lie;
use crate::model::Model;
use crate::view::{Against, Court, Stay, View, number, reason_against};
use crate::wire;
use crate::world::{World, trace};

/// What every stream begins with.
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What its first chunk has.
const RETRY: &str = "retry: 2000\n\n";

/// What a client remembers because it has a stream.
pub(crate) struct Stream {
    pub(crate) parts: Vec<Part>,
    /// The step in which it asked for it, and whether it ever was a member of all its rooms.
    pub(crate) asked_at: u64,
    pub(crate) was_member: bool,
    /// Messages whose room is known and whose offset is not yet: those of a program that come before
    /// anything says where the stream is in the room.
    early: Vec<(usize, usize)>,
    /// The id that its client was sent last.
    last_id: Option<String>,
    /// The first chunk has come.
    retries: bool,
    /// The comment before the last chunk.
    reason: Option<String>,
}

/// What it remembers of one room of its stream.
pub(crate) struct Part {
    pub(crate) room: usize,
    /// The room's offset when its home counted the member, where the harness saw that.
    pub(crate) joined_at: Option<u64>,
    /// Of a stream of several rooms: the room's life, once it is its member.
    pub(crate) epoch: Option<Rc<str>>,
    /// The newest offsets that a client saw, by epoch, before it asked.
    seen_before: BTreeMap<Rc<str>, u64>,
    /// Where its client had stopped, if it says so.
    since: Option<(Rc<str>, u64)>,
    /// Why what it missed does not come, if its client was sent that.
    refused: Option<String>,
    /// The first offset that it is to be sent, once its client can know.
    first: Option<u64>,
}

/// One event as its client reads it.
#[derive(Default)]
struct Event<'a> {
    name: Option<&'a str>,
    id: Option<&'a str>,
    data: Option<String>,
}

impl Stream {
    fn new(parts: Vec<Part>, asked_at: u64) -> Stream {
        let (was_member, early, last_id, retries, reason) = (false, Vec::new(), None, false, None);
        Stream { parts, asked_at, was_member, early, last_id, retries, reason }
    }

    pub(crate) fn is_of(&self, room: usize) -> bool {
        self.parts.iter().any(|part| part.room == room)
    }

    pub(crate) fn part_mut(&mut self, room: usize) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.room == room)
    }

    /// Whether the messages of its rooms have no ids.
    pub(crate) fn has_positions(&self) -> bool {
        self.parts.len() > 1
    }
}

impl Part {
    fn new(room: usize, since: Option<(Rc<str>, u64)>, model: &Model) -> Part {
        let seen_before = model.newest_by_epoch(room);
        let (joined_at, epoch, refused, first) = (None, None, None, None);
        Part { room, joined_at, epoch, seen_before, since, refused, first }
    }
}

/// The payload of the chunk that `bytes` begin with, and the length of the chunk.
fn read_chunk(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let digits = bytes.iter().position(|byte| *byte == b'\r')?;
    let hex = str::from_utf8(&bytes[..digits]).expect("a chunk's length is text");
    let len = usize::from_str_radix(hex, 16).expect("a chunk's length is hexadecimal");
    assert_eq!(hex, format!("{len:x}"), "the shortest length");
    let end = digits + 2 + len + 2;
    let chunk = bytes.get(digits..end)?;
    assert!(chunk.starts_with(b"\r\n") && chunk.ends_with(b"\r\n"), "a chunk has its line breaks");
    Some((&chunk[2..2 + len], end))
}

/// Where the whole chunks lie that the bytes begin with.
fn chunks(bytes: &[u8]) -> Vec<Range<usize>> {
    let (mut chunks, mut at) = (Vec::new(), 0);
    while let Some((_, len)) = read_chunk(&bytes[at..]) {
        chunks.push(at..at + len);
        at += len;
    }
    chunks
}

/// The begin of a chunk that these bytes end with, or of the head.
pub(crate) fn last_part(bytes: &[u8]) -> &[u8] {
    let head = if bytes.starts_with(b"HTTP/") { HEAD.len() } else { 0 };
    let Some(body) = bytes.get(head..) else { return bytes };
    &body[chunks(body).last().map_or(0, |chunk| chunk.end)..]
}

/// Whether there is a whole message in bytes that were not taken, behind what begins with `partial`.
pub(crate) fn holds_messages(partial: &[u8], untaken: &[u8]) -> bool {
    let all = [partial, untaken].concat();
    let head = if all.starts_with(b"HTTP/") { HEAD.len().min(all.len()) } else { 0 };
    let first = usize::from(!partial.is_empty() && head == 0);
    let whole = chunks(&all[head..]);
    let holds_message = |range: &Range<usize>| {
        let chunk = &all[head..][range.clone()];
        read_chunk(chunk).is_some_and(|(payload, _)| is_message(payload))
    };
    whole.iter().skip(first).any(holds_message)
}

/// Whether a chunk is the event of a message. In a stream of several rooms it has no id.
fn is_message(payload: &[u8]) -> bool {
    [&b"id: "[..], b"data: ", b"event: binary"].iter().any(|begin| payload.starts_with(begin))
}

fn read_event(text: &str) -> Event<'_> {
    assert!(!text.contains('\r'), "lines of an event end with one character: {text:?}");
    let body = text.strip_suffix("\n\n").expect("an event ends with an empty line");
    let mut event = Event::default();
    for line in body.split('\n') {
        let (field, value) = line.split_once(':').expect("a line is a field");
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => assert_eq!(event.id.replace(value), None, "one id"),
            "event" => assert_eq!(event.name.replace(value), None, "one name"),
            "data" => match &mut event.data {
                Some(data) => data.extend(["\n", value]),
                None => event.data = Some(value.to_owned()),
            },
            _ => panic!("unknown field in {line:?}"),
        }
    }
    event
}

/// Base64, read by code of its own.
fn from_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    assert!(text.len().is_multiple_of(4), "base64 is padded");
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for digit in text.trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|other| *other == digit).expect("a digit");
        (bits, held) = (bits << 6 | value as u32, held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

/// What stands for a room in the ids of streams of several rooms: FNV-1a of its name, in 32 bits.
fn tag_of(name: &str) -> u32 {
    let mut hash = 2_166_136_261_u64;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)) * 16_777_619 % (1 << 32);
    }
    hash as u32
}

/// The tags, epochs and offsets that the id of a stream of several rooms names, read by code of its own.
fn read_positions(id: &str) -> Option<Vec<(u32, Rc<str>, u64)>> {
    if !id.starts_with('A') {
        return None;
    }
    let padded = id.replace('-', "+").replace('_', "/") + &"=".repeat((4 - id.len() % 4) % 4);
    let bytes = from_base64(&padded);
    let mut at = 1;
    let mut places = Vec::new();
    while at < bytes.len() - 2 {
        let tag = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let epoch = u64::from_le_bytes(bytes[at + 4..at + 12].try_into().expect("eight bytes"));
        at += 12;
        let (mut offset, mut shift) = (0, 0);
        loop {
            offset |= u64::from(bytes[at] & 0x7f) << shift;
            (at, shift) = (at + 1, shift + 7);
            if bytes[at - 1] < 0x80 {
                break;
            }
        }
        places.push((tag, format!("{epoch:016x}").into(), offset));
    }
    assert_eq!(at, bytes.len() - 2, "what is left is the check");
    Some(places)
}

/// Where a client had stopped in this room that was sent this id last; none if it never was in it.
fn since_of(name: &str, id: &str) -> Option<(Rc<str>, u64)> {
    if let Some(places) = read_positions(id) {
        let place = places.into_iter().find(|(tag, ..)| *tag == tag_of(name))?;
        return Some((place.1, place.2));
    }
    Some(match id.split_once('-') {
        Some((epoch, offset)) => (epoch.into(), offset.parse().expect("an offset")),
        None => ("".into(), 0),
    })
}

/// The epoch and the offset that an id names.
fn read_id(id: &str) -> (Rc<str>, u64) {
    let (epoch, offset) = id.split_once('-').expect("an id is epoch and offset");
    (epoch.into(), offset.parse().expect("an offset is a number"))
}

impl View {
    /// A view of this stream.
    pub(crate) fn of_stream(client: usize, conn: ConnId, stream: Stream) -> View {
        let mut view = View::new(client, conn.to_string(), false);
        view.stream = Some(stream);
        view
    }

    pub(crate) fn is_in(&self, room: usize) -> bool {
        let streams = |stream: &Stream| stream.is_of(room) && self.welcomed_at.is_some();
        self.rooms.contains_key(&room) || self.stream.as_ref().is_some_and(streams)
    }

    /// In how many rooms it is.
    pub(crate) fn membership_count(&self) -> usize {
        match &self.stream {
            Some(stream) if self.welcomed_at.is_some() => stream.parts.len(),
            Some(_) => 0,
            None => self.rooms.len(),
        }
    }

    fn stream_mut(&mut self) -> &mut Stream {
        self.stream.as_mut().expect("it has a stream")
    }

    /// Takes bytes that the socket of a stream took.
    pub(crate) fn take_stream(&mut self, bytes: &[u8], court: &mut Court<'_>) {
        court.count.add_if(!self.partial.is_empty(), Happened::StreamCutMidFrame);
        let mut all = std::mem::take(&mut self.partial);
        all.extend_from_slice(bytes);
        let mut at = 0;
        if self.welcomed_at.is_none() {
            let head = &all[..HEAD.len().min(all.len())];
            assert!(HEAD.starts_with(head), "a stream begins with its head");
            if all.len() < HEAD.len() {
                self.partial = all;
                return;
            }
            (at, self.welcomed_at) = (HEAD.len(), Some(court.step));
        }
        while let Some((payload, len)) = read_chunk(&all[at..]) {
            assert_eq!(self.closed, None, "nothing follows the last chunk");
            self.chunk(str::from_utf8(payload).expect("events are text"), court);
            at += len;
        }
        self.partial = all.split_off(at);
        assert!(self.closed.is_none() || self.partial.is_empty(), "nothing follows the last chunk");
    }

    fn chunk(&mut self, payload: &str, court: &mut Court<'_>) {
        if payload.is_empty() {
            let reason = self.stream_mut().reason.take().expect("a reason comes before the end");
            self.closed = Some((0, reason));
            return court.count.add(Happened::StreamToldItsEnd);
        }
        let stream = self.stream_mut();
        assert!(stream.reason.is_none(), "only the last chunk follows the reason");
        let is_first = !std::mem::replace(&mut stream.retries, true);
        if payload == RETRY {
            return assert!(is_first, "the delay is sent once");
        }
        if let Some(comment) = payload.strip_prefix(": ") {
            let comment = comment.strip_suffix("\n\n").expect("a comment has an end");
            if comment == "ping" {
                self.pings_seen += 1;
                assert!(!is_first, "only the end comes before the delay");
                return court.count.add(Happened::StreamCommented);
            }
            self.stream_mut().reason = Some(comment.to_owned());
            return;
        }
        assert!(!is_first, "only the end comes before the delay");
        let event = read_event(payload);
        let data = event.data.expect("every event has data");
        if let Some(id) = event.id {
            self.stream_mut().last_id = Some(id.to_owned());
        }
        let several = self.stream_mut().has_positions();
        match (event.name, event.id) {
            (Some("cast:at"), Some(id)) if several => self.positions(id, court),
            (Some("cast:at"), Some(id)) => {
                let part = &self.stream_mut().parts[0];
                assert_eq!((part.since.as_ref(), &*data), (None, ""));
                let (room, (epoch, offset)) = (part.room, read_id(id));
                self.begins(room, epoch, offset, court);
            }
            (name, id) if id.is_none() != several => panic!("an event {name:?} with id {id:?}"),
            (Some("cast:unrecovered"), id) => self.unrecovered(id, &data, court),
            (None, id) => self.event(id, &data, court),
            (Some("binary"), id) => {
                court.count.add(Happened::StreamBinary);
                let text = String::from_utf8(from_base64(&data)).expect("the harness says text");
                let room = self.room_of_lines(&text, court);
                let said = court.model.recognise(&text, room);
                self.numbered(room, id, None, said, court);
            }
            (Some("cast:gap"), id) => self.stream_gap(id, &data, court),
            (name, id) => panic!("an event {name:?} with id {id:?}"),
        }
    }

    /// The room of what has no envelope.
    fn room_of_lines(&mut self, data: &str, court: &Court<'_>) -> usize {
        match self.stream_mut().has_positions() {
            true => court.model.room_of_lines(data),
            false => self.stream_mut().parts[0].room,
        }
    }

    /// A stream of several rooms says where it is in each: where its client is.
    fn positions(&mut self, id: &str, court: &mut Court<'_>) {
        let places = read_positions(id).expect("an id of several rooms");
        let rooms: Vec<usize> = self.stream_mut().parts.iter().map(|part| part.room).collect();
        assert_eq!(places.len(), rooms.len(), "each room has its place");
        for (room, (tag, epoch, offset)) in rooms.into_iter().zip(places) {
            let name: String = serde_json::from_str(&court.rooms[room]).expect("a name");
            assert_eq!(tag, tag_of(&name), "rooms come in the order of the stream");
            self.enter(room, offset + 1, court);
            // Behind what is not for this client, too.
            self.advance(room, offset + 1);
            let stay = &self.rooms[&room];
            assert_eq!(
                (&stay.epoch, stay.next),
                (&epoch, offset + 1),
                "it is there in room {room}"
            );
        }
        court.count.add(Happened::StreamPositions);
    }

    /// Whether the client was sent where it is, if its stream has several rooms.
    pub(crate) fn knows_positions(&self) -> bool {
        let Some(stream) = self.stream.as_ref().filter(|stream| stream.has_positions()) else {
            return true;
        };
        let places = stream.last_id.as_deref().and_then(read_positions).unwrap_or_default();
        let offsets = places.iter().map(|(.., offset)| Some(offset + 1));
        offsets.eq(stream.parts.iter().map(|part| Some(self.rooms.get(&part.room)?.next)))
    }

    /// A message of a room, in our envelope or as it is.
    fn event(&mut self, id: Option<&str>, data: &str, court: &mut Court<'_>) {
        if data.starts_with(r#"{"c":"#) {
            let room = self.room_of_lines(data, court);
            return self.lines(room, id, None, data, court);
        }
        let members = wire::members(data);
        let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["event", "data", "room", "offset"], "the same as over WebSocket");
        assert_eq!(members[0].1, r#""m""#);
        let room = court.rooms.iter().position(|name| name == members[2].1).expect("a room");
        let offset = members[3].1.parse().expect("a number");
        self.lines(room, id, Some(offset), members[1].1, court);
    }

    fn lines(
        &mut self,
        room: usize,
        id: Option<&str>,
        offset: Option<u64>,
        data: &str,
        court: &mut Court<'_>,
    ) {
        court.count.add_if(data.contains('\n'), Happened::StreamLineBreaks);
        let said = court.model.recognise_lines(data, room);
        self.numbered(room, id, offset, said, court);
    }

    /// A message has come whose place its id says, its envelope, or else what came before.
    fn numbered(
        &mut self,
        room: usize,
        id: Option<&str>,
        offset: Option<u64>,
        said: usize,
        court: &mut Court<'_>,
    ) {
        let place = id.map(read_id);
        let known = place.as_ref().map(|(_, offset)| *offset).or(offset);
        assert!(offset.is_none() || known == offset, "the id is that of the message");
        if known.is_none() && !self.knows_place(room) {
            // What comes first in a room, without its offset, is looked at when that is known.
            return self.stream_mut().early.push((room, said));
        }
        self.enter(room, known.unwrap_or(0), court);
        let stay = &self.rooms[&room];
        if let Some((epoch, _)) = place {
            assert_eq!(stay.epoch, epoch, "a room does not end under its members");
        }
        let offset = known.unwrap_or(stay.next);
        court.count.add(Happened::StreamEvent);
        self.room_message(room, offset, said, court);
    }

    /// The stream says where it is in a room, which its client does not know.
    fn begins(&mut self, room: usize, epoch: Rc<str>, offset: u64, court: &mut Court<'_>) {
        let part = self.part(room);
        let seen = part.seen_before.get(&epoch).copied().unwrap_or(0);
        assert!(offset >= seen, "{offset} is older than the stream, {seen} was seen");
        assert!(part.joined_at.is_none_or(|joined| joined == offset), "it is at {offset}");
        self.go_on_from(room, epoch, offset, court);
    }

    fn part(&mut self, room: usize) -> &mut Part {
        self.stream_mut().part_mut(room).unwrap_or_else(|| panic!("room {room} of another stream"))
    }

    fn unrecovered(&mut self, id: Option<&str>, json: &str, court: &mut Court<'_>) {
        let name = wire::member(json, "room").expect("which room");
        let room = court.rooms.iter().position(|room| room == name).expect("a room");
        let data = wire::member(json, "data").expect("why not");
        let reason = wire::member(data, "reason").expect("a reason");
        let expected =
            format!(r#"{{"event":"cast:unrecovered","room":{name},"data":{{"reason":{reason}}}}}"#);
        assert_eq!(json, expected);
        assert_eq!(self.part(room).refused.replace(data.to_owned()), None, "it is said once");
        if let Some((epoch, offset)) = id.map(read_id) {
            self.begins_unrecovered(room, epoch, offset, court);
        }
    }

    /// The client learns where it is in a room of which it is not sent what it missed.
    fn begins_unrecovered(
        &mut self,
        room: usize,
        epoch: Rc<str>,
        offset: u64,
        court: &mut Court<'_>,
    ) {
        self.begins(room, epoch.clone(), offset, court);
        let part = self.part(room);
        let since = part.since.clone().expect("its client said where it had stopped");
        let data = part.refused.clone().expect("it was refused");
        let reason = wire::member(&data, "reason").expect("why not");
        match reason_against(&since, &epoch, offset) {
            Some(Against::Missed) => {
                let (place, missed) = ((room, &epoch), (since.1, offset));
                assert!(!self.judge_recovery(place, missed, court.model.now, &data, court));
            }
            Some(Against::Reason(expected)) => assert_eq!(reason, expected),
            None => panic!("nothing is missed"),
        }
        court.count.add(Happened::StreamNotRecovered);
    }

    /// Something of a room comes, `next` if the client can know. A stream that says nothing before goes
    /// on where its client had stopped; of several rooms, also where it is now.
    fn enter(&mut self, room: usize, next: u64, court: &mut Court<'_>) {
        let several = self.stream_mut().has_positions();
        let part = self.part(room);
        if part.first.is_some() {
            return;
        }
        let since = part.since.clone().filter(|_| part.refused.is_none());
        if let Some((epoch, offset)) = since {
            self.go_on_from(room, epoch, offset, court);
            return court.count.add(Happened::StreamRecovered);
        }
        assert!(several, "a client is sent where it is");
        let (epoch, joined_at) = (part.epoch.clone().expect("it is a member"), part.joined_at);
        let is_refused = part.refused.is_some();
        let early = &mut self.stream_mut().early;
        let early: Vec<usize> =
            early.extract_if(.., |(of, _)| *of == room).map(|(_, said)| said).collect();
        let offset = joined_at.unwrap_or_else(|| next - 1 - early.len() as u64);
        match is_refused {
            true => self.begins_unrecovered(room, epoch, offset, court),
            false => self.begins(room, epoch, offset, court),
        }
        for said in early {
            let next = self.rooms[&room].next;
            self.room_message(room, next, said, court);
        }
    }

    /// Whether the next message of a room can only have one offset.
    fn knows_place(&mut self, room: usize) -> bool {
        let part = self.part(room);
        let goes_on = part.since.is_some() && part.refused.is_none();
        part.first.is_some() || goes_on || part.joined_at.is_some()
    }

    fn go_on_from(&mut self, room: usize, epoch: Rc<str>, offset: u64, court: &mut Court<'_>) {
        let part = self.part(room);
        assert_eq!(part.first.replace(offset + 1), None, "a stream begins once");
        let recovered_to = part.joined_at.unwrap_or(0);
        court.model.live(room, &epoch);
        let stay = Stay { epoch, next: offset + 1, after_gap: false, recovered_to, newest: None };
        self.rooms.insert(room, stay);
    }

    /// A client that is cut behind it goes on with the next message: what was announced does not come.
    fn stream_gap(&mut self, id: Option<&str>, json: &str, court: &mut Court<'_>) {
        let name = wire::member(json, "room").expect("which room");
        let room = court.rooms.iter().position(|room| room == name).expect("a room");
        assert_eq!(wire::member(json, "event"), Some(r#""cast:gap""#));
        let data = wire::member(json, "data").expect("what was lost");
        court.count.add(Happened::StreamGap);
        self.enter(room, number(data, "from"), court);
        self.gap(room, data, court);
        if let Some((epoch, offset)) = id.map(read_id) {
            let stay = &self.rooms[&room];
            assert_eq!((&stay.epoch, stay.next), (&epoch, offset + 1), "what is skipped");
        }
    }

    /// Everything of a room that was said when it had read its head has come.
    pub(crate) fn check_stream(&self, model: &Model, room: usize, epoch: &Rc<str>, newest: u64) {
        let parts = self.stream.iter().flat_map(|stream| &stream.parts);
        let Some(part) = parts.into_iter().find(|part| part.room == room) else { return };
        assert!(self.knows_positions(), "a client does not know where it is");
        let since = part.since.as_ref().map(|(_, offset)| offset + 1);
        let heard_from = part.first.or(since).unwrap_or(newest + 1);
        for offset in 1..heard_from {
            let Some(said) = model.at(room, epoch, offset) else { continue };
            let saying = &model.sayings[said];
            let before = Some(saying.said_at) <= self.welcomed_at;
            assert!(before || saying.excluded.is_some(), "a stream misses message {said}");
        }
        if let (None, Some(joined_at)) = (part.first, part.joined_at) {
            let unasked = self.unasked.get(&room).copied().unwrap_or(0) as u64;
            assert!(newest <= joined_at + unasked, "a stream has heard of nothing");
        }
    }
}

impl World {
    /// A client asks for the events of a room, or of several.
    /// The rooms of a new stream; some of several are named twice.
    pub(crate) fn rooms_of_stream(&mut self) -> Vec<usize> {
        let room = match self.chance.happens(0.4) {
            true => 0,
            false => self.chance.below(self.names.len()),
        };
        let mut rooms = vec![room];
        if self.stream_chance.happens(0.4) {
            let most = self.setup.config.limits.rooms_per_connection;
            let more = self.stream_chance.within(1, 4).min(most - 1);
            rooms.extend((0..more).map(|_| self.stream_chance.below(self.names.len())));
        }
        rooms
    }

    pub(crate) fn open_stream(&mut self, shard: usize, mut rooms: Vec<usize>) -> (ConnId, Stream) {
        let room = rooms[0];
        let since = self.chance.happens(0.6).then(|| self.some_event_id(room));
        let since = since.as_deref();
        let names = rooms.iter().map(|room| self.names[*room].clone());
        let listening = Listening::to_rooms(names, since).expect("one room or several");
        let mut known = BTreeSet::new();
        rooms.retain(|room| known.insert(*room));
        self.check_totals(shard);
        let before = self.shards[shard].stats().waiting;
        let head = [HEAD, &Format::chunk(RETRY.as_bytes())].concat();
        let conn = self.shards[shard].open_event_stream(listening, &head, None);
        self.check_totals(shard);
        let waits = self.shards[shard].stats().waiting > before;
        self.count.add_if(waits, Happened::StreamWaited);
        let part = |room: usize| {
            let since = since.and_then(|id| since_of(self.names[room].as_str(), id));
            Part::new(room, since, &self.model)
        };
        let stream = Stream::new(rooms.into_iter().map(part).collect(), self.step);
        (conn, stream)
    }

    /// A stream of several rooms is slow until it is in all of them, as if its socket refused bytes.
    pub(crate) fn hold_stream(&mut self, client: usize) {
        let player = &mut self.clients[client];
        if player.view.stream.as_ref().is_some_and(Stream::has_positions) {
            let now = self.time_at[player.shard];
            (player.slow_since, player.refused_since) = (now, now);
            self.slow[player.shard].insert(client);
        }
    }

    /// An id that a client may have stopped at: the last one of a stream of this room or of another
    /// one, or one of another server.
    fn some_event_id(&mut self, room: usize) -> String {
        let other = self.chance.happens(0.1);
        let ids = self.clients.iter().filter_map(|client| client.view.stream.as_ref());
        let ids: Vec<&String> = ids
            .filter(|stream| other || stream.is_of(room))
            .filter_map(|stream| stream.last_id.as_ref())
            .collect();
        match ids.len() {
            0 => "7".to_owned(),
            count => ids[count - 1 - self.chance.below(count.min(3))].clone(),
        }
    }

    /// Sends bytes that are discarded, or hangs up.
    pub(crate) fn act_on_stream(&mut self, client: usize) {
        if self.chance.happens(self.setup.faults.hang_up) {
            self.hang_up(client);
        } else if self.chance.happens(0.2) {
            let times = if self.chance.happens(0.2) { self.chance.within(2, 200) } else { 1 };
            let bytes = b"\x81\x80GET / HTTP/1.1\r\n\r\n".repeat(times);
            self.clients[client].out.extend_from_slice(&bytes);
        }
    }

    /// A stream's client has gone: that is its end, and it is no member any more.
    pub(crate) fn check_ends_with_client(&self, client: usize) {
        let (conn, shard) = (self.clients[client].conn, self.clients[client].shard);
        let begun = self.begun.iter().any(|send| send.client == client);
        let engine = &self.shards[shard];
        let out = engine.rooms_of(conn).is_empty();
        assert!(begun || out, "client {client} has gone, and its stream is a member");
    }

    /// A stream that takes bytes hears something within the interval; one that takes none is idle.
    pub(crate) fn check_stream_idle(&mut self, client: usize, now: Time) {
        let limits = &self.setup.config.limits;
        let (interval, timeout) = (limits.ping_interval, limits.ping_timeout);
        let player = &self.clients[client];
        let shard = player.shard;
        let ends = self.shards[shard].close_reason(player.conn).is_some();
        let begun = self.begun.iter().any(|send| send.client == client);
        if interval.is_zero() || ends || player.parted.is_some() {
            return;
        }
        let looks_within = interval + interval / 4 + SLACK;
        if let Some(blocked_at) = player.blocked_at {
            let due = blocked_at + interval + timeout + looks_within;
            assert!(now < due, "client {client} takes nothing since {blocked_at:?} and stays");
        }
        // While it takes nothing it is not sent more comments, and before its head it has none.
        let hears = !player.refusing && !player.dead && player.view.welcomed_at.is_some();
        let waits = begun || self.shards[shard].has_sends() || !player.view.partial.is_empty();
        let player = &mut self.clients[client];
        if !hears {
            player.commented_at = now;
        }
        let due = player.commented_at + looks_within;
        assert!(
            waits || now < due,
            "client {client} hears nothing since {:?}",
            player.commented_at
        );
    }

    /// Whether a stream may end as idle: its socket has taken nothing for so long.
    pub(crate) fn check_stream_ends_idle(&self, client: usize) -> Happened {
        let limits = &self.setup.config.limits;
        let player = &self.clients[client];
        let patience = limits.ping_interval + limits.ping_timeout;
        let now = self.time_at[player.shard];
        let blocked = player.blocked_at.map(|since| now.since(since));
        let late = player.ends_blocked.or(blocked).is_some_and(|blocked| blocked >= patience);
        assert!(late, "client {client} takes bytes and ends as idle");
        Happened::StreamEndedIdle
    }

    /// Counts what happens to a member in one encoding while a pass over its room is under way on
    /// its shard, where members have the other encoding.
    pub(crate) fn note_mid_pass(&mut self, client: usize, room: usize, happened: Happened) {
        let player = &self.clients[client];
        let differs = |other: &usize| {
            let other = &self.clients[*other];
            let same_shard = other.shard == player.shard && other.view.is_in(room);
            same_shard && other.view.stream.is_some() != player.view.stream.is_some()
        };
        #[cfg(debug_assertions)]
        let in_pass = self.shards[player.shard].is_in_pass(&self.names[room]);
        #[cfg(not(debug_assertions))]
        let in_pass = self.slicing[player.shard];
        self.count.add_if(in_pass && self.open.iter().any(differs), happened);
        let player = &self.clients[client];
        let differs = |other: &usize| {
            let other = &self.clients[*other];
            let same_shard = other.shard == player.shard && other.view.is_in(room);
            same_shard && other.view.deflate != player.view.deflate
        };
        let happened = match happened {
            Happened::FormatJoinedMidPass => Happened::DeflateJoinedMidPass,
            _ => Happened::DeflateLeftMidPass,
        };
        self.count.add_if(in_pass && self.open.iter().any(differs), happened);
    }

    /// Counts the rooms that have members of all formats.
    pub(crate) fn note_formats(&mut self) {
        for room in 0..self.names.len() {
            let members = || self.clients.iter().filter(|c| c.lives() && c.view.is_in(room));
            let has = |format| members().any(|client| client.format == format);
            let formats = [Format::Native, Format::Verbatim, Format::Sse, Format::SseOfRooms];
            let all = formats.into_iter().all(has);
            self.count.add_if(all, Happened::AllFormatsInOneRoom);
        }
    }

    /// What a stream's client receives may not be what its socket took.
    pub(crate) fn lie_about_chunks(&mut self, client: usize, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let view = &self.clients[client].view;
        if !view.partial.is_empty() || view.rooms.is_empty() {
            return bytes;
        }
        let begins = |prefix: &'static [u8]| {
            let bytes = &bytes;
            move |range: &Range<usize>| {
                read_chunk(&bytes[range.clone()]).is_some_and(|(text, _)| text.starts_with(prefix))
            }
        };
        let whole = chunks(&bytes);
        let is_event = |range: &Range<usize>| {
            read_chunk(&bytes[range.clone()]).is_some_and(|(payload, _)| is_message(payload))
        };
        let (event, comment) =
            (whole.iter().position(is_event), whole.iter().position(begins(b": ping")));
        let early = self.step < self.setup.steps / 2;
        let lost = match (event, comment) {
            (Some(event), _) if self.lying.now(Lie::LoseEvent) => event,
            // Behind the last comment that is due in a run, nothing shows that one is lost.
            (_, Some(comment)) if early && self.lying.now(Lie::LoseComment) => comment,
            _ => return bytes,
        };
        trace!(self, "LIE: client {client} does not receive its chunk {lost}");
        bytes.drain(whole[lost].clone());
        bytes
    }
}
