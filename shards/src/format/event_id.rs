//! Where the client of an event stream has stopped, as the ids of its events say it.

use super::json;
use crate::epoch::Epoch;
use crate::recovery::{Position, Start};

/// Characters of an epoch, at most: what has more is of another server.
const EPOCH_MAX: usize = 32;

/// Appends the id of a message in a stream of its room: `epoch-offset`.
pub(super) fn push_position(epoch: Epoch, offset: u64, out: &mut Vec<u8>) {
    json::push_fmt(out, format_args!("{epoch}-{offset}"));
}

/// From where on a stream of one room goes on whose client was sent this id last. An id that is none
/// of a room's here names an epoch that is none either, so that its recovery is refused.
pub(crate) fn start_of_room(id: &str) -> Start {
    let position = id.split_once('-').and_then(|(epoch, offset)| {
        let is_epoch = (1..=EPOCH_MAX).contains(&epoch.len())
            && epoch.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_offset = offset.bytes().all(|byte| byte.is_ascii_digit());
        let offset = offset.parse().ok().filter(|_| is_epoch && is_offset)?;
        Some(Position { epoch: epoch.into(), offset })
    });
    Start::Since(position.unwrap_or_else(foreign))
}

/// A position in no life of any room.
fn foreign() -> Position {
    Position { epoch: "".into(), offset: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardId;

    #[test]
    fn the_id_of_a_message_is_read_back() {
        let epoch = Epoch::new(1, ShardId::new(0), 1);
        for offset in [0, 1, 41, u64::MAX] {
            let mut id = Vec::new();
            push_position(epoch, offset, &mut id);
            let position = Position { epoch: epoch.to_string().into(), offset };
            let read = start_of_room(str::from_utf8(&id).expect("ASCII"));
            assert_eq!(read, Start::Since(position));
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
            assert_eq!(start_of_room(id), Start::Since(foreign()), "{id}");
        }
    }
}
