//! All rings between the shards of a process.

use corecast_shards::{Capacity, FromHome, Limits, Shard, ShardId, ToHome};

use super::ring::{Consumer, Producer, ShardWaker, ring};

/// One shard's ends of the mesh: to and from each other shard a ring of requests and one of
/// outcomes.
#[derive(Debug)]
pub(crate) struct Mesh {
    peers: Vec<Peer>,
    /// Whose requests are taken first in the next turn.
    first: usize,
}

/// The four rings between this shard and one other.
#[derive(Debug)]
struct Peer {
    id: ShardId,
    waker: ShardWaker,
    to_home_out: Producer<ToHome>,
    to_home_in: Consumer<ToHome>,
    from_home_out: Producer<FromHome>,
    from_home_in: Consumer<FromHome>,
}

/// Requests of one peer handled in one turn; the others and the sockets come next.
const TO_HOME_PER_TURN: usize = 64;

/// Outcomes of one peer handled in one turn. They are cheap: a publish appends once.
const FROM_HOME_PER_TURN: usize = 256;

/// Shards that share the whole of what the limits of a ring allow. More divide it among them.
const UNDIVIDED: usize = 2;

/// What a ring holds at least, however many there are; less only when it was asked for. Each ring
/// passes one message at least, whatever its size, so that these are a matter of speed alone.
const ITEMS_MIN: usize = 8;
const BYTES_MIN: usize = 4 << 10;

impl Mesh {
    /// Divides what two shards may have on their way to each other among the pairs of many, so that
    /// memory grows with the shards and not with their square: 0.5 MiB of slots for each.
    pub(crate) fn divide(limits: &mut Limits, shards: usize) {
        if shards <= UNDIVIDED {
            return;
        }
        let share = |whole: usize, least: usize| {
            (whole.saturating_mul(UNDIVIDED) / shards).max(least.min(whole)).max(1)
        };
        // Slots come in powers of two.
        limits.mesh_items = 1 << share(limits.mesh_items, ITEMS_MIN).ilog2();
        limits.mesh_bytes = share(limits.mesh_bytes, BYTES_MIN);
    }

    /// The ends of all shards, in their order. `shard_wakers` are the shards' own.
    pub(crate) fn all(shard_wakers: &[ShardWaker], limits: &Limits) -> Vec<Mesh> {
        let mut to_home = Rings::all(shard_wakers, limits);
        let mut from_home = Rings::all(shard_wakers, limits);
        // Two ranges and not a filter: their length is known, and so the list is of that length.
        let peers = |own: usize| (0..own).chain(own + 1..shard_wakers.len());
        let mut end = |own: usize, peer: usize| Peer {
            id: ShardId::new(u16::try_from(peer).expect("shards are counted in u16")),
            waker: shard_wakers[peer].clone(),
            to_home_out: to_home.producer(own, peer),
            to_home_in: to_home.consumer(peer, own),
            from_home_out: from_home.producer(own, peer),
            from_home_in: from_home.consumer(peer, own),
        };
        let mut mesh =
            |own| Mesh { peers: peers(own).map(|peer| end(own, peer)).collect(), first: 0 };
        (0..shard_wakers.len()).map(&mut mesh).collect()
    }

    /// Hands the shard what others sent it. Each turn begins with the requests of another peer, so
    /// that the peer that comes last when outcomes fill a ring comes first later.
    pub(crate) fn take(&mut self, shard: &mut Shard) {
        for peer in &mut self.peers {
            shard.on_to_home_capacity(peer.id, capacity(&mut peer.to_home_out));
            shard.on_from_home_capacity(peer.id, capacity(&mut peer.from_home_out));
            for _ in 0..FROM_HOME_PER_TURN {
                let Some(message) = peer.from_home_in.pop() else { break };
                shard.on_from_home(message);
            }
        }
        let (later, sooner) = self.peers.split_at_mut(self.first);
        self.first = if sooner.len() > 1 { self.first + 1 } else { 0 };
        for peer in sooner.iter_mut().chain(later) {
            for _ in 0..TO_HOME_PER_TURN {
                if !shard.takes_to_home() {
                    return;
                }
                let Some(message) = peer.to_home_in.pop() else { break };
                shard.on_to_home(peer.id, message);
            }
        }
    }

