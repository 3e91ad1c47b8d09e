//! What one send carries to a member, and where its cursor is afterwards.

use super::{MemberIndex, Room};
use crate::log::{ChunkPool, Pin, Rest, Space};

/// What a send brought one member.
#[derive(Debug)]
pub(crate) struct Advance {
    /// Messages taken, the one that was cut included.
    pub(crate) messages: u64,
    pub(crate) complete: bool,
    /// The rest of the message that was cut.
    pub(crate) rest: Option<Rest>,
}

impl Room {
    /// How far one send can carry this member: the end of its messages, or where the send is full.
    fn reach(&self, index: MemberIndex, space: &mut Space) -> u64 {
        let member = &self.members[index];
        let end = self.end_for(member);
        for run in member.runs(end) {
            let reached = self.log.reach(run.clone(), member.encoding, space);
            if reached < run.end {
                return reached;
            }
        }
        end.max(member.cursor)
    }

    /// Begins a send to a member of as many messages as there is space for. Returns whether it
    /// carries any. A member that is not carried to its end is held: the pass does not come back to
    /// it.
    pub(crate) fn begin_send(&mut self, index: MemberIndex, space: &mut Space) -> bool {
        let reach = self.reach(index, space);
        let member = &self.members[index];
        if reach < self.end_for(member) && member.pin.is_none() {
            self.pin(index, Pin::Held);
        }
        let member = &mut self.members[index];
        if reach <= member.cursor {
            return false;
        }
        let count = reach - member.cursor;
        member.in_flight = u32::try_from(count).expect("a log has fewer than 2^32 messages");
        self.sending_from = match self.sending {
            0 => member.cursor,
            _ => self.sending_from.min(member.cursor),
        };
        self.sending += 1;
        true
    }

    /// Ends a member's send: moves its cursor past what was taken, which it takes off `taken`.
    pub(crate) fn end_send(
        &mut self,
        index: MemberIndex,
        taken: &mut usize,
        pool: &mut ChunkPool,
    ) -> Advance {
        let in_flight = std::mem::take(&mut self.members[index].in_flight);
        let advance = self.advance(index, in_flight, taken, pool);
        self.sending -= 1;
        if self.sending == 0 && self.members[index].pin.is_none() && advance.complete {
            self.free_log(pool);
        }
        advance
    }

    fn advance(
        &mut self,
        index: MemberIndex,
        in_flight: u32,
        taken: &mut usize,
        pool: &mut ChunkPool,
    ) -> Advance {
        let member = &self.members[index];
        let to = member.cursor + u64::from(in_flight);
        let mut advance = Advance { messages: 0, complete: true, rest: None };
        let mut cursor = to;
        for run in member.runs(to) {
            let bytes = self.log.bytes_of(run.clone(), member.encoding);
            let end = if *taken >= bytes {
                *taken -= bytes;
                run.end
            } else {
                let cut = self.log.cut(run.clone(), member.encoding, std::mem::take(taken));
                (cursor, advance.rest, advance.complete) = (cut.cursor, cut.rest, false);
                cut.cursor
            };
            advance.messages += end - run.start;
            if !advance.complete {
                break;
            }
        }
        self.move_cursor(index, cursor, pool);
        advance
    }
}
