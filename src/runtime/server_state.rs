//! What the threads of one server share.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use std::time::{Duration, Instant};

use corecast_shards::{Config, Limits, RoomName, Shard, ShardId, Time, Totals};

use super::addresses::{AddressPlace, Addresses, Claim};
use super::counts::SharedCounts;
use super::kernel::{Failures, Syscall};
use super::process_memory::ProcessMemory;
use super::tls::Tls;
use crate::http::AccessRules;
use crate::values::{Counts, ExecutorChoice, RefusalReason};

/// What the threads of one server share. Nothing here is on the way of a message.
#[derive(Debug)]
pub(crate) struct ServerState {
    config: Config,
    rules: AccessRules,
    proxy_protocol: bool,
    addresses: Arc<Addresses>,
    /// How connections are sealed, if they are.
    tls: Option<Arc<Tls>>,
    cores: Vec<Option<usize>>,
    executor: ExecutorChoice,
    gauges: Vec<Gauges>,
    memory: ProcessMemory,
    /// When the server started, and what the clock of all shards showed then.
    started: Instant,
    started_at: Duration,
    draining: AtomicBool,
    /// Connections between their handshake and the close of their descriptor.
    claimed: AtomicUsize,
    /// The same by the shard that they live on, or are on their way to.
    held: Vec<Held>,
    /// HTTP requests that are being answered.
    requests: AtomicUsize,
    /// Connections that speak plain HTTP, and those before their handshake.
    http: AtomicUsize,
    /// Threads between their look at `draining` and the end of a hand-over.
    handing_over: AtomicUsize,
}

/// One shard's figures for the others, on cache lines of their own. Written by that shard alone.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Gauges {
    connections: AtomicU64,
    memberships: AtomicU64,
    rooms: AtomicU64,
    mesh_sent: AtomicU64,
    mesh_handled: AtomicU64,
    is_silent: AtomicBool,
    sends_on_ring: AtomicBool,
    counts: SharedCounts,
    /// How often others, and the shard's own tasks, woke it with a system call.
    waker_writes: AtomicU64,
    failures: Failures,
}

impl Gauges {
    /// Publishes what the shard has and has done now.
    ///
    /// A shard is silent when it reads no more commands and no handler is at work: then it begins
    /// nothing by itself any more.
    pub(crate) fn set(&self, shard: &Shard, counts: &Counts, is_silent: bool) {
        self.counts.set(counts);
        let (sent, handled) = shard.mesh_counts();
        self.set_connections(shard);
        // A thread that sees that a message was handled also sees what was sent because of it.
        self.mesh_sent.store(sent, Ordering::Release);
        self.mesh_handled.store(handled, Ordering::Release);
        // A thread that sees that it is silent also sees the last that it sent.
        self.is_silent.store(is_silent, Ordering::Release);
    }

    pub(crate) fn set_connections(&self, shard: &Shard) {
        self.connections.store(shard.connection_count(), Ordering::Relaxed);
    }

    /// Publishes what the shard has of what is limited over all shards: before its clients are sent
    /// what they may act upon.
    pub(crate) fn set_totals(&self, totals: Totals) {
        self.memberships.store(totals.memberships, Ordering::Release);
        self.rooms.store(totals.rooms, Ordering::Release);
    }

    pub(crate) fn set_sends_on_ring(&self, on_ring: bool) {
        self.sends_on_ring.store(on_ring, Ordering::Relaxed);
    }

    pub(crate) fn sends_on_ring(&self) -> bool {
        self.sends_on_ring.load(Ordering::Relaxed)
    }

    /// What the shard's thread asked of the kernel, up to its last turn.
    pub(crate) fn counts(&self) -> Counts {
        self.counts.get()
    }

    pub(crate) fn count_waker_write(&self) {
        self.waker_writes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn waker_writes(&self) -> u64 {
        self.waker_writes.load(Ordering::Relaxed)
    }

    /// What of that failed.
    pub(crate) fn failures(&self) -> &Failures {
        &self.failures
    }
}

impl ServerState {
    /// A process whose shards run on these cores; none for those that are not pinned.
    pub(crate) fn new(
        config: Config,
        rules: AccessRules,
        proxy_protocol: bool,
        addresses: Addresses,
        tls: Option<Arc<Tls>>,
        cores: Vec<Option<usize>>,
        executor: ExecutorChoice,
    ) -> ServerState {
        let shards = cores.len();
        ServerState {
            memory: ProcessMemory::new(config.limits.memory_bytes, cores.len()),
            config,
            rules,
            proxy_protocol,
            addresses: Arc::new(addresses),
            tls,
            gauges: cores.iter().map(|_| Gauges::default()).collect(),
            cores,
            executor,
            started: Instant::now(),
            started_at: Duration::ZERO,
            draining: AtomicBool::new(false),
            claimed: AtomicUsize::new(0),
            held: (0..shards).map(|_| Held::default()).collect(),
            requests: AtomicUsize::new(0),
            http: AtomicUsize::new(0),
            handing_over: AtomicUsize::new(0),
        }
    }

