//! The floor server as a program.

use std::io::{self, Write};
use std::net::SocketAddr;

use clap::Parser;
use corecast_benches::floor::{self, FloorOptions, Means};

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

    /// Messages of a room that are put into one send, if so many are there
    #[arg(long, value_name = "K", default_value_t = 64)]
    coalesce: usize,
}

fn main() -> io::Result<()> {
    let FloorArgs { listen, means, coalesce } = FloorArgs::parse();
    floor::serve(FloorOptions { listen, means, coalesce }, |address| {
        // Whoever started us waits for this line, and is gone if it cannot be written.
        let _ = writeln!(io::stdout(), "listening on {address}");
    })
}
