//! Echoes every text and binary message back to its sender, in whatever format it is.
//!
//! Start it with `cargo run --example echo`, then connect any WebSocket client to
//! ws://127.0.0.1:9001/ws. An address may be given as the first argument.

use std::error::Error;

use corecast::{Client, Message, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9001".to_owned());
    let server = Server::builder()
        .listen(address)
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
