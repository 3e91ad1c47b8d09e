//! Everything that waits to leave a shard, and the connections that wait for capacity.

use std::collections::VecDeque;

use super::{Capacity, FromHome, Outbox, ToHome};
use crate::id::{ConnId, ShardId};
use crate::memory::vec_bytes;
use crate::presence::NamedMembers;
use crate::room::table::RoomKey;
use crate::wait_queue::WaitQueue;

/// The outboxes of one shard: two for every other shard, and two for messages to itself, the
/// *loopback*, which has a capacity like a ring.
///
/// Messages to homes wait for messages from homes, and those for nothing: so two shards never wait
/// for each other.
#[derive(Debug)]
pub(crate) struct Outboxes {
    shard: ShardId,
    peers: Vec<Peer>,
    /// The home for which one waiting connection is served.
    serving: Option<ShardId>,
    /// Whether the loopback's next message is one to a home.
    loopback_to_home_next: bool,
    /// Leaves and updates of all homes that are deferred until there is capacity.
    deferred: usize,
    /// Rooms whose members are to be named to any home.
    naming: usize,
    /// Messages that were ever pushed.
    sent: u64,
}

/// Everything between this shard and one other, or itself.
#[derive(Debug)]
struct Peer {
    to_home: Outbox<ToHome>,
    from_home: Outbox<FromHome>,
    /// Connections whose next command needs capacity towards this home.
    waiting: WaitQueue,
    /// Whether a caller was refused for want of capacity, and has not been able to try again.
    refused: bool,
    /// Leaves of closed connections, each with the key of its room.
    deferred_leaves: VecDeque<(ConnId, RoomKey)>,
    /// Rooms whose back-pressure has changed. Some may be forgotten.
    deferred_updates: VecDeque<RoomKey>,
    /// Rooms whose members are to be named to this home.
    named: VecDeque<NamedMembers>,
}

/// A message of a shard to itself.
#[derive(Debug)]
pub(crate) enum Loopback {
    /// To itself as a home.
    ToHome(ToHome),
    /// From itself as a home.
    FromHome(FromHome),
}

impl Outboxes {
    /// Empty ones, whose loopback has this capacity.
    pub(crate) fn new(shard: ShardId, shards: u16, loopback: Capacity) -> Outboxes {
        let mut peers: Vec<Peer> = (0..shards).map(|_| Peer::new()).collect();
        peers[shard.index()].to_home.set_capacity(loopback);
        peers[shard.index()].from_home.set_capacity(loopback);
        let (serving, loopback_to_home_next) = (None, false);
        Outboxes { shard, peers, serving, loopback_to_home_next, deferred: 0, naming: 0, sent: 0 }
    }

    pub(crate) fn set_to_home_capacity(&mut self, to: ShardId, capacity: Capacity) {
        let peer = &mut self.peers[to.index()];
        peer.to_home.set_capacity(capacity);
        // A caller that was refused tries again in this turn, or never.
        peer.refused &= !peer.to_home.has_capacity();
    }

    pub(crate) fn set_from_home_capacity(&mut self, to: ShardId, capacity: Capacity) {
        self.peers[to.index()].from_home.set_capacity(capacity);
    }

    pub(crate) fn next_to_home(&mut self, to: ShardId) -> Option<ToHome> {
        self.peers[to.index()].to_home.pop_fitting()
    }

    pub(crate) fn next_from_home(&mut self, to: ShardId) -> Option<FromHome> {
        self.peers[to.index()].from_home.pop_fitting()
    }

    /// Whether anything waits for capacity towards this home.
    pub(crate) fn wants_to_home_capacity(&self, to: ShardId) -> bool {
        let peer = &self.peers[to.index()];
        let waits = peer.refused || !peer.waiting.is_empty() || peer.has_deferred();
        waits || !peer.to_home.is_empty()
    }

    pub(crate) fn wants_from_home_capacity(&self, to: ShardId) -> bool {
        !self.peers[to.index()].from_home.is_empty()
    }

    /// Whether a message to a home may be handled: no message from a home waits for capacity.
    pub(crate) fn takes_to_home(&self) -> bool {
        !self.peers.iter().any(|peer| peer.from_home.is_over_capacity())
    }

    pub(crate) fn push_to_home(&mut self, to: ShardId, message: ToHome) {
        self.sent += 1;
        self.peers[to.index()].to_home.push(message);
    }

