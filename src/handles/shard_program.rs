//! The program on one shard.

use std::rc::Rc;

use super::broadcaster::Broadcaster;
use super::client::{Client, ClientShard};
use super::http_request::HttpRequest;
use crate::program::{Handlers, Program, ShardStates};
use crate::runtime::{OnShard, ShardHandle};

/// Brings a program to life on a shard, whose handlers are handed clients and requests that reach
/// this shard by its handle.
pub(crate) fn on_shard(
    mut program: Program<Client, HttpRequest, Broadcaster>,
    handle: &ShardHandle,
) -> OnShard {
    let broadcaster = Broadcaster::of_shard(handle);
    let routes = std::mem::take(&mut program.routes).into_iter().map(|route| {
        let broadcaster = broadcaster.clone();
        route.instantiate(move |request| HttpRequest::new(request, broadcaster.clone()))
    });
    let routes = routes.collect();
    let states = Rc::new(ShardStates::new(&program.shard_states));
    let beside = broadcaster.clone();
    let shard = ClientShard { handle: handle.clone(), states: Rc::clone(&states), broadcaster };
    let shard = Rc::new(shard);
    let client = move |id, session| Client::new(Rc::clone(&shard), id, session);
    OnShard { handlers: Rc::new(Handlers::new(program, states, beside, client)), routes }
}
