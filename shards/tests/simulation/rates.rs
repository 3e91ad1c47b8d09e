//! How fast clients may speak, and in how many frames: a model that knows exactly what passes, what is
//! refused and when it is enough.
//!
//! It counts what a shard has decoded and read, at the shard's own times, in the order in which it was
//! said. A refusal is then expected in the place of the answer.

use std::collections::VecDeque;

use corecast_shards::{Disconnect, Format, Limits};

use crate::chance::Chance;
use crate::client::Client;
use crate::model::{EVERYBODY, NO_ROOM};
use crate::rights::Ruling;
use crate::view::{Awaited, Expected, Line, View};
use crate::wire;
use crate::world::{World, trace};

const BILLION: u128 = 1_000_000_000;

/// What may be refused of commands and messages before a connection is closed, however low the limit is.
const REFUSED_LEAST: u128 = 16;

/// A message or control frame that a client has said.
pub(crate) struct Spoken {
    pub(crate) serial: u64,
    /// Where it ends, counted like the marks.
    pub(crate) end: usize,
    /// By how many bytes its message is larger than what it is compressed to.
    pub(crate) grows: usize,
    pub(crate) kind: Kind,
    /// The JSON of a text message.
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Control,
    Text,
    Binary,
    /// It breaks a rule, and is never decoded.
    Violation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passes,
    Refused,
    Closes,
}

/// One limit per second, in billionths.
#[derive(Clone, Debug)]
struct Bucket {
    per_second: u128,
    excess_max: u128,
    tokens: u128,
    excess: u128,
}

/// What one connection may still send.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
    joins: Option<Bucket>,
    publishes: Option<Bucket>,
    /// How many of its bytes are counted.
    counted: usize,
    /// It was too fast for too long.
    closes: bool,
    /// Its end was decided, and nothing more of it counts.
    over: bool,
}

impl Bucket {
    fn new(per_second: usize, least: u128) -> Option<Bucket> {
        let per_second = per_second as u128;
        let tokens = per_second * BILLION;
        let excess_max = (4 * per_second).max(least) * BILLION;
        (per_second > 0).then_some(Bucket { per_second, excess_max, tokens, excess: 0 })
    }

    /// Time has passed; as much may be kept as comes in so many seconds.
    fn fill(&mut self, nanos: u128, seconds: u128) {
        let (come, most) = (self.per_second * nanos, self.per_second * seconds * BILLION);
        self.tokens = self.tokens.max(most.min(self.tokens + come));
        self.excess = self.excess.saturating_sub(come);
    }

    fn take(&mut self, amount: usize) -> Outcome {
        let amount = amount as u128 * BILLION;
        if amount <= self.tokens {
            self.tokens -= amount;
            return Outcome::Passes;
        }
        self.excess += amount;
        if self.excess > self.excess_max { Outcome::Closes } else { Outcome::Refused }
    }
}

impl Meter {
    /// None where nothing is limited.
    pub(crate) fn new(limits: &Limits) -> Option<Meter> {
        let meter = Meter {
            messages: Bucket::new(limits.messages_per_second, REFUSED_LEAST),
            bytes: Bucket::new(limits.bytes_per_second, limits.message_bytes as u128),
            joins: Bucket::new(limits.joins_per_second, REFUSED_LEAST),
            publishes: Bucket::new(limits.publishes_per_second, REFUSED_LEAST),
            counted: 0,
            closes: false,
            over: false,
        };
        let buckets = [&meter.messages, &meter.bytes, &meter.joins, &meter.publishes];
        let limits_something = buckets.iter().any(|bucket| bucket.is_some());
        limits_something.then_some(meter)
    }

    fn fill(&mut self, nanos: u128, seconds: u128) {
        let buckets = [&mut self.messages, &mut self.bytes, &mut self.joins, &mut self.publishes];
        buckets.into_iter().flatten().for_each(|bucket| bucket.fill(nanos, seconds));
    }

    /// Bytes up to here were decoded, and so many messages with them, which grew by so much when they
    /// were inflated.
    fn count_input(&mut self, end: usize, messages: usize, grown: usize) -> Outcome {
        let bytes = end - std::mem::replace(&mut self.counted, end) + grown;
        let take = |bucket: &mut Option<Bucket>, amount| match bucket {
            Some(bucket) if amount > 0 => bucket.take(amount),
            _ => Outcome::Passes,
        };
        match (take(&mut self.messages, messages), take(&mut self.bytes, bytes)) {
            (Outcome::Closes, _) | (_, Outcome::Closes) => Outcome::Closes,
            (Outcome::Refused, _) | (_, Outcome::Refused) => Outcome::Refused,
            _ => Outcome::Passes,
        }
    }
}

