//! What parses a stranger's bytes, judged against a second reader of the same rules.
//!
//! Each module has one function `check`, which panics when the two disagree. The ordinary tests
//! run the same functions over the committed corpus, so that a finding stays found.

pub mod envelope;
pub mod extensions;
pub mod frames;
pub mod head;
pub mod inflated;
pub mod journal;
mod json;
pub mod proxy;

// Where the modules look for the doors in the product, too.
use corecast::fuzzing::{
    Agreed, Inflated, ProxyVerdict, Verdict, agree, deflate, inflate, read_head, read_proxy_header,
};
use corecast_shards::fuzzing::{
    KeptLife, Reading, Verb, read_envelope, read_journal, write_journal,
};