    /// The clock of all shards shows this now, and not zero.
    pub(super) fn begin_clock_at(self, now: Duration) -> ServerState {
        ServerState { started: Instant::now(), started_at: now, ..self }
    }

    /// The time on the clock of all shards.
    pub(crate) fn now(&self) -> Time {
        Time::default() + (self.started_at + self.started.elapsed())
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// The shard that orders this room's messages.
    pub(crate) fn home(&self, room: &RoomName) -> ShardId {
        self.config.home(room)
    }

    pub(crate) fn memory(&self) -> &ProcessMemory {
        &self.memory
    }

    pub(crate) fn rules(&self) -> &AccessRules {
        &self.rules
    }

    /// Whether each connection begins with the header of the PROXY protocol.
    pub(crate) fn proxy_protocol(&self) -> bool {
        self.proxy_protocol
    }

    pub(super) fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// Counts one more connection of an address, if it counts, and if it may have one.
    pub(super) fn claim_address(&self, address: IpAddr) -> Claim {
        let claim = AddressPlace::claim(&self.addresses, address);
        if matches!(claim, Claim::Refused) {
            self.note_refusal(RefusalReason::AddressConnections);
        }
        claim
    }

    /// Lets a client begin a handshake or an event stream; else says after how long it may.
    pub(crate) fn admit_handshake(&self, client: IpAddr) -> Result<(), Duration> {
        let admitted = self.addresses.begin_handshake(client);
        admitted.inspect_err(|_| self.note_refusal(RefusalReason::AddressHandshakes))
    }

    /// Counts what was refused.
    pub(crate) fn note_refusal(&self, reason: RefusalReason) {
        self.rules.refusals.count(reason);
    }

    pub(crate) fn shards(&self) -> usize {
        self.gauges.len()
    }

    pub(crate) fn core_of(&self, shard: ShardId) -> Option<usize> {
        self.cores[shard.index()]
    }

    /// What runs the threads.
    pub(crate) fn executor(&self) -> &ExecutorChoice {
        &self.executor
    }

    /// What all shards but this one have of what is limited over all.
    pub(crate) fn totals_of_others(&self, shard: ShardId) -> Totals {
        let mut totals = Totals::default();
        for (index, gauges) in self.gauges.iter().enumerate() {
            if index != shard.index() {
                totals.memberships += gauges.memberships.load(Ordering::Acquire);
                totals.rooms += gauges.rooms.load(Ordering::Acquire);
            }
        }
        totals
    }

    pub(crate) fn gauges(&self, shard: ShardId) -> &Gauges {
        &self.gauges[shard.index()]
    }

    /// Counts a failed system call of this shard that costs a connection at most.
    pub(super) fn note_failure(&self, shard: ShardId, call: Syscall, error: &io::Error) {
        self.gauges(shard).failures().note(call, error, self.now());
    }

    pub(crate) fn connections(&self) -> u64 {
        self.gauges.iter().map(|gauges| gauges.connections.load(Ordering::Relaxed)).sum()
    }

    /// Whether every shard is silent, and no message is on its way between shards.
    ///
    /// What was handled is counted first: a message that is sent meanwhile then makes the second
    /// sum larger, never the first (Mattern: Algorithms for distributed termination detection,
    /// 1987, the four-counter method).
    pub(crate) fn is_quiet(&self) -> bool {
        let silent = self.gauges.iter().all(|g| g.is_silent.load(Ordering::Acquire));
        let handled = self.sum(|gauges| &gauges.mesh_handled);
        silent && handled == self.sum(|gauges| &gauges.mesh_sent)
    }

    fn sum(&self, counter: impl Fn(&Gauges) -> &AtomicU64) -> u64 {
        self.gauges.iter().map(|gauges| counter(gauges).load(Ordering::Acquire)).sum()
    }

    /// Holds a shutdown back while an HTTP request is answered.
    pub(crate) fn answering(state: &Arc<ServerState>) -> RequestGuard {
        state.requests.fetch_add(1, Ordering::Relaxed);
        RequestGuard(Arc::clone(state))
    }

    /// Takes one of the places for plain HTTP connections and handshakes; none when all are taken.
    pub(crate) fn claim_http(state: &Arc<ServerState>) -> Option<HttpPlace> {
        let more =
            |claimed| (claimed < state.config.limits.http_connections).then_some(claimed + 1);
        let claimed = state.http.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        claimed.is_ok().then(|| HttpPlace(Arc::clone(state)))
    }

    /// The same in place of a connection that is about to end.
    pub(crate) fn succeed_http(state: &Arc<ServerState>) -> HttpPlace {
        state.http.fetch_add(1, Ordering::Relaxed);
        HttpPlace(Arc::clone(state))
    }

    pub(crate) fn http_connections(&self) -> usize {
        self.http.load(Ordering::Relaxed)
    }

    /// Whether there is neither a connection nor a request.
    pub(crate) fn is_empty(&self) -> bool {
        self.claimed() == 0 && self.requests.load(Ordering::Relaxed) == 0
    }

    /// Takes no more messages from threads. Returns when all that were taken stand in an inbox.
    ///
    /// Sequentially consistent, like [`ServerState::guard_hand_over`]: either that sees the flag, or this
    /// waits for its guard.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::SeqCst);
        while self.handing_over.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Holds a shutdown back until what is handed over under this guard stands in its inbox; none
    /// when the shutdown has begun.
    pub(crate) fn guard_hand_over(&self) -> Option<HandOverGuard<'_>> {
        let guard = HandOverGuard::new(&self.handing_over);
        (!self.is_draining()).then_some(guard)
    }

