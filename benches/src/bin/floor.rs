//! The floor server as a program.

use std::io::{self, Write};
use std::net::SocketAddr;

use clap::Parser;
use corecast_benches::floor::{self, FloorOptions, Means, SendsAfter};

/// A server that does nothing but the sends. For `corecast load broadcast`, and for nobody else.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct FloorArgs {
    /// Address and port to listen on; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// How bytes get to the sockets
    #[arg(long, value_name = "MEANS", default_value = "send")]
    means: Means,

    /// When the messages that wait are sent
    #[arg(long, value_name = "WHEN", default_value = "silence")]
    sends_after: SendsAfter,

    /// Send a room's messages as soon as so many wait [default: no limit]
    #[arg(long, value_name = "K")]
    coalesce: Option<usize>,
}

fn main() -> io::Result<()> {
    let FloorArgs { listen, means, sends_after, coalesce } = FloorArgs::parse();
    floor::serve(FloorOptions { listen, means, sends_after, coalesce }, |address| {
        // Whoever started us waits for this line, and is gone if it cannot be written.
        let _ = writeln!(io::stdout(), "listening on {address}");
    })
}
