//! Which command an envelope is, and which publications are legal.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::members::{Members, NoObject};
use super::text::{NoText, read_text};
use super::{Envelope, ErrorCode, depth, parse_event};
use crate::limits::{DATA_DEPTH_MAX, EPOCH_BYTES_MAX, ID_INTEGER_MAX};
use crate::permissions::Action;
use crate::publish_key::PublishKey;
use crate::recovery::{JoinOptions, Position, Start};

/// One command of the protocol, or an event that is the application's.
#[derive(Debug)]
pub(crate) enum Command<'a> {
    Join(JoinOptions),
    Leave,
    /// Who is in a room.
    Presence,
    Publish(Publication<'a>),
    Broadcast(Publication<'a>),
    Refresh {
        token: Cow<'a, str>,
    },
    Ping,
    /// The event belongs to the embedding program, if it has a handler for it.
    Application,
}

/// Why a command was refused, for `cast:error`.
#[derive(Debug)]
pub(crate) struct BadCommand {
    pub(crate) code: ErrorCode,
    pub(crate) message: &'static str,
}

const fn bad(message: &'static str) -> BadCommand {
    BadCommand { code: ErrorCode::BadEnvelope, message }
}

impl<'a> Command<'a> {
    pub(crate) fn read(envelope: &Envelope<'a>) -> Result<Command<'a>, BadCommand> {
        let wrapping = matches!(&*envelope.event, "cast:publish" | "cast:broadcast");
        if !envelope.is_shallow(usize::from(wrapping)) {
            return Err(bad("data is nested deeper than 128"));
        }
        let needs_room = matches!(
            &*envelope.event,
            "cast:join" | "cast:leave" | "cast:publish" | "cast:presence"
        );
        if needs_room && envelope.room.is_none() {
            return Err(bad("room is missing"));
        }
        match &*envelope.event {
            "cast:join" => Ok(Command::Join(read_join(envelope.data)?)),
            "cast:leave" => Ok(Command::Leave),
            "cast:presence" => Ok(Command::Presence),
            "cast:publish" => Ok(Command::Publish(read_publication(envelope.data)?)),
            "cast:broadcast" => {
                let publication = read_publication(envelope.data)?.without_key();
                Ok(Command::Broadcast(publication.map_err(|BadBody(message)| bad(message))?))
            }
            "cast:refresh" => Ok(Command::Refresh { token: read_token(envelope.data)? }),
            "cast:ping" => Ok(Command::Ping),
            event if event.starts_with("cast:") => Err(BadCommand {
                code: ErrorCode::UnknownEvent,
                message: "the protocol has no such event; a client may send cast:join, cast:leave, \
                          cast:publish, cast:broadcast, cast:presence, cast:refresh and cast:ping",
            }),
            _ => Ok(Command::Application),
        }
    }

    /// Which permission it needs, if any.
    pub(crate) fn action(&self) -> Option<Action> {
        match self {
            Command::Join(_) => Some(Action::Join),
            Command::Publish(_) => Some(Action::Publish),
            Command::Broadcast(_) => Some(Action::Broadcast),
            Command::Leave
            | Command::Presence
            | Command::Refresh { .. }
            | Command::Ping
            | Command::Application => None,
        }
    }
}

/// What is to be published or broadcast: `{"event": …, "data": …}`.
#[derive(Clone, Debug)]
pub struct Publication<'a> {
    /// The event's name: 1 to 128 bytes, not beginning with `cast:`.
    pub event: Cow<'a, str>,
    /// Any JSON value, as it was written; `null` when it was absent.
    pub data: &'a str,
    /// Whether the sender, if it is a member, gets it too. Only clients can say no.
    pub echo: bool,
    /// What makes a second one the same publish, for a while. Only a room takes one.
    pub key: Option<PublishKey>,
}

/// Why a text is no publication; reads as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBody(pub &'static str);

impl<'a> Publication<'a> {
    /// Reads `{"event": …, "data": …, "echo": …, "key": …}`, as in a client's `data` and an HTTP body.
    ///
    /// # Errors
    ///
    /// [`BadBody`] says which member is wrong, in words for the caller.
    pub fn parse(text: &'a str) -> Result<Publication<'a>, BadBody> {
        let members =
            Members::parse(text, ["event", "data", "echo", "key"]).map_err(|no_object| {
                match no_object {
                    NoObject::Other => BadBody("must be one JSON object with event and data"),
                    NoObject::ByteOrderMark => BadBody(
                        "must begin with a JSON object, not with a byte order mark (U+FEFF)",
                    ),
                }
            })?;
        if members.any_doubled() {
            return Err(BadBody("a member stands twice"));
        }
        let [event, data, echo, key] = members.values;
        let event = parse_event(event.ok_or(BadBody("event is missing"))?).map_err(BadBody)?;
        if event.starts_with("cast:") {
            return Err(BadBody("event names that begin with cast: belong to the protocol"));
        }
        let data = data.map_or("null", RawValue::get);
        if depth(data) > DATA_DEPTH_MAX {
            return Err(BadBody("data is nested deeper than 128"));
        }
        let echo = match echo.map(RawValue::get) {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => return Err(BadBody("echo must be true or false")),
        };
        let key = key.map(read_key).transpose()?;
        Ok(Publication { event, data, echo, key })
    }

    /// The same for everybody, or for single connections.
    ///
    /// # Errors
    ///
    /// When it has a key: without an offset a repeat has no answer.
    pub fn without_key(self) -> Result<Publication<'a>, BadBody> {
        match self.key {
            None => Ok(self),
            Some(_) => Err(BadBody(
                "only a publish to a room takes a key: a repeat is answered with the offset of the \
                 first, and this has none; leave key out",
            )),
        }
    }
}

fn read_key(key: &RawValue) -> Result<PublishKey, BadBody> {
    let text = read_text(key).map_err(|no_text| match no_text {
        NoText::NotAString => BadBody("key must be a string"),
        NoText::LoneSurrogate => BadBody("key must be text: a surrogate escape in it stands alone"),
    })?;
    PublishKey::new(&text).map_err(|_| BadBody("key must have 1 to 64 bytes"))
}

fn read_publication(data: Option<&RawValue>) -> Result<Publication<'_>, BadCommand> {
    let data = data.ok_or(bad("data is missing"))?;
    Publication::parse(data.get()).map_err(|BadBody(message)| bad(message))
}