    pub(crate) fn push_from_home(&mut self, to: ShardId, message: FromHome) {
        self.sent += 1;
        self.peers[to.index()].from_home.push(message);
    }

    /// The next message of the shard to itself. The two directions take turns, so that the shard's
    /// own publishers go on however many messages those of other shards cause.
    pub(crate) fn next_loopback(&mut self) -> Option<Loopback> {
        match std::mem::replace(&mut self.loopback_to_home_next, false) {
            true => self.loopback_to_home().or_else(|| self.loopback_from_home()),
            false => self.loopback_from_home().or_else(|| self.loopback_to_home()),
        }
    }

    fn loopback_from_home(&mut self) -> Option<Loopback> {
        let message = self.peers[self.shard.index()].from_home.pop()?;
        self.loopback_to_home_next = true;
        Some(Loopback::FromHome(message))
    }

    fn loopback_to_home(&mut self) -> Option<Loopback> {
        if !self.takes_to_home() {
            return None;
        }
        self.peers[self.shard.index()].to_home.pop().map(Loopback::ToHome)
    }

    pub(crate) fn has_loopback(&self) -> bool {
        let loopback = &self.peers[self.shard.index()];
        !loopback.from_home.is_empty() || (!loopback.to_home.is_empty() && self.takes_to_home())
    }

    /// Whether a caller may send one message to `home`: it fits, and no connection waits for that. A
    /// caller that is refused tries again later, so the shard wants capacity from then on.
    pub(crate) fn admit_caller(&mut self, home: ShardId) -> bool {
        let admitted = self.has_capacity_for_caller(home);
        // What waits for the loopback is handled by this shard, which does not sleep before.
        self.peers[home.index()].refused |= !admitted && home != self.shard;
        admitted
    }

    /// Whether a caller could send one message to `home` now. One that does something else instead does
    /// not try again later.
    pub(crate) fn has_capacity_for_caller(&self, home: ShardId) -> bool {
        let peer = &self.peers[home.index()];
        peer.to_home.has_capacity() && peer.waiting.is_empty()
    }

    /// How many messages wait for `home` above the capacity of its ring.
    pub(crate) fn over_capacity(&self, home: ShardId) -> usize {
        self.peers[home.index()].to_home.over_capacity()
    }

    /// Whether a connection may send one message to `home`: there is capacity, and no other
    /// connection waits for it or this one has its turn.
    pub(crate) fn claim_capacity(&mut self, home: ShardId) -> bool {
        let peer = &self.peers[home.index()];
        let has_turn = self.serving == Some(home);
        if !peer.to_home.has_capacity() || !(peer.waiting.is_empty() || has_turn) {
            return false;
        }
        if has_turn {
            // A turn is for one command.
            self.serving = None;
        }
        true
    }

    /// Puts a connection at the end of the queue for capacity.
    pub(crate) fn wait(&mut self, home: ShardId, id: ConnId) {
        self.peers[home.index()].waiting.push(id);
    }

    /// A connection waits no longer; `waits` says of each in the queue whether it still does.
    pub(crate) fn leave_queue(&mut self, home: ShardId, waits: impl FnMut(&ConnId) -> bool) {
        self.peers[home.index()].waiting.leave(waits);
    }

    /// The connection that has waited longest for capacity towards `home`, if there is capacity. It may
    /// have ended.
    pub(crate) fn next_waiting(&mut self, home: ShardId) -> Option<ConnId> {
        let peer = &mut self.peers[home.index()];
        if peer.to_home.has_capacity() { peer.waiting.pop() } else { None }
    }

    /// From now on a waiting connection has its turn for this home, or for none.
    pub(crate) fn serve(&mut self, home: Option<ShardId>) {
        self.serving = home;
    }

    pub(crate) fn defer_leave(&mut self, home: ShardId, id: ConnId, room: RoomKey) {
        self.peers[home.index()].deferred_leaves.push_back((id, room));
        self.deferred += 1;
    }

    pub(crate) fn defer_update(&mut self, home: ShardId, room: RoomKey) {
        self.peers[home.index()].deferred_updates.push_back(room);
        self.deferred += 1;
    }

    pub(crate) fn has_deferred(&self) -> bool {
        self.deferred > 0
    }

    /// The next deferred leave, if there is capacity for it.
    pub(crate) fn next_deferred_leave(&mut self, home: ShardId) -> Option<(ConnId, RoomKey)> {
        let peer = &mut self.peers[home.index()];
        if !peer.to_home.has_capacity() {
            return None;
        }
        let leave = peer.deferred_leaves.pop_front()?;
        self.deferred -= 1;
        Some(leave)
    }

