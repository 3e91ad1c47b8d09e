//! Servers to measure, and the command that measures them.

mod command;
mod fake;
mod foreign;
mod real;

pub(crate) use command::{command, load};
pub(crate) use fake::{Dialect, Fake, Faults};
pub(crate) use foreign::Foreign;
pub(crate) use real::Server;
