//! A broadcast engine for Linux: very many WebSocket connections, one message to all of them or to
//! the members of one room, at close to what the kernel can do.
//!
//! Every core runs one shard, pinned, with its own connections and its own part of every room.
//! Shards share nothing; a message crosses cores over lock-free rings, is encoded once, and is
//! appended once per core, however many members there are.
//!
//! # From `cargo add` to a broadcast
//!
//! `cargo add corecast --no-default-features` (the default feature `cli` builds the `corecast`
//! command), then:
//!
//! ```
//! use corecast::{Client, Event, Message, Server};
//! use serde_json::json;
//! use std::time::Duration;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::builder()
//!         .listen("127.0.0.1:0")
//!         .on_connect(async |client: Client| {
//!             client.join("lobby").await?;
//!             Ok(())
//!         })
//!         .on("chat", async |client: Client, event: Event| {
//!             let message = Message::event("chat", event.data())?;
//!             let receipt = client.to_room("lobby").except(client.id()).publish(message).await?;
//!             let seen = Message::event("seen", json!({"by": receipt.members}))?;
//!             client.reply_to(&event).try_publish(seen)?;
//!             Ok(())
//!         })
//!         .start()?;
//!     println!("listening on ws://{}/ws", server.local_addr());
//!     server.broadcaster().try_publish(Message::event("tick", json!({"n": 1}))?)?;
//!     server.shutdown(Duration::from_secs(10));
//!     Ok(())
//! }
//! ```
//!
//! Any WebSocket client speaks to it: each message is one JSON object with `event` and `data`, as
//! the repository's README shows by example.
//!
//! # The parts
//!
//! - [`Builder`]: settings and handlers. Handlers run on their connection's core, one clone per
//!   shard; their futures may hold `Rc`s.
//! - [`Client`]: one connection in the hands of a handler. It joins and leaves rooms, is published
//!   to, knows its [`Handshake`] and [`Claims`], and carries typed state.
//! - [`Event`]: what a client sent, for the handler of its name.
//! - [`Message`]: what the program publishes: an event with its data, a text, or bytes.
//! - [`Target`]: where a message goes: a room, all connections, or one. Its verbs are `try_publish`,
//!   `publish().await` and `publish_blocking`; [`PublishError`] gives back what was not accepted,
//!   [`Receipt`] says what became of the rest.
//! - [`Broadcaster`]: publishes from any thread and any runtime.
//! - [`RoomPolicy`]: what holds in rooms of certain names, above all which messages they keep.
//!   [`Join`] brings a client that comes back what it missed, [`History`] is for the program itself.
//! - [`Presence`]: who is in a room, for the program ([`Target::presence`]) or for a client that it
//!   joins ([`Join::presence`]).
//! - [`HttpRequest`] and [`HttpResponse`]: routes of the program beside `/ws`.
//! - [`Server`]: the running whole, until [`Server::shutdown`].
//!
//! # What holds
//!
//! - All members of a room see one order, that of the offsets, which count from 1 without holes.
//!   All connections see broadcasts in one order.
//! - A member gets every message after its join exactly once, until it leaves, is told of a gap, or
//!   is disconnected with a reason ([`Disconnect`]).
//! - What one caller publishes to one room arrives in the order in which it was published.
//! - Memory is bounded: every limit is in [`Limits`] and has one visible consequence. A publisher
//!   that is faster than the members gets [`PublishError::Full`], or waits.
//! - A handler that waits delays its own connection's next message and no other's. One that
//!   returns an error or panics costs its message the answer `handler_failed`; what went wrong is
//!   logged, and only the words of a [`ClientError`] reach the client. One that blocks its thread
//!   stops its shard, so it should not.
//!
//! # What runs a shard
//!
//! Each shard has a thread of its own. Where the kernel allows io_uring, a glommio executor runs it;
//! elsewhere, as in a container with Docker's default profile, a plain thread does, and sends go one
//! by one. [`Server::executor`] says which and why. Handlers are the same on both: [`sleep`] waits,
//! [`spawn`] runs a task beside, and a handler may wait for whatever other threads wake.
//!
//! A program whose handlers use glommio's own timers, tasks or sockets asks for it:
//! `.executor(Executor::Glommio)`. Then a shard yields to its executor once per millisecond while a
//! handler waits, and the server does not start where glommio does not. In a program that did not
//! ask, a call of glommio's in a handler panics on a plain thread, which is logged with this remedy;
//! on glommio it completes up to a second late, because the shard yields only once per second. A
//! panic in a task of `glommio::spawn_local` takes the executor along, and the process ends with 70,
//! as after any panic of a shard; [`spawn`] contains it.
//!
//! # What clients may do
//!
//! By its own commands every client may join and leave rooms, publish to them and broadcast, past
//! all handlers. [`Builder::authorize`] decides who connects; [`Builder::authorize_join`],
//! [`Builder::authorize_publish`] and [`Builder::authorize_broadcast`] decide about each command,
//! per connection and room, and may change what is said, for example to sign it with its author.
//!
//! Where the claims that `authorize` returned have a member `cast`, that limits what a client may do
//! before any hook is asked; `exp` ends its connection, and [`Builder::authorize_refresh`] verifies a
//! fresh token before; without that hook the client has to connect again. All connections with the
//! same `sub` are one user: [`Broadcaster::to_user`], [`Broadcaster::close_user`],
//! [`Broadcaster::revoke_user`].
//!
//! # tokio in handlers
//!
//! A handler does not run on tokio: a timer or a socket of tokio's that it polls itself panics,
//! because there is no reactor. What a tokio runtime runs it may wait for:
//!
//! ```
//! use corecast::{Client, Event, HandlerResult, Message};
//! use tokio::runtime::Handle;
//!
//! async fn look_up(client: Client, event: Event, tokio: Handle) -> HandlerResult {
//!     let name: String = event.parse()?;
//!     // In here everything of tokio's works: sqlx, reqwest, redis.
//!     let found = tokio.spawn(async move { name.len() }).await?;
//!     Ok(client.reply_to(&event).try_publish(Message::event("found", found)?)?)
//! }
//! ```
//!
//! The whole future has to be made within `async { … }`: `spawn(tokio::time::sleep(…))` makes the
//! timer before, on the handler's thread, and panics.
//!
//! # Logs
//!
//! What goes wrong in handlers is logged with `tracing`; a program that installs no subscriber
//! sees nothing of it.
//!
//! # Coming from a registry in a `DashMap`
//!
//! The usual design keeps connections in a `DashMap`, each with a queue and a writer task. Every
//! method of such a registry has its counterpart:
//!
//! | registry | here | what is different |
//! |---|---|---|
//! | `register(tx, claims)` | [`Builder::authorize`], [`Builder::on_connect`] | the server accepts the socket; there is no queue to make |
//! | `unregister(id)` | [`Client::close`], [`Broadcaster::close`]; [`Builder::on_disconnect`] tells | leaving all rooms is part of it, in the same order on every core |
//! | `connection_count()` | [`Broadcaster::connection_count`] | the sum of the shards' counts at about that moment |
//! | `join_room(id, room)` | [`Client::join`] | awaited: when it returns, every later message arrives; the client is told the offset |
//! | `leave_room(id, room)` | [`Client::leave`] | awaited; the client is told behind which message it left |
//! | `send_text(id, text)` | [`Client::try_publish`], [`Broadcaster::to_connection`] | a client that does not read is closed with 1013 beyond `own_bytes`, instead of a queue that grows |
//! | `broadcast_text(text)` | [`Broadcaster::try_publish`], [`Client::to_all`] | the cost does not grow with the number of connections on the caller's side |
//! | `broadcast_room_text(room, text)` | [`Client::to_room`], [`Broadcaster::to_room`] | ordered, numbered, and `Full` instead of memory that grows; [`Target::except`] leaves the sender out |
//! | `close_all()` | [`Broadcaster::close_all`], [`Server::shutdown`] | each connection is sent first what waits for it |
//! | `claims()` | [`Client::claims`] | the members of a JSON object |
//! | `envelope(event, data)` | [`Message::event`] | data is any `Serialize`, or raw JSON that is carried byte for byte ([`Event::data`]) |

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod builder;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod handles;
mod http;
mod program;
mod runtime;
mod server;
mod values;

pub use builder::Builder;
#[doc(inline)]
pub use corecast_shards::{
    BadCloseCode, BadKey, BadName, BadRoomName, Close, CloseCode, ConnId, Disconnect, Epoch,
    Joined, Kept, Limits, Parts, Position, Presence, Recovery, RoomHistory, RoomInfo, RoomName,
    RoomPolicy, SlowPolicy, Unrecovered,
};
pub use handles::{Broadcaster, Client, History, HttpRequest, Join, Spawned, sleep, spawn};
#[doc(hidden)]
pub use http::{check_token, read_token_secret};
pub use hyper::Method;
pub use program::{
    ApiRequest, HandlerResult, Handshake, HttpApi, HttpResponse, Refusal, RouteResult,
};
#[cfg(feature = "fault-injection")]
#[doc(hidden)]
pub use runtime::injected_faults;
#[doc(hidden)]
pub use runtime::try_executor;
pub use runtime::{Sends, StartError};
pub use server::{Drained, ReloadError, Server};
pub use values::{
    Anonymous, Claims, ClientError, ControlError, Event, Executor, ExecutorChoice, JoinError,
    Message, MessageError, Obstacle, Publication, PublishError, Receipt, Rights, Sizing, Target,
};

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
