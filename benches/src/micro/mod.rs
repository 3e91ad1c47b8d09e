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

const JOIN: &str = r#"{"event":"cast:join","room":"bench","id":1}"#;
const LEAVE: &str = r#"{"event":"cast:leave","room":"bench","id":2}"#;

/// A publish of so many bytes, with an id when it wants an ack.
fn publish_text(payload_bytes: usize) -> String {
    let payload = "x".repeat(payload_bytes);
    format!(
        r#"{{"event":"cast:publish","room":"bench","data":{{"event":"m","data":"{payload}"}}}}"#
    )
}
