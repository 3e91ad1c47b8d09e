//! A program, as a shard's thread brings it to life.

use std::rc::Rc;

use super::handle::ShardHandle;
use crate::program::{ShardProgram, ShardRoute};

/// Brings a program to life on the thread of the shard that this handle reaches.
pub(crate) type Instantiate = Box<dyn FnOnce(&ShardHandle) -> OnShard + Send>;

/// A program on one shard.
pub(crate) struct OnShard {
    pub(crate) handlers: Rc<dyn ShardProgram>,
    pub(crate) routes: Vec<ShardRoute>,
}
