//! Event streams: what their clients do and see, and what must have happened to them by now.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use corecast_shards::{ConnId, Format, Listening, Time};

use crate::bounds::SLACK;
use crate::count::Happened;
use crate::lies::Lie;
use crate::model::Model;
use crate::view::{Against, Court, Stay, View, reason_against};
use crate::wire;
use crate::world::{World, trace};

/// What every stream begins with.
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What its first chunk has.
const RETRY: &str = "retry: 2000\n\n";

/// What a client remembers because it has a stream.
pub(crate) struct Stream {
    pub(crate) room: usize,
    /// The step in which it asked for it, and whether it ever was its member.
    pub(crate) asked_at: u64,
    pub(crate) was_member: bool,
    /// The room's offset when its home counted the member, where the harness saw that.
    pub(crate) joined_at: Option<u64>,
    /// The newest offsets that a client saw, by epoch, before it asked.
    seen_before: BTreeMap<Rc<str>, u64>,
    /// Where its client had stopped, if it says so.
    since: Option<(Rc<str>, u64)>,
    /// The first offset that it is to be sent, once its client can know.
    first: Option<u64>,
    /// The id that its client was sent last.
    last_id: Option<String>,
    /// The first chunk has come.
    retries: bool,
    /// The comment before the last chunk.
    reason: Option<String>,
}

/// One event as its client reads it.
#[derive(Default)]
struct Event<'a> {
    name: Option<&'a str>,
    id: Option<&'a str>,
    data: Option<String>,
}

impl Stream {
    fn new(room: usize, since: Option<&str>, asked_at: u64, model: &Model) -> Stream {
        let since = since.map(|id| match id.split_once('-') {
            Some((epoch, offset)) => (epoch.into(), offset.parse().expect("an offset")),
            None => ("".into(), 0),
        });
        let seen_before = model.newest_by_epoch(room);
        Stream {
            room,
            asked_at,
            was_member: false,
            joined_at: None,
            seen_before,
            since,
            first: None,
            last_id: None,
            retries: false,
            reason: None,
        }
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
    let is_message = |range: &Range<usize>| {
        let chunk = &all[head..][range.clone()];
        read_chunk(chunk).is_some_and(|(payload, _)| payload.starts_with(b"id: "))
    };
    whole.iter().skip(first).any(is_message)
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
        let streams = |stream: &Stream| stream.room == room && self.welcomed_at.is_some();
        self.rooms.contains_key(&room) || self.stream.as_ref().is_some_and(streams)
    }

