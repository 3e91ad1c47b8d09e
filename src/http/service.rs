//! What answers the requests of one shard's connections.

use std::rc::Rc;

use super::Router;
use crate::program::{ShardProgram, ShardRoute};

/// The shard, its routes, and the program's rules. One per shard.
pub(crate) struct Service<B> {
    pub(super) shard: B,
    pub(super) router: Router,
    pub(super) program: Rc<dyn ShardProgram>,
}

impl<B> Service<B> {
    /// A service of the server's own routes and of the program's, which were checked.
    pub(crate) fn new(
        shard: B,
        program: Rc<dyn ShardProgram>,
        routes: Vec<ShardRoute>,
    ) -> Service<B> {
        Service { shard, router: Router::new(routes), program }
    }
}
