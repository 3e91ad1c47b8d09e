//! What rooms keep, as the judge knows it: what clients that come back must get, and what they cannot.

use std::rc::Rc;
use std::time::Duration;

use corecast_shards::{RoomPolicy, Time};

use crate::bounds::SLACK;
use crate::chance::Chance;
use crate::count::Happened;
use crate::model::Model;
use crate::view::{Court, View};
use crate::wire::member;
use crate::world::World;

/// What a room's policy keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keeps {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) duration: Duration,
}

impl Keeps {
    pub(crate) const MUCH: Keeps =
        Keeps { messages: 1_000_000, bytes: 1 << 30, duration: Duration::from_secs(600_000) };

    pub(crate) fn drawn(chance: &mut Chance) -> Keeps {
        Keeps {
            messages: chance.pick(&[1, 2, 5, 20, 1_000]),
            bytes: chance.pick(&[1 << 10, 4 << 10, 64 << 10, 1 << 20]),
            duration: Duration::from_secs(chance.pick(&[1, 5, 60, 3_600])),
        }
    }

    pub(crate) fn policy(self, policy: RoomPolicy) -> RoomPolicy {
        let policy = policy.history(self.messages).history_bytes(self.bytes);
        policy.history_for(self.duration)
    }
}

/// Some messages of a room that a client asks for.
struct Missed<'a> {
    model: &'a Model,
    room: usize,
    epoch: &'a Rc<str>,
    from: u64,
    to: u64,
}

/// What the JSON of a message has beside its data at most.
const ENVELOPE_BYTES: usize = 300;

/// How late the clock of a home may be, and the second to which ages are rounded.
const CLOCK: Duration = Duration::from_secs(40);

impl Missed<'_> {
    fn sayings(&self) -> impl Iterator<Item = Option<&crate::model::Saying>> {
        let said = |offset| self.model.at(self.room, self.epoch, offset);
        (self.from..=self.to).map(move |offset| Some(&self.model.sayings[said(offset)?]))
    }

    /// Whether all of them are kept, unless memory was needed elsewhere.
    fn must_be_kept(&self, keeps: Keeps) -> bool {
        let count = self.to + 1 - self.from;
        let known = self.sayings().all(|saying| saying.is_some());
        let bytes = self.sayings().flatten().map(|saying| saying.data.len() + ENVELOPE_BYTES);
        let ages = self.sayings().flatten().map(|saying| self.model.now.since(saying.said_time));
        known
            && count <= keeps.messages as u64
            && bytes.sum::<usize>() <= keeps.bytes
            && ages.max().is_none_or(|age| age + CLOCK < keeps.duration)
    }

    /// Whether some of them cannot be kept by a home that was asked at this time or later.
    fn cannot_be_kept(&self, keeps: Keeps, asked: Time) -> bool {
        let bytes = self.sayings().flatten().map(|saying| saying.data.len());
        let ages =
            self.sayings().flatten().filter_map(|saying| Some(asked.since(saying.seen_time?)));
        self.to + 1 - self.from > keeps.messages as u64
            || bytes.sum::<usize>() > keeps.bytes
            || ages.max().is_some_and(|age| age > keeps.duration + CLOCK)
    }
}

