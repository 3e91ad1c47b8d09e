//! One message, encoded for everybody.

use corecast_shards::{Publication, RoomName, Unnumbered, event_frame};

/// A publication and the room that it goes to.
#[derive(Debug)]
pub struct Encoder {
    data: String,
    room: RoomName,
}

impl Encoder {
    /// A publication of so many bytes.
    pub fn new(payload_bytes: usize) -> Encoder {
        let data = format!("\"{}\"", "x".repeat(payload_bytes));
        let room = RoomName::new("bench").expect("a legal name");
        Encoder { data, room }
    }

    /// The publisher's shard's part: everything but the offset.
    pub fn encode_for_room(&self) -> Unnumbered {
        Unnumbered::new(&self.publication(), &self.room)
    }

    /// A whole frame for one connection.
    pub fn encode_whole(&self) -> Vec<u8> {
        event_frame(&self.publication())
    }

    fn publication(&self) -> Publication<'_> {
        Publication { event: "m".into(), data: &self.data, echo: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_holds_the_payload() {
        let encoder = Encoder::new(128);
        assert!(encoder.encode_whole().windows(128).any(|bytes| bytes == [b'x'; 128]));
        assert!(format!("{:?}", encoder.encode_for_room()).contains("bench"));
    }
}
