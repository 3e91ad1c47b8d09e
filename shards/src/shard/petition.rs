//! Commands that the program decides about.

use super::Shard;
use super::program::HANDLER_FAILED;
use crate::call::{Petition, Said, Verdict, Wish};
use crate::connection::Wait;
use crate::envelope::{Command, ErrorCode, Publication, Unnumbered};
use crate::id::ConnId;
use crate::inbound::{Errand, Pending, What};
use crate::room_name::RoomName;

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

impl Shard {
    /// Command: the program has decided about a command that it was asked about. It takes its place
    /// in the order of the connection's commands, as if it had just been read; the next one follows.
    pub fn decide(&mut self, id: ConnId, petition: Petition, verdict: Verdict) {
        let Some(slot) = self.connections.find(id) else { return };
        if self.connections[slot].wait != Some(Wait::Handler) {
            return;
        }
        let errand = errand(petition, verdict);
        if self.reading {
            let inbound = self.connections[slot].inbound.get_or_insert_default();
            debug_assert!(inbound.pending.is_none(), "it waits for the one command");
            inbound.pending = Some(Pending::Errand(errand.into()));
            self.resume(slot);
        } else if self.connections[slot].is_open() {
            // It was begun before the server went away. There is no time to wait for room.
            let _ = self.run(slot, errand);
        }
        self.reap();
    }
}

fn errand(petition: Petition, verdict: Verdict) -> Errand {
    let Petition { wish, room, id } = petition;
    let what = match verdict {
        Verdict::Granted => granted(wish, room.as_ref()),
        Verdict::Forbidden(words) => What::Refuse(ErrorCode::Forbidden, words.into()),
        Verdict::Failed => What::Refuse(ErrorCode::HandlerFailed, HANDLER_FAILED.into()),
    };
    Errand { room, id, what }
}

fn granted(wish: Wish, room: Option<&RoomName>) -> What {
    let encode = |said: &Said, room: &RoomName| {
        let event = said.event.as_ref().into();
        Unnumbered::new(&Publication { event, data: &said.data, echo: said.echo }, room)
    };
    match wish {
        Wish::Join(since) => What::Join(since),
        Wish::Publish(said) => {
            let room = room.expect("a publish was read with its room");
            What::Publish { message: encode(&said, room), echo: said.echo }
        }
        Wish::Broadcast(said) => What::Broadcast(encode(&said, &RoomName::everybody())),
    }
}