impl View {
    /// What a client is sent for where it had stopped, below the room's offset. Returns whether it gets
    /// what it missed.
    pub(crate) fn judge_recovery(
        &self,
        (room, epoch): (usize, &Rc<str>),
        (since, offset): (u64, u64),
        asked: Time,
        data: &str,
        court: &mut Court<'_>,
    ) -> bool {
        let recovered = member(data, "recovered") == Some("true");
        let reason = member(data, "reason");
        let Some(keeps) = court.keeps[room] else {
            assert_eq!((recovered, reason), (false, Some(r#""off""#)), "room {room} keeps nothing");
            return false;
        };
        let missed = Missed { model: court.model, room, epoch, from: since + 1, to: offset };
        if recovered {
            assert_eq!(reason, None);
            let cannot = missed.cannot_be_kept(keeps, asked);
            assert!(!cannot, "room {room}: {since} to {offset} cannot be kept");
            court.count.add(Happened::Recovered);
        } else {
            assert_eq!(reason, Some(r#""too_old""#), "the reason is the first that holds");
            let surely = !court.scarce && missed.must_be_kept(keeps);
            assert!(!surely, "room {room}: {since} to {offset} must be kept");
            court.count.add(Happened::TooOld);
        }
        recovered
    }

    /// For a join that asked for so many of the newest messages: the first offset that may come, and
    /// whether it must.
    pub(crate) fn judge_newest(
        &self,
        (room, epoch): (usize, &Rc<str>),
        offset: u64,
        last: u64,
        court: &Court<'_>,
    ) -> Option<(u64, bool)> {
        let keeps = court.keeps[room]?;
        let count = last.min(offset).min(keeps.messages as u64);
        let from = offset + 1 - count;
        let missed = Missed { model: court.model, room, epoch, from, to: offset };
        Some((from, !court.scarce && missed.must_be_kept(keeps)))
    }

    /// Whether a message of a room that comes next is one of before the join.
    pub(crate) fn is_replayed(&self, room: usize, offset: u64) -> bool {
        self.rooms.get(&room).is_some_and(|stay| {
            let newest = stay.newest.is_some() && offset < stay.next;
            newest || offset <= stay.recovered_to
        })
    }
}

/// A room with a history that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    epoch: String,
    offset: u64,
    at: Time,
}

impl World {
    /// The home shows a room no longer, which was like this.
    pub(crate) fn note_ended(&mut self, room: usize, epoch: String, offset: u64) {
        let at = self.time_at[self.homes[room]];
        self.ended[room] = self.keeps[room].map(|_| Ended { epoch, offset, at });
    }

    /// A home shows a room that it did not show before: it goes on where it stopped for as long as that
    /// is remembered, and not for much longer.
    pub(crate) fn check_reborn(&mut self, room: usize, epoch: &str, offset: u64) {
        let Some(ended) = self.ended[room].take() else { return };
        let (home, keeps) = (self.homes[room], self.keeps[room].expect("it has a history"));
        let limits = &self.setup.config.limits;
        let remembered = limits.history_meta_for.max(keeps.duration);
        let lasted = self.time_at[home].since(ended.at);
        if epoch == ended.epoch {
            assert!(offset >= ended.offset, "room {room} lost offsets");
            assert!(offset > 0, "room {room} had nothing to be remembered for");
            // A join that is refused for want of memory makes it a room once more, which ends at once.
            let again = self.was_short;
            let late = CLOCK * self.turns_to_end_all() as u32;
            assert!(again || lasted <= remembered + late, "room {room} is remembered for too long");
            return self.count.add(Happened::RoomWentOn);
        }
        let share = limits.lingering_rooms / self.shards.len();
        let crowded = share < self.names.len() || self.was_short || ended.offset == 0;
        assert!(
            crowded || lasted + SLACK >= remembered,
            "room {room} was forgotten after {lasted:?}"
        );
    }

    /// A client that takes bytes is sent its history within so many turns, however many others have
    /// frames of their own: of four sends one is for histories, each has its turn, and a turn of the shard
    /// has one send at least. The turn of an event stream may go to its own frames, which go first: the
    /// rest of one that was cut, a gap or a comment. And one that was not sent its head may not be in all
    /// of its rooms, so that it waits for their homes.
    pub(crate) fn check_turns_of_histories(&mut self, shard: usize) {
        let replaying = self.shards[shard].stats().replaying as usize;
        for place in 0..self.open.len() {
            let client = self.open[place];
            let player = &mut self.clients[client];
            if player.shard != shard {
                continue;
            }
            let engine = &self.shards[shard];
            let owed = engine.history_owed(player.conn);
            let takes = !player.refusing && !player.dead;
            let ends = engine.close_reason(player.conn).is_some();
            let begun = player.view.welcomed_at.is_some();
            // Who is in rooms, and comes and goes, is said in any number of frames that go first.
            let takes = takes && !player.view.hears_of_presence();
            let (before, turns, most) = player.owed;
            if owed == 0 || !takes || !begun || ends || owed != before {
                player.owed = (owed, 0, replaying);
                continue;
            }
            player.owed = (owed, turns + 1, most.max(replaying));
            self.count.add(Happened::HistoryWaited);
            let player = &self.clients[client];
            let (_, turns, most) = player.owed;
            let rounds = if player.view.stream.is_some() { 2 } else { 1 };
            let bound = rounds * 4 * (most + 1);
            assert!(turns <= bound, "client {client} has waited for {turns} turns");
        }
    }

    /// Counts rooms whose publishers pause because too much waits behind histories.
    pub(crate) fn note_histories(&mut self, shard: usize) {
        #[cfg(debug_assertions)]
        for room in 0..self.names.len() {
            let pauses = self.shards[shard].is_paused_for_histories(&self.names[room]);
            self.count.add_if(pauses, Happened::RoomPausedForHistory);
        }
        // Other builds do not know that; they count what may lead to it.
        #[cfg(not(debug_assertions))]
        {
            let stats = self.shards[shard].stats();
            self.count.add_if(stats.replaying > 0, Happened::RoomPausedForHistory);
        }
    }

    /// What a room keeps, for what is asked of it at any time.
    pub(crate) fn keeps(setup: &crate::faults::Setup) -> Vec<Option<Keeps>> {
        (0..setup.rooms).map(|room| crate::policies::keeps(&setup.rules, room)).collect()
    }
}

/// The offset that a message in our envelope shows.
pub(crate) fn offset_of_message(text: &str) -> Option<u64> {
    let json = text.starts_with(r#"{"event":"m""#).then_some(text)?;
    member(json, "offset").and_then(|offset| offset.parse().ok())
}
