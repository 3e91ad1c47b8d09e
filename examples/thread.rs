//! Publishes what stands on standard input, line by line, from a plain thread.
//!
//! Start it with `tail -f /var/log/syslog | cargo run --example thread`, connect any WebSocket
//! client to ws://127.0.0.1:9006/ws and send `{"event":"cast:join","room":"lines"}`. An address may
//! be given as the first argument; it ends with its input.

use std::error::Error;
use std::time::Duration;
use std::{env, io, thread};

use corecast::{Broadcaster, Message, Server};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:9006".to_owned());
    let server = Server::builder().listen(address).start()?;
    println!("publishing lines on ws://{}/ws", server.local_addr());

    let cast = server.broadcaster();
    let publisher = thread::spawn(move || publish_lines(&cast));
    let published = publisher.join().map_err(|_| "the publisher panicked")?;
    // Every line that was published still reaches every member.
    server.shutdown(Duration::from_secs(5));
    published
}

/// Waits while the members are slower than the input, which then waits as well.
fn publish_lines(cast: &Broadcaster) -> Result<(), Failure> {
    let room = cast.to_room("lines").unconfirmed();
    for line in io::stdin().lines() {
        room.publish_blocking(Message::event("line", line?)?)?;
    }
    Ok(())
}
