//! A shard, as HTTP asks it.

use std::net::IpAddr;
use std::time::Duration;

use corecast_shards::{
    Answer, ConnId, Full, Limits, Opening, Permissions, Query, RoomMessage, RoomName, ShardId, Time,
};

use super::handle::ShardHandle;
use super::oneshot::OneshotReceiver;
use super::server_state::{RequestGuard, ServerState};
use super::sleep::Sleep;
use crate::http::{AccessRules, Backend, NotOpened, ProcessFigures, ThreadStats, TokenClaims};
use crate::values::{ExecutorChoice, NotAccepted};

/// How long a caller waits before it tries again to send to a connection for which too much waits:
/// first as long as a client needs that reads fast, then longer and longer.
const EMIT_PAUSE_MIN: Duration = Duration::from_millis(1);
const EMIT_PAUSE_MAX: Duration = Duration::from_millis(50);

/// How long a caller waits for a home's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl Backend for ShardHandle {
    type Answering = RequestGuard;
    type Sleep = Sleep;

    fn answering(&self) -> RequestGuard {
        ServerState::answering(self.state())
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        ShardHandle::sleep(self, duration)
    }

    async fn next_turn(&self) {
        ShardHandle::next_turn(self).await;
    }

    fn now(&self) -> Time {
        self.state().now()
    }

    fn limits(&self) -> &Limits {
        self.state().limits()
    }

    fn rules(&self) -> &AccessRules {
        self.state().rules()
    }

    fn permissions(&self) -> &Permissions {
        ShardHandle::permissions(self)
    }

    fn opening(&self, token: &TokenClaims) -> Result<Opening, NotOpened> {
        let now = self.state().now();
        let opening = self.driver().with(|driver| {
            let opening = driver.reception.grants.of_token(token, now);
            let opening = opening.map_err(NotOpened::BadClaim)?;
            match opening.identity.as_ref().is_some_and(|identity| driver.shard.refuses(identity)) {
                true => Err(NotOpened::Revoked),
                false => Ok(opening),
            }
        });
        opening.unwrap_or(Err(NotOpened::Closed))
    }

    fn is_draining(&self) -> bool {
        self.state().is_draining()
    }

    fn shards(&self) -> usize {
        self.state().shards()
    }

    fn home(&self, room: &RoomName) -> ShardId {
        self.state().home(room)
    }

    fn connections(&self) -> u64 {
        self.state().connections()
    }

    fn executor(&self) -> &ExecutorChoice {
        self.state().executor()
    }

    fn http_connections(&self) -> usize {
        self.state().http_connections()
    }

    fn process_memory(&self) -> ProcessFigures {
        let memory = self.state().memory();
        ProcessFigures {
            limit: memory.limit(),
            resident: memory.resident(),
            stage: memory.stage(),
            connections_refused: memory.connections_refused(),
        }
    }

    fn count_refused_for_memory(&self) {
        self.state().memory().count_refused();
    }

    fn thread(&self, shard: ShardId) -> ThreadStats {
        let gauges = self.state().gauges(shard);
        ThreadStats {
            core: self.state().core_of(shard),
            sends_on_ring: gauges.sends_on_ring(),
            counts: gauges.counts(),
            waker_writes: gauges.waker_writes(),
            failures: gauges.failures().by_name().collect(),
        }
    }

    fn tls_reloads(&self) -> Option<(u64, u64)> {
        self.state().tls().map(|tls| tls.reloads())
    }

    fn has_free_connection(&self) -> bool {
        self.state().claimed() < self.state().limits().connections
    }

    fn claim_connection(&self) -> bool {
        self.state().claim_connection(0)
    }

    fn admit_handshake(&self, client: IpAddr) -> Result<(), Duration> {
        self.state().admit_handshake(client)
    }

    fn publish(&self, room: &RoomName, message: RoomMessage) -> Result<(), NotAccepted> {
        ShardHandle::publish(self, room, message, None)
    }

    async fn publish_numbered(
        &self,
        room: &RoomName,
        message: RoomMessage,
    ) -> Result<Answer, NotAccepted> {
        let asked = self.ask(|shard, token| {
            shard.publish(room, message, None, Some(token)).map_err(|(full, _)| full)
        });
        answer(self, asked).await
    }

    async fn query(&self, to: ShardId, query: Query) -> Result<Answer, NotAccepted> {
        let asked =
            self.ask(|shard, token| shard.query(to, token, query).map_err(|(full, _)| full));
        answer(self, asked).await
    }

    async fn emit(&self, id: ConnId, frame: Vec<u8>) -> Result<bool, NotAccepted> {
        let sent = self.within(ANSWER_TIMEOUT, emit_when_it_fits(self, id, frame)).await;
        sent.unwrap_or(Err(NotAccepted::Full))
    }
}

/// Waits for the answer to a question, if it was taken.
async fn answer(
    handle: &ShardHandle,
    asked: Option<Result<OneshotReceiver<Answer>, Full>>,
) -> Result<Answer, NotAccepted> {
    let answer = asked.ok_or(NotAccepted::Closed)?.map_err(|Full| NotAccepted::Full)?;
    handle.within(ANSWER_TIMEOUT, answer).await.flatten().ok_or(NotAccepted::Unconfirmed)
}

async fn emit_when_it_fits(
    handle: &ShardHandle,
    id: ConnId,
    mut frame: Vec<u8>,
) -> Result<bool, NotAccepted> {
    let mut pause = EMIT_PAUSE_MIN;
    loop {
        frame = match try_emit(handle, id, frame).await {
            Some(Answer::Found(found)) => return Ok(found),
            Some(Answer::TooLarge(limit)) => return Err(NotAccepted::TooLarge(limit)),
            Some(Answer::Full(frame)) => frame,
            _ => return Err(NotAccepted::Full),
        };
        handle.sleep(pause).await;
        pause = EMIT_PAUSE_MAX.min(2 * pause);
    }
}

/// Asks a connection's shard to queue a frame. A ring without capacity answers like the shard.
async fn try_emit(handle: &ShardHandle, id: ConnId, frame: Vec<u8>) -> Option<Answer> {
    let emit = Query::Emit(id, frame);
    let asked = handle
        .ask(|shard, token| shard.query(id.shard, token, emit).map_err(|(_, query)| query))?;
    match asked {
        Ok(answer) => answer.await,
        Err(Query::Emit(_, frame)) => Some(Answer::Full(frame)),
        Err(other) => unreachable!("an emit is given back and not {other:?}"),
    }
}
