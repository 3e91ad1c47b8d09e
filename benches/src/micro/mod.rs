//! The bodies of the micro-benchmarks: what `cargo bench` times and `cargo test` runs once.

mod dash_room;
mod engine_room;
mod envelope;
mod hop;
mod plain_registry;
mod room;
mod send;
mod wire;

pub use dash_room::DashRoom;
pub use engine_room::EngineRoom;
pub use envelope::Encoder;
pub use hop::Hop;
pub use plain_registry::PlainRegistry;
pub use room::Room;
pub use send::take_send;
pub use wire::Frames;

/// Members of the rooms that are measured.
pub const MEMBERS: [usize; 3] = [1, 100, 10_000];

/// Bytes of the payloads that are measured.
pub const PAYLOADS: [usize; 2] = [128, 4096];

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
