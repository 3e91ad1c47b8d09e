//! How we know: the measurements of Corecast live in this package.
//!
//! - [`baseline`] is the usual design, written as well as it can be: tokio, axum, `DashMap`.
//! - [`floor`] does nothing but the sends: the line that everybody is measured against.
//! - [`micro`] holds the bodies of the micro-benchmarks.
//! - [`compare`] runs engine, baseline and floor side by side and reports.
//! - [`load`] drives the load generator.
//! - [`process`] starts servers and reads what the kernel knows of them.
//! - [`soak`] loads one server for a long time and watches it.
//! - [`reconnect`] cuts all clients of a server off at once and lets them come back.
//! - [`histories`] fills rooms that keep messages and looks how much memory that takes.
//! - [`faults`] makes a server's system calls fail and looks what that costs.
//!
//! README.md beside this package says what every figure means.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod baseline;
mod certificate;
pub mod compare;
pub mod faults;
pub mod floor;
pub mod histories;
pub mod load;
pub mod micro;
pub mod process;
pub mod reconnect;
pub mod soak;
mod text_frame;
