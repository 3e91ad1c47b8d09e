//! Quantities for people: as they write them, and as they read them.

pub mod parse;
pub(crate) mod print;
