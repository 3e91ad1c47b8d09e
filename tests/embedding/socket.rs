//! What these tests share: a server, its clients, and a gate.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use corecast::{Builder, Executor, Limits, Server};
// The crate has a `Client` too.
pub(crate) use corecast_testkit::{Client as Socket, Close, PATIENCE};

use crate::support::filter;

/// A server on a port of the system's choice that does not wait long for clients to go.
pub(crate) fn builder() -> Builder {
    if let Some(action) = filter::ambient() {
        // This thread, and with it those of its servers.
        seccompiler::apply_filter(&filter::program(&filter::IO_URING, action)).unwrap();
    }
    Server::builder().listen("127.0.0.1:0").limits(limits()).executor(executor())
}

/// What the servers of this run are to run on: `CORECAST_EXECUTOR`, as for those of the command.
fn executor() -> Executor {
    match std::env::var("CORECAST_EXECUTOR").as_deref() {
        Ok("plain") => Executor::Plain,
        Ok("glommio") => Executor::Glommio,
        Ok("auto") | Err(_) => Executor::Auto,
        Ok(other) => panic!("no executor is called {other}"),
    }
}

pub(crate) fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.close_timeout = Duration::from_millis(200);
    limits
}

/// A future that any thread makes ready, once and for everybody.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    pub(crate) fn open(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 = true;
        state.1.drain(..).for_each(Waker::wake);
    }

    /// A gate that opens by itself.
    pub(crate) fn after(duration: Duration) -> Gate {
        let gate = Gate::default();
        let opener = gate.clone();
        thread::spawn(move || {
            thread::sleep(duration);
            opener.open();
        });
        gate
    }
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap();
        state.1.push(cx.waker().clone());
        if state.0 { Poll::Ready(()) } else { Poll::Pending }
    }
}
