//! When certificates are read again.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::config::Tls;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(10);

/// A thread of its own that looks at the files of certificates: no shard waits for a disk. It ends
/// with this.
#[derive(Debug)]
pub(crate) struct Watch {
    /// None once it is to end.
    reload: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(tls: Arc<Tls>) -> io::Result<Watch> {
        let (reload, asked) = bounded(1);
        let watch = move || {
            loop {
                match asked.recv_timeout(INTERVAL) {
                    Ok(()) => tls.reload(),
                    Err(RecvTimeoutError::Timeout) => tls.reload_if_changed(),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        let thread = thread::Builder::new().name("corecast-tls".to_owned()).spawn(watch)?;
        Ok(Watch { reload: Some(reload), thread: Some(thread) })
    }

    /// Has the files read now, whether or not they have changed.
    pub(crate) fn reload(&self) {
        // What is asked for and has not begun is the same.
        let _ = self.reload.as_ref().map(|reload| reload.try_send(()));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reload = None;
        // A panic there was reported there.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
