//! Rooms whose messages wait for others: none is sent before its time, and none is late.
//!
//! The judge knows when each message came to a shard. The first one that no pass has carried begins a
//! batch, with which the next pass may begin when it has lingered, or enough bytes have come, and then
//! must. Who is sent to at any other time is not sent these messages.

use std::collections::VecDeque;
use std::time::Duration;

use corecast_shards::{MemoryStage, RoomPolicy, Time};

use crate::chance::Chance;
use crate::client::Client;
use crate::count::Happened;
use crate::lies::Lie;
use crate::policies::Rule;
use crate::view::{Awaited, Line};
use crate::wire::{frames, member, read_frame};
use crate::world::{World, trace};

/// How long messages of a room linger, and how many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lingers {
    pub(crate) duration: Duration,
    pub(crate) bytes: usize,
}

/// A longer one would be most of a seed's time.
const LONGEST: Duration = Duration::from_secs(1);

impl Lingers {
    pub(crate) fn drawn(chance: &mut Chance) -> Lingers {
        let millis = chance.pick(&[1, 5, 20, 100, 400, 1_000]);
        let bytes = chance.pick(&[1, 200, 600, 2 << 10, 16 << 10, 1 << 30]);
        Lingers { duration: Duration::from_millis(millis), bytes }
    }

    pub(crate) fn policy(self, policy: RoomPolicy) -> RoomPolicy {
        policy.linger(self.duration).linger_bytes(self.bytes)
    }

    /// At so many bytes they are sent, where a log has so many.
    fn bytes_max(self, log_bytes: usize) -> u64 {
        self.bytes.min(log_bytes / 4) as u64
    }
}

/// In some worlds messages of some rooms linger, or of all.
pub(crate) fn draw(rules: &mut Vec<Rule>, seed: u128) {
    let mut chance = Chance::new(seed as u64 ^ 4);
    if chance.happens(0.65) {
        return;
    }
    for rule in rules.iter_mut() {
        rule.lingers = chance.happens(0.7).then(|| Lingers::drawn(&mut chance));
    }
    if rules.is_empty() || chance.happens(0.5) {
        rules.push(Rule::lingering(Lingers::drawn(&mut chance)));
    }
}

/// What is known of a room on a shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    appended: u64,
    carried: u64,
    carried_bytes: u64,
    /// When each message came that no pass has carried, the oldest first.
    arrivals: VecDeque<(u64, Time)>,
    /// A pass has begun with them before it might, or is about to.
    is_early: bool,
    /// Whether that is known.
    is_judged: bool,
    /// Publishers were to pause when it was looked at last, or when its pass was queued that has not
    /// begun: then messages do not linger.
    was_paused: bool,
    /// The messages, by offset, with which a pass has begun too early.
    early: Option<(u64, u64)>,
}

impl World {
    /// Takes note of what has come to a shard, and of the passes that have begun. To be called before
    /// the shard learns another time, and whenever it may have begun one.
    pub(crate) fn note_lingers(&mut self, shard: usize) {
        for room in 0..self.names.len() {
            if let Some(lingers) = self.lingers[room] {
                self.note_batch(shard, room, lingers);
            }
        }
    }

    fn note_batch(&mut self, shard: usize, room: usize, lingers: Lingers) {
        let Some(passes) = self.shards[shard].passes(&self.names[room]) else {
            self.batches[shard][room] = Batch::default();
            return;
        };
        let now = self.time_at[shard];
        let in_pass = self.shards[shard].is_in_pass(&self.names[room]);
        let batch = &mut self.batches[shard][room];
        if passes.appended < batch.appended || passes.carried < batch.carried {
            // Everybody has left it meanwhile, and it has come again.
            *batch = Batch::default();
        }
        let come = batch.appended.max(passes.carried) + 1..=passes.appended;
        self.count.add_if(in_pass && !come.is_empty(), Happened::LingeredBehindPass);
        batch.arrivals.extend((batch.appended + 1..=passes.appended).map(|at| (at, now)));
        batch.appended = passes.appended;
        let is_ready = passes.carried > batch.carried || passes.is_queued && !in_pass;
        let is_judged = batch.is_judged || !is_ready || batch.arrivals.is_empty();
        if !is_judged {
            self.judge_batch(shard, room, lingers);
        }
        let is_paused = self.shards[shard].wants_pause(&self.names[room]);
        let batch = &mut self.batches[shard][room];
        let still_queued = passes.is_queued && !in_pass && passes.carried == batch.carried;
        batch.was_paused = is_paused || batch.was_paused && still_queued;
        if passes.carried > batch.carried {
            let offset = |at: u64| (passes.newest + at).saturating_sub(passes.appended);
            let early = (offset(batch.carried + 1), offset(passes.carried));
            batch.early = batch.is_early.then_some(early);
            batch.arrivals.retain(|(at, _)| *at > passes.carried);
            (batch.carried, batch.carried_bytes) = (passes.carried, passes.carried_bytes);
            (batch.is_early, batch.is_judged) = (false, false);
        }
        self.check_not_late(shard, room, lingers);
    }

