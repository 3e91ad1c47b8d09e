//! The bodies of the micro-benchmarks: what `cargo bench` times and `cargo test` runs once.

mod dash_room;
mod engine_room;
mod envelope;
mod hop;
mod plain_registry;
mod wire;

pub use dash_room::DashRoom;
pub use engine_room::EngineRoom;
pub use envelope::Encoder;
pub use hop::Hop;
pub use plain_registry::PlainRegistry;
pub use wire::Frames;

/// Members of the rooms that are measured.
pub const MEMBERS: [usize; 3] = [1, 100, 10_000];

/// Bytes of the payloads that are measured.
pub const PAYLOADS: [usize; 2] = [128, 4096];

/// A room with members, and a connection outside it that publishes, joins and leaves: the same
/// steps in each design.
pub trait Room {
    /// A room with so many members, to which messages of so many bytes are published.
    fn new(members: usize, payload_bytes: usize) -> Self;

    /// One join and one leave. Returns the bytes of the answers.
    fn join_and_leave(&mut self) -> usize;

    /// One publish.
    fn publish(&mut self);

    /// Takes for each member what is there for it. Returns the bytes of all.
    fn flush(&mut self) -> usize;
}

const JOIN: &str = r#"{"event":"cast:join","room":"bench","id":1}"#;
const LEAVE: &str = r#"{"event":"cast:leave","room":"bench","id":2}"#;

/// A publish of so many bytes, with an id when it wants an ack.
fn publish_text(payload_bytes: usize) -> String {
    let payload = "x".repeat(payload_bytes);
    format!(
        r#"{{"event":"cast:publish","room":"bench","data":{{"event":"m","data":"{payload}"}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_messages(mut room: impl Room) {
        room.publish();
        let one = room.flush();
        assert!(one > 100 * 128 && one.is_multiple_of(100), "{one} bytes");
        room.publish();
        room.publish();
        assert_eq!(room.flush(), 2 * one);
        assert_eq!(room.flush(), 0);
    }

    fn check_answers(mut room: impl Room) {
        let first = room.join_and_leave();
        assert!(first > 100, "{first} bytes are no two answers");
        assert_eq!(room.join_and_leave(), first);
    }

    #[test]
    fn every_member_is_sent_every_message() {
        check_messages(EngineRoom::new(100, 128));
        check_messages(DashRoom::new(100, 128));
    }

    #[test]
    fn joins_and_leaves_are_answered_every_time() {
        check_answers(EngineRoom::new(1, 128));
        check_answers(DashRoom::new(1, 128));
    }
}
