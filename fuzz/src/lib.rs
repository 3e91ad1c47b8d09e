//! What parses a stranger's bytes, judged against a second reader of the same rules.
//!
//! Each module has one function `check`, which panics when the two disagree. The ordinary tests
//! run the same functions over the committed corpus, so that a finding stays found.

pub mod envelope;
pub mod frames;
mod json;

// Where the modules look for the door in the product, too.
use corecast_shards::fuzzing::{Reading, Verb, read_envelope};