    /// A pass has begun, or is to: whether that is right.
    fn judge_batch(&mut self, shard: usize, room: usize, lingers: Lingers) {
        let passes = self.shards[shard].passes(&self.names[room]).expect("it has members");
        let batch = &self.batches[shard][room];
        let (_, first) = batch.arrivals.front().expect("there are some");
        let has_begun = passes.carried > batch.carried;
        let up_to = if has_begun { passes.carried_bytes } else { passes.appended_bytes };
        let bytes = up_to - batch.carried_bytes;
        let has_lingered = self.time_at[shard] >= *first + lingers.duration;
        let is_full = bytes >= lingers.bytes_max(self.log_bytes[room]);
        let is_many = batch.arrivals.len() > 1;
        let stage = self.shards[shard].memory_stage().max(self.stage_before[shard]);
        let is_paused = batch.was_paused || self.shards[shard].wants_pause(&self.names[room]);
        let may_begin = has_lingered
            || is_full
            || is_paused
            || self.stopped[shard]
            || stage >= MemoryStage::Refusing;
        trace!(self, "shard {shard}: room {room} has lingered, {bytes} bytes: {may_begin}");
        self.count.add_if(has_lingered, Happened::LingerEnded);
        self.count.add_if(is_full && !has_lingered, Happened::LingerFull);
        self.count.add_if(self.stopped[shard] && !has_lingered, Happened::LingerEndedByDrain);
        self.count.add_if(is_many, Happened::LingeredTogether);
        let batch = &mut self.batches[shard][room];
        (batch.is_judged, batch.is_early) = (true, !may_begin);
    }

    /// What has lingered, or is too much, waits for a pass that begins by itself.
    fn check_not_late(&mut self, shard: usize, room: usize, lingers: Lingers) {
        let passes = self.shards[shard].passes(&self.names[room]).expect("it has members");
        let batch = &self.batches[shard][room];
        let Some((_, first)) = batch.arrivals.front() else { return };
        let (now, bytes) = (self.time_at[shard], passes.appended_bytes - passes.carried_bytes);
        let is_late = now >= *first + lingers.duration;
        assert!(
            passes.is_queued || !is_late,
            "room {room} lingers on shard {shard} since {first:?}"
        );
        let is_full = bytes >= lingers.bytes_max(self.log_bytes[room]);
        if is_full && !passes.is_queued {
            self.lying.now(Lie::MoreBytesLinger);
            panic!("{bytes} bytes of room {room} linger on shard {shard}");
        }
        assert!(passes.is_queued || !self.stopped[shard], "room {room} lingers in a drain");
    }

    /// A send begins: whether the first message of each room in it had lingered.
    pub(crate) fn check_lingered(&mut self, client: usize, bytes: &[u8]) {
        if self.lingers.iter().all(Option::is_none) {
            return;
        }
        self.note_lingers(self.clients[client].shard);
        let player = &self.clients[client];
        if player.view.stream.is_some() || !player.view.partial.is_empty() || player.dead {
            return;
        }
        let mut seen = Vec::new();
        for range in frames(bytes) {
            let frame = read_frame(&bytes[range]).expect("it is whole").0;
            let text = str::from_utf8(&frame.payload).unwrap_or_default();
            if text.starts_with(r#"{"c":"#) {
                // It may be the first of its room.
                return;
            }
            if !text.starts_with(r#"{"event":"m""#) {
                continue;
            }
            let name = member(text, "room");
            let room = self.written.iter().position(|written| Some(&**written) == name);
            let offset = member(text, "offset").and_then(|offset| offset.parse().ok());
            let (Some(room), Some(offset)) = (room, offset) else { continue };
            if self.lingers[room].is_some() && !seen.contains(&room) {
                seen.push(room);
                self.check_first(client, room, offset);
            }
        }
    }

