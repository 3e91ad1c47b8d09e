//! The thread that leads the others from the first connection to the last.

pub(crate) mod phases;
pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod storm;
