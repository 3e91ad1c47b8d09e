//! What must have happened by now, and what must not have happened yet.

use std::time::Duration;

use corecast_shards::{Disconnect, SlowPolicy, Time};

use crate::client::Client;
use crate::count::Happened;
use crate::world::World;

/// The engine's calendar has ticks of 50 ms, and what cannot be done when it is due is tried again
/// after 100 ms.
pub(crate) const SLACK: Duration = Duration::from_millis(300);

/// So soon at the latest a server reads who may be read again.
const READ_WITHIN: Duration = Duration::from_millis(100);

/// Bytes of a reply at most.
const REPLY_BYTES: usize = 512;

impl World {
    /// Everything that was due at `now`. To be called when the shard's outputs are pulled.
    pub(crate) fn check_due(&mut self, shard: usize, now: Time) {
        for place in 0..self.open.len() {
            let client = self.open[place];
            if self.clients[client].shard == shard {
                match self.clients[client].view.stream {
                    Some(_) => self.check_stream_idle(client, now),
                    None => {
                        self.check_idle(client, now);
                        self.check_unfinished(client, now);
                    }
                }
                self.check_slow(client, now);
                self.check_cut(client, now);
                self.check_expired(client, now);
            }
        }
    }

    /// Takes note of those whose end is decided, before the shard hears of another time.
    pub(crate) fn note_ends(&mut self, shard: usize) {
        for place in 0..self.open.len() {
            let client = self.open[place];
            let player = &mut self.clients[client];
            if player.shard != shard {
                continue;
            }
            let engine = &self.shards[shard];
            if !engine.wants_read(player.conn) {
                (player.silent_since, player.pinged_by) = (self.time_at[shard], None);
            }
            if engine.close_reason(player.conn).is_some() {
                if player.ends_since.is_none() {
                    player.ends_since = Some(self.time_at[shard]);
                    player.ends_blocked =
                        player.blocked_at.map(|blocked| self.time_at[shard].since(blocked));
                }
                self.note_slow(client);
            }
        }
    }

    /// A client that is not read when its shard learns the time is silent from that time on, even if
    /// the time is what lets it be read again.
    pub(crate) fn note_unread(&mut self, shard: usize) {
        for client in &self.open {
            let player = &mut self.clients[*client];
            if player.shard == shard && !self.shards[shard].wants_read(player.conn) {
                (player.silent_since, player.pinged_by) = (self.time_at[shard], None);
            }
        }
    }

    /// A client that is not read cannot end its message: this time, which its shard hears of next, is not
    /// one in which it must.
    pub(crate) fn pass_time_of_messages(&mut self, shard: usize) {
        let passed = self.now.since(self.time_at[shard]);
        for client in &self.open {
            let player = &mut self.clients[*client];
            let engine = &self.shards[shard];
            let waits = player.shard == shard && !engine.wants_read(player.conn);
            if waits && engine.close_reason(player.conn).is_none() {
                player.unread_for += passed;
            }
        }
    }

    /// A client that does not end its message is closed.
    fn check_unfinished(&self, client: usize, now: Time) {
        let timeout = self.setup.config.limits.message_timeout;
        let player = &self.clients[client];
        let engine = &self.shards[player.shard];
        // Whether time passes for one that is not read depends on why it is not.
        let is_read = engine.wants_read(player.conn) && engine.close_reason(player.conn).is_none();
        let counts = is_read && player.parted.is_none() && !timeout.is_zero();
        if let Some(begun) = player.begun.filter(|_| counts) {
            let due = begun + player.unread_for + timeout + SLACK;
            assert!(now < due, "client {client} has not ended its message since {begun:?}");
        }
    }

    /// Marks the clients whose sockets have refused bytes for so long that they may lose what waits.
    pub(crate) fn note_timed_out(&mut self, shard: usize) {
        let (timeout, now) = (self.setup.config.limits.slow_timeout, self.time_at[shard]);
        for client in &self.open {
            let player = &mut self.clients[*client];
            let refuses = player.shard == shard && (player.refusing || player.is_held());
            player.timed_out |= refuses && now.since(player.refused_since) >= timeout;
        }
        for place in 0..self.open.len() {
            let client = self.open[place];
            let refuses = self.clients[client].shard == shard && self.clients[client].refusing;
            self.clients[client].timed_out |= refuses && self.may_be_struck(client);
        }
    }

