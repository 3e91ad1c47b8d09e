//! Commands that the program decides about.

use super::intake::Intake;
use super::program::HANDLER_FAILED;
use crate::call::{Petition, Said, Verdict, Wish};
use crate::connection::Wait;
use crate::connection::inbound::{Errand, Pending, What};
use crate::connection::table::Slot;
use crate::envelope::{Command, ErrorCode, Publication};
use crate::format::RoomMessage;

/// What a command that needs a permission asks for.
pub(super) fn wish(command: Command<'_>) -> Wish {
    match command {
        Command::Join { since } => {
            Wish::Join(since.map(|since| (since.epoch.as_ref().into(), since.offset)))
        }
        Command::Publish(publication) => Wish::Publish(said(publication)),
        Command::Broadcast(publication) => Wish::Broadcast(said(publication)),
        Command::Leave | Command::Ping | Command::Application => {
            unreachable!("it needs no permission")
        }
    }
}

fn said(publication: Publication<'_>) -> Said {
    let Publication { event, data, echo } = publication;
    Said { event: event.into(), data: data.into(), echo }
}

impl Intake<'_> {
    /// The program has decided about a command. It takes its place in the order of the connection's
    /// commands, as if it had just been read; the next one follows.
    pub(super) fn decide(&mut self, slot: Slot, petition: Petition, verdict: Verdict) {
        if self.0.directory[slot].wait() != Some(&Wait::Handler) {
            return;
        }
        let errand = errand(petition, verdict);
        if self.0.reading {
            let inbound = self.0.directory[slot].inbound.get_or_insert_default();
            debug_assert!(inbound.pending.is_none(), "it waits for the one command");
            inbound.pending = Some(Pending::Errand(errand.into()));
            self.resume(slot);
        } else if self.0.directory[slot].is_open() {
            // It was begun before the server went away. There is no time to wait for capacity.
            let _ = self.run(slot, errand);
        }
    }
}

fn errand(petition: Petition, verdict: Verdict) -> Errand {
    let Petition { wish, room, id } = petition;
    let what = match verdict {
        Verdict::Granted => granted(wish),
        Verdict::Forbidden(words) => What::Refuse(ErrorCode::Forbidden, words.into()),
        Verdict::Failed => What::Refuse(ErrorCode::HandlerFailed, HANDLER_FAILED.into()),
    };
    Errand { room, id, what }
}

fn granted(wish: Wish) -> What {
    let message = |said: &Said| {
        let event = said.event.as_ref().into();
        RoomMessage::event(&Publication { event, data: &said.data, echo: said.echo })
    };
    match wish {
        Wish::Join(since) => What::Join(since),
        Wish::Publish(said) => What::Publish { message: message(&said), echo: said.echo },
        Wish::Broadcast(said) => What::Broadcast(message(&said)),
    }
}
