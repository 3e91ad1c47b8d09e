//! What a shard wants done, until its driver takes it.

use std::collections::VecDeque;

use crate::disconnect::Disconnect;
use crate::handler::{Call, RoomEvent};
use crate::id::ConnId;
use crate::mesh::{Answer, AnswerToken, Parcel, Requester};
use crate::room_name::RoomName;

/// A step of a connection's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseStep {
    /// The connection is out of all rooms and takes no more commands.
    LeftRooms(ConnId, Disconnect),
    /// Our close frame is sent: shut down our side of the socket, and go on reading.
    ShutdownWrite(ConnId),
    /// Close the socket. The id means nothing from here on.
    Close(ConnId),
}

/// What a shard wants done: [`Shard::outputs`](crate::Shard::outputs). Each kind comes in the order
/// in which the shard decided.
#[derive(Debug, Default)]
pub struct Outputs {
    pub(super) close_steps: VecDeque<CloseStep>,
    pub(super) calls: VecDeque<Call>,
    pub(super) resumed: VecDeque<ConnId>,
    pub(super) hung_up: VecDeque<ConnId>,
    pub(super) renewed: VecDeque<ConnId>,
    pub(super) ended: VecDeque<(ConnId, Vec<RoomName>)>,
    pub(super) room_events: VecDeque<RoomEvent>,
    pub(super) parcels: VecDeque<Parcel>,
    pub(super) answers: VecDeque<(AnswerToken, Answer)>,
}

impl Outputs {
    /// The next step of a connection's end.
    pub fn next_close_step(&mut self) -> Option<CloseStep> {
        self.close_steps.pop_front()
    }

    /// The next message for a handler of the program.
    pub fn next_call(&mut self) -> Option<Call> {
        self.calls.pop_front()
    }

    /// A connection that was not read for a while and is to be read again.
    pub fn next_resumed(&mut self) -> Option<ConnId> {
        self.resumed.pop_front()
    }

    /// A connection whose client has hung up. Its end follows when what the client sent before is
    /// handled; a handler at work may wait for this.
    pub fn next_hung_up(&mut self) -> Option<ConnId> {
        self.hung_up.pop_front()
    }

    /// A connection whose fresh token took effect. No call for a later message of its client came out
    /// before.
    pub fn next_renewed(&mut self) -> Option<ConnId> {
        self.renewed.pop_front()
    }

    /// A connection that has ended, and the rooms that it was a member of, if there were any. It
    /// comes before the connection's [`CloseStep::LeftRooms`], for programs that handle it.
    pub fn next_ended(&mut self) -> Option<(ConnId, Vec<RoomName>)> {
        self.ended.pop_front()
    }

    /// What happened next to the members of a room, for programs that watch that. What is said of a
    /// connection comes before its [`CloseStep::LeftRooms`].
    pub fn next_room_event(&mut self) -> Option<RoomEvent> {
        self.room_events.pop_front()
    }

    /// The next connection that another shard has handed over.
    pub fn next_parcel(&mut self) -> Option<Parcel> {
        self.parcels.pop_front()
    }

    /// The next answer to a caller.
    pub fn next_answer(&mut self) -> Option<(AnswerToken, Answer)> {
        self.answers.pop_front()
    }

    /// Answers the program, if the program asked for the join or leave; without an answer the
    /// connection has ended meanwhile.
    pub(super) fn answer_program(&mut self, requester: &Requester, answer: Option<Answer>) {
        if let Requester::Program(token) = requester {
            self.answers.push_back((*token, answer.unwrap_or(Answer::Gone)));
        }
    }
}
