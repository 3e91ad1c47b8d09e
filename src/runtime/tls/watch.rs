//! When certificates are read again.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::config::Tls;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(10);

/// How long the end of a server waits for a file that is being read.
const END_MAX: Duration = Duration::from_millis(500);

/// A thread of its own that looks at the files of certificates: no shard waits for a disk. It ends
/// with this, or, where a file does not answer, once that does.
#[derive(Debug)]
pub(crate) struct Watch {
    /// None once it is to end.
    reload: Option<Sender<()>>,
    /// Nothing comes; it is disconnected when the thread ends.
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(tls: Arc<Tls>) -> io::Result<Watch> {
        let (reload, asked) = bounded(1);
        let (ends, ended) = bounded(0);
        let watch = move || {
            let _ends: Sender<()> = ends;
            loop {
                match asked.recv_timeout(INTERVAL) {
                    Ok(()) => tls.reload(),
                    Err(RecvTimeoutError::Timeout) => tls.reload_if_changed(),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        let thread = thread::Builder::new().name("corecast-tls".to_owned()).spawn(watch)?;
        Ok(Watch { reload: Some(reload), ended, thread: Some(thread) })
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
        if self.ended.recv_timeout(END_MAX) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("a file of certificates does not answer; what reads it is left alone");
            return;
        }
        // A panic there was reported there.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
