//! The texts of the wire protocol.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What a client says. `data` and `id` stay as they were written.
#[derive(Debug, Deserialize)]
pub(super) struct Command<'a> {
    #[serde(borrow)]
    pub(super) event: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
}

/// The `data` of a publish or broadcast.
#[derive(Debug, Deserialize)]
pub(super) struct Publication<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    pub(super) echo: Option<bool>,
}

impl<'a> Publication<'a> {
    /// What a command wants to be published, if it does.
    pub(super) fn of(command: &Command<'a>) -> Option<Publication<'a>> {
        serde_json::from_str(command.data?.get()).ok()
    }

    /// The message as members get it: one allocation, for all of them.
    pub(super) fn encode(&self, place: Option<(&str, u64)>) -> String {
        let data = self.data.map_or("null", RawValue::get);
        let room_len = place.map_or(0, |(room, _)| room.len());
        let mut json = String::with_capacity(self.event.len() + data.len() + room_len + 64);
        json.push_str(r#"{"event":"#);
        push_string(&mut json, &self.event);
        json.push_str(r#","data":"#);
        json.push_str(data);
        if let Some((room, offset)) = place {
            json.push_str(r#","room":"#);
            push_string(&mut json, room);
            let _ = write!(json, r#","offset":{offset}"#);
        }
        json.push('}');
        json
    }
}

/// What a joiner is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) life: u64,
    pub(super) offset: u64,
    pub(super) members: usize,
}

pub(super) fn welcome(id: u64) -> String {
    format!(
        r#"{{"event":"cast:welcome","data":{{"connection":"{id}","protocol":1,"shard":0,"shards":1,"ping_interval":0}}}}"#
    )
}

pub(super) fn joined(room: &str, id: Option<&RawValue>, joined: &Joined) -> String {
    let Joined { life, offset, members } = joined;
    let data = format!(r#"{{"epoch":"{life}","offset":{offset},"members":{members}}}"#);
    reply("cast:joined", id, Some(room), Some(&data))
}

pub(super) fn left(room: &str, id: Option<&RawValue>, offset: u64) -> String {
    reply("cast:left", id, Some(room), Some(&format!(r#"{{"offset":{offset}}}"#)))
}

pub(super) fn ack(id: &RawValue, offset: Option<u64>) -> String {
    let data = offset.map(|offset| format!(r#"{{"offset":{offset}}}"#));
    reply("cast:ack", Some(id), None, data.as_deref())
}

pub(super) fn pong(id: Option<&RawValue>) -> String {
    reply("cast:pong", id, None, None)
}

pub(super) fn error(code: &str, id: Option<&RawValue>) -> String {
    let data = format!(r#"{{"code":"{code}","message":"not understood by the baseline"}}"#);
    reply("cast:error", id, None, Some(&data))
}

fn reply(event: &str, id: Option<&RawValue>, room: Option<&str>, data: Option<&str>) -> String {
    let mut json = format!(r#"{{"event":"{event}""#);
    if let Some(id) = id {
        let _ = write!(json, r#","id":{}"#, id.get());
    }
    if let Some(room) = room {
        json.push_str(r#","room":"#);
        push_string(&mut json, room);
    }
    if let Some(data) = data {
        let _ = write!(json, r#","data":{data}"#);
    }
    json.push('}');
    json
}

fn push_string(json: &mut String, text: &str) {
    json.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_carried_byte_for_byte() {
        let data = r#"{"event":"chat","data":{"a" : 1e999},"echo":false}"#;
        let publication: Publication<'_> = serde_json::from_str(data).unwrap();
        assert_eq!(publication.echo, Some(false));
        assert_eq!(
            publication.encode(Some(("r\"", 7))),
            r#"{"event":"chat","data":{"a" : 1e999},"room":"r\"","offset":7}"#
        );
        assert_eq!(publication.encode(None), r#"{"event":"chat","data":{"a" : 1e999}}"#);
    }

    #[test]
    fn replies_carry_the_id_as_written() {
        let command: Command<'_> =
            serde_json::from_str(r#"{"event":"cast:join","room":"r","id":"\u0061"}"#).unwrap();
        let told = Joined { life: 1, offset: 2, members: 3 };
        assert_eq!(
            joined(command.room.as_deref().unwrap(), command.id, &told),
            r#"{"event":"cast:joined","id":"\u0061","room":"r","data":{"epoch":"1","offset":2,"members":3}}"#
        );
        assert_eq!(ack(command.id.unwrap(), None), r#"{"event":"cast:ack","id":"\u0061"}"#);
    }
}