    /// Finds out why a connection ends as slow, before the state that shows it changes.
    pub(crate) fn note_slow(&mut self, client: usize) {
        let player = &self.clients[client];
        let ends = self.shards[player.shard].close_reason(player.conn) == Some(Disconnect::Slow);
        if ends && player.slow_because.is_none() && player.parted.is_none() {
            self.clients[client].slow_because = Some(self.judge_slow(client));
        }
    }

    /// A client that is silent for too long is pinged and then closed. A client that is not read does
    /// not count as silent.
    fn check_idle(&mut self, client: usize, now: Time) {
        let limits = &self.setup.config.limits;
        let (interval, timeout) = (limits.ping_interval, limits.ping_timeout);
        let player = &self.clients[client];
        let shard = player.shard;
        if interval.is_zero() || player.parted.is_some() {
            return;
        }
        let is_read = self.shards[shard].wants_read(player.conn);
        let ends = self.shards[shard].close_reason(player.conn).is_some();
        let has_sends = self.shards[shard].has_sends();
        let begun = self.begun.iter().any(|send| send.client == client);
        let player = &mut self.clients[client];
        if !is_read {
            (player.silent_since, player.pinged_by) = (now, None);
        }
        // While memory is short connections take turns to be read.
        player.silent_since = player.silent_since.max(player.heard).max(self.unread_until[shard]);
        // If the last ping is answered only after the interval, the next look is when it timed out.
        let looked_at = (interval + interval / 4).max(timeout.saturating_sub(interval));
        let due = player.silent_since + looked_at + SLACK;
        if now < due {
            (player.pinged_by, player.missed_by) = (None, None);
            return;
        }
        let pinged_by = *player.pinged_by.get_or_insert(now);
        let takes = !player.refusing && !begun && !has_sends && !player.dead;
        if takes && !ends && player.view.partial.is_empty() {
            let pinged = player.view.pings_seen > player.pings_when_heard;
            assert!(pinged, "client {client} is silent since {:?}, and no ping", player.heard);
        }
        // The timeout has two parts where a ping is due within it. Each begins with the call of
        // `on_time` that ends the part before.
        if now < pinged_by + interval.min(timeout) + SLACK {
            player.missed_by = None;
            return;
        }
        let missed_by = *player.missed_by.get_or_insert(now);
        let late = interval >= timeout || now >= missed_by + (timeout - interval) + SLACK;
        assert!(!late || ends, "client {client} is silent since {:?} and stays", player.heard);
    }

    /// A client whose socket refuses bytes for too long falls under the slow policy; during a drain it
    /// is closed whatever the policy is.
    fn check_slow(&mut self, client: usize, now: Time) {
        let timeout = self.setup.config.limits.slow_timeout;
        let disconnects = self.slow_policies.iter().all(|policy| *policy == SlowPolicy::Disconnect);
        let player = &self.clients[client];
        let Some(blocked_at) = player.blocked_at.filter(|_| player.parted.is_none()) else {
            return;
        };
        let closing = self.closing[player.shard];
        let misses = player.misses_history || (disconnects && player.misses_messages);
        let goes = closing.is_some() || misses;
        let since = closing.map_or(blocked_at, |closing| closing.max(blocked_at));
        let late = now >= since + timeout + SLACK;
        let ends = self.shards[player.shard].close_reason(player.conn).is_some();
        assert!(!late || !goes || ends, "client {client} refuses bytes since {blocked_at:?}");
    }

    /// A client that does not end its side after our close frame is cut.
    fn check_cut(&mut self, client: usize, now: Time) {
        let timeout = self.setup.config.limits.close_timeout;
        let begun = self.begun.iter().any(|send| send.client == client);
        let player = &mut self.clients[client];
        let Some(parted_at) = player.parted_at else { return };
        // The time runs from our close frame, or from the last byte taken of what goes before it.
        let due = parted_at.max(player.sent_to_at) + timeout + SLACK;
        assert!(begun || now < due, "client {client} parted at {parted_at:?} and was not cut");
    }