    /// Puts what the shard has for others onto the rings, as far as it fits, and wakes them.
    pub(crate) fn give(&mut self, shard: &mut Shard) {
        for peer in &mut self.peers {
            while let Some(message) = shard.next_from_home(peer.id) {
                let bytes = message.weight();
                let pushed = peer.from_home_out.push(message, bytes);
                assert!(pushed.is_ok(), "a shard gives only what fits");
            }
            while let Some(message) = shard.next_to_home(peer.id) {
                let bytes = message.weight();
                let pushed = peer.to_home_out.push(message, bytes);
                assert!(pushed.is_ok(), "a shard gives only what fits");
            }
            peer.from_home_out.flush();
            peer.to_home_out.flush();
        }
    }

    /// Wakes every other shard.
    pub(crate) fn wake_all(&self) {
        self.peers.iter().for_each(|peer| peer.waker.wake());
    }

    /// Whether there is something to do, or room for what did not fit. To be asked once more
    /// between [`ShardWaker::announce_park`] and sleep.
    pub(crate) fn has_work(&mut self, shard: &Shard) -> bool {
        let takes_to_home = shard.takes_to_home();
        self.peers.iter_mut().any(|peer| {
            // Requests that may not be taken now wait for capacity among the outcomes, which is asked
            // for below.
            let news =
                !peer.from_home_in.is_empty() || (takes_to_home && !peer.to_home_in.is_empty());
            let capacity =
                shard.wants_to_home_capacity(peer.id) && peer.to_home_out.wait_for_capacity();
            news || capacity
                || (shard.wants_from_home_capacity(peer.id)
                    && peer.from_home_out.wait_for_capacity())
        })
    }
}

fn capacity<T: Send>(producer: &mut Producer<T>) -> Capacity {
    let capacity = producer.capacity();
    Capacity { items: capacity.items, bytes: capacity.bytes }
}

/// One ring for each ordered pair of different shards.
struct Rings<T> {
    shards: usize,
    ends: Vec<Option<RingEnds<T>>>,
}

/// The two ends of a ring, until each is given to its shard.
type RingEnds<T> = (Option<Producer<T>>, Option<Consumer<T>>);

impl<T> Rings<T> {
    fn all(shard_wakers: &[ShardWaker], limits: &Limits) -> Rings<T> {
        let shards = shard_wakers.len();
        let pair = |index: usize| (index / shards, index % shards);
        let ends = (0..shards * shards).map(pair).map(|(from, to)| {
            let (writer, reader) = (shard_wakers[from].clone(), shard_wakers[to].clone());
            let ends = || ring(limits.mesh_items, limits.mesh_bytes, reader, writer);
            // What a shard tells itself needs no ring.
            (from != to).then(ends).map(|(producer, consumer)| (Some(producer), Some(consumer)))
        });
        Rings { shards, ends: ends.collect() }
    }

    fn ends(&mut self, from: usize, to: usize) -> &mut RingEnds<T> {
        let ends = &mut self.ends[from * self.shards + to];
        ends.as_mut().expect("there is a ring between different shards")
    }

    fn producer(&mut self, from: usize, to: usize) -> Producer<T> {
        self.ends(from, to).0.take().expect("each end is given away once")
    }

    fn consumer(&mut self, from: usize, to: usize) -> Consumer<T> {
        self.ends(from, to).1.take().expect("each end is given away once")
    }
}

#[cfg(test)]
mod memory {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    use super::super::ring::{Padded, RingShared, Slot};
    use super::*;

    /// Counts what each thread has allocated and not yet freed.
    struct Counting;

    thread_local! {
        static ALLOCATED: Cell<usize> = const { Cell::new(0) };
    }

    #[global_allocator]
    static COUNTING: Counting = Counting;

