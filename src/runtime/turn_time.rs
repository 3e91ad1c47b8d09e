//! How long a part of a turn may take.

use std::time::Duration;

/// The longest that one quantum of a pass, or of anything else, keeps everything else waiting.
pub(super) const QUANTUM_TIME_MAX: Duration = Duration::from_micros(500);
