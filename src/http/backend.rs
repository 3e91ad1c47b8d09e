//! What HTTP asks of the shard that a connection belongs to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use corecast_shards::{
    Answer, ConnId, Limits, MemoryStage, Opening, Permissions, Query, RoomMessage, RoomName,
    ShardId, Time,
};
use futures_lite::future;

use super::{AccessRules, HttpError, TokenClaims};
use crate::values::{Counts, ExecutorChoice, NotAccepted, RefusalReason};

/// The shard that a connection belongs to, as HTTP sees it. Clones are the same shard.
pub(crate) trait Backend: Clone + 'static {
    /// Holds a shutdown back as long as it lives.
    type Answering: 'static;

    /// Is ready when its time is over.
    type Sleep: Future<Output = ()> + Unpin + 'static;

    /// A request begins to be answered.
    fn answering(&self) -> Self::Answering;

    fn sleep(&self, duration: Duration) -> Self::Sleep;

    /// Is ready after the shard's next turn.
    async fn next_turn(&self);

    /// The time on the clock of all shards.
    fn now(&self) -> Time;

    fn limits(&self) -> &Limits;

    fn rules(&self) -> &AccessRules;

    /// What clients may do by their own commands.
    fn permissions(&self) -> &Permissions;

    /// How a connection begins whose client brought this token, if it may.
    fn opening(&self, token: &TokenClaims) -> Result<Opening, NotOpened>;

    fn is_draining(&self) -> bool;

    fn shards(&self) -> usize;

    /// The shard that orders this room's messages.
    fn home(&self, room: &RoomName) -> ShardId;

    /// Open connections of all shards, at about this moment.
    fn connections(&self) -> u64;

    /// What runs the threads of the server's shards.
    fn executor(&self) -> &ExecutorChoice;

    fn http_connections(&self) -> usize;

    /// What the whole process holds, at about this moment.
    fn process_memory(&self) -> ProcessFigures;

    /// Counts a connection that is refused because memory is short.
    fn count_refused_for_memory(&self);

    /// What a shard's thread is and has done.
    fn thread(&self, shard: ShardId) -> ThreadStats;

    /// How often TLS certificates were read again, and how often that failed; none without TLS.
    fn tls_reloads(&self) -> Option<(u64, u64)>;

    /// Whether there is one left of the connections that the process may have.
    fn has_free_connection(&self) -> bool;

    /// Takes one of the connections that the process may have, for an event stream; false when
    /// there is none left.
    fn claim_connection(&self) -> bool;

    /// Lets a client begin an event stream; else says after how long it may.
    fn admit_handshake(&self, client: IpAddr) -> Result<(), Duration>;

    /// Publishes to a room, or to all connections, without waiting for capacity or offset.
    fn publish(&self, room: &RoomName, message: RoomMessage) -> Result<(), NotAccepted>;

    /// Publishes to a room, and waits for the offset.
    async fn publish_numbered(
        &self,
        room: &RoomName,
        message: RoomMessage,
    ) -> Result<Answer, NotAccepted>;

    /// Asks one shard.
    async fn query(&self, to: ShardId, query: Query) -> Result<Answer, NotAccepted>;

    /// Queues a frame for any connection, and waits while there is no capacity for it. Returns
    /// whether the connection was there.
    async fn emit(&self, id: ConnId, frame: Vec<u8>) -> Result<bool, NotAccepted>;

    /// Asks every shard the same.
    async fn query_all(&self, query: impl Fn() -> Query) -> Result<Vec<Answer>, NotAccepted> {
        let mut answers = Vec::with_capacity(self.shards());
        for shard in self.all_shards() {
            answers.push(self.query(shard, query()).await?);
        }
        Ok(answers)
    }

    fn all_shards(&self) -> impl Iterator<Item = ShardId> + use<Self> {
        let count = u16::try_from(self.shards()).expect("shards are counted in u16");
        (0..count).map(ShardId::new)
    }

    /// Waits for a future, but not longer than this.
    async fn within<T>(&self, timeout: Duration, future: impl Future<Output = T>) -> Option<T> {
        let done = async { Some(future.await) };
        let late = async {
            self.sleep(timeout).await;
            None
        };
        future::or(done, late).await
    }

    /// Asked in the same step as a message is accepted: a shard stops reading after the process
    /// began to drain, so that whatever was accepted before is delivered.
    fn refuse_while_draining(&self) -> Result<(), HttpError> {
        if self.is_draining() { Err(HttpError::draining()) } else { Ok(()) }
    }

    /// Asked while a body arrives: bodies are held like what connections sent and is not handled.
    fn refuse_bodies_while_short(&self) -> Result<(), HttpError> {
        match self.process_memory().stage >= MemoryStage::Unread {
            true => {
                self.rules().refusals.count(RefusalReason::Memory);
                Err(HttpError::overloaded())
            }
            false => Ok(()),
        }
    }
}

/// What the whole process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessFigures {
    /// `--memory-limit`.
    pub(crate) limit: usize,
    /// What the kernel counts as resident.
    pub(crate) resident: usize,
    pub(crate) stage: MemoryStage,
    /// New connections that were refused because memory was short.
    pub(crate) connections_refused: u64,
}

/// Why a connection does not begin although its token is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotOpened {
    /// A claim has not the form that it must have, in words for the client.
    BadClaim(String),
    /// The client, or its token, is revoked.
    Revoked,
    /// The shard has ended.
    Closed,
}

/// What `/v1/stats` says of a shard's thread.
#[derive(Clone, Debug)]
pub(crate) struct ThreadStats {
    /// None when it is not pinned.
    pub(crate) core: Option<usize>,
    pub(crate) sends_on_ring: bool,
    /// What it asked of the kernel, up to its last turn.
    pub(crate) counts: Counts,
    /// How often others, and the shard's own tasks, woke it with a system call.
    pub(crate) waker_writes: u64,
    /// Failed system calls by name.
    pub(crate) failures: BTreeMap<&'static str, u64>,
}
