//! How long a test waits.

use std::time::Duration;

/// How long anything may take before a test gives up. No pass ever depends on it: it only turns a
/// hang into a failure, so it is far longer than the slowest machine needs.
pub const PATIENCE: Duration = Duration::from_secs(30);