fn read_token(data: Option<&RawValue>) -> Result<Cow<'_, str>, BadCommand> {
    const SHAPE: BadCommand = bad("data of a refresh is {\"token\": string}");
    let members = Members::parse(data.ok_or(SHAPE)?.get(), ["token"]).map_err(|_| SHAPE)?;
    if members.any_doubled() {
        return Err(bad("a member stands twice"));
    }
    let [Some(token)] = members.values else { return Err(SHAPE) };
    read_text(token).map_err(|_| SHAPE)
}

const JOIN_SHAPE: BadCommand = bad(
    "data of a join is {\"since\": {\"epoch\": string, \"offset\": integer}} or {\"last\": integer}, \
     and {\"presence\": boolean}",
);

fn read_join(data: Option<&RawValue>) -> Result<JoinOptions, BadCommand> {
    let Some(data) = data.map(RawValue::get).filter(|data| *data != "null") else {
        return Ok(JoinOptions::default());
    };
    let members = Members::parse(data, ["since", "last", "presence"]).map_err(|_| JOIN_SHAPE)?;
    if members.any_doubled() {
        return Err(bad("a member stands twice"));
    }
    let [since, last, presence] = members.values;
    let start = match (since, last) {
        (None, None) => Start::Live,
        (Some(since), None) => Start::Since(read_position(since)?),
        (None, Some(last)) => Start::Last(read_last(last)?),
        (Some(_), Some(_)) => return Err(bad("data of a join has since or last, not both")),
    };
    let presence = match presence.map(RawValue::get) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(bad("presence must be true or false")),
    };
    Ok(JoinOptions { start, presence })
}

fn read_position(since: &RawValue) -> Result<Position, BadCommand> {
    let members = Members::parse(since.get(), ["epoch", "offset"]).map_err(|_| JOIN_SHAPE)?;
    if members.any_doubled() {
        return Err(bad("a member stands twice"));
    }
    let [Some(epoch), Some(offset)] = members.values else { return Err(JOIN_SHAPE) };
    let epoch = read_text(epoch).map_err(|_| JOIN_SHAPE)?;
    if epoch.len() > EPOCH_BYTES_MAX {
        return Err(bad(
            "an epoch has at most 32 bytes; since takes the one that cast:joined told",
        ));
    }
    Ok(Position { epoch: epoch.into(), offset: read_integer(offset)? })
}

