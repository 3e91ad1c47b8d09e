//! What is left of a run once it is over.

use std::sync::Arc;
use std::time::SystemTime;

use crate::publish::publisher::Sent;
use crate::receive::fan_out::LastMembers;
use crate::receive::result::ReaderResult;
use crate::watch::machine::Machine;
use crate::watch::sampler::Snapshot;
use crate::watch::shared::Shared;

/// Everything that figures are derived from.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) shared: Arc<Shared>,
    pub(crate) machine: Machine,
    /// Of the server, if it was watched.
    pub(crate) pids: Option<Vec<u32>>,
    pub(crate) record: Record,
    pub(crate) outcome: ReaderResult,
    /// Where messages were followed to the last of their members.
    pub(crate) last_members: Option<LastMembers>,
    pub(crate) sent: Sent,
}

/// What is kept of a run for its figures.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) began: Option<SystemTime>,
    pub(crate) before: Snapshot,
    pub(crate) connected: Snapshot,
    /// While connecting.
    pub(crate) climb: Vec<Snapshot>,
    /// From the mark to the end, and those between.
    pub(crate) series: Vec<Snapshot>,
    /// Where one stage ends and the next one begins.
    pub(crate) between: Vec<Snapshot>,
    pub(crate) drained: Snapshot,
    pub(crate) waves: Vec<Wave>,
}

/// One wave of a storm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wave {
    pub(crate) opened: u64,
    pub(crate) failed: u64,
    pub(crate) seconds: f64,
    /// The share of it that the busiest of our threads used or wanted a CPU.
    pub(crate) busy: f64,
}

impl Wave {
    pub(crate) fn connects_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.opened as f64 / self.seconds } else { 0.0 }
    }
}
