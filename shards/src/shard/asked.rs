//! Commands that the program must permit: how it is asked, and what its verdict does.

use super::intake::Intake;
use super::program::HANDLER_FAILED;
use crate::connection::inbound::{Errand, What};
use crate::envelope::{Command, ErrorCode, Publication};
use crate::format::RoomMessage;
use crate::handler::{AskedCommand, AskedKind, Draft, Verdict};
use crate::place::Slot;

/// What a command that needs a permission asks for.
pub(super) fn asked_kind(command: Command<'_>) -> AskedKind {
    match command {
        Command::Join(options) => AskedKind::Join(options),
        Command::Publish(publication) => AskedKind::Publish(draft(publication)),
        Command::Broadcast(publication) => AskedKind::Broadcast(draft(publication)),
        Command::Leave
        | Command::Presence
        | Command::Refresh { .. }
        | Command::Ping
        | Command::Application => unreachable!("it needs no permission"),
    }
}

fn draft(publication: Publication<'_>) -> Draft {
    let Publication { event, data, echo, key } = publication;
    Draft { event: event.into(), data: data.into(), echo, key }
}

impl Intake<'_> {
    /// The program has decided about a command. It has its turn in the order of the connection's
    /// commands, as if it had just been read; the next one follows.
    pub(super) fn decide(&mut self, slot: Slot, asked: AskedCommand, verdict: Verdict) {
        self.end_wait_with(slot, errand(asked, verdict));
    }
}

fn errand(asked: AskedCommand, verdict: Verdict) -> Errand {
    let AskedCommand { kind, room, id } = asked;
    let what = match verdict {
        Verdict::Granted => granted(kind),
        Verdict::Forbidden(words) => What::Refuse(ErrorCode::Forbidden, words.into()),
        Verdict::Failed => What::Refuse(ErrorCode::HandlerFailed, HANDLER_FAILED.into()),
    };
    Errand { room, id, what }
}

fn granted(kind: AskedKind) -> What {
    let message = |draft: &Draft| {
        let event = draft.event.as_ref().into();
        let (data, key) = (&*draft.data, draft.key.clone());
        RoomMessage::event(&Publication { event, data, echo: draft.echo, key })
    };
    match kind {
        AskedKind::Join(options) => What::Join(options),
        AskedKind::Publish(draft) => What::Publish { message: message(&draft), echo: draft.echo },
        AskedKind::Broadcast(draft) => What::Broadcast(message(&draft)),
    }
}
