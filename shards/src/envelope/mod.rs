//! The JSON text on the wire: `{"event": …, "data": …, "room": …, "id": …}`.

mod command;
mod depth;
mod members;
mod reply;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::limits::{DATA_DEPTH_MAX, EVENT_BYTES_MAX, ID_BYTES_MAX, ID_INTEGER_MAX};
use crate::room_name::RoomName;
pub use command::{BadBody, Publication};
pub(crate) use command::{Command, Since};
use depth::depth;
use members::Members;
pub(crate) use reply::ErrorCode;
pub use reply::Unnumbered;
pub use reply::event_frame;
pub(crate) use reply::{Reply, Welcome};

/// One message of a client, read but not yet understood. Borrows from the text.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) event: Cow<'a, str>,
    pub(crate) data: Option<&'a RawValue>,
    pub(crate) room: Option<RoomName>,
    /// As the client wrote it, quotes and escapes included.
    pub(crate) id: Option<&'a str>,
}

/// A text that is no envelope, with what could be read of it for the error.
#[derive(Debug)]
pub(crate) struct BadEnvelope<'a> {
    pub(crate) room: Option<RoomName>,
    pub(crate) id: Option<&'a str>,
    pub(crate) message: &'static str,
}

impl<'a> Envelope<'a> {
    /// Reads the known members and ignores the others.
    ///
    /// # Errors
    ///
    /// Whatever the protocol calls `bad_envelope`, the nesting of `data` excepted: how deep it may
    /// be depends on the command.
    pub(crate) fn parse(text: &'a str) -> Result<Envelope<'a>, BadEnvelope<'a>> {
        let members =
            Members::parse(text, ["event", "data", "room", "id", "offset"]).map_err(|_| {
                BadEnvelope { room: None, id: None, message: "a message must be one JSON object" }
            })?;
        let [event, data, room, id, _] = members.values;
        let id = members.once("id").then(|| id.map(parse_id)).flatten();
        let room = members.once("room").then(|| room.map(parse_room)).flatten();
        let bad = |message| BadEnvelope {
            room: room.clone().and_then(Result::ok),
            id: id.and_then(Result::ok),
            message,
        };
        if members.doubled.is_some() {
            return Err(bad("a member stands twice"));
        }
        let event = event.ok_or_else(|| bad("event is missing"))?;
        let event = parse_event(event).map_err(&bad)?;
        Ok(Envelope {
            event,
            data,
            room: room.clone().transpose().map_err(&bad)?,
            id: id.transpose().map_err(bad)?,
        })
    }

    /// Whether `data` is nested no deeper than allowed, where `wrapping` levels are the command's.
    pub(crate) fn is_shallow(&self, wrapping: usize) -> bool {
        self.data.is_none_or(|data| depth(data.get()) <= DATA_DEPTH_MAX + wrapping)
    }
}

fn parse_event(raw: &RawValue) -> Result<Cow<'_, str>, &'static str> {
    let event = parse_string(raw).ok_or("event must be a string")?;
    match event.is_empty() || event.len() > EVENT_BYTES_MAX {
        true => Err("event must have 1 to 128 bytes"),
        false => Ok(event),
    }
}

fn parse_room(raw: &RawValue) -> Result<RoomName, &'static str> {
    let name = parse_string(raw).ok_or("room must be a string")?;
    RoomName::new(&name).map_err(|_| "room must have 1 to 200 bytes and no control characters")
}

fn parse_id(raw: &RawValue) -> Result<&str, &'static str> {
    let legal = match parse_string(raw) {
        Some(id) => !id.is_empty() && id.len() <= ID_BYTES_MAX,
        // Parsing as an integer refuses fractions and exponents.
        None => raw.get().parse::<i64>().is_ok_and(|id| id.abs() <= ID_INTEGER_MAX),
    };
    match legal {
        true => Ok(raw.get()),
        false => Err("id must be a string of 1 to 64 bytes or an integer within 2^53-1"),
    }
}

