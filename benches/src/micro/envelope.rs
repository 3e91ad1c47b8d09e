//! One message, encoded for everybody.

use corecast_shards::{Publication, RoomMessage, event_frame};

/// A publication.
#[derive(Debug)]
pub struct Encoder {
    data: String,
}

impl Encoder {
    /// A publication of so many bytes.
    pub fn new(payload_bytes: usize) -> Encoder {
        let data = format!("\"{}\"", "x".repeat(payload_bytes));
        Encoder { data }
    }

    /// The publisher's shard's part: the message in no format.
    pub fn encode_for_room(&self) -> RoomMessage {
        RoomMessage::event(&self.publication())
    }

    /// A whole frame for one connection.
    pub fn encode_whole(&self) -> Vec<u8> {
        event_frame(&self.publication())
    }

    fn publication(&self) -> Publication<'_> {
        Publication { event: "m".into(), data: &self.data, echo: true, key: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_holds_the_payload() {
        let encoder = Encoder::new(128);
        assert!(encoder.encode_whole().windows(128).any(|bytes| bytes == [b'x'; 128]));
        assert_ne!(encoder.encode_for_room(), Encoder::new(127).encode_for_room());
    }
}
