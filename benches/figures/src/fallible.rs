//! What the other files return.

/// A value, or what went wrong on the way to it, in words for the terminal.
pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error>>;
