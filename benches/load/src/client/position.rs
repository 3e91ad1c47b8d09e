//! Where a member is in its room, as corecast says it: offsets count the messages of a room, without
//! holes.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

/// Everything up to here is behind a member that joined, or was sent to one that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// A hash of the room's epoch, where that was said.
    pub(crate) epoch: Option<u64>,
    pub(crate) offset: u64,
}

impl Position {
    /// What `cast:joined` and `cast:left` say.
    pub(crate) fn of_answer(text: &[u8]) -> Option<Self> {
        let envelope: Value = serde_json::from_slice(text).ok()?;
        let data = &envelope["data"];
        let epoch = data["epoch"].as_str().map(|epoch| hash(epoch.as_bytes()));
        Some(Self { epoch, offset: data["offset"].as_u64()? })
    }

    /// What the id of an event says: `EPOCH-OFFSET`.
    pub(crate) fn of_event(text: &[u8]) -> Option<Self> {
        let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"id: "))?;
        let dash = line.iter().rposition(|&byte| byte == b'-')?;
        let offset = number(&line[dash + 1..])?;
        Some(Self { epoch: Some(hash(&line[..dash])), offset })
    }
}

/// The offset of a message, which stands behind its payload.
pub(crate) fn offset_behind(text: &[u8]) -> Option<u64> {
    let at = text.windows(OFFSET.len()).position(|window| window == OFFSET)?;
    number(&text[at + OFFSET.len()..])
}

const OFFSET: &[u8] = b"\"offset\":";

/// The digits at the beginning.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

fn hash(epoch: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    epoch.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_events_say_where_a_member_is() {
        let joined = br#"{"event":"cast:joined","room":"r","data":{"epoch":"a-1","offset":41}}"#;
        let event = b"event: cast:at\nid: a-1-41\ndata:\n\n";
        let joined = Position::of_answer(joined).unwrap();
        assert_eq!((joined.offset, joined.epoch.is_some()), (41, true));
        assert_eq!(Position::of_event(event), Some(joined));
        let left = br#"{"event":"cast:left","room":"r","id":2,"data":{"offset":57}}"#;
        assert_eq!(Position::of_answer(left), Some(Position { epoch: None, offset: 57 }));
        for text in [&b"OK"[..], br#"{"data":{}}"#, b"id: 7\n\n"] {
            assert_eq!((Position::of_answer(text), Position::of_event(text)), (None, None));
        }
    }

    #[test]
    fn the_offset_of_a_message_stands_behind_its_payload() {
        assert_eq!(offset_behind(br#"","room":"load-0","offset":42}"#), Some(42));
        assert_eq!(offset_behind(br#"","room":"load-0"}"#), None);
        assert_eq!(offset_behind(br#"","offset":x}"#), None);
    }
}
