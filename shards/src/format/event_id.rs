//! Where the client of an event stream has stopped, as the ids of its events say it.
//!
//! In a stream of one room an id is `epoch-offset`. In one of several rooms it is the base64url of
//! bytes: a version; for each room the [tag](tag_of) of its name (4 bytes), its epoch (8) and its
//! offset (LEB128); and a check (2). Integers are little-endian.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::json;
use crate::epoch::Epoch;
use crate::recovery::{Position, Start};
use crate::room_name::RoomName;

/// Characters of an epoch, at most: what has more is of another server.
const EPOCH_MAX: usize = 32;

/// The first byte of an id of several rooms. It makes `A` of the first character, which is in no epoch
/// of ours.
const VERSION: u8 = 1;

const CHECK_BYTES: usize = 2;

/// Where a stream is in one of its rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Stands for the room.
    pub(crate) tag: u32,
    pub(crate) epoch: Epoch,
    /// The newest offset that its client knows of.
    pub(crate) offset: u64,
}

/// Appends the id of a message in a stream of its room: `epoch-offset`.
pub(super) fn push_position(epoch: Epoch, offset: u64, out: &mut Vec<u8>) {
    json::push_fmt(out, format_args!("{epoch}-{offset}"));
}

/// Appends the id of a stream of several rooms that is at these places.
pub(super) fn push_positions(places: impl Iterator<Item = Place>, out: &mut Vec<u8>) {
    let mut bytes = vec![VERSION];
    for Place { tag, epoch, offset } in places {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&epoch.bits().to_le_bytes());
        push_leb128(offset, &mut bytes);
    }
    let check = check_of(&bytes);
    bytes.extend_from_slice(&check);
    out.extend_from_slice(BASE64.encode(bytes).as_bytes());
}

/// Stands for a room in ids, in every process: FNV-1a of its name in 32 bits. Two rooms of a stream may
/// have the same; then they stand in an id in the stream's order, and as no two rooms share an epoch
/// either, one that is taken for another is refused its recovery. If a stream has another number of them
/// than the id, all are refused it.
pub(crate) fn tag_of(room: &RoomName) -> u32 {
    fnv(room.as_str().as_bytes())
}

fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Finds ids that were cut or changed on their way.
fn check_of(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = fnv(bytes);
    ((hash >> 16) as u16 ^ hash as u16).to_le_bytes()
}

/// From where on a stream of these rooms goes on whose client was sent this id last. In a room that an
/// id of several rooms does not name the client never was. Any other id that is none of a room's here
/// names an epoch that is none either, so that recovery is refused.
pub(crate) fn starts(rooms: &[RoomName], id: &str) -> Vec<Start> {
    let Some(mut places) = read_positions(id) else {
        let position = read_position(id).unwrap_or_else(foreign);
        return rooms.iter().map(|_| Start::Since(position.clone())).collect();
    };
    let tags: Vec<u32> = rooms.iter().map(tag_of).collect();
    let named: Vec<u32> = places.iter().map(|(tag, _)| *tag).collect();
    let count = |of: &[u32], tag| of.iter().filter(|other| **other == tag).count();
    let start = |tag: &u32| {
        let at = places.iter().position(|(of, _)| of == tag);
        match at.and_then(|at| places.remove(at)) {
            // Which room is the new one, or the one that has gone, is not to be known.
            _ if count(&named, *tag) > 0 && count(&named, *tag) != count(&tags, *tag) => {
                Start::Since(foreign())
            }
            Some((_, position)) => Start::Since(position),
            None => Start::Live,
        }
    };
    tags.iter().map(start).collect()
}

fn read_position(id: &str) -> Option<Position> {
    let (epoch, offset) = id.split_once('-')?;
    let is_epoch = (1..=EPOCH_MAX).contains(&epoch.len())
        && epoch.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_offset = offset.bytes().all(|byte| byte.is_ascii_digit());
    let offset = offset.parse().ok().filter(|_| is_epoch && is_offset)?;
    Some(Position { epoch: epoch.into(), offset })
}

/// The tags of an id of several rooms, and the positions in these.
fn read_positions(id: &str) -> Option<VecDeque<(u32, Position)>> {
    let bytes = BASE64.decode(id).ok()?;
    let (bytes, check) = bytes.split_last_chunk()?;
    let (VERSION, mut rest) = bytes.split_first().map(|(version, rest)| (*version, rest))? else {
        return None;
    };
    if *check != check_of(bytes) {
        return None;
    }
    let mut places = VecDeque::new();
    while !rest.is_empty() {
        let (tag, behind) = rest.split_first_chunk()?;
        let (epoch, behind) = behind.split_first_chunk()?;
        let (offset, behind) = split_leb128(behind)?;
        let epoch = Epoch::text_of(u64::from_le_bytes(*epoch));
        places.push_back((u32::from_le_bytes(*tag), Position { epoch, offset }));
        rest = behind;
    }
    Some(places)
}

