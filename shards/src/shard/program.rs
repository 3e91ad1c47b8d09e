//! The commands of the embedding program and of callers over HTTP: which are taken, which refused.

use super::Shard;
use super::directory::Seat;
use super::intake::Intake;
use super::not_taken::{Full, Refused, Unsent};
use super::users::Users;
use crate::connection::Wait;
use crate::disconnect::{Close, Disconnect};
use crate::envelope::ErrorCode;
use crate::format::{Fact, Refusal, RoomMessage};
use crate::handler::{AskedCommand, Credentials, Refresh, Verdict};
use crate::id::{ConnId, ShardId};
use crate::mesh::{Answer, AnswerToken, Origin, Query, Requester, ToHome};
use crate::recovery::JoinOptions;
use crate::room_name::RoomName;

/// Questions that may wait above the capacity of one ring.
const QUESTIONS_OVER_CAPACITY_MAX: usize = 64;

/// What a client is sent of a failure whose details are not for it.
pub(super) const HANDLER_FAILED: &str = "the server could not handle this message";

impl Shard {
    /// Command: publishes to a room, or with [`RoomName::everybody`] broadcasts. One connection may
    /// be left out. With a token, the offset comes out of [`Outputs::next_answer`](super::Outputs::next_answer).
    ///
    /// # Errors
    ///
    /// [`Full`] instead of waiting, with the message.
    pub fn publish(
        &mut self,
        room: &RoomName,
        message: RoomMessage,
        exclude: Option<ConnId>,
        token: Option<AnswerToken>,
    ) -> Result<(), (Full, RoomMessage)> {
        let home = self.home(room);
        if self.host.pauses_publishers() {
            self.host.counters.memory.publishes_paused += 1;
            return Err((Full, message));
        }
        if self.host.paused_rooms.contains_key(room) || !self.host.outboxes.admit_caller(home) {
            return Err((Full, message));
        }
        let origin = token.map_or(Origin::None, Origin::Caller);
        let (room, accepted) = (room.clone(), self.host.now);
        let request = ToHome::Publish { room, message, exclude, origin, accepted };
        self.host.outboxes.push_to_home(home, request);
        Ok(())
    }

    /// Command: makes a connection a member of a room, as if its client had asked for this without an id.
    /// [`Answer::Joined`](crate::Answer::Joined) or `Gone` comes out of
    /// [`Outputs::next_answer`](super::Outputs::next_answer).
    ///
    /// # Errors
    ///
    /// [`Refused`], and nothing has happened.
    pub fn join(
        &mut self,
        id: ConnId,
        room: &RoomName,
        options: JoinOptions,
        token: AnswerToken,
    ) -> Result<(), Refused> {
        let slot = self.host.directory.find_open(id).ok_or(Refused::Gone)?;
        self.host.directory.may_change(slot, room).map_err(|_| Refused::Busy)?;
        let most = self.host.config.limits.rooms_per_connection;
        match self.host.directory.seat(slot, room, most) {
            Seat::Free => {
                if let Some(most) = self.host.refuses_membership(slot, room) {
                    self.host.counters.too_many_rooms += 1;
                    return Err(Refused::TooManyMemberships(most));
                }
            }
            Seat::Leaving(_) => return Err(Refused::Busy),
            Seat::None => {
                self.host.counters.too_many_rooms += 1;
                return Err(Refused::TooManyRooms(most));
            }
        }
        let home = self.home(room);
        if !self.host.outboxes.admit_caller(home) {
            return Err(Refused::Busy);
        }
        let requester = Requester::Program(token);
        Intake(&mut self.host).push_join(slot, room.clone(), requester, options);
        Ok(())
    }

    /// Command: takes a connection out of a room, as if its client had asked without an id. The
    /// answer is `Left` or `Gone`.
    ///
    /// # Errors
    ///
    /// [`Refused`], and nothing has happened.
    pub fn leave(
        &mut self,
        id: ConnId,
        room: &RoomName,
        token: AnswerToken,
    ) -> Result<(), Refused> {
        let slot = self.host.directory.find_open(id).ok_or(Refused::Gone)?;
        self.host.directory.may_change(slot, room).map_err(|_| Refused::Busy)?;
        self.host.directory.membership(slot, room.as_str()).ok_or(Refused::NotAMember)?;
        let home = self.home(room);
        if !self.host.outboxes.admit_caller(home) {
            return Err(Refused::Busy);
        }
        Intake(&mut self.host).push_leave(slot, room.clone(), Requester::Program(token));
        Ok(())
    }

    /// The rooms that a connection is a member of, in no particular order.
    pub fn rooms_of(&self, id: ConnId) -> Vec<RoomName> {
        let slot = self.host.directory.find(id);
        slot.map_or_else(Vec::new, |slot| self.host.directory.rooms_of(slot))
    }

    /// Whether the connection is there and open, and its client has not hung up; never an event
    /// stream.
    pub fn is_open(&self, id: ConnId) -> bool {
        self.host.directory.find_open(id).is_some()
    }

    /// Command: queues one whole frame for one connection.
    ///
    /// # Errors
    ///
    /// [`Unsent`] says why not. A client that reads is not closed because too much waits for it; one
    /// whose socket has taken nothing for a while is, and is `Gone` then.
    pub fn emit(&mut self, id: ConnId, frame: &[u8]) -> Result<(), Unsent> {
        let slot = self.host.directory.find_open(id).ok_or(Unsent::Gone)?;
        self.host.admit_direct(slot, frame.len())?;
        self.host.push_direct(slot, frame);
        Ok(())
    }