/// In a quarter of the worlds clients may speak only so fast. In them memory is not short, so that
/// connections are read whenever they do not wait, and no token is verified, so that what a client may
/// do does not change between its commands. In some worlds messages may have few frames.
pub(crate) fn limit(limits: &mut Limits, has_tokens: &mut bool, seed: u128) {
    let mut chance = Chance::new((seed >> 32) as u64);
    if limits.memory_bytes != usize::MAX {
        return;
    }
    if chance.happens(0.1) {
        limits.frames_per_message = chance.within(1, 3);
    }
    let counts_input = cfg!(debug_assertions);
    if !chance.happens(0.33) || !counts_input {
        return;
    }
    *has_tokens = false;
    let mut drawn = |some: &[usize]| if chance.happens(0.5) { chance.pick(some) } else { 0 };
    limits.messages_per_second = drawn(&[1, 2, 3, 10]);
    limits.bytes_per_second = drawn(&[50, 200, 1_000, 20_000]);
    limits.joins_per_second = drawn(&[1, 2]);
    limits.publishes_per_second = drawn(&[1, 2, 5]);
}

/// Nothing is limited.
pub(crate) fn lift(limits: &mut Limits) {
    let usual = Limits::default();
    limits.frames_per_message = usual.frames_per_message;
    (limits.messages_per_second, limits.bytes_per_second) = (0, 0);
    (limits.joins_per_second, limits.publishes_per_second) = (0, 0);
}

impl World {
    /// Another time is about to begin on a shard. While a connection waits it is not heard, and what it
    /// says meanwhile may come at once.
    pub(crate) fn pass_time_of_rates(&mut self, shard: usize) {
        let nanos = self.now.since(self.time_at[shard]).as_nanos();
        if nanos == 0 {
            return;
        }
        for place in 0..self.open.len() {
            let client = self.open[place];
            if self.clients[client].shard != shard || self.clients[client].meter.is_none() {
                continue;
            }
            self.count_input(client, None);
            let player = &mut self.clients[client];
            let waits = player.view.stream.is_none() && !self.shards[shard].wants_read(player.conn);
            let meter = player.meter.as_mut().expect("it has one");
            meter.fill(nanos, if waits { 60 } else { 1 });
        }
    }

    /// How many bytes of a client wait to be decoded, and whether a text that was decoded waits to be
    /// read; none when the connection is gone.
    #[cfg(debug_assertions)]
    fn unread_input(&self, client: usize) -> Option<(usize, bool)> {
        let player = &self.clients[client];
        self.shards[player.shard].unread_input(player.conn)
    }

    #[cfg(not(debug_assertions))]
    fn unread_input(&self, _: usize) -> Option<(usize, bool)> {
        None
    }

    /// Counts what a shard has decoded and read of a client by now; the reason is that of the end that
    /// it is known to have.
    pub(crate) fn count_input(&mut self, client: usize, reason: Option<Disconnect>) {
        let player = &mut self.clients[client];
        let Some(mut meter) = player.meter.take_if(|meter| !meter.over) else { return };
        let reason = reason.or(self.shards[player.shard].close_reason(player.conn));
        // Where it ends, or is gone, in the midst of what it said, nothing shows how far it was decoded.
        let left = reason.is_none().then(|| self.unread_input(client)).flatten();
        let (undecoded, has_unread) = left.unwrap_or((0, false));
        self.count_up_to(client, &mut meter, undecoded, has_unread, reason);
        meter.over = reason.is_some();
        let closed = reason == Some(Disconnect::Rate);
        assert!(!closed || meter.closes, "client {client} is closed, and was not too fast");
        assert!(!meter.closes || left.is_none(), "client {client} is too fast and stays");
        self.clients[client].meter = Some(meter);
    }

    fn count_up_to(
        &mut self,
        client: usize,
        meter: &mut Meter,
        undecoded: usize,
        has_unread: bool,
        reason: Option<Disconnect>,
    ) {
        let decoded = self.clients[client].handed - undecoded;
        while !meter.closes {
            let player = &mut self.clients[client];
            let next = player.spoken.pop_front_if(|spoken| spoken.end <= decoded);
            if next.is_none() && has_unread {
                break;
            }
            if let Some(text) = player.unread.take() {
                self.count_command(client, meter, text);
            }
            match next {
                Some(spoken) if !meter.closes => self.count_spoken(client, meter, spoken),
                _ => break,
            }
        }
        let is_decoded = matches!(reason, None | Some(Disconnect::Rate));
        if !meter.closes && is_decoded && meter.counted < decoded {
            meter.closes = meter.count_input(decoded, 0, 0) == Outcome::Closes;
        }
    }

    fn count_spoken(&mut self, client: usize, meter: &mut Meter, spoken: Spoken) {
        if spoken.kind == Kind::Violation {
            return;
        }
        let outcome = meter.count_input(spoken.end, 1, spoken.grows);
        trace!(self, "client {client}: message {} counts: {outcome:?}", spoken.serial);
        let player = &mut self.clients[client];
        let is_data = spoken.kind == Kind::Text
            || (spoken.kind == Kind::Binary && self.setup.config.hooks.binary);
        match outcome {
            Outcome::Closes => meter.closes = true,
            Outcome::Refused if is_data && player.format == Format::Verbatim => {
                meter.closes = true;
            }
            Outcome::Refused if is_data => self.expect_refusal(client, &spoken),
            _ if spoken.kind == Kind::Text => player.unread = Some(spoken),
            _ => {}
        }
    }

