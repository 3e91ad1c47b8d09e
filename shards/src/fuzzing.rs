//! The door through which fuzzing and the replay of its corpus see the envelope, and the records of a
//! journal. It is there in builds for tests and under cargo-fuzz only.

use crate::envelope::{Command, Envelope, ErrorCode, Publication};
use crate::journal::Record;
use crate::recovery::Start;
use crate::wire::{Opcode, push_frame};

#[cfg(test)]
#[allow(unreachable_pub, reason = "the fuzz crate calls it, too")]
#[path = "../../fuzz/src/envelope.rs"]
mod envelope;
#[cfg(test)]
#[allow(unreachable_pub, reason = "the fuzz crate calls it, too")]
#[path = "../../fuzz/src/journal.rs"]
mod journal;
#[cfg(test)]
#[path = "../../fuzz/src/json.rs"]
mod json;

/// What records bring back of a room.
#[derive(Debug, PartialEq, Eq)]
pub struct KeptLife {
    /// Its name.
    pub name: String,
    /// Its epoch, as a number.
    pub epoch: u64,
    /// Its last offset.
    pub offset: u64,
    /// The texts of its messages, in order.
    pub messages: Vec<String>,
}

/// The rooms of a journal's records, if all of these bytes are records.
pub fn read_journal(bytes: &[u8]) -> Option<Vec<KeptLife>> {
    let rooms = crate::journal::read_rooms(SEAL, 0, bytes).ok()?;
    let life = |room: &crate::KeptRoom| KeptLife {
        name: room.name().as_str().to_owned(),
        epoch: room.epoch.bits(),
        offset: room.offset,
        messages: room
            .frames()
            .map(|(_, frame)| String::from_utf8_lossy(crate::wire::server_payload(frame)).into())
            .collect(),
    };
    Some(rooms.iter().map(life).collect())
}

/// These records as bytes: of each its epoch, its offset, and a room's name or a message's text.
pub fn write_journal<'a>(
    records: impl Iterator<Item = (u64, u64, Result<&'a str, &'a str>)>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (epoch, offset, text) in records {
        let (epoch, position) = (crate::Epoch::from_bits(epoch), bytes.len() as u64);
        let mut frame = Vec::new();
        let record = match text {
            Ok(name) => Record::Room { epoch, offset, name },
            Err(text) => {
                push_frame(&mut frame, Opcode::Text, text.as_bytes());
                Record::Message { epoch, offset, second: 1, frame: &frame }
            }
        };
        record.push(SEAL, position, &mut bytes);
    }
    bytes
}

/// The checksum of the journal that is read and written here.
const SEAL: u32 = 1;

/// What the engine reads in a client's text.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading {
    /// As it was written, if it could be read.
    pub id: Option<String>,
    /// Its name, if it could be read.
    pub room: Option<String>,
    /// What is asked for, or the code of the error.
    pub verb: Result<Verb, &'static str>,
}

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Verb {
    /// `cast:join`
    Join {
        /// Epoch and offset at which the client stopped reading.
        since: Option<(String, u64)>,
        /// How many of the newest messages it wants.
        last: Option<u32>,
        /// Whether it is to be told who is there.
        presence: bool,
    },
    /// `cast:leave`
    Leave,
    /// `cast:presence`
    Presence,
    /// `cast:publish`
    Publish {
        /// The name of the event.
        event: String,
        /// As it was written.
        data: String,
        /// Whether the sender gets it, too.
        echo: bool,
        /// Its key, as text.
        key: Option<String>,
    },
    /// `cast:broadcast`
    Broadcast {
        /// The name of the event.
        event: String,
        /// As it was written.
        data: String,
        /// Whether the sender gets it, too.
        echo: bool,
    },
    /// `cast:refresh`
    Refresh {
        /// As text.
        token: String,
    },
    /// `cast:ping`
    Ping,
    /// An event of the embedding program's.
    Application {
        /// The name of the event.
        event: String,
        /// As it was written, if it was there.
        data: Option<String>,
    },
}

/// Reads a text as a shard does.
pub fn read_envelope(text: &str) -> Reading {
    let room_name = |room: &crate::RoomName| room.as_str().to_owned();
    match Envelope::parse(text) {
        Ok(envelope) => Reading {
            id: envelope.id.map(str::to_owned),
            room: envelope.room.as_ref().map(room_name),
            verb: read_verb(&envelope),
        },
        Err(bad) => Reading {
            id: bad.id.map(str::to_owned),
            room: bad.room.as_ref().map(room_name),
            verb: Err(ErrorCode::BadEnvelope.as_str()),
        },
    }
}

fn read_verb(envelope: &Envelope<'_>) -> Result<Verb, &'static str> {
    let owned = |it: Publication<'_>| (it.event.into_owned(), it.data.to_owned(), it.echo);
    Ok(match Command::read(envelope).map_err(|bad| bad.code.as_str())? {
        Command::Join(options) => {
            let (since, last) = match options.start {
                Start::Live => (None, None),
                Start::Since(at) => (Some((at.epoch.into(), at.offset)), None),
                Start::Last(count) => (None, Some(count)),
            };
            Verb::Join { since, last, presence: options.presence }
        }
        Command::Leave => Verb::Leave,
        Command::Presence => Verb::Presence,
        Command::Publish(publication) => {
            let key = publication.key.as_ref().map(|key| key.as_str().to_owned());
            let (event, data, echo) = owned(publication);
            Verb::Publish { event, data, echo, key }
        }
        Command::Broadcast(publication) => {
            let (event, data, echo) = owned(publication);
            Verb::Broadcast { event, data, echo }
        }
        Command::Refresh { token } => Verb::Refresh { token: token.into_owned() },
        Command::Ping => Verb::Ping,
        Command::Application => Verb::Application {
            event: envelope.event.clone().into_owned(),
            data: envelope.data.map(|data| data.get().to_owned()),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    #[test]
    fn the_corpus_of_journals_is_read_like_a_plain_reader_reads_it() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/journal");
        let files = fs::read_dir(corpus).expect("the corpus is part of the repository");
        let checked = files.map(|file| {
            let path = file.expect("a folder can be read").path();
            super::journal::check(&fs::read(path).expect("a file can be read"));
        });
        assert!(checked.count() > 20, "the corpus is there");
    }

    #[test]
    fn the_corpus_of_envelopes_is_read_like_a_plain_reader_reads_it() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/envelope");
        let files = fs::read_dir(corpus).expect("the corpus is part of the repository");
        let checked = files.map(|file| {
            let path = file.expect("a folder can be read").path();
            super::envelope::check(&fs::read(path).expect("a file can be read"));
        });
        assert!(checked.count() > 20, "the corpus is there");
    }
}
