//! What the server says beside messages: greetings, answers, gaps, errors, pings and farewells.

use super::member::{End, MemberStage};
use super::reader::Reader;
use super::receive_path::Notice;
use crate::client::announcement::{Announcement, contains, violation};
use crate::client::chunks::data;
use crate::client::frames::close_kind;
use crate::client::position::Position;
use crate::client::wire;
use crate::setup::plan::Transport;

impl Reader {
    pub(crate) fn on_notice(&mut self, nth: usize, notice: Notice) {
        match notice {
            Notice::Text(text) => self.on_text(nth, &text),
            Notice::Ping(payload) => {
                self.receive_path.tally.pings += 1;
                let mut pong = Vec::new();
                wire::push_pong(&mut pong, &payload);
                self.send(nth, &pong);
            }
            // It is the answer.
            Notice::Close(payload) if self.members[nth].stage == MemberStage::Closing => {
                self.leave(nth, End::Announced, &close_kind(&payload));
            }
            Notice::Close(payload) => {
                let mut answer = Vec::new();
                wire::push_close(&mut answer, payload.get(..2).unwrap_or_default());
                self.send(nth, &answer);
                self.leave(nth, End::Announced, &close_kind(&payload));
            }
            Notice::End(reason) => self.leave(nth, End::Announced, &end_kind(&reason)),
            Notice::Violation(what) => self.leave(nth, End::Broken, &violation(what)),
        }
    }

    fn on_text(&mut self, nth: usize, text: &[u8]) {
        if self.churning.is_some() && self.on_position(nth, text) {
            return;
        }
        let text = match self.members[nth].transport {
            Transport::WebSocket => text,
            Transport::Events => data(text).unwrap_or_default(),
        };
        let ready = self.shared.plan.ready.as_deref();
        if self.members[nth].stage == MemberStage::Greeting
            && ready.is_some_and(|it| contains(text, it))
        {
            return self.on_joined(nth);
        }
        match Announcement::read(text) {
            Some(Announcement::Gap(skipped)) => {
                self.receive_path.tally.gaps += 1;
                let all = &mut self.receive_path.tally.skipped;
                *all = all.saturating_add(skipped);
                let member = &self.members[nth];
                // Where its time in the room begins is settled at the end, and so what is missing.
                let is_open = member.is_replacement;
                let missing = if is_open { u64::MAX } else { self.missing_so_far(member) };
                self.members[nth].note_gap(skipped, missing);
            }
            Some(Announcement::Error(kind)) => self.receive_path.tally.errors.add(&kind),
            None if self.is_measuring() && !contains(text, OURS) => {
                self.receive_path.tally.unknown += 1
            }
            None => {}
        }
    }
}

impl Reader {
    /// Where members come and go: whether this says where this one is, and no more.
    fn on_position(&mut self, nth: usize, text: &[u8]) -> bool {
        let member = &mut self.members[nth];
        let is_in = |part: Option<&[u8]>| part.is_some_and(|part| contains(text, part));
        match (member.transport, member.stage) {
            (Transport::Events, stage) if member.joined.is_none() => {
                member.joined = Position::of_event(text);
                let is_here = stage == MemberStage::Greeting && member.joined.is_some();
                if is_here {
                    self.on_joined(nth);
                }
                is_here
            }
            (Transport::WebSocket, MemberStage::Greeting)
                if is_in(self.shared.plan.ready.as_deref()) =>
            {
                member.joined = Position::of_answer(text);
                false
            }
            (Transport::WebSocket, MemberStage::Leaving) if is_in(Some(LEFT)) => {
                self.on_left(nth, text);
                true
            }
            _ => false,
        }
    }
}

/// The answer to a leave.
const LEFT: &[u8] = b"\"cast:left\"";

/// What corecast says by itself has this in it.
const OURS: &[u8] = b"\"cast:";

/// How it is counted that an event stream ended.
fn end_kind(reason: &str) -> String {
    let name = reason.split(" retry=").next().unwrap_or_default();
    let short: String = name.chars().take(40).collect();
    format!("event stream ended: {short}")
}