    /// The room whose update is next, and whether there is capacity for it.
    pub(crate) fn first_deferred_update(&self, home: ShardId) -> Option<(RoomKey, bool)> {
        let peer = &self.peers[home.index()];
        peer.deferred_updates.front().map(|key| (*key, peer.to_home.has_capacity()))
    }

    /// The first deferred update was sent, or is not needed any more.
    pub(crate) fn drop_deferred_update(&mut self, home: ShardId) {
        let dropped = self.peers[home.index()].deferred_updates.pop_front();
        debug_assert!(dropped.is_some(), "the caller looked at it");
        self.deferred -= 1;
    }

    /// Members are to be named to this home, after those of other rooms.
    pub(crate) fn defer_named(&mut self, home: ShardId, named: NamedMembers) {
        self.peers[home.index()].named.push_back(named);
        self.naming += 1;
    }

    /// The room whose members are to be named next to this home, if there is capacity for a message.
    pub(crate) fn next_named(&mut self, home: ShardId) -> Option<NamedMembers> {
        let peer = &mut self.peers[home.index()];
        let named = peer.to_home.has_capacity().then(|| peer.named.pop_front())??;
        self.naming -= 1;
        Some(named)
    }

    /// Whether members can be named to any home.
    pub(crate) fn may_name(&self) -> bool {
        let may = |peer: &Peer| !peer.named.is_empty() && peer.to_home.has_capacity();
        self.naming > 0 && self.peers.iter().any(may)
    }

    /// All shards.
    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        let count = u16::try_from(self.peers.len()).expect("shards are counted in u16");
        (0..count).map(ShardId::new)
    }

    /// Messages that were ever pushed.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether nothing is on its way, and no leave is deferred. Members that are still to be named are
    /// the next turn's.
    pub(crate) fn is_quiet(&self) -> bool {
        let is_quiet = |peer: &Peer| {
            peer.to_home.is_empty() && peer.from_home.is_empty() && peer.deferred_leaves.is_empty()
        };
        self.peers.iter().all(is_quiet)
    }

    /// Bytes of everything that waits here.
    pub(crate) fn bytes(&self) -> usize {
        let bytes = |peer: &Peer| {
            peer.to_home.bytes()
                + peer.from_home.bytes()
                + vec_bytes::<(ConnId, RoomKey)>(peer.deferred_leaves.capacity())
                + vec_bytes::<RoomKey>(peer.deferred_updates.capacity())
                + vec_bytes::<NamedMembers>(peer.named.capacity())
        };
        self.peers.iter().map(bytes).sum()
    }

    /// Asserts that what is deferred is counted, and that updates belong to their home.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        let count = |peer: &Peer| peer.deferred_leaves.len() + peer.deferred_updates.len();
        assert_eq!(self.deferred, self.peers.iter().map(count).sum::<usize>(), "deferred");
        let named = self.peers.iter().map(|peer| peer.named.len());
        assert_eq!(self.naming, named.sum::<usize>(), "rooms whose members are to be named");
        for peer in &self.peers {
            peer.to_home.check();
            peer.from_home.check();
        }
        assert_eq!(self.serving, None, "a turn ends with the connection that has it");
    }

    /// The connections that wait for capacity towards `home`.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn waiting(&self, home: ShardId) -> &WaitQueue {
        &self.peers[home.index()].waiting
    }

    /// All deferred leaves.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn deferred_leaves(&self) -> impl Iterator<Item = &(ConnId, RoomKey)> {
        self.peers.iter().flat_map(|peer| &peer.deferred_leaves)
    }

    /// Whether an update of this room is deferred.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn has_deferred_update(&self, home: ShardId, room: RoomKey) -> bool {
        self.peers[home.index()].deferred_updates.contains(&room)
    }
}

impl Peer {
    fn new() -> Peer {
        Peer {
            to_home: Outbox::new(),
            from_home: Outbox::new(),
            waiting: WaitQueue::default(),
            refused: false,
            deferred_leaves: VecDeque::new(),
            deferred_updates: VecDeque::new(),
            named: VecDeque::new(),
        }
    }

    fn has_deferred(&self) -> bool {
        !self.deferred_leaves.is_empty()
            || !self.deferred_updates.is_empty()
            || !self.named.is_empty()
    }
}