    /// Event: a handler is done with its message; the connection's next one may be handled.
    pub fn end_call(&mut self, id: ConnId) {
        let Some(slot) = self.host.directory.find(id) else { return };
        if self.host.directory[slot].wait() == Some(&Wait::Handler) {
            Intake(&mut self.host).resume(slot);
            self.finish_event();
        }
    }

    /// Command: answers a message, whose id and room these are, with `handler_failed`, because its
    /// handler returned an error or panicked. The words are for the client; without any it learns
    /// no more than that.
    pub fn fail_call(
        &mut self,
        id: ConnId,
        words: Option<&str>,
        reply_id: Option<&str>,
        room: Option<&RoomName>,
    ) {
        let refusal = Refusal {
            code: ErrorCode::HandlerFailed,
            message: words.map_or(HANDLER_FAILED.into(), |words| words.to_owned().into()),
            id: reply_id.map(Into::into),
            room: room.cloned(),
        };
        if let Some(slot) = self.host.directory.find_open(id) {
            self.host.say(slot, &Fact::Error(&refusal));
        }
    }

    /// Command: the program has decided about a command that it was asked about. It has its turn
    /// in the order of the connection's commands, as if it had just been read; the next one follows.
    pub fn decide(&mut self, id: ConnId, asked: AskedCommand, verdict: Verdict) {
        let Some(slot) = self.host.directory.find(id) else { return };
        Intake(&mut self.host).decide(slot, asked, verdict);
        self.finish_event();
    }

    /// Event: the fresh token of a connection's client is verified, or refused with these words for
    /// the client. The token must be the same subject's. The verdict takes effect in the order of the
    /// connection's commands; the next one follows.
    pub fn end_refresh(
        &mut self,
        id: ConnId,
        refresh: Refresh,
        verdict: Result<Credentials, String>,
    ) {
        let Some(slot) = self.host.directory.find(id) else { return };
        Intake(&mut self.host).end_refresh(slot, refresh, verdict);
        self.finish_event();
    }

    /// Command: closes a connection. Returns whether it was there and open.
    pub fn close(&mut self, id: ConnId, close: impl Into<Close>) -> bool {
        let slot = self.host.directory.find(id);
        slot.is_some_and(|slot| self.host.close(slot, close.into()))
    }

    /// Command: reads no more commands. What was received and not begun is not handled any more.
    pub fn stop_reading(&mut self) {
        self.host.stop_reading();
        self.finish_event();
    }

    /// Command: closes every connection, each as soon as everything that waits for it is sent.
    pub fn close_all_when_flushed(&mut self, close: impl Into<Close>) {
        self.host.close_all_when_flushed(&close.into());
        self.finish_event();
    }

    /// Command: answers a question for this shard at once.
    pub fn answer(&mut self, query: Query) -> Answer {
        // An answer may name an offset, and leaves the home on a way of its own.
        self.home.write_out();
        match query {
            Query::Stats => Answer::Stats(Box::new(self.stats())),
            Query::Rooms { after, limit } => Answer::Rooms(self.home.list(after.as_deref(), limit)),
            Query::Room(room) => Answer::Room(self.home.info(&room)),
            // Other shards may have to be asked, so that its home alone answers it: see `query`.
            Query::Presence(_) => Answer::Short,
            Query::History { room, since, epoch, limit } => {
                let now = self.host.now;
                let history = self.home.history(&room, since, epoch.as_deref(), limit, now);
                Answer::History(history.map(Box::new))
            }
            Query::Emit(conn, frame) => match self.emit(conn, &frame) {
                Ok(()) => Answer::Found(true),
                Err(Unsent::Gone) => Answer::Found(false),
                Err(Unsent::Full) => Answer::Full(frame),
                Err(Unsent::TooLarge(limit)) => Answer::TooLarge(limit),
            },
            Query::Close(conn, reason) => Answer::Found(self.close(conn, reason)),
            Query::User(user) => Users(self).user(&user),
            Query::EmitToUser { user, after, except, frame } => {
                Users(self).emit_to_user(&user, after, except, &frame)
            }
            Query::CloseUser(user, close) => Answer::Closed(Users(self).close_user(&user, &close)),
            Query::Revoke { revoked, until } => Users(self).revoke(revoked, until),
        }
    }

    /// Command of a caller beside the connections, over HTTP or from a program: asks shard `to`.
    /// The answer comes out of [`Outputs::next_answer`](super::Outputs::next_answer) under the same token.
    ///
    /// # Errors
    ///
    /// [`Full`] when the ring has no capacity, with the question; nothing has happened. Questions
    /// that change nothing, and revocations, may wait for capacity, a few at a time: an operator asks
    /// above all when everything is full.
    pub fn query(
        &mut self,
        to: ShardId,
        token: AnswerToken,
        query: Query,
    ) -> Result<(), (Full, Query)> {
        let matters = query.changes_nothing() || matches!(query, Query::Revoke { .. });
        let may_wait =
            matters && self.host.outboxes.over_capacity(to) < QUESTIONS_OVER_CAPACITY_MAX;
        if !may_wait && !self.host.outboxes.admit_caller(to) {
            return Err((Full, query));
        }
        self.host.outboxes.push_to_home(to, ToHome::Query { token, query });
        Ok(())
    }

    /// The shard that orders this room's messages.
    pub fn home(&self, room: &RoomName) -> ShardId {
        self.host.directory.home(room.as_str())
    }

    /// Why a connection ends, once that is decided.
    pub fn close_reason(&self, id: ConnId) -> Option<Disconnect> {
        self.host.directory[self.host.directory.find(id)?].close_reason()
    }
}
