//! Publishing, at a rate or in a window.

pub(crate) mod connection;
mod course;
pub(crate) mod opening;
pub(crate) mod publisher;
pub(crate) mod timetable;
pub(crate) mod window;
