//! What is kept of a room's messages, over HTTP.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corecast_shards::{Answer, Kept, MemoryStage, Query, Recovery, RoomHistory, RoomName};
use serde::de::IgnoredAny;
use serde_json::json;

use super::response::{Answered, ok_text};
use super::rooms::read_limit;
use super::{Backend, HttpError};
use crate::values::{RefusalReason, parameter};

/// Bytes of a page's messages at most, unless its only one has more.
const PAGE_BYTES: usize = 1 << 20;

/// Which messages a caller wants.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    since: Option<u64>,
    epoch: Option<Box<str>>,
    limit: usize,
}

impl Wanted {
    fn read(query: Option<&str>) -> Result<Wanted, HttpError> {
        let since = match parameter(query, "since") {
            None => None,
            Some(since) => Some(read_offset(&since)?),
        };
        let epoch = parameter(query, "epoch").map(String::into_boxed_str);
        if epoch.is_some() && since.is_none() {
            return Err(HttpError::bad_request(
                "epoch says to which life of the room since belongs; give since, or leave epoch out",
            ));
        }
        Ok(Wanted { since, epoch, limit: read_limit(query)? })
    }
}

/// Digits alone: what else Rust takes for a number, such as `+1`, is a typing error here.
fn read_offset(text: &str) -> Result<u64, HttpError> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let offset = text.parse().ok().filter(|_| is_number);
    offset.ok_or_else(|| {
        HttpError::bad_request("since must be the offset of the last message seen, or 0")
    })
}

/// One page of what is kept of a room's messages: the oldest behind `since`, or the newest.
pub(super) async fn page(shard: &impl Backend, name: &str, query: Option<&str>) -> Answered {
    let Wanted { since, epoch, limit } = Wanted::read(query)?;
    let unknown = || {
        HttpError::not_found(
            "there is no such room, and none is remembered; it exists from its first join or \
             publish",
        )
    };
    let room = RoomName::new(name).map_err(|_| unknown())?;
    refuse_while_short(shard)?;
    let ask = Query::History { room: room.clone(), since, epoch, limit };
    match shard.query(shard.home(&room), ask).await? {
        Answer::History(Some(history)) => ok_text(describe(&history)),
        _ => Err(unknown()),
    }
}

/// A page is far larger than any other answer, and waits until its client has read it.
fn refuse_while_short(shard: &impl Backend) -> Result<(), HttpError> {
    if shard.process_memory().stage < MemoryStage::Refusing {
        return Ok(());
    }
    shard.rules().refusals.count(RefusalReason::Memory);
    Err(HttpError::short_of_memory_for_pages())
}

/// The page as JSON. Each message is copied once.
fn describe(history: &RoomHistory) -> Vec<u8> {
    let mut kept: Vec<Kept<'_>> = history.messages.iter().collect();
    let texts = match history.recovery {
        Some(_) => {
            let texts = texts_that_fit(kept.iter().copied().map(text_of));
            kept.truncate(texts.len());
            texts
        }
        None => {
            let mut texts = texts_that_fit(kept.iter().rev().copied().map(text_of));
            texts.reverse();
            texts
        }
    };
    let mut head = json!({"epoch": history.epoch.to_string(), "offset": history.offset});
    match history.recovery {
        None => {}
        Some(Recovery::Complete) => {
            head["recovered"] = true.into();
            let last = kept.last().map(|kept| kept.offset);
            if let Some(last) = last.filter(|last| *last < history.offset) {
                head["next"] = last.into();
            }
        }
        Some(Recovery::Refused(reason)) => {
            head["recovered"] = false.into();
            head["reason"] = reason.as_str().into();
        }
    }
    with_messages(&head.to_string(), &texts)
}

/// The object `head` and one more member: the messages.
fn with_messages(head: &str, texts: &[Cow<'_, [u8]>]) -> Vec<u8> {
    const MEMBER: &[u8] = br#","messages":["#;
    let bytes: usize = texts.iter().map(|text| text.len() + 1).sum();
    let mut page = Vec::with_capacity(head.len() + MEMBER.len() + bytes + 2);
    page.extend_from_slice(&head.as_bytes()[..head.len() - 1]);
    page.extend_from_slice(MEMBER);
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            page.push(b',');
        }
        page.extend_from_slice(text);
    }
    page.extend_from_slice(b"]}");
    page
}