    /// Whether this connection may end as slow, and because of what.
    pub(crate) fn judge_slow(&self, client: usize) -> Happened {
        let limits = &self.setup.config.limits;
        let player = &self.clients[client];
        if self.own_bytes_at_most(player) > limits.own_bytes {
            return Happened::EndedSlowOwnBytes;
        }
        assert!(
            self.slow[player.shard].contains(&client),
            "client {client} is slow, and its socket refused nothing"
        );
        if player.view.hears_of_presence() {
            // Who is in a room is as long as names are, and changes come as often as it does.
            return Happened::EndedSlowOwnBytes;
        }
        if self.time_at[player.shard].since(player.refused_since) >= limits.slow_timeout {
            return Happened::EndedSlowTimer;
        }
        if self.may_be_struck(client) {
            return Happened::EndedStruck;
        }
        let disconnects = |room: &usize| self.slow_policies[*room] == SlowPolicy::Disconnect;
        let rooms = (0..self.names.len()).filter(disconnects);
        let beyond = |bytes: usize, log_bytes: usize| {
            bytes > log_bytes.saturating_sub(self.chunks_dropped())
        };
        let mut waiting = rooms.filter_map(|room| {
            Some((self.model.bytes_from(room, player.view.next_of(room)?), self.log_bytes[room]))
        });
        let broadcasts = self.model.broadcast_bytes_beside(&player.view.broadcasts);
        let dropped = waiting.any(|(bytes, log_bytes)| beyond(bytes, log_bytes));
        let dropped = dropped || beyond(broadcasts, limits.room_log_bytes);
        assert!(dropped, "client {client} is slow before its time: {broadcasts} bytes wait");
        Happened::LogDroppedUnderBlockedMember
    }

    /// A log drops whole chunks, of which a member may have had a part: it loses no message while what
    /// waits for it and so many bytes fit the log.
    pub(crate) fn chunks_dropped(&self) -> usize {
        let tuning = &self.setup.config.tuning;
        let chunk = tuning.small_chunk_bytes.max(tuning.large_chunk_bytes);
        let streams = 2 * usize::from(self.model.has_streams);
        let encodings = 1 + streams + if self.model.has_deflate { 2 } else { 0 };
        encodings * chunk
    }

    /// The most direct bytes that a connection can have beside who is in rooms: what was emitted to it and it has not read,
    /// all answers that it may wait for, and a gap or the refusal of a recovery for each of its rooms.
    fn own_bytes_at_most(&self, player: &Client) -> usize {
        let view = &player.view;
        let unread = player.emits.iter().filter(|said| !view.emitted.contains(said));
        let emitted: usize = unread.map(|said| self.model.frame_bytes(*said)).sum();
        let guided = view.guided.iter().flatten().map(|(_, asked)| asked.len());
        let answers: usize = view.expected.values().map(|line| line.len()).sum();
        let of_rooms = view.rooms.len().max(view.membership_count());
        let answers = answers + guided.sum::<usize>() + view.pinged.len() + of_rooms + 4;
        emitted + answers * REPLY_BYTES
    }

    /// Whether an idle end is due: not before a ping went unanswered for its whole timeout, or a
    /// message that had begun took longer than it may.
    pub(crate) fn check_ends_idle(&self, client: usize) -> Happened {
        let player = &self.clients[client];
        if player.view.stream.is_some() {
            return self.check_stream_ends_idle(client);
        }
        let limits = &self.setup.config.limits;
        let now = self.time_at[player.shard];
        let silence = limits.ping_interval + limits.ping_timeout;
        // One that was read again for so long, and of which nothing was handed in, has said nothing.
        let was_read = player.resumed_at.is_some_and(|at| now.since(at) >= READ_WITHIN);
        let heard = if was_read { player.read_at } else { player.heard };
        let silent = now.since(heard) >= silence && !limits.ping_interval.is_zero();
        // While memory is short, time passes also for some that are not read.
        let calm = limits.memory_bytes == usize::MAX;
        let unread_for = if calm { player.unread_for } else { Duration::ZERO };
        let lasts = |begun| now.since(begun + unread_for) >= limits.message_timeout;
        let unfinished = player.begun.is_some_and(lasts) && !limits.message_timeout.is_zero();
        assert!(silent || unfinished, "client {client} was heard");
        if silent { Happened::EndedIdle } else { Happened::EndedMidMessage }
    }

