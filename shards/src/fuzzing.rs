//! The door through which fuzzing and the replay of its corpus see the envelope. It is there in
//! builds for tests and under cargo-fuzz only.

use crate::envelope::{Command, Envelope, ErrorCode, Publication};
use crate::recovery::Start;

#[cfg(test)]
#[allow(unreachable_pub, reason = "the fuzz crate calls it, too")]
#[path = "../../fuzz/src/envelope.rs"]
mod envelope;
#[cfg(test)]
#[path = "../../fuzz/src/json.rs"]
mod json;

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
    },
    /// `cast:leave`
    Leave,
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
        Command::Join(options) => match options.start {
            Start::Live => Verb::Join { since: None, last: None },
            Start::Since(at) => {
                Verb::Join { since: Some((at.epoch.into(), at.offset)), last: None }
            }
            Start::Last(count) => Verb::Join { since: None, last: Some(count) },
        },
        Command::Leave => Verb::Leave,
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
