//! Echoes every text and binary message back to its sender, in whatever format it is.
//!
//! Start it with `cargo run --example echo`, then connect any WebSocket client to
//! ws://127.0.0.1:9001/ws. Arguments: an address, and `--max-message BYTES` behind it.

use std::env;
use std::error::Error;

use corecast::{Client, Limits, Message, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (address, limits) = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => ("127.0.0.1:9001", Limits::default()),
        [address] => (*address, Limits::default()),
        [address, "--max-message", bytes] => (*address, limits_for(bytes.parse()?)),
        _ => return Err("usage: echo [ADDRESS [--max-message BYTES]]".into()),
    };
    let server = Server::builder()
        .listen(address)
        .limits(limits)
        .on_text(async |client: Client, text: String| {
            client.try_publish(Message::text(text))?;
            Ok(())
        })
        .on_binary(async |client: Client, bytes: Vec<u8>| {
            client.try_publish(Message::binary(bytes))?;
            Ok(())
        })
        .start()?;
    println!("echoing on ws://{}/ws", server.local_addr());
    loop {
        std::thread::park();
    }
}

/// Messages of this size, and what that takes: an answer of the same size that waits to be read,
/// and a message that comes byte by byte.
fn limits_for(message_bytes: usize) -> Limits {
    let mut limits = Limits::default();
    limits.message_bytes = message_bytes;
    limits.own_bytes = limits.own_bytes.max(2 * message_bytes);
    limits.frames_per_message = usize::MAX;
    limits
}