fn push_leb128(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The number that these bytes begin with, and what follows it.
fn split_leb128(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (shift, (at, byte)) in (0..u64::BITS).step_by(7).zip(bytes.iter().enumerate()) {
        let digits = u64::from(byte & 0x7f);
        number |= digits.checked_shl(shift).filter(|shifted| shifted >> shift == digits)?;
        if *byte < 0x80 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

/// A position in no life of any room.
fn foreign() -> Position {
    Position { epoch: "".into(), offset: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardId;

    fn name(name: &str) -> RoomName {
        RoomName::new(name).expect("legal")
    }

    fn epoch(life: u64) -> Epoch {
        Epoch::new(1, ShardId::new(0), life)
    }

    fn since(epoch: Epoch, offset: u64) -> Start {
        Start::Since(Position { epoch: epoch.to_string().into(), offset })
    }

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut id = Vec::new();
        push(&mut id);
        String::from_utf8(id).expect("ASCII")
    }

    fn id_of(rooms: &[RoomName], offsets: &[u64]) -> String {
        let places = (0..).zip(rooms).zip(offsets).map(|((life, room), offset)| Place {
            tag: tag_of(room),
            epoch: epoch(life),
            offset: *offset,
        });
        text(|out| push_positions(places, out))
    }

    #[test]
    fn the_id_of_a_message_is_read_back() {
        for offset in [0, 1, 41, u64::MAX] {
            let id = text(|out| push_position(epoch(1), offset, out));
            assert_eq!(starts(&[name("r")], &id), [since(epoch(1), offset)]);
        }
    }

    #[test]
    fn a_foreign_id_names_no_epoch() {
        let long = format!("{}-1", "a".repeat(EPOCH_MAX + 1));
        let large = format!("0123456789abcdef-{}0", u64::MAX);
        for id in [
            "7", "-", "-7", "a-", "a-b", "a--7", "a-+7", "a-7-7", "a b-7", "é-7", "a-7 ", &long,
            &large,
        ] {
            assert_eq!(starts(&[name("r")], id), [Start::Since(foreign())], "{id}");
        }
    }

    #[test]
    fn the_id_of_several_rooms_is_read_back_in_any_order_of_rooms() {
        let rooms = ["a", "b/c", "é"].map(name);
        let offsets = [0, 127, u64::MAX];
        let id = id_of(&rooms, &offsets);
        assert!(id.starts_with('A') && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
        let at = |room: usize| since(epoch(room as u64), offsets[room]);
        assert_eq!(starts(&rooms, &id), [at(0), at(1), at(2)]);
        let others = [&rooms[2], &name("new"), &rooms[0]].map(Clone::clone);
        assert_eq!(
            starts(&others, &id),
            [at(2), Start::Live, at(0)],
            "it was never in the new one"
        );
        assert_eq!(starts(&rooms[1..2], &id), [at(1)], "one room knows ids of several");
    }

    #[test]
    fn the_id_of_a_message_is_of_the_one_room_that_has_its_epoch() {
        let id = text(|out| push_position(epoch(7), 5, out));
        let rooms = ["a", "b"].map(name);
        assert_eq!(starts(&rooms, &id), [since(epoch(7), 5), since(epoch(7), 5)]);
    }

    #[test]
    fn rooms_with_the_same_tag_keep_their_order() {
        let [one, other] = ["costarring", "liquid"].map(name);
        assert_eq!(tag_of(&one), tag_of(&other), "a collision that is known of FNV-1a");
        let rooms = [one, other];
        let id = id_of(&rooms, &[3, 4]);
        assert_eq!(starts(&rooms, &id), [since(epoch(0), 3), since(epoch(1), 4)]);
        // With another number of them it is not known which is which: none goes on silently.
        let unknown = || Start::Since(foreign());
        assert_eq!(starts(&rooms[1..], &id), [unknown()]);
        let id = id_of(&rooms[1..], &[4]);
        assert_eq!(starts(&rooms, &id), [unknown(), unknown()]);
        let [third, fourth] = ["a", "b"].map(name);
        assert_eq!(starts(&[third, fourth], &id), [Start::Live, Start::Live], "it names neither");
    }

    #[test]
    fn an_id_that_was_cut_or_changed_is_foreign() {
        let rooms = ["a", "b"].map(name);
        let id = id_of(&rooms, &[300, 5]);
        let all_refused = [Start::Since(foreign()), Start::Since(foreign())];
        for at in 0..id.len() {
            assert_eq!(starts(&rooms, &id[..at]), all_refused, "cut at {at}");
            let other = if &id[at..=at] == "x" { "y" } else { "x" };
            let changed = [&id[..at], other, &id[at + 1..]].concat();
            assert_eq!(starts(&rooms, &changed), all_refused, "{changed}");
        }
        assert_eq!(starts(&rooms, &format!("{id}AAAA")), all_refused, "more than an id");
        let checked = |mut bytes: Vec<u8>| {
            let check = check_of(&bytes);
            bytes.extend_from_slice(&check);
            BASE64.encode(bytes)
        };
        let entry = |offset: &[u8]| [&[VERSION][..], &[0; 12], offset].concat();
        let too_large = [&[0xff; 9][..], &[2]].concat();
        for bytes in [vec![], vec![VERSION + 1], entry(&[]), entry(&[0x80]), entry(&too_large)] {
            assert_eq!(starts(&rooms, &checked(bytes.clone())), all_refused, "{bytes:?}");
        }
    }

    #[test]
    fn the_longest_id_fits_a_header_field() {
        let rooms: Vec<RoomName> = (0..128).map(|n| name(&n.to_string())).collect();
        assert!(id_of(&rooms, &[u64::MAX; 128]).len() < 3_800);
    }
}