    fn check_first(&mut self, client: usize, room: usize, offset: u64) {
        let player = &self.clients[client];
        let Some(passes) = self.shards[player.shard].passes(&self.names[room]) else { return };
        let in_pass = self.shards[player.shard].is_in_pass(&self.names[room]);
        let carried = passes.newest - (passes.appended - passes.carried).min(passes.newest);
        // A send that comes before a pass takes along what that is about to carry.
        let is_about_to = passes.is_queued && !in_pass && offset > carried;
        let is_due = offset <= carried || is_about_to;
        self.count.add_if(!is_due && leaves(player, room), Happened::LeftWhileLingering);
        if gets_at_once(player, room, offset) {
            return;
        }
        assert!(is_due, "client {client} is sent {offset} of room {room}, which lingers");
        let batch = &self.batches[player.shard][room];
        let is_early = match is_about_to {
            true => batch.is_early,
            false => batch.early.is_some_and(|(from, to)| (from..=to).contains(&offset)),
        };
        assert!(!is_early, "client {client} is sent {offset} of room {room} before its time");
    }

    /// At the end of a seed whatever lingers is sent.
    pub(crate) fn wait_for_lingers(&mut self) {
        const TIMES: usize = 10_000;
        for _ in 0..TIMES {
            let lingers = (0..self.shards.len()).any(|shard| self.has_lingering(shard));
            if !lingers {
                return;
            }
            self.now = self.now + LONGEST;
            self.settle();
        }
        panic!("messages linger for ever");
    }

    fn has_lingering(&self, shard: usize) -> bool {
        let passes = |room: usize| self.shards[shard].passes(&self.names[room]);
        let waits = |room: usize| passes(room).is_some_and(|of| of.appended > of.carried);
        (0..self.names.len()).any(|room| self.lingers[room].is_some() && waits(room))
    }

    /// The time that the shard is told may not be the time; none if it is told none.
    pub(crate) fn lie_about_time(&mut self, shard: usize) -> Option<Time> {
        if !matches!(self.lying.lie, Lie::LingerTooShort | Lie::LingerTooLong) {
            return Some(self.now);
        }
        for room in 0..self.names.len() {
            let Some(lingers) = self.lingers[room] else { continue };
            let Some(passes) = self.shards[shard].passes(&self.names[room]) else { continue };
            let first = self.batches[shard][room].arrivals.front();
            let Some((at, first)) = first.filter(|_| !passes.is_queued) else { continue };
            let (due, offset) = (*first + lingers.duration, passes.newest + at - passes.appended);
            let waits = |client: &&Client| {
                let is_next = client.view.rooms.get(&room).is_some_and(|stay| stay.next == offset);
                let is_here = client.shard == shard && client.lives() && client.stays();
                is_here && is_next && !gets_at_once(client, room, offset)
            };
            // It may be one's own message that it does not get.
            let waits = self.clients.iter().filter(waits).count() > 1;
            if due <= self.now && self.lying.now(Lie::LingerTooLong) {
                trace!(self, "LIE: no time");
                return None;
            }
            if room == 0 && due > self.now && waits && self.lying.now(Lie::LingerTooShort) {
                trace!(self, "LIE: the time is {due:?}");
                self.lying.ahead = Some((shard, due));
            }
        }
        let ahead = self.lying.ahead.filter(|(of, _)| *of == shard);
        Some(ahead.map_or(self.now, |(_, ahead)| self.now.max(ahead)))
    }
}

/// Whether a client is about to leave a room, as far as it is known.
fn leaves(client: &Client, room: usize) -> bool {
    let leaves = |awaited: &Awaited| matches!(awaited, Awaited::Left | Awaited::Evicted);
    client.view.line(Line::Room(room)).any(|expected| leaves(&expected.answer))
}

/// Whether a message of a room need not linger for this client: it leaves the room, or may get the message
/// from the room's history.
fn gets_at_once(client: &Client, room: usize, offset: u64) -> bool {
    let joins = |awaited: &Awaited| matches!(awaited, Awaited::Joined { .. });
    let view = &client.view;
    let guided = view.guided.as_ref().and_then(|rooms| rooms.get(&room));
    guided.is_some_and(|asked| !asked.is_empty())
        || leaves(client, room)
        || view.line(Line::Room(room)).any(|expected| joins(&expected.answer))
        || view
            .rooms
            .get(&room)
            .is_none_or(|stay| offset <= stay.recovered_to || stay.newest.is_some())
}
