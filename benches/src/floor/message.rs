//! Texts, read and written without looking at them twice.
//!
//! Nothing here parses JSON. A load generator writes its commands from templates, so that each
//! member stands behind the ones before it, and is found by its name from the front; the payload
//! ends where the braces of the envelope and of its `data` close, at the very end.

use corecast_shards::wire::{Opcode, push_frame};

/// A command that the floor understands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FloorCommand<'a> {
    Join { room: &'a str, id: Option<&'a str> },
    Publish { room: &'a str, id: Option<&'a str>, event: &'a str, data: &'a str },
    Other,
}

impl FloorCommand<'_> {
    pub(super) fn find(text: &str) -> FloorCommand<'_> {
        if text.contains_before_data(r#""cast:publish""#) {
            find_publish(text).unwrap_or(FloorCommand::Other)
        } else if text.contains_before_data(r#""cast:join""#) {
            let room = between(text, r#""room":""#, '"');
            room.map_or(FloorCommand::Other, |room| FloorCommand::Join { room, id: find_id(text) })
        } else {
            FloorCommand::Other
        }
    }
}

/// `{"event":"cast:publish","room":R,"id":I,"data":{"event":E,"data":…}}`, the members before
/// `data` in any order. No `echo`, and no spaces between names and values.
fn find_publish(text: &str) -> Option<FloorCommand<'_>> {
    let (head, body) = text.split_once(r#""data":{"#)?;
    let room = between(head, r#""room":""#, '"')?;
    let event = between(body, r#""event":""#, '"')?;
    let (_, data) = body.split_once(r#""data":"#)?;
    let data = data.strip_suffix("}}")?;
    Some(FloorCommand::Publish { room, id: find_id(head), event, data })
}

fn find_id(text: &str) -> Option<&str> {
    let (_, id) = text.split_once(r#""id":"#)?;
    id.split([',', '}']).next()
}

fn between<'a>(text: &'a str, start: &str, end: char) -> Option<&'a str> {
    let (_, from) = text.split_once(start)?;
    from.split(end).next()
}

trait Prefix {
    /// Whether `needle` stands among the first bytes, where a command's name is.
    fn contains_before_data(&self, needle: &str) -> bool;
}

impl Prefix for str {
    fn contains_before_data(&self, needle: &str) -> bool {
        self[..self.floor_char_boundary(40)].contains(needle)
    }
}

pub(super) fn push_welcome(out: &mut Vec<u8>) {
    push_text(
        out,
        r#"{"event":"cast:welcome","data":{"connection":"floor","protocol":1,"shard":0,"shards":1,"ping_interval":0}}"#,
    );
}

pub(super) fn push_joined(out: &mut Vec<u8>, room: &str, id: Option<&str>, told: (u64, usize)) {
    let (offset, members) = told;
    let id = id.map_or(String::new(), |id| format!(r#","id":{id}"#));
    let data = format!(r#"{{"epoch":"floor","offset":{offset},"members":{members}}}"#);
    push_text(out, &format!(r#"{{"event":"cast:joined"{id},"room":"{room}","data":{data}}}"#));
}

pub(super) fn push_ack(out: &mut Vec<u8>, id: &str, offset: u64) {
    push_text(out, &format!(r#"{{"event":"cast:ack","id":{id},"data":{{"offset":{offset}}}}}"#));
}

/// The frame of one message, byte for byte what the engine sends.
pub(super) fn push_message(out: &mut Vec<u8>, event: &str, data: &str, room: &str, offset: u64) {
    push_text(
        out,
        &format!(r#"{{"event":"{event}","data":{data},"room":"{room}","offset":{offset}}}"#),
    );
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    push_frame(out, Opcode::Text, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_where_templates_put_them() {
        let publish =
            r#"{"event":"cast:publish","room":"r","id":7,"data":{"event":"m","data":"x}y"}}"#;
        let expected =
            FloorCommand::Publish { room: "r", id: Some("7"), event: "m", data: "\"x}y\"" };
        assert_eq!(FloorCommand::find(publish), expected);
        let publish =
            r#"{"id":"a","event":"cast:publish","room":"r","data":{"event":"m","data":{"n":1}}}"#;
        let expected =
            FloorCommand::Publish { room: "r", id: Some("\"a\""), event: "m", data: "{\"n\":1}" };
        assert_eq!(FloorCommand::find(publish), expected);
        let join = r#"{"event":"cast:join","room":"r","id":1}"#;
        assert_eq!(FloorCommand::find(join), FloorCommand::Join { room: "r", id: Some("1") });
        let join = r#"{"event":"cast:join","room":"r"}"#;
        assert_eq!(FloorCommand::find(join), FloorCommand::Join { room: "r", id: None });
        for other in
            ["", "{}", r#"{"event":"cast:ping"}"#, r#"{"event":"cast:publish","room":"r"}"#]
        {
            assert_eq!(FloorCommand::find(other), FloorCommand::Other);
        }
    }
}
