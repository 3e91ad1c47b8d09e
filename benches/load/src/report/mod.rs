//! The figures of a run: as text, as a page, and as JSON.

pub(crate) mod chart;
pub(crate) mod charts;
pub(crate) mod figures;
pub(crate) mod json;
pub(crate) mod page;
pub(crate) mod points;
pub(crate) mod table;
