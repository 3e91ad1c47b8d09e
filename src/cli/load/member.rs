//! One connection that receives.

use std::net::TcpStream;

/// Its place in its thread's list is its token.
#[derive(Debug)]
pub(super) struct Member {
    /// Among all members of the run.
    pub(super) number: u32,
    pub(super) room: u32,
    pub(super) wire: Wire,
    /// Where its judges begin; one for each stream of its room.
    pub(super) judges: usize,
    pub(super) streams: u32,
    /// Where the payload stood in the last frame.
    pub(super) distance: usize,
    pub(super) stage: MemberStage,
    pub(super) stream: Option<TcpStream>,
    pub(super) is_slow: bool,
    /// The beginning of a frame or chunk, or of the answer to the request.
    pub(super) partial: Vec<u8>,
    /// The beginning of a message in several frames.
    pub(super) fragments: Vec<u8>,
    /// Such a message has begun.
    pub(super) is_fragmented: bool,
    /// What the socket did not take.
    pub(super) unsent: Vec<u8>,
    /// When it began to connect.
    pub(super) began: u64,
    /// It was ready when publishing began, so that everything published is owed to it.
    pub(super) is_judged: bool,
    pub(super) end: Option<End>,
    /// Messages that gaps announced as skipped.
    pub(super) skipped: u64,
}

/// How a member receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// Frames of a WebSocket.
    WebSocket,
    /// Server-Sent Events, in chunks of an HTTP answer.
    Events,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberStage {
    Absent,
    Connecting,
    /// The request to upgrade, or for events, is sent.
    Upgrading,
    /// Hello is sent.
    Greeting,
    Ready,
}

/// How the server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a close frame: what was published after that is not lost but cut off.
    Announced,
    /// Without.
    Sudden,
}

impl Member {
    pub(super) fn new(number: u32, room: u32, judges: usize, streams: u32) -> Self {
        Self {
            number,
            room,
            wire: Wire::WebSocket,
            judges,
            streams,
            distance: 0,
            stage: MemberStage::Absent,
            stream: None,
            is_slow: false,
            partial: Vec::new(),
            fragments: Vec::new(),
            is_fragmented: false,
            unsent: Vec::new(),
            began: 0,
            is_judged: false,
            end: None,
            skipped: 0,
        }
    }

    /// Forgets everything about a connection that is over.
    pub(super) fn reset(&mut self) {
        self.stage = MemberStage::Absent;
        self.stream = None;
        self.is_fragmented = false;
        for buffer in [&mut self.partial, &mut self.fragments, &mut self.unsent] {
            *buffer = Vec::new();
        }
    }
}