    /// A text that was decoded is read: joins and publishes have limits of their own.
    fn count_command(&mut self, client: usize, meter: &mut Meter, text: Spoken) {
        let player = &self.clients[client];
        if player.format == Format::Verbatim {
            return;
        }
        let command = Command::read(&text.text);
        let room = command.room.and_then(|room| self.written.iter().position(|name| name == room));
        let (bucket, right) = match (command.event, room) {
            (r#""cast:join""#, Some(_)) => (&mut meter.joins, &player.rights.join),
            (r#""cast:publish""#, Some(_)) => (&mut meter.publishes, &player.rights.publish),
            (r#""cast:broadcast""#, _) => (&mut meter.publishes, &player.rights.broadcast),
            _ => return,
        };
        let is_well_formed = command.event == r#""cast:join""# || command.publishes;
        if !is_well_formed || right.ruling(room.unwrap_or(EVERYBODY)) == Ruling::Forbidden {
            return;
        }
        match bucket.as_mut().map_or(Outcome::Passes, |bucket| bucket.take(1)) {
            Outcome::Passes => {}
            Outcome::Closes => meter.closes = true,
            Outcome::Refused => self.expect_refusal(client, &text),
        }
    }

    /// What the client said is refused: it is answered with an error, and nothing else comes of it.
    fn expect_refusal(&mut self, client: usize, spoken: &Spoken) {
        let command = Command::read(&spoken.text);
        let room = command.room.and_then(|room| self.written.iter().position(|name| name == room));
        let player = &mut self.clients[client];
        player.said.retain(|(serial, _)| *serial != spoken.serial);
        let verdict = player.take_verdict(spoken.serial);
        let (granted, rewritten) = verdict.unwrap_or((true, None));
        let is_forbidden =
            room.is_some_and(|room| player.rights.publish.ruling(room) == Ruling::Forbidden);
        for data in command.data.into_iter().chain(rewritten.as_deref()) {
            self.model.withdraw(data);
        }
        let unasked = command.publishes && command.id.is_none() && !command.echo;
        if let Some(room) = room.filter(|_| unasked && granted && !is_forbidden) {
            *player.view.unasked.get_mut(&room).expect("it was counted when it was said") -= 1;
        }
        player.view.expect_refusal(room, command.id, spoken.serial);
    }
}

impl Client {
    /// What the program was to say to what it will not be asked: whether that is granted, and the data
    /// of what is published instead.
    fn take_verdict(&mut self, serial: u64) -> Option<(bool, Option<Box<str>>)> {
        let place = self.verdicts.iter().position(|(of, ..)| *of == serial)?;
        let (_, verdict, rewritten) = self.verdicts.remove(place)?;
        Some((matches!(verdict, corecast_shards::Verdict::Granted), rewritten))
    }
}

/// What a text message says, as far as that matters for its refusal.
struct Command<'a> {
    event: &'a str,
    room: Option<&'a str>,
    id: Option<&'a str>,
    /// It publishes or broadcasts an event of this data.
    publishes: bool,
    data: Option<&'a str>,
    echo: bool,
}

impl Command<'_> {
    fn read(text: &str) -> Command<'_> {
        let mut command =
            Command { event: "", room: None, id: None, publishes: false, data: None, echo: true };
        if !text.starts_with('{') || text.starts_with("{ not JSON") {
            return command;
        }
        let member = |key| wire::member(text, key);
        (command.event, command.room, command.id) =
            (member("event").unwrap_or(""), member("room"), member("id"));
        let says = [r#""cast:publish""#, r#""cast:broadcast""#].contains(&command.event);
        if let Some(inner) = member("data").filter(|_| says) {
            let is_keyed = wire::member(inner, "key").is_some();
            let is_bad_key = is_keyed && command.event == r#""cast:broadcast""#;
            command.publishes = wire::member(inner, "event") != Some(r#""cast:m""#) && !is_bad_key;
            command.data = wire::member(inner, "data").filter(|_| command.publishes);
            command.echo = wire::member(inner, "echo") != Some("false");
        }
        command
    }
}

impl View {
    /// The answer to what it said with this number is an error, in the order in which it was said.
    fn expect_refusal(&mut self, room: Option<usize>, id: Option<&str>, serial: u64) {
        let id = id.map(str::to_owned);
        for (line, answers) in &mut self.expected {
            if *line != Line::Failures {
                answers.retain(|expected| expected.serial != serial);
            }
        }
        let line = room.map_or(Line::Errors, Line::Room);
        if let Some(id) = &id {
            self.ids.insert(id.clone(), line);
        }
        let answers: &mut VecDeque<Expected> = self.expected.entry(line).or_default();
        let place = answers.iter().position(|expected| expected.serial > serial);
        let answer = Awaited::Error("rate_limited");
        answers.insert(place.unwrap_or(answers.len()), Expected { id, answer, serial });
    }
}

impl crate::model::Model {
    /// A message with this data is not published after all.
    fn withdraw(&mut self, data: &str) {
        let number = self.number_of(data);
        self.sayings[number].room = NO_ROOM;
    }
}
