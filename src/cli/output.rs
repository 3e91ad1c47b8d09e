//! Words on standard output and standard error.

use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long the reader of a full pipe may take.
const WRITE_MAX: Duration = Duration::from_secs(1);

/// Writes to standard output, and waits a second at most.
pub(super) fn print(text: String) -> io::Result<()> {
    within_a_second(move || {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    })
}

/// Writes to standard error, and waits a second at most.
pub(super) fn print_error(text: String) -> io::Result<()> {
    within_a_second(move || io::stderr().write_all(text.as_bytes()))
}

/// A pipe may be full and have a reader that never reads: then the thread stays, and nothing else
/// waits for it.
fn within_a_second(write: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let (written, outcome) = mpsc::channel();
    thread::Builder::new().spawn(move || written.send(write()))?;
    outcome.recv_timeout(WRITE_MAX).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
