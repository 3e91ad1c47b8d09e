//! Answers to connections that end with them, before a request of theirs was handed on: whole, as
//! bytes.

use super::HttpError;
use crate::program::Refusal;

/// The process has no descriptor, or the kernel no memory, for one more connection.
pub(crate) fn crowded() -> Vec<u8> {
    HttpError::crowded().to_bytes()
}

/// The process is shutting down.
pub(crate) fn draining() -> Vec<u8> {
    HttpError::draining().to_bytes()
}

/// There are as many connections as there may be.
pub(crate) fn at_capacity(limit: usize) -> Vec<u8> {
    HttpError::capacity(limit).to_bytes()
}

/// The program does not let this client connect.
pub(crate) fn refused(refusal: Refusal) -> Vec<u8> {
    HttpError::refusal(refusal).to_bytes()
}

/// The head did not arrive in time.
pub(crate) fn head_late() -> Vec<u8> {
    HttpError::head_timeout().to_bytes()
}

/// The program did not decide in time.
pub(crate) fn undecided() -> Vec<u8> {
    HttpError::authorize_timeout().to_bytes()
}