    // SAFETY: every call is passed on to the system's allocator as it is.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let _ = ALLOCATED.try_with(|sum| sum.set(sum.get().wrapping_add(layout.size())));
            // SAFETY: the caller keeps the contract of this very method.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            let _ = ALLOCATED.try_with(|sum| sum.set(sum.get().wrapping_sub(layout.size())));
            // SAFETY: the caller keeps the contract of this very method.
            unsafe { System.dealloc(block, layout) }
        }
    }

    /// Bytes that a ring takes for so many items. Its ends are its shards'.
    const fn ring_bytes<T>(items_max: usize) -> usize {
        // An `Arc` counts in front of what it shares, which begins on a cache line of its own.
        let shared = size_of::<Padded<[usize; 2]>>() + size_of::<RingShared<T>>();
        shared + items_max.next_power_of_two() * size_of::<Slot<T>>()
    }

    /// Bytes that the meshes of so many shards take, whatever is on its way: for each pair, one ring of
    /// requests and one of outcomes in either direction.
    fn computed(shards: usize, limits: &Limits) -> usize {
        let items = limits.mesh_items;
        let rings = ring_bytes::<ToHome>(items) + ring_bytes::<FromHome>(items);
        let peers = shards * (shards - 1);
        shards * size_of::<Mesh>() + peers * (size_of::<Peer>() + rings)
    }

    fn limits(shards: usize) -> Limits {
        let mut limits = Limits::default();
        Mesh::divide(&mut limits, shards);
        limits
    }

    fn allocated(shards: usize, limits: &Limits) -> usize {
        let bells: Vec<_> = (0..shards).map(|_| ShardWaker::new(|| ())).collect();
        let before = ALLOCATED.get();
        let mesh = Mesh::all(&bells, limits);
        let taken = ALLOCATED.get() - before;
        drop(mesh);
        assert_eq!(ALLOCATED.get(), before, "the mesh of {shards} shards is freed");
        taken
    }

    /// Shards, items of a ring, and KiB of all rings and their ends.
    const TABLE: &[(usize, usize, usize)] = &[
        (1, 1024, 1),
        (2, 1024, 531),
        (4, 512, 1_602),
        (8, 256, 3_776),
        (16, 128, 8_262),
        (64, 32, 38_999),
    ];

    #[test]
    fn the_mesh_takes_what_it_takes_by_arithmetic() {
        for shards in (1..=16).chain([32, 64]) {
            let limits = limits(shards);
            assert_eq!(allocated(shards, &limits), computed(shards, &limits), "{shards} shards");
        }
        for mesh_items in [1, 5, 8, 1_000] {
            let mut limits = Limits::default();
            limits.mesh_items = mesh_items;
            assert_eq!(allocated(3, &limits), computed(3, &limits), "rings of {mesh_items}");
        }
    }

    #[test]
    fn the_mesh_grows_with_the_shards_and_not_with_their_square() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/README.md");
        let page = std::fs::read_to_string(page).unwrap();
        for (shards, items, kib) in TABLE {
            let limits = limits(*shards);
            let bytes = computed(*shards, &limits);
            assert_eq!((limits.mesh_items, bytes.div_ceil(1 << 10)), (*items, *kib));
            assert!(bytes <= shards << 20, "{shards} shards: {bytes}");
            let row = format!("| {shards} | {items} | {kib} KiB | {} KiB |\n", kib / shards);
            assert!(page.contains(&row), "benches/README.md has no row {row}");
        }
    }

    #[test]
    fn rings_hold_enough_however_many_there_are() {
        let whole = Limits::default();
        assert_eq!(
            (limits(1), limits(2)),
            (whole.clone(), whole.clone()),
            "one and two have it all"
        );
        for shards in 3..=256 {
            let limits = limits(shards);
            assert!((ITEMS_MIN..=whole.mesh_items).contains(&limits.mesh_items), "{limits:?}");
            assert!((BYTES_MIN..=whole.mesh_bytes).contains(&limits.mesh_bytes), "{limits:?}");
        }
        let mut tiny = Limits::default();
        (tiny.mesh_items, tiny.mesh_bytes) = (1, 1);
        Mesh::divide(&mut tiny, 64);
        assert_eq!((tiny.mesh_items, tiny.mesh_bytes), (1, 1), "who asks for less gets less");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use corecast_shards::{
        Config, ConnId, JoinOptions, Origin, Requester, RoomMessage, RoomName, Time,
    };

    use super::*;

    fn publish(room: &RoomName) -> ToHome {
        ToHome::Publish {
            room: room.clone(),
            message: RoomMessage::text("m"),
            exclude: None,
            origin: Origin::None,
            accepted: Time::default(),
        }
    }

    /// Fills the rings of both peers again and returns whose requests were taken.
    fn refill(peers: &mut [Mesh], room: &RoomName) -> Vec<usize> {
        let mut taken = Vec::new();
        for (place, peer) in peers.iter_mut().enumerate() {
            while peer.peers[0].to_home_out.push(publish(room), 1).is_ok() {
                taken.push(place);
            }
        }
        taken
    }

    fn room_of(home: ShardId, config: &Config) -> RoomName {
        let name = |n: u32| RoomName::new(&n.to_string()).unwrap();
        (0..).map(name).find(|room| config.home(room) == home).unwrap()
    }

    /// A connection of the second shard.
    const CONN: ConnId = ConnId { shard: ShardId::new(1), slot: 0, generation: 0 };

    fn join(room: &RoomName) -> ToHome {
        ToHome::Join {
            room: room.clone(),
            conn: CONN,
            encoding: corecast_shards::Encoding::WebSocket,
            change_id: 1,
            requester: Requester::Client(None),
            options: JoinOptions::default(),
            identity: None,
            again: false,
        }
    }

    #[test]
    fn what_a_turn_has_for_a_shard_wakes_it_once_and_only_if_it_sleeps() {
        let config = Config { shards: 2, ..Config::default() };
        let home = ShardId::new(0);
        let (room, elsewhere) = (room_of(home, &config), room_of(CONN.shard, &config));
        let rung = Arc::new(AtomicU32::new(0));
        let bell = Arc::clone(&rung);
        let ring = move || {
            bell.fetch_add(1, Ordering::Relaxed);
        };
        let (own, sleeper) = (ShardWaker::new(|| {}), ShardWaker::new(ring));
        let mut meshes = Mesh::all(&[own, sleeper.clone()], &config.limits);
        let mut shard = Shard::new(home, config);
        let (mesh, peers) = meshes.split_first_mut().unwrap();
        let peer = &mut peers[0].peers[0];
        for (sleeps, wakes) in [(true, 1), (false, 1), (true, 2)] {
            if sleeps {
                sleeper.announce_park();
            }
            let origin = Origin::Connection { conn: CONN, id: "1".into() };
            let (message, accepted) = (RoomMessage::text("m"), Time::default());
            let publish =
                ToHome::Publish { room: room.clone(), message, exclude: None, origin, accepted };
            for request in [join(&room), publish] {
                assert!(peer.to_home_out.push(request, 1).is_ok());
            }
            mesh.take(&mut shard);
            shard.publish(&elsewhere, RoomMessage::text("m"), None, None).unwrap();
            mesh.give(&mut shard);
            let outcomes: Vec<FromHome> = std::iter::from_fn(|| peer.from_home_in.pop()).collect();
            let [FromHome::Joined { .. }, FromHome::Reply { .. }, FromHome::Deliver { .. }] =
                &outcomes[..]
            else {
                panic!("{outcomes:?}");
            };
            assert!(peer.to_home_in.pop().is_some(), "a request goes to the same shard");
            assert_eq!(rung.load(Ordering::Relaxed), wakes);
            sleeper.end_park();
        }
    }

    #[test]
    fn peers_are_served_in_turn_when_outcomes_fill_a_ring() {
        let mut limits = Limits::default();
        limits.mesh_items = 2;
        let mut config = Config { shards: 3, ..Config::default() };
        config.limits = limits.clone();
        let room = room_of(ShardId::new(0), &config);
        let mut shard = Shard::new(ShardId::new(0), config);
        let mut meshes = Mesh::all(&[(); 3].map(|()| ShardWaker::new(|| {})), &limits);
        let (mesh, peers) = meshes.split_first_mut().unwrap();
        assert!(peers[0].peers[0].to_home_out.push(join(&room), 1).is_ok());
        let mut served = [0_usize; 2];
        for _ in 0..300 {
            refill(peers, &room).into_iter().for_each(|peer| served[peer] += 1);
            mesh.take(&mut shard);
            mesh.give(&mut shard);
            // One member's shard reads one delivery per turn, and so slows the home down.
            peers[0].peers[0].from_home_in.pop();
        }
        assert!(served.iter().all(|served| *served > 100), "{served:?}");
    }
}
