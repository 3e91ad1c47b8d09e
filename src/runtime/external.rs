//! What external threads ask of a shard, within a turn.

use std::sync::Arc;

use corecast_shards::{Answer, ConnId, Query, RoomMessage, RoomName, Shard};

use super::driver::{ExternalPublication, ShardDriver, SpawnRequest, UserEmit};
use super::inbox::External;
use super::oneshot::OneshotSender;

/// Messages of external threads that a shard handles in one turn.
const EXTERNAL_PER_TURN: usize = 256;

impl ShardDriver {
    pub(super) fn take_external(&mut self) {
        // Both together no more than the shard takes of its own messages in a turn, so that there
        // is room for what handlers publish.
        let tried = self.retry_held_back();
        for _ in tried..EXTERNAL_PER_TURN {
            if self.held_back.is_full() {
                break;
            }
            let Some(external) = self.inbox.next_publication() else { break };
            self.handle_external(external);
        }
        for _ in 0..EXTERNAL_PER_TURN {
            let Some(external) = self.inbox.next_question() else { break };
            self.handle_external(external);
        }
        // Last, so that what one caller published before is, as a rule, on its way.
        while let Some(external) = self.inbox.next_order() {
            self.handle_external(external);
        }
    }

    fn handle_external(&mut self, external: External) {
        match external {
            External::Publish { room, message, except, reply } => {
                self.publish_external(room, message, except, reply);
            }
            External::Ask { query: query @ Query::Presence(_), reply } => {
                self.ask_external(query, reply);
            }
            External::Ask { query, reply } => reply.send(self.shard.answer(query)),
            External::Emit { connection, frame, reply } => {
                self.emit_external(connection, frame, reply);
            }
            External::EmitToUser { user, except, frame } => {
                self.emit_to_user(UserEmit { user, after: None, except, frame });
            }
            External::CloseAll(reason) => self.shard.close_all_when_flushed(reason),
            External::StopReading => {
                self.shard.stop_reading();
                self.reading = false;
            }
            External::Stop => self.stopped = true,
        }
    }

    /// Asks for an external thread what other shards may have to be asked for.
    fn ask_external(&mut self, query: Query, reply: OneshotSender<Answer>) {
        let token = self.expect_answer(reply);
        if self.shard.query(self.shard.id(), token, query).is_err() {
            self.give_answer(token, Answer::Short);
        }
    }

    /// Publishes for an external thread, at once or when the room takes it.
    fn publish_external(
        &mut self,
        room: RoomName,
        message: RoomMessage,
        except: Option<ConnId>,
        reply: Option<OneshotSender<Answer>>,
    ) {
        let token = reply.map(|reply| self.expect_answer(reply));
        let shard = &mut self.shard;
        let publication = (message, except, token);
        self.held_back
            .pass(room, publication, |room, publication| publish(shard, room, publication));
    }

    /// Queues a frame for one connection, at once or when there is capacity for it.
    fn emit_external(&mut self, connection: ConnId, frame: Vec<u8>, reply: OneshotSender<Answer>) {
        match self.shard.answer(Query::Emit(connection, frame)) {
            Answer::Full(frame) => {
                self.spawn_requests.push(SpawnRequest::Emit { connection, frame, reply })
            }
            answer => reply.send(answer),
        }
    }

    /// Queues a frame for the next connections of a user; the others have their turn in a later one.
    pub(super) fn emit_to_user(&mut self, emit: UserEmit) {
        let UserEmit { user, after, except, frame } = emit;
        let query =
            Query::EmitToUser { user: user.clone(), after, except, frame: Arc::clone(&frame) };
        if let Answer::UserSent { next: after @ Some(_), .. } = self.shard.answer(query) {
            let rest = UserEmit { user, after, except, frame };
            self.spawn_requests.push(SpawnRequest::EmitToUser(rest));
        }
    }

    /// Returns how many messages were tried.
    pub(super) fn retry_held_back(&mut self) -> usize {
        if self.held_back.is_empty() {
            return 0;
        }
        let shard = &mut self.shard;
        let retry = |room: &RoomName, publication| publish(shard, room, publication);
        let retried = self.held_back.retry(EXTERNAL_PER_TURN, retry);
        if retried.freed {
            self.inbox.notify_room_resumed();
        }
        retried.tried
    }
}

/// Gives the message back when its room takes none at the moment.
fn publish(
    shard: &mut Shard,
    room: &RoomName,
    (message, except, token): ExternalPublication,
) -> Result<(), ExternalPublication> {
    shard.publish(room, message, except, token).map_err(|(_, message)| (message, except, token))
}
