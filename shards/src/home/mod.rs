//! What a shard does as the home of rooms.

mod handle;
mod rooms;

pub(crate) use handle::Home;
pub(crate) use rooms::{HomeRooms, IdleTtl};
