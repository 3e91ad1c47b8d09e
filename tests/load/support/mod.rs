//! Servers to measure, and the command that measures them.

mod certificate;
mod command;
mod delivered;
mod fake;
mod foreign;
mod real;
mod running;
mod spoil;

pub(crate) use certificate::{Certificate, Fault};
pub(crate) use command::{Run, load};
pub(crate) use delivered::{check_all_delivered, check_clean};
pub(crate) use fake::{Dialect, Fake, Faults, Late};
pub(crate) use foreign::Foreign;
pub(crate) use real::Server;
pub(crate) use running::{Running, signal};
pub(crate) use spoil::Spoil;
