//! The greatest rate that a server holds: one run after another, each at another rate.

mod judgement;
pub(crate) mod page;
mod report;
pub(crate) mod run;
mod steps;
pub(crate) mod table;

pub use report::{CapacityReport, TrialReport};
pub use steps::Verdict;