    /// In how many rooms it is.
    pub(crate) fn membership_count(&self) -> usize {
        match &self.stream {
            Some(_) => usize::from(self.welcomed_at.is_some()),
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
        match (event.name, event.id) {
            (Some("cast:at"), Some(id)) => {
                assert_eq!((self.stream_mut().since.as_ref(), &*data), (None, ""));
                self.begins(id, court);
            }
            (Some("cast:unrecovered"), Some(id)) => self.unrecovered(id, &data, court),
            (None, Some(id)) => self.event(id, &data, court),
            (Some("binary"), Some(id)) => {
                court.count.add(Happened::StreamBinary);
                let text = String::from_utf8(from_base64(&data)).expect("the harness says text");
                let said = court.model.recognise(&text, self.stream_mut().room);
                self.numbered(id, said, court);
            }
            (Some("cast:gap"), Some(id)) => self.stream_gap(id, &data, court),
            (name, id) => panic!("an event {name:?} with id {id:?}"),
        }
    }

    /// A message of the room, in our envelope or as it is.
    fn event(&mut self, id: &str, data: &str, court: &mut Court<'_>) {
        if data.starts_with(r#"{"c":"#) {
            return self.lines(id, data, court);
        }
        let members = wire::members(data);
        let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["event", "data", "room", "offset"], "the same as over WebSocket");
        let room = self.stream_mut().room;
        let offset = id.split_once('-').map(|(_, offset)| offset);
        let envelope = [members[0].1, members[2].1, members[3].1];
        assert_eq!(envelope, [r#""m""#, &*court.rooms[room], offset.expect("an id")]);
        self.lines(id, members[1].1, court);
    }

    fn lines(&mut self, id: &str, data: &str, court: &mut Court<'_>) {
        court.count.add_if(data.contains('\n'), Happened::StreamLineBreaks);
        let said = court.model.recognise_lines(data, self.stream_mut().room);
        self.numbered(id, said, court);
    }

    fn numbered(&mut self, id: &str, said: usize, court: &mut Court<'_>) {
        let (epoch, offset) = read_id(id);
        self.go_on(court);
        let room = self.stream_mut().room;
        assert_eq!(self.rooms[&room].epoch, epoch, "a room does not end under its members");
        court.count.add(Happened::StreamEvent);
        self.room_message(room, offset, said, court);
    }

    /// The stream says where it is, which its client does not know.
    fn begins(&mut self, id: &str, court: &mut Court<'_>) {
        let (epoch, offset) = read_id(id);
        let stream = self.stream_mut();
        let seen = stream.seen_before.get(&epoch).copied().unwrap_or(0);
        assert!(offset >= seen, "{offset} is older than the stream, {seen} was seen");
        assert!(stream.joined_at.is_none_or(|joined| joined == offset), "it is at {offset}");
        self.go_on_from(epoch, offset, court);
    }

    fn unrecovered(&mut self, id: &str, json: &str, court: &mut Court<'_>) {
        self.begins(id, court);
        let (epoch, offset) = read_id(id);
        let stream = self.stream_mut();
        let since = stream.since.clone().expect("its client said where it had stopped");
        let room = stream.room;
        let data = wire::member(json, "data").expect("why not");
        let reason = match reason_against(&since, &epoch, offset) {
            Some(Against::Missed) => {
                let (place, missed) = ((room, &epoch), (since.1, offset));
                assert!(!self.judge_recovery(place, missed, court.model.now, data, court));
                wire::member(data, "reason").expect("why not")
            }
            Some(Against::Reason(reason)) => reason,
            None => panic!("nothing is missed"),
        };
        let room = &court.rooms[room];
        let expected =
            format!(r#"{{"event":"cast:unrecovered","room":{room},"data":{{"reason":{reason}}}}}"#);
        assert_eq!(json, expected);
        court.count.add(Happened::StreamNotRecovered);
    }

    /// A stream that says nothing before its first message goes on where its client had stopped.
    fn go_on(&mut self, court: &mut Court<'_>) {
        let stream = self.stream_mut();
        if stream.first.is_none() {
            let (epoch, offset) = stream.since.clone().expect("a client is sent where it is");
            self.go_on_from(epoch, offset, court);
            court.count.add(Happened::StreamRecovered);
        }
    }

    fn go_on_from(&mut self, epoch: Rc<str>, offset: u64, court: &mut Court<'_>) {
        let stream = self.stream_mut();
        assert_eq!(stream.first.replace(offset + 1), None, "a stream begins once");
        let (room, recovered_to) = (stream.room, stream.joined_at.unwrap_or(0));
        court.model.live(room, &epoch);
        let stay = Stay { epoch, next: offset + 1, after_gap: false, recovered_to, newest: None };
        self.rooms.insert(room, stay);
    }

    /// A client that is cut behind it goes on with the next message: what was announced does not come.
    fn stream_gap(&mut self, id: &str, json: &str, court: &mut Court<'_>) {
        let room = self.stream_mut().room;
        assert_eq!(wire::member(json, "event"), Some(r#""cast:gap""#));
        assert_eq!(wire::member(json, "room"), Some(&*court.rooms[room]));
        let data = wire::member(json, "data").expect("what was lost");
        court.count.add(Happened::StreamGap);
        self.go_on(court);
        self.gap(room, data, court);
        let (epoch, offset) = read_id(id);
        let stay = &self.rooms[&room];
        assert_eq!((&stay.epoch, stay.next), (&epoch, offset + 1), "the id is of what is skipped");
    }

    /// Everything that was said when it had read its head has come.
    pub(crate) fn check_stream(&self, model: &Model, epoch: &Rc<str>, newest: u64) {
        let Some(stream) = &self.stream else { return };
        let since = stream.since.as_ref().map(|(_, offset)| offset + 1);
        let heard_from = stream.first.or(since).unwrap_or(newest + 1);
        for offset in 1..heard_from {
            let Some(said) = model.at(stream.room, epoch, offset) else { continue };
            let saying = &model.sayings[said];
            let before = Some(saying.said_at) <= self.welcomed_at;
            assert!(before || saying.excluded.is_some(), "a stream misses message {said}");
        }
        if let (None, Some(joined_at)) = (stream.first, stream.joined_at) {
            let unasked = self.unasked.get(&stream.room).copied().unwrap_or(0) as u64;
            assert!(newest <= joined_at + unasked, "a stream has heard of nothing");
        }
    }
}

impl World {
    /// A client asks for the events of a room.
    pub(crate) fn open_stream(&mut self, shard: usize) -> (ConnId, Stream) {
        let room = match self.chance.happens(0.4) {
            true => 0,
            false => self.chance.below(self.names.len()),
        };
        let since = self.chance.happens(0.6).then(|| self.some_event_id(room));
        let since = since.as_deref();
        self.check_totals(shard);
        let before = self.shards[shard].stats().waiting;
        let head = [HEAD, &Format::chunk(RETRY.as_bytes())].concat();
        let listening = Listening::to_room(self.names[room].clone(), since);
        let conn = self.shards[shard].open_event_stream(listening, &head, None);
        self.check_totals(shard);
        let waits = self.shards[shard].stats().waiting > before;
        self.count.add_if(waits, Happened::StreamWaited);
        (conn, Stream::new(room, since, self.step, &self.model))
    }

    /// An id that a client may have stopped at: the last one of a stream of this room or of another
    /// one, or one of another server.
    fn some_event_id(&mut self, room: usize) -> String {
        let other = self.chance.happens(0.1);
        let ids = self.clients.iter().filter_map(|client| client.view.stream.as_ref());
        let ids: Vec<&String> = ids
            .filter(|stream| other || stream.room == room)
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
            let all = [Format::Native, Format::Verbatim, Format::Sse].into_iter().all(has);
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
        let (event, comment) =
            (whole.iter().position(begins(b"id: ")), whole.iter().position(begins(b": ping")));
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