/// No history has more messages than its clients can count.
fn read_last(last: &RawValue) -> Result<u32, BadCommand> {
    Ok(u32::try_from(read_integer(last)?).unwrap_or(u32::MAX))
}

fn read_integer(value: &RawValue) -> Result<u64, BadCommand> {
    let integer = value.get().parse::<u64>().map_err(|_| JOIN_SHAPE)?;
    match integer <= ID_INTEGER_MAX.unsigned_abs() {
        true => Ok(integer),
        false => Err(JOIN_SHAPE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Command<'_>, BadCommand> {
        Command::read(&Envelope::parse(text).expect("an envelope"))
    }

    fn check_bad(text: &str, code: ErrorCode, message_part: &str) {
        let refused = read(text).expect_err(text);
        assert_eq!(refused.code, code, "{text}");
        assert!(refused.message.contains(message_part), "{text}: {}", refused.message);
    }

    #[test]
    fn every_bad_command_says_what_is_wrong() {
        let bad = ErrorCode::BadEnvelope;
        check_bad(r#"{"event":"cast:join"}"#, bad, "room is missing");
        check_bad(r#"{"event":"cast:leave"}"#, bad, "room is missing");
        check_bad(r#"{"event":"cast:publish","data":{"event":"a"}}"#, bad, "room is missing");
        check_bad(r#"{"event":"cast:publish","room":"r"}"#, bad, "data is missing");
        check_bad(r#"{"event":"cast:broadcast","data":[1]}"#, bad, "one JSON object");
        check_bad(r#"{"event":"cast:broadcast","data":{}}"#, bad, "event is missing");
        check_bad(r#"{"event":"cast:broadcast","data":{"event":"cast:x"}}"#, bad, "cast:");
        check_bad(r#"{"event":"cast:broadcast","data":{"event":"\u0063ast:x"}}"#, bad, "cast:");
        check_bad(r#"{"event":"cast:broadcast","data":{"event":"a","echo":1}}"#, bad, "echo");
        check_bad(r#"{"event":"cast:broadcast","data":{"event":"a","event":"b"}}"#, bad, "twice");
        check_bad(r#"{"event":"cast:join","room":"r","data":7}"#, bad, "since");
        check_bad(r#"{"event":"cast:join","room":"r","data":{"since":7}}"#, bad, "since");
        check_bad(
            r#"{"event":"cast:join","room":"r","data":{"since":{"epoch":"e"}}}"#,
            bad,
            "since",
        );
        check_bad(
            r#"{"event":"cast:join","room":"r","data":{"since":{"epoch":"e","offset":-1}}}"#,
            bad,
            "since",
        );
        check_bad(r#"{"event":"cast:refresh"}"#, bad, "token");
        check_bad(r#"{"event":"cast:refresh","data":{}}"#, bad, "token");
        check_bad(r#"{"event":"cast:refresh","data":{"token":7}}"#, bad, "token");
        check_bad(r#"{"event":"cast:refresh","data":["t"]}"#, bad, "token");
        check_bad(r#"{"event":"cast:refresh","data":{"token":"\ud800"}}"#, bad, "token");
        check_bad(r#"{"event":"cast:refresh","data":{"token":"a","token":"b"}}"#, bad, "twice");
        check_bad(r#"{"event":"cast:presence"}"#, bad, "room is missing");
        check_bad(r#"{"event":"cast:join","room":"r","data":{"presence":1}}"#, bad, "presence");
        check_bad(r#"{"event":"cast:rooms","room":"r"}"#, ErrorCode::UnknownEvent, "cast:join");
        check_bad(r#"{"event":"cast:subscribe","room":"r"}"#, ErrorCode::UnknownEvent, "cast:join");
    }

    fn join_since(epoch: &str, offset: &str) -> String {
        let since = format!(r#"{{"epoch":{epoch},"offset":{offset}}}"#);
        format!(r#"{{"event":"cast:join","room":"r","data":{{"since":{since}}}}}"#)
    }

    #[test]
    fn since_has_an_integer_and_an_epoch_of_at_most_32_bytes() {
        for offset in ["0", "1", "9007199254740991"] {
            assert!(read(&join_since("\"e\"", offset)).is_ok(), "{offset}");
        }
        let huge = "9".repeat(10_000);
        for offset in [
            "-1",
            "1.0",
            "1e0",
            "\"1\"",
            "null",
            "9007199254740992",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            huge.as_str(),
        ] {
            check_bad(&join_since("\"e\"", offset), ErrorCode::BadEnvelope, "since");
        }
        for (unit, count) in [("x", 32), (r"\u0061", 32), ("é", 16), (r"\ud834\udd1e", 8)] {
            let epoch = |count| format!("\"{}\"", unit.repeat(count));
            assert!(read(&join_since(&epoch(count), "7")).is_ok(), "{unit}");
            let longer = join_since(&epoch(count + 1), "7");
            check_bad(&longer, ErrorCode::BadEnvelope, "at most 32 bytes");
        }
        check_bad(&join_since(r#""\ud800""#, "7"), ErrorCode::BadEnvelope, "since");
        check_bad(&join_since("7", "7"), ErrorCode::BadEnvelope, "since");
    }

    #[test]
    fn a_published_event_has_the_same_bounds() {
        let body = |event: &str| format!(r#"{{"event":"{event}"}}"#);
        assert!(Publication::parse(&body(&"x".repeat(128))).is_ok());
        for (event, message_part) in
            [("x".repeat(129), "1 to 128"), (String::new(), "1 to 128"), (r"\ud800".into(), "text")]
        {
            let refused = Publication::parse(&body(&event)).expect_err(&event);
            assert!(refused.0.contains(message_part), "{event}: {}", refused.0);
        }
        let marked = format!("\u{feff}{}", body("m"));
        assert!(Publication::parse(&marked).expect_err("marked").0.contains("byte order mark"));
        assert!(Publication::parse(r#"{"event":"m","\ud83d":0}"#).is_ok());
    }

    #[test]
    fn absent_data_is_published_as_null() {
        let publication = Publication::parse(r#"{"event":"a"}"#).expect("legal");
        assert_eq!((&*publication.event, publication.data, publication.echo), ("a", "null", true));
    }

    #[test]
    fn a_join_may_say_which_messages_of_before_it_brings() {
        let since = |epoch: &str, offset| Start::Since(Position { epoch: epoch.into(), offset });
        let rows = [
            ("null", Start::Live),
            ("{}", Start::Live),
            (r#"{"since":{"epoch":"e","offset":30},"x":1}"#, since("e", 30)),
            (r#"{"last":10}"#, Start::Last(10)),
            (r#"{"last":0}"#, Start::Last(0)),
            (r#"{"last":9007199254740991}"#, Start::Last(u32::MAX)),
        ];
        for (data, start) in rows {
            let text = format!(r#"{{"event":"cast:join","room":"r","data":{data}}}"#);
            let Ok(Command::Join(options)) = read(&text) else { panic!("a join: {data}") };
            assert_eq!(options.start, start, "{data}");
        }
        for data in [r#"{"last":-1}"#, r#"{"last":"1"}"#, r#"{"last":null}"#, r#"{"last":1.5}"#] {
            let text = format!(r#"{{"event":"cast:join","room":"r","data":{data}}}"#);
            check_bad(&text, ErrorCode::BadEnvelope, "last");
        }
        let both = r#"{"event":"cast:join","room":"r","data":{"last":1,"since":{"epoch":"e","offset":1}}}"#;
        check_bad(both, ErrorCode::BadEnvelope, "not both");
    }

    #[test]
    fn the_published_data_itself_may_be_nested_128_deep() {
        let nested = |n: usize| {
            let data = "[".repeat(n) + &"]".repeat(n);
            format!(r#"{{"event":"cast:publish","room":"r","data":{{"event":"a","data":{data}}}}}"#)
        };
        assert!(read(&nested(128)).is_ok());
        check_bad(&nested(129), ErrorCode::BadEnvelope, "nested");
    }
}
