//! Why there are as many shards as there are.

use std::fmt;

/// Why a server has as many shards as it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sizing {
    /// It was told how many.
    Asked,
    /// One per core of the process's affinity mask.
    Cores,
    /// A control group leaves the process the time of fewer cores than it may use. Shards are not
    /// pinned then, since others may run on the same cores.
    Quota {
        /// Cores that this time keeps busy, rounded up.
        cores: usize,
    },
}

impl fmt::Display for Sizing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sizing::Asked => f.write_str("as asked for"),
            Sizing::Cores => f.write_str("one per core that the process may use"),
            Sizing::Quota { cores: 1 } => f.write_str("CPU quota of 1 core"),
            Sizing::Quota { cores } => write!(f, "CPU quota of {cores} cores"),
        }
    }
}
