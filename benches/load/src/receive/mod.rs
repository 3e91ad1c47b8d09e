//! Receiving: every message is checked.

pub(crate) mod churn;
pub(crate) mod compressed;
pub(crate) mod fan_out;
pub(crate) mod finish;
pub(crate) mod member;
pub(crate) mod notices;
pub(crate) mod numbers;
pub(crate) mod offsets;
pub(crate) mod opening;
pub(crate) mod reader;
pub(crate) mod receive_path;
pub(crate) mod recorder;
pub(crate) mod replace;
pub(crate) mod result;
mod settle;
pub(crate) mod slow;
pub(crate) mod stay;
pub(crate) mod verifier;