    /// Whether the close of a socket is due: the client's end, or the whole timeout.
    pub(crate) fn check_cut_in_time(&mut self, client: usize, parted: Disconnect) {
        let player = &self.clients[client];
        let timeout = self.setup.config.limits.close_timeout;
        let is_answered = player.view.stream.is_none() || player.view.closed.is_some();
        let lost = parted == Disconnect::Lost && is_answered;
        let ended = (player.end_told && is_answered) || player.dead || lost;
        let since = player.ends_since.or(player.parted_at).expect("it parted");
        let waited = self.time_at[player.shard].since(since);
        self.count.add_if(!ended, Happened::CloseTimedOut);
        assert!(ended || waited >= timeout, "client {client} was cut after {waited:?}");
    }
}

/// When a room was last touched, as its home shows it.
#[derive(Clone, Debug)]
pub(crate) struct Touched {
    epoch: String,
    offset: u64,
    members: u32,
    /// The home's time when it was seen to change, or had members.
    at: Time,
    /// The same, but of anything that may have touched it unseen.
    perhaps_at: Time,
    /// In how many turns it was due and others ended before it, and when the last of these was.
    late: (usize, Time),
}

/// After so long a home goes on with what was too much for one turn.
pub(crate) const PAUSE: Duration = Duration::from_millis(1);

impl World {
    /// In how many turns a home ends, or forgets, all rooms if they are due at once.
    pub(crate) fn turns_to_end_all(&self) -> usize {
        self.names.len() / self.setup.config.tuning.ends_per_turn + 2
    }

    /// Rooms end when they have lingered, and not before.
    pub(crate) fn check_rooms(&mut self, home: usize) {
        let handled = std::mem::take(&mut self.handled[home]);
        let now = self.time_at[home];
        let limits = &self.setup.config.limits;
        let (most, shards) = (limits.lingering_rooms, self.shards.len());
        let share = (most / shards + usize::from(home < most % shards)).max(most.min(1));
        let mut lingering = 0;
        let linger = limits.room_linger;
        for room in 0..self.names.len() {
            if self.homes[room] != home {
                continue;
            }
            let query = corecast_shards::Query::Room(self.names[room].clone());
            let corecast_shards::Answer::Room(info) = self.shards[home].answer(query) else {
                panic!("a room is asked for");
            };
            let before = self.touched[room].take();
            let epoch = info.as_ref().map(|info| info.epoch.to_string());
            if let Some(before) = &before
                && epoch.as_ref() != Some(&before.epoch)
            {
                assert!(handled || before.members == 0, "room {room} ended under its members");
                let crowded = self.names.len() > share || self.was_short;
                let lingered = now >= before.at + linger;
                assert!(lingered || crowded, "room {room} ended before its time");
                self.count.add(Happened::RoomEnded);
                self.note_ended(room, before.epoch.clone(), before.offset);
            }
            let Some(info) = info else { continue };
            lingering += usize::from(info.members == 0);
            let epoch = info.epoch.to_string();
            if before.as_ref().is_none_or(|before| before.epoch != epoch) {
                self.check_reborn(room, &epoch, info.offset);
            }
            let same = before.filter(|before| before.epoch == epoch);
            let changed = same.as_ref().is_none_or(|before| {
                (before.offset, before.members) != (info.offset, info.members)
            });
            let touches = changed || info.members > 0;
            let at = same.as_ref().filter(|_| !touches).map_or(now, |before| before.at);
            let perhaps = same.as_ref().filter(|_| !touches && !handled);
            let perhaps_at = perhaps.map_or(now, |before| before.perhaps_at);
            let is_late = now >= perhaps_at + linger && !touches;
            let late = same.as_ref().filter(|_| is_late).map_or((0, now), |before| before.late);
            let is_next_turn = is_late && now >= late.1 + PAUSE;
            let late = if is_next_turn { (late.0 + 1, now) } else { late };
            assert!(late.0 <= self.turns_to_end_all(), "room {room} lingers too long");
            if let Some(before) = &same {
                assert!(before.offset <= info.offset, "offsets of room {room} only grow");
            }
            let (offset, members) = (info.offset, info.members);
            self.touched[room] = Some(Touched { epoch, offset, members, at, perhaps_at, late });
        }
        assert!(
            lingering <= share,
            "{lingering} rooms linger at home {home}, which may have {share}"
        );
    }
}
