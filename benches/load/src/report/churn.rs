//! Members that left and were replaced while messages were measured.

use serde::{Deserialize, Serialize};

use super::json::LatencyReport;

/// What became of the members that were to leave and be replaced, of which each had its time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChurnReport {
    /// Members per second that were to leave and be replaced.
    pub rate: f64,
    /// Members that were due to, until the end of the measured time.
    pub due: u64,
    /// Members that left.
    pub left: u64,
    /// Of those that were due, the rest: they had not joined yet, were let go, or the generator was
    /// late.
    pub not_left: u64,
    /// Members that joined in the place of others.
    pub joined: u64,
    /// Those that could not.
    pub failed: u64,
    /// Those that were due while who had the place before was still about to join.
    pub missed: u64,
    /// Leaves that were not answered, or closes.
    pub unanswered: u64,
    /// From when a member was due to take the place of another until it had joined.
    pub joined_us: LatencyReport,
    /// Of these, those that fall on what failed or was missed: it took longer than all that came.
    pub missing_at: Vec<String>,
    /// Of each, the most that was the generator's own.
    pub joined_own_us: LatencyReport,
    /// From saying that a member leaves until that was answered.
    pub left_us: LatencyReport,
    /// Stays in a room that ended before the run did or began after it.
    pub stays: u64,
    /// Of these, those of which the server said between which offsets messages were due. Of others
    /// no message at the edge is lost for certain, and none is counted.
    pub stays_by_offsets: u64,
}
