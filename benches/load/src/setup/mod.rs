//! What was typed, and what will be done.

pub(crate) mod args;
pub(crate) mod assertion;
pub(crate) mod capacity;
pub(crate) mod churn;
pub(crate) mod holes;
pub(crate) mod merge;
pub(crate) mod payload;
pub(crate) mod plan;
pub(crate) mod records;
pub(crate) mod sources;
pub(crate) mod stages;
pub(crate) mod streams;
pub(crate) mod target;
pub(crate) mod template;
pub(crate) mod trust;
pub(crate) mod users;
