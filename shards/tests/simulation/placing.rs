//! On which shard connections begin, and that each that is handed over begins once, or is refused, or
//! ends with what has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corecast_shards::{Format, Parcel, Placement, ShardId, Stay, Window};

use crate::count::Happened;
use crate::lies::Lie;
use crate::rights::Rights;
use crate::world::{World, trace};

/// A connection that has not begun.
pub(crate) struct Newcomer {
    pub(crate) format: Format,
    pub(crate) rights: Rights,
    pub(crate) deflate: Option<Window>,
    /// Rooms that its handshake names, or that its stream is of.
    pub(crate) rooms: Vec<usize>,
    /// The room that the program places it with.
    placed_with: Option<usize>,
}

/// One on its way, with its descriptor.
struct Traveller {
    newcomer: Newcomer,
    descriptor: Descriptor,
}

/// A descriptor that is open, among so many.
struct Descriptor(Arc<AtomicUsize>);

/// What is known of those that are on their way.
#[derive(Default)]
pub(crate) struct Travel {
    /// How many, by the shard that is to have them.
    to: Vec<usize>,
    descriptors: Arc<AtomicUsize>,
}

impl Descriptor {
    fn open(count: &Arc<AtomicUsize>) -> Descriptor {
        count.fetch_add(1, Ordering::Relaxed);
        Descriptor(Arc::clone(count))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Travel {
    pub(crate) fn new(shards: usize) -> Travel {
        Travel { to: vec![0; shards], ..Travel::default() }
    }

    pub(crate) fn count(&self) -> usize {
        self.to.iter().sum()
    }
}

impl World {
    /// What is known of a connection before it begins.
    pub(crate) fn newcomer(&mut self) -> Newcomer {
        let restrict = self.setup.faults.restrict;
        let rights = Rights::drawn(restrict, self.names.len(), &mut self.chance);
        let format = self.format();
        let deflate = self.window(format);
        let rooms = match format {
            Format::Sse => self.rooms_of_stream(),
            _ => self.named_rooms(format),
        };
        let is_placed = self.setup.named > 0.0 && self.named_chance.happens(0.2);
        let placed_with =
            (is_placed && format != Format::Sse).then(|| self.named_chance.below(self.names.len()));
        Newcomer { format, rights, deflate, rooms, placed_with }
    }

    /// A connection is accepted by a shard, and begins there, or is handed to its first room's home.
    pub(crate) fn accept(&mut self, shard: usize) {
        let newcomer = self.newcomer();
        let places = self.setup.named > 0.0;
        let room = newcomer.placed_with.or(newcomer.rooms.first().copied()).filter(|_| places);
        match room.and_then(|room| self.placement(shard, room)) {
            Some(home) => self.hand_over(shard, home, newcomer),
            None => self.open_one(shard, newcomer),
        }
    }

    /// Connections that a drain finds on their way.
    pub(crate) fn accept_some(&mut self) {
        if self.setup.named > 0.0 {
            let shards = self.shards.len();
            for shard in (0..3 * shards).map(|n| n % shards) {
                self.accept(shard);
                self.ring(shard);
            }
        }
    }

    /// The other shard where a connection begins whose first room is this; none where it is accepted.
    fn placement(&mut self, shard: usize, room: usize) -> Option<usize> {
        let held: Vec<u64> = (0..self.shards.len()).map(|shard| self.held(shard)).collect();
        let name = self.names[room].clone();
        let held_by = |shard: ShardId| held[shard.index()];
        let placement =
            self.shards[shard].placement(&name, held_by, |home, most| held_by(home) < most);
        let home = self.homes[room];
        let (total, shards) = (held.iter().sum::<u64>(), held.len() as u64);
        // With this one, no more than a quarter above the mean, or than the next whole number.
        let fits = 4 * shards * held[home] < 5 * (total + 1);
        let happened = match placement {
            Placement::There(to) => {
                assert!(to.index() == home && home != shard && fits, "{held:?}: placed on {to}");
                Happened::HandedOver
            }
            Placement::Here(Stay::AtHome) => {
                assert_eq!(home, shard, "it is not at home");
                Happened::StayedAtHome
            }
            Placement::Here(Stay::Loaded) => {
                assert!(!fits, "{held:?}: home {home} has a place");
                Happened::StayedForLoad
            }
            Placement::Here(Stay::RingFull) => Happened::StayedForRing,
            Placement::Here(Stay::Draining) => panic!("nothing is accepted in a drain"),
        };
        self.count.add(happened);
        matches!(placement, Placement::There(_)).then_some(home)
    }

    /// Connections that a shard has, and those on their way to it.
    fn held(&self, shard: usize) -> u64 {
        let open = self.open.iter().filter(|client| self.clients[**client].shard == shard);
        (open.count() + self.travel.to[shard]) as u64
    }

    fn hand_over(&mut self, from: usize, to: usize, newcomer: Newcomer) {
        trace!(self, "shard {from} hands a connection over to {to}");
        let descriptor = Descriptor::open(&self.travel.descriptors);
        let traveller = Traveller { newcomer, descriptor };
        let bytes = self.named_chance.skewed(2_000);
        self.travel.to[to] += 1;
        self.shards[from].hand_over(ShardId::new(to as u16), Parcel::new(traveller, bytes));
        self.ring(from);
    }

    /// Connections begin that were handed over to a shard, or are told that the server drains. Returns
    /// whether there was one.
    pub(crate) fn take_parcels(&mut self, shard: usize) -> bool {
        let mut taken = false;
        while let Some(parcel) = self.shards[shard].outputs().next_parcel() {
            taken = true;
            let Traveller { newcomer, descriptor } = parcel.open();
            if self.lying.now(Lie::KeepDescriptor) {
                trace!(self, "LIE: a descriptor stays open");
                std::mem::forget(descriptor);
            }
            self.travel.to[shard] = self.travel.to[shard].checked_sub(1).expect("each comes once");
            if self.draining || !self.shards[shard].takes_connections() {
                self.count.add(Happened::HandedIntoDrain);
                continue;
            }
            self.shards[shard].on_taken_over();
            self.open_one(shard, newcomer);
        }
        taken
    }

    /// When all is quiet, each that was handed over has begun or was refused.
    pub(crate) fn check_travel(&self) {
        assert_eq!(self.travel.count(), 0, "connections are on their way for ever");
        let open = self.travel.descriptors.load(Ordering::Relaxed);
        assert_eq!(open, 0, "descriptors of connections that have begun or were refused");
    }

    /// The server ends while connections are on their way: they end with what has them.
    pub(crate) fn end_in_midst(&mut self) {
        self.setup.connections = usize::MAX;
        for _ in 0..2 * self.shards.len() {
            let shard = self.chance.below(self.shards.len());
            if !self.draining {
                self.accept(shard);
            }
            let other = self.chance.below(self.shards.len());
            if other != shard && self.chance.happens(0.6) {
                self.carry_request(shard, other);
                if self.chance.happens(0.5) {
                    self.hand_in_request(shard, other);
                }
            }
        }
        let on_their_way = self.travel.descriptors.load(Ordering::Relaxed);
        self.count.add_many(on_their_way as u64, Happened::EndedOnTheWay);
        while !self.shards.is_empty() {
            let shard = self.chance.below(self.shards.len());
            drop(self.shards.remove(shard));
        }
        self.mesh.requests.clear();
        let open = self.travel.descriptors.load(Ordering::Relaxed);
        assert_eq!(open, 0, "descriptors of connections that nothing has any more");
    }
}
