//! Words on standard output and standard error.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long the reader of a full pipe may take.
const WRITE_MAX: Duration = Duration::from_secs(1);

/// Writes to standard output, and waits a second at most.
pub(super) fn print(text: String) -> io::Result<()> {
    within_a_second(text, io::stdout, |text| {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    })
}

/// Writes to standard error, and waits a second at most.
pub(super) fn print_error(text: String) -> io::Result<()> {
    within_a_second(text, io::stderr, |text| io::stderr().write_all(text.as_bytes()))
}

/// A pipe may be full and have a reader that never reads: then the thread stays, and nothing else
/// waits for it.
fn within_a_second<S: AsFd>(
    text: String,
    stream: fn() -> S,
    write: fn(&str) -> io::Result<()>,
) -> io::Result<()> {
    let text: Arc<str> = text.into();
    let (written, outcome) = mpsc::channel();
    let writes = Arc::clone(&text);
    match thread::Builder::new().spawn(move || written.send(write(&writes))) {
        Ok(_) => {
            outcome.recv_timeout(WRITE_MAX).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
        // No thread can be had. A pipe that can be written to takes a page without waiting.
        Err(_) => wait_until_writable(&stream()).and_then(|()| write(&text)),
    }
}

fn wait_until_writable(stream: &impl AsFd) -> io::Result<()> {
    let timeout = Timespec::try_from(WRITE_MAX).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&timeout))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}
