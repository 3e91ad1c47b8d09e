//! Receiving: every message is checked.

pub(crate) mod finish;
pub(crate) mod intake;
pub(crate) mod judge;
pub(crate) mod member;
pub(crate) mod notices;
pub(crate) mod opening;
pub(crate) mod reader;
pub(crate) mod recorder;
pub(crate) mod result;
pub(crate) mod slow;
