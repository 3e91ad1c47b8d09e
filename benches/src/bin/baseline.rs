//! The baseline server as a program.

use std::io::{self, Write};
use std::net::SocketAddr;

use clap::Parser;
use corecast_benches::baseline::{self, BaselineOptions, Queue, Writer};

/// The usual design (tokio, axum, DashMap, a queue and a writer task per connection) on the wire
/// protocol of Corecast.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct BaselineArgs {
    /// Address and port to listen on; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Threads that run connections
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,

    /// What a connection's queue does when its client reads too slowly
    #[arg(long, value_name = "VARIANT", default_value = "bounded")]
    queue: Queue,

    /// How a connection's writer sends what is queued
    #[arg(long, value_name = "VARIANT", default_value = "batched")]
    writer: Writer,
}

fn main() -> io::Result<()> {
    let BaselineArgs { listen, threads, queue, writer } = BaselineArgs::parse();
    baseline::serve(BaselineOptions { listen, threads, queue, writer }, |address| {
        // Whoever started us waits for this line, and is gone if it cannot be written.
        let _ = writeln!(io::stdout(), "listening on {address}");
    })
}
