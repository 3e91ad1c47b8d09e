//! Receiving: every message is checked.

pub(crate) mod compressed;
pub(crate) mod fan_out;
pub(crate) mod finish;
pub(crate) mod member;
pub(crate) mod notices;
pub(crate) mod numbers;
pub(crate) mod opening;
pub(crate) mod reader;
pub(crate) mod receive_path;
pub(crate) mod recorder;
pub(crate) mod result;
pub(crate) mod slow;
pub(crate) mod verifier;
