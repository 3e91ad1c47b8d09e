//! The JSON text that a client sends: `{"event": …, "data": …, "room": …, "id": …}`.

mod command;
mod depth;
mod error_code;
mod members;
mod text;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::limits::{DATA_DEPTH_MAX, EVENT_BYTES_MAX, ID_BYTES_MAX, ID_INTEGER_MAX};
use crate::room_name::RoomName;
pub(crate) use command::Command;
pub use command::{BadBody, Publication};
use depth::depth;
pub(crate) use error_code::ErrorCode;
use members::{Members, NoObject};
use text::{NoText, read_text};

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
    /// Everything that the protocol calls `bad_envelope` but too deep a `data`, whose limit depends on
    /// the command.
    pub(crate) fn parse(text: &'a str) -> Result<Envelope<'a>, BadEnvelope<'a>> {
        let members = Members::parse(text, ["event", "data", "room", "id", "offset"]).map_err(
            |no_object| BadEnvelope { room: None, id: None, message: message_of(&no_object) },
        )?;
        let [event, data, room, id, _] = members.values;
        let [_, _, room_doubled, id_doubled, _] = members.doubled;
        // Which of two is meant would be a guess.
        let id = id.filter(|_| !id_doubled).map(parse_id);
        let room = room.filter(|_| !room_doubled).map(parse_room);
        let bad = |message| BadEnvelope {
            room: room.clone().and_then(Result::ok),
            id: id.and_then(Result::ok),
            message,
        };
        if members.any_doubled() {
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

fn message_of(no_object: &NoObject) -> &'static str {
    match no_object {
        NoObject::Other => "a message must be one JSON object",
        NoObject::ByteOrderMark => {
            "a message must begin with its JSON object, not with a byte order mark (U+FEFF)"
        }
    }
}

fn parse_event(raw: &RawValue) -> Result<Cow<'_, str>, &'static str> {
    let event = read_text(raw).map_err(|no_text| match no_text {
        NoText::NotAString => "event must be a string",
        NoText::LoneSurrogate => "event must be text: a surrogate escape in it stands alone",
    })?;
    match event.is_empty() || event.len() > EVENT_BYTES_MAX {
        true => Err("event must have 1 to 128 bytes"),
        false => Ok(event),
    }
}

fn parse_room(raw: &RawValue) -> Result<RoomName, &'static str> {
    let name = read_text(raw).map_err(|no_text| match no_text {
        NoText::NotAString => "room must be a string",
        NoText::LoneSurrogate => "room must be text: a surrogate escape in it stands alone",
    })?;
    RoomName::new(&name).map_err(|_| "room must have 1 to 200 bytes and no control characters")
}

fn parse_id(raw: &RawValue) -> Result<&str, &'static str> {
    let legal = match read_text(raw) {
        Ok(id) => !id.is_empty() && id.len() <= ID_BYTES_MAX,
        Err(NoText::LoneSurrogate) => {
            return Err("id must be text: a surrogate escape in it stands alone");
        }
        Err(NoText::NotAString) => is_id_number(raw.get()),
    };
    match legal {
        true => Ok(raw.get()),
        false => Err("id must be a string of 1 to 64 bytes or an integer within 2^53-1"),
    }
}

