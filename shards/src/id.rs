//! Names of shards and connections.

use std::fmt;
use std::str::FromStr;

/// Which shard: its number in the mesh, from 0 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(u16);

impl ShardId {
    /// The shard with this number.
    pub const fn new(index: u16) -> ShardId {
        ShardId(index)
    }

    /// Its number, for indexing.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One connection: names its shard, so that any core can route to it without a look-up, and
/// carries the generation of its slot, so that a stale id never matches its successor.
///
/// On the wire it is 20 hexadecimal digits, opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    /// The shard that owns the connection for its whole life.
    pub shard: ShardId,
    /// Which slot of that shard.
    pub slot: u32,
    /// Which occupant of that slot.
    pub generation: u32,
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}{:08x}{:08x}", self.shard.0, self.slot, self.generation)
    }
}

/// The text is not the id of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadConnId;

impl fmt::Display for BadConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a connection id is 20 hexadecimal digits, as sent in cast:welcome")
    }
}

impl std::error::Error for BadConnId {}

impl FromStr for ConnId {
    type Err = BadConnId;

    fn from_str(text: &str) -> Result<ConnId, BadConnId> {
        let canonical = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 20 || !text.bytes().all(canonical) {
            return Err(BadConnId);
        }
        Ok(ConnId {
            shard: ShardId(u16::from_str_radix(&text[..4], 16).map_err(|_| BadConnId)?),
            slot: u32::from_str_radix(&text[4..12], 16).map_err(|_| BadConnId)?,
            generation: u32::from_str_radix(&text[12..], 16).map_err(|_| BadConnId)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_wire() {
        let id = ConnId { shard: ShardId(3), slot: 77, generation: u32::MAX };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().len() <= 32);
    }

    #[test]
    fn what_we_never_wrote_is_no_id() {
        for text in
            ["", "zz", "0003000000 4dffffffff", "0003000000004DFFFFFF", "000300000000é4dffffff"]
        {
            assert_eq!(text.parse::<ConnId>(), Err(BadConnId), "{text}");
        }
    }
}
