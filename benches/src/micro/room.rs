//! What is measured of a room, in whatever design.

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

pub(super) const JOIN: &str = r#"{"event":"cast:join","room":"bench","id":1}"#;
pub(super) const LEAVE: &str = r#"{"event":"cast:leave","room":"bench","id":2}"#;

/// A publish of so many bytes, with an id when it wants an ack.
pub(super) fn publish_text(payload_bytes: usize) -> String {
    let payload = "x".repeat(payload_bytes);
    format!(
        r#"{{"event":"cast:publish","room":"bench","data":{{"event":"m","data":"{payload}"}}}}"#
    )
}
