//! One core's whole state.

mod backpressure;

mod asked;
#[cfg(any(test, debug_assertions))]
mod check;
mod clients;
mod close;
mod close_texts;
mod command;
mod deferred_to_home;
mod directory;
mod expiries;
mod fanout;
mod from_home;
mod hang_up;
mod host;
mod inflate;
mod intake;
mod linger;
mod listening;
mod membership;
mod memory;
mod named_rooms;
mod next_send;
mod not_taken;
mod open;
mod opening;
mod outputs;
mod pace;
mod placing;
mod positions;
mod presence;
mod pressure;
mod pressure_state;
mod program;
mod refresh;
mod relief;
mod replay;
mod revocations;
mod seam;
mod send;
mod send_rooms;
mod slow;
mod stats;
mod streams;
#[cfg(test)]
mod tests;
mod timers;
mod user_index;
mod users;
mod wait;
mod watchers;

use crate::home::Home;
use crate::id::ShardId;
use host::Host;
pub use host::SendEnd;
pub use listening::Listening;
pub use not_taken::{Full, Refused, Unsent};
pub use opening::Opening;
pub use outputs::{CloseStep, Outputs};

/// One core's whole state: its connections, its part of every room, and the rooms it is home to.
///
/// A shard is a state machine that is driven from outside. Its methods are of four kinds:
///
/// - *events* say what happened: [`open`](Shard::open), [`receive`](Shard::receive) and the
///   `on_…` methods;
/// - *commands* ask for something: [`publish`](Shard::publish), [`emit`](Shard::emit),
///   [`close`](Shard::close), …;
/// - *outputs* are pulled until they are empty: [`Outputs`] and the `next_…` methods. A send is begun by
///   [`next_direct_send`](Shard::next_direct_send) or [`next_room_send`](Shard::next_room_send),
///   read with [`for_each_iovec`](Shard::for_each_iovec) and ended with
///   [`end_send`](Shard::end_send);
/// - *questions* change nothing: [`wants_read`](Shard::wants_read), [`has_sends`](Shard::has_sends),
///   [`stats`](Shard::stats), ….
///
/// Invariant: a shard never locks, never awaits, and learns the time only from its caller.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    host: Host,
    home: Home,
}