/// Parsing as an integer refuses fractions, exponents and what 64 bits do not hold.
fn is_id_number(number: &str) -> bool {
    let max = ID_INTEGER_MAX.unsigned_abs();
    number.parse::<i64>().is_ok_and(|id| id.unsigned_abs() <= max)
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
        check_bad(r#"{"event":"\ud800"}"#, "event must be text: a surrogate");
        check_bad(r#"{"event":"a","room":"\ud800"}"#, "room must be text: a surrogate");
        check_bad(r#"{"event":"a","room":"\udc00\ud800"}"#, "room must be text: a surrogate");
        check_bad(r#"{"event":"a","id":"\udfff"}"#, "id must be text: a surrogate");
        check_bad("\u{feff}{\"event\":\"a\"}", "byte order mark");
        check_bad("{\"event\":\"a\",\"x\ny\":1}", "one JSON object");
        check_bad(&format!(r#"{{"event":"{}"}}"#, "é".repeat(65)), "1 to 128");
        check_bad(r#"{"event":"a","event":"a"}"#, "twice");
        check_bad(r#"{"event":"a","data":1,"d\u0061ta":2}"#, "twice");
        check_bad(r#"{"event":"a","room":null}"#, "room must be a string");
        check_bad(r#"{"event":"a","room":""}"#, "1 to 200");
        check_bad(r#"{"event":"a","room":"a\nb"}"#, "1 to 200");
        check_bad(r#"{"event":"a","room":"a\u007fb"}"#, "1 to 200");
    }

    #[test]
    fn whatever_is_no_id_is_refused() {
        let numbers = [
            "1.0",
            "1e0",
            "1E3",
            "-0.0",
            "9007199254740992",
            "-9007199254740992",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775807",
            "-9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "18446744073709551616",
            "null",
            "true",
            "[]",
            "{}",
            "\"\"",
        ];
        let strings = ["x".repeat(65), r"\u0061".repeat(65), "é".repeat(33), r"\u00e9".repeat(33)];
        let strings = strings.map(|text| format!("\"{text}\""));
        let huge = "9".repeat(10_000);
        let rows = numbers.into_iter().chain(strings.iter().map(String::as_str));
        for id in rows.chain([huge.as_str()]) {
            check_bad(&format!(r#"{{"event":"a","id":{id}}}"#), "id must be");
        }
        for no_json in ["01", "-01", "+1", "- 1", "-", ".5", "1.", "0x1", "1e", "NaN", "Infinity"] {
            check_bad(&format!(r#"{{"event":"a","id":{no_json}}}"#), "one JSON object");
        }
    }

    #[test]
    fn an_id_is_kept_as_written() {
        let numbers = ["0", "-0", "1", "-1", "9007199254740991", "-9007199254740991"];
        let strings =
            ["x".repeat(64), r"\u0061".repeat(64), "é".repeat(32), r"\ud834\udd1e".repeat(16)];
        let strings = strings.map(|text| format!("\"{text}\""));
        let others = [r#""\u0061\"""#, r#""\u0000""#, r#""7""#];
        let rows = numbers.into_iter().chain(others).chain(strings.iter().map(String::as_str));
        for id in rows {
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
        check_bad(&format!(r#"{{"event":"{}"}}"#, r"\u0061".repeat(129)), "1 to 128");
        check_bad(&format!(r#"{{"event":"a","room":"{}"}}"#, "x".repeat(201)), "1 to 200");
        check_bad(
            &format!(r#"{{"event":"a","room":"{}"}}"#, r"\ud834\udd1e".repeat(51)),
            "1 to 200",
        );
    }

    #[test]
    fn unknown_members_are_ignored_whatever_their_name() {
        for key in [r"\ud83d", r"\udc00x", "", "Event", r"\u0065vent ", r"\n", "ids"] {
            let text = format!(r#"{{"event":"a","{key}":{{"x":[1e999]}},"id":1,"{key}":0}}"#);
            let envelope = Envelope::parse(&text).expect(&text);
            assert_eq!((&*envelope.event, envelope.id), ("a", Some("1")), "{text}");
        }
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
        for text in [
            r#"{"id":7,"room":"r","id":8,"event":"a","room":"s"}"#,
            r#"{"room":"r","room":"r","id":7,"id":7,"event":"a"}"#,
            r#"{"event":"a","event":"a","room":"r","id":7,"\u0069d":7,"room":"r"}"#,
        ] {
            let bad = Envelope::parse(text).expect_err(text);
            assert!(bad.id.is_none() && bad.room.is_none(), "{text}: {bad:?}");
        }
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
