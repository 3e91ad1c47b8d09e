//! A run that showed no figures.

use serde::Serialize;

/// A run in which a server lost, repeated, reordered or damaged a message, or did not run at all.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Failure {
    pub(super) system: String,
    pub(super) subject: String,
    /// Counted from 1.
    pub(super) round: usize,
    pub(super) what: String,
}