/// The first of these messages: as many as fit, and at least one.
fn texts_that_fit<'a>(messages: impl Iterator<Item = Cow<'a, [u8]>>) -> Vec<Cow<'a, [u8]>> {
    let (mut texts, mut left) = (Vec::new(), PAGE_BYTES);
    for text in messages {
        if text.len() > left && !texts.is_empty() {
            break;
        }
        left = left.saturating_sub(text.len());
        texts.push(text);
    }
    texts
}

/// A message as JSON: the object that members read. What a program has published in a format of its own
/// is a member of an object of ours.
fn text_of(kept: Kept<'_>) -> Cow<'_, [u8]> {
    match kept.is_text {
        true => of_text(kept.payload, kept.offset),
        false => of_binary(kept.payload, kept.offset),
    }
}

fn of_text(text: &[u8], offset: u64) -> Cow<'_, [u8]> {
    if is_envelope(text, offset) {
        return Cow::Borrowed(text);
    }
    let own = json!({"text": String::from_utf8_lossy(text), "offset": offset});
    Cow::Owned(own.to_string().into_bytes())
}

fn of_binary<'a>(bytes: &[u8], offset: u64) -> Cow<'a, [u8]> {
    let own = json!({"binary": BASE64.encode(bytes), "offset": offset});
    Cow::Owned(own.to_string().into_bytes())
}

/// Whether it is an object of ours with its offset. A program may publish what clients say as it is, and
/// what looks like one at both ends need be no JSON in between.
fn is_envelope(text: &[u8], offset: u64) -> bool {
    text.starts_with(br#"{"event":"#)
        && text.ends_with(format!(r#","offset":{offset}}}"#).as_bytes())
        && serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_read_or_refused_in_words() {
        let read = |query: &str| Wanted::read(Some(query)).map_err(|error| error.status.as_u16());
        let wanted = |since, epoch: Option<&str>, limit| {
            Ok(Wanted { since, epoch: epoch.map(Into::into), limit })
        };
        assert_eq!(Wanted::read(None), Ok(Wanted { since: None, epoch: None, limit: 100 }));
        assert_eq!(read("since=0"), wanted(Some(0), None, 100));
        assert_eq!(read("since=30&epoch=a&limit=1"), wanted(Some(30), Some("a"), 1));
        assert_eq!(read("since=30&epoch="), wanted(Some(30), Some(""), 100));
        assert_eq!(read("limit=1000&x=y"), wanted(None, None, 1_000));
        let most = u64::MAX.to_string();
        assert_eq!(read(&format!("since={most}")), wanted(Some(u64::MAX), None, 100));
        for bad in ["", "-1", "%2B1", "+1", "1.0", "1e3", "0x1", "x", "18446744073709551616"] {
            assert_eq!(read(&format!("since={bad}")), Err(400), "since={bad}");
        }
        for bad in ["epoch=a", "since=1&limit=0", "limit=1001", "limit=", "limit=x"] {
            assert_eq!(read(bad), Err(400), "{bad}");
        }
    }

    #[test]
    fn what_looks_like_an_envelope_is_one_or_a_text() {
        let own = br#"{"event":"m","data":[1,{"a":"\ud800"}],"room":"r","offset":7}"#;
        assert_eq!(of_text(own, 7), &own[..]);
        let rows = [
            r#"{"event":"m","data":1,"room":"r","offset":8}"#,
            r#"{"event":"m","data":,"room":"r","offset":7}"#,
            r#"{"event":"m"}],"messages":[{"x":1,"offset":7}"#,
            r#"{"event":"m","data":"a\u0022,"offset":7}"#,
            r#"{"text":"m","offset":7}"#,
            "hi",
            "",
        ];
        for text in rows {
            let json = of_text(text.as_bytes(), 7);
            let read: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
            assert_eq!(read, json!({"text": text, "offset": 7}));
        }
        let json = of_binary(own, 7);
        let read: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(read, json!({"binary": BASE64.encode(own), "offset": 7}));
    }

    #[test]
    fn a_page_has_as_many_bytes_as_it_may_and_at_least_one_message() {
        for (bytes, fit) in
            [(1, 3), (PAGE_BYTES / 2, 2), (PAGE_BYTES / 2 + 1, 1), (PAGE_BYTES + 1, 1)]
        {
            let text = vec![b'x'; bytes];
            let three = (0..3).map(|_| Cow::Borrowed(&text[..]));
            assert_eq!(texts_that_fit(three).len(), fit, "of {bytes} bytes");
        }
        assert_eq!(with_messages("{\"a\":1}", &[]), br#"{"a":1,"messages":[]}"#);
    }
}