/// The value of a JSON string, borrowed where nothing is escaped.
fn parse_string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let quoted = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if !quoted.contains('\\') {
        return Some(Cow::Borrowed(quoted));
    }
    // A lone surrogate is legal JSON grammar and no text.
    serde_json::from_str(raw.get()).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_bad(text: &str, message_part: &str) {
        let bad = Envelope::parse(text).expect_err(text);
        assert!(bad.message.contains(message_part), "{text}: {}", bad.message);
    }

    #[test]
    fn what_is_no_envelope_is_named() {
        for text in ["", "x", "[]", "7", "\"event\"", "null", "{", r#"{"event":"a"} x"#, r#"["a"]"#]
        {
            check_bad(text, "one JSON object");
        }
        check_bad("{}", "event is missing");
        check_bad(r#"{"event":7}"#, "event must be a string");
        check_bad(r#"{"event":""}"#, "1 to 128");
        check_bad(r#"{"event":"\ud800"}"#, "event must be a string");
        check_bad(&format!(r#"{{"event":"{}"}}"#, "é".repeat(65)), "1 to 128");
        check_bad(r#"{"event":"a","event":"a"}"#, "twice");
        check_bad(r#"{"event":"a","data":1,"d\u0061ta":2}"#, "twice");
        check_bad(r#"{"event":"a","room":null}"#, "room must be a string");
        check_bad(r#"{"event":"a","room":""}"#, "1 to 200");
        check_bad(r#"{"event":"a","room":"a\nb"}"#, "1 to 200");
        check_bad(r#"{"event":"a","room":"a\u007fb"}"#, "1 to 200");
        for id in
            ["1.0", "1e3", "9007199254740992", "-9007199254740992", "\"\"", "null", "[]", "true"]
        {
            check_bad(&format!(r#"{{"event":"a","id":{id}}}"#), "id must be");
        }
        check_bad(&format!(r#"{{"event":"a","id":"{}"}}"#, "x".repeat(65)), "id must be");
    }

    #[test]
    fn an_id_is_kept_as_written() {
        for id in ["0", "-0", "9007199254740991", "-9007199254740991", r#""\u0061\"""#] {
            let text = format!(r#"{{"event":"a", "id" : {id} }}"#);
            assert_eq!(Envelope::parse(&text).expect("legal").id, Some(id));
        }
    }

    #[test]
    fn lengths_are_counted_after_unescaping() {
        let text = format!(r#"{{"event":"{}"}}"#, r"\u0061".repeat(128));
        assert_eq!(Envelope::parse(&text).expect("legal").event.len(), 128);
        let text = format!(r#"{{"event":"a","room":"{}"}}"#, r"\u00e9".repeat(100));
        assert_eq!(Envelope::parse(&text).expect("legal").room.expect("legal").as_str().len(), 200);
    }

    #[test]
    fn data_is_carried_byte_for_byte() {
        for data in [r#"{"a" : [1e999,-0.0, "\ud800"],"a":2}"#, "null", "\"\\u0041\"", "1E+2"] {
            let text = format!("{{\"event\":\"a\",\"data\":\t{data}\n}}");
            let envelope = Envelope::parse(&text).expect("legal");
            assert_eq!(envelope.data.expect("data").get(), data);
        }
    }

    #[test]
    fn an_error_still_knows_what_could_be_read() {
        let bad =
            Envelope::parse(r#"{"id":7,"event":1,"room":"r"}"#).expect_err("event is a number");
        assert_eq!(bad.id, Some("7"));
        assert_eq!(bad.room.expect("readable").as_str(), "r");
        let bad = Envelope::parse(r#"{"id":7,"id":8,"event":"a"}"#).expect_err("doubled");
        assert_eq!(bad.id, None, "which of the two would be a guess");
    }

    #[test]
    fn depth_is_counted_below_the_wrapping() {
        let nested =
            |n: usize| format!(r#"{{"event":"a","data":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        assert!(Envelope::parse(&nested(128)).expect("legal").is_shallow(0));
        assert!(!Envelope::parse(&nested(129)).expect("legal").is_shallow(0));
        assert!(Envelope::parse(&nested(129)).expect("legal").is_shallow(1));
        assert!(!Envelope::parse(&nested(100_000)).expect("legal").is_shallow(1));
    }
}
