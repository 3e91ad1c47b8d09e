//! `corecast serve`.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::thread;

use corecast::Server;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing_subscriber::EnvFilter;

use super::args::{LogFormat, ServeArgs};

/// Added to a signal's number, the exit code of a program that it ended, as shells have it.
const EXIT_SIGNALLED: i32 = 128;

/// Runs the server until a signal ends it.
pub(super) fn serve(args: &ServeArgs) -> Result<(), Box<dyn Error>> {
    start_logs(args.log_format);
    // From here on a signal drains: whoever has read the address may send one.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let server = args.builder().start()?;
    announce(&server)?;
    let signal = signals.forever().next().ok_or("the system sends no signals any more")?;
    tracing::info!(signal, timeout = ?args.drain_timeout, "draining; a second signal ends at once");
    thread::spawn(move || exit_at_next(&mut signals));
    let drained = server.shutdown(args.drain_timeout);
    match drained.cut {
        0 => tracing::info!("drained"),
        cut => tracing::warn!(cut, "the drain timeout is over; connections were cut"),
    }
    Ok(())
}

fn exit_at_next(signals: &mut Signals) {
    if let Some(signal) = signals.forever().next() {
        std::process::exit(EXIT_SIGNALLED + signal);
    }
}

fn start_logs(format: LogFormat) {
    let filter = EnvFilter::try_from_env("CORECAST_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}

/// Says where the server is, on standard output, for people and for scripts.
fn announce(server: &Server) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {}", server.local_addr())?;
    for (shard, core) in server.cores().into_iter().enumerate() {
        match core {
            Some(core) => writeln!(out, "shard {shard} on core {core}")?,
            None => writeln!(out, "shard {shard} unpinned")?,
        }
    }
    out.flush()
}
