//! All that a comparison found out.

use serde::Serialize;

use super::failure::Failure;
use super::machine::Machine;
use super::plan::Plan;
use super::table::Table;
use super::targets::Outcome;

/// All that was found out.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) command: String,
    pub(super) machine: Machine,
    /// What must be known before any figure is read.
    pub(super) caution: Option<&'static str>,
    pub(super) plan: Plan,
    pub(super) seconds: f64,
    pub(super) targets: Vec<Outcome>,
    pub(super) tables: Vec<Table>,
    pub(super) failures: Vec<Failure>,
}
