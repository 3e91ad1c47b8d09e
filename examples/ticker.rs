//! Publishes 1,000 updates per second from a tokio task, outside of the server's own threads.
//!
//! Start it with `cargo run --example ticker`, connect any WebSocket client to
//! ws://127.0.0.1:9003/ws and send `{"event":"cast:join","room":"ticker"}`. An address may be given
//! as the first argument; Ctrl-C ends it.

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use corecast::{Broadcaster, Message, PublishError, Server};
use serde_json::json;
use tokio::{signal, task, time};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:9003".to_owned());
    let server = Server::builder().listen(address).start()?;
    let ticker = tokio::spawn(tick(server.broadcaster()));
    println!("ticking on ws://{}/ws", server.local_addr());

    signal::ctrl_c().await?;
    // It keeps its thread until the last client has gone, and tokio has others for such work.
    task::spawn_blocking(move || server.shutdown(Duration::from_secs(5))).await?;
    ticker.await?
}

/// Publishes an update each millisecond, until the server ends.
async fn tick(cast: Broadcaster) -> Result<(), Failure> {
    let begin = Instant::now();
    let mut due = time::interval(Duration::from_millis(1));
    for n in 0_u64.. {
        due.tick().await;
        let update = json!({"n": n, "elapsed_us": begin.elapsed().as_micros()});
        // A publish waits while the members are slower than this; the interval then catches up.
        match cast.to_room("ticker").publish(Message::event("tick", update)?).await {
            Ok(_) => {}
            Err(PublishError::Closed(_) | PublishError::Unconfirmed) => break,
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}