    /// Takes one of the connections that the process may have, but for so many that are kept for
    /// others; false when there is none left.
    pub(crate) fn claim_connection(&self, kept: usize) -> bool {
        let most = self.config.limits.connections - kept;
        let more = |claimed| (claimed < most).then_some(claimed + 1);
        self.claimed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Connections between their handshake and the close of their descriptor.
    pub(crate) fn claimed(&self) -> usize {
        self.claimed.load(Ordering::Relaxed)
    }

    /// Gives a connection that was claimed a place on this shard.
    pub(crate) fn place_connection(state: &Arc<ServerState>, shard: ShardId) -> ConnectionPlace {
        state.held[shard.index()].0.fetch_add(1, Ordering::Relaxed);
        ConnectionPlace { state: Arc::clone(state), shard, is_kept: false }
    }

    /// The same if the shard has fewer than this many.
    pub(crate) fn claim_place(
        state: &Arc<ServerState>,
        shard: ShardId,
        most: u64,
    ) -> Option<ConnectionPlace> {
        let place = || ConnectionPlace { state: Arc::clone(state), shard, is_kept: false };
        state.held[shard.index()].add_below(most).then(place)
    }

    /// Connections that live on a shard, or are on their way to it.
    pub(crate) fn held(&self, shard: ShardId) -> u64 {
        self.held[shard.index()].0.load(Ordering::Relaxed)
    }

    /// A connection of this shard is closed.
    pub(crate) fn release_connection(&self, shard: ShardId) {
        self.claimed.fetch_sub(1, Ordering::Relaxed);
        self.held[shard.index()].0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A number of connections on cache lines of its own, since they come and go on every shard.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Held(AtomicU64);

impl Held {
    /// Adds one if there are fewer than this many.
    fn add_below(&self, most: u64) -> bool {
        let more = |held| (held < most).then_some(held + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

/// The place of a connection on the shard where it is to begin. It is free again when this is dropped
/// before that.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    state: Arc<ServerState>,
    shard: ShardId,
    is_kept: bool,
}

impl ConnectionPlace {
    pub(super) fn shard(&self) -> ShardId {
        self.shard
    }

    /// The connection is to begin on this shard instead.
    pub(super) fn move_to(&mut self, shard: ShardId) {
        self.state.held[shard.index()].0.fetch_add(1, Ordering::Relaxed);
        self.state.held[self.shard.index()].0.fetch_sub(1, Ordering::Relaxed);
        self.shard = shard;
    }

    /// The connection begins: its place is free when it is [closed](ServerState::release_connection).
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        if !self.is_kept {
            self.state.release_connection(self.shard);
        }
    }
}

/// HandOverGuard as long as it lives. Sequentially consistent, as [`ServerState::guard_hand_over`] needs it.
#[derive(Debug)]
pub(crate) struct HandOverGuard<'a>(&'a AtomicUsize);

impl HandOverGuard<'_> {
    fn new(counter: &AtomicUsize) -> HandOverGuard<'_> {
        counter.fetch_add(1, Ordering::SeqCst);
        HandOverGuard(counter)
    }
}

impl Drop for HandOverGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The place of a plain HTTP connection, or of a handshake. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct HttpPlace(Arc<ServerState>);

impl Drop for HttpPlace {
    fn drop(&mut self) {
        self.0.http.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that is being answered, until the kernel has its answer or the client has gone.
#[derive(Debug)]
pub(crate) struct RequestGuard(Arc<ServerState>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn shards_that_claim_at_once_do_not_pass_the_bound() {
        const SHARDS: usize = 4;
        for most in 1..=1_000 {
            let (held, start) = (Held::default(), Barrier::new(SHARDS));
            // One place is left, which all of them see.
            held.0.store(most - 1, Ordering::Relaxed);
            let claim = || {
                start.wait();
                u64::from(held.add_below(most))
            };
            let claimed: u64 = std::thread::scope(|scope| {
                let shards: Vec<_> = (0..SHARDS).map(|_| scope.spawn(claim)).collect();
                shards.into_iter().map(|shard| shard.join().unwrap()).sum()
            });
            assert_eq!((claimed, held.0.load(Ordering::Relaxed)), (1, most));
        }
    }
}
