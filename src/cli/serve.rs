//! `corecast serve`.

use std::backtrace::Backtrace;
use std::error::Error;
use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::{panic, thread};

use corecast::{ReloadError, Server, StartError};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::args::{LogFormat, ServeArgs};
use super::output;

/// Added to a signal's number, the exit code of a program that it ended, as shells have it.
const EXIT_SIGNALLED: i32 = 128;

/// Runs the server until a signal ends it.
pub(super) fn serve(args: &ServeArgs) -> Result<(), Box<dyn Error>> {
    let _written = start_logs(args.log_format)?;
    panic::set_hook(Box::new(|panic| {
        // A thread that panics, a shard above all, waits for no reader either.
        let _ = output::print_error(format!("corecast: {panic}\n{}\n", Backtrace::capture()));
    }));
    // From here on a signal drains, once the server has started, and a second one ends the program.
    let ends = EndSignals::watch()?;
    let server = args.builder()?.start().map_err(in_terms_of_flags)?;
    if let Err(error) = output::print(announcement(&server, args)) {
        tracing::warn!(%error, address = %server.local_addr(), "cannot write to standard output");
    }
    let keys = KeyReloads::start(server.key_reloader());
    let read_again = || {
        server.reload_certificates();
        keys.ask();
    };
    let signal = ends.first(read_again).ok_or("the system sends no signals any more")?;
    tracing::info!(signal, timeout = ?args.drain_timeout, "draining; a second signal ends at once");
    let drained = server.shutdown(args.drain_timeout);
    #[cfg(feature = "fault-injection")]
    print_faults()?;
    match drained.cut {
        0 => tracing::info!("drained"),
        cut => tracing::warn!(cut, "the drain timeout is over; connections were cut"),
    }
    if drained.stuck > 0 {
        tracing::warn!(shards = drained.stuck, "handlers kept the threads of shards to the end");
    }
    Ok(())
}

/// Says how often each system call was made to fail.
#[cfg(feature = "fault-injection")]
fn print_faults() -> io::Result<()> {
    let faults: serde_json::Map<_, _> =
        corecast::injected_faults().into_iter().map(|(name, count)| (name, count.into())).collect();
    output::print(format!("injected {}\n", serde_json::Value::Object(faults)))
}

/// The signals that end the server: the first is waited for, the second ends the program at once.
struct EndSignals {
    signals: Arc<Mutex<Signals>>,
    /// What a thread has taken; none where no thread can be had.
    first: Option<Receiver<i32>>,
}

impl EndSignals {
    /// Watches from now on, whatever the calling thread does.
    fn watch() -> io::Result<EndSignals> {
        let signals = Arc::new(Mutex::new(Signals::new([SIGINT, SIGTERM, SIGHUP])?));
        let (taken, first) = mpsc::channel();
        let watched = Arc::clone(&signals);
        let watcher = thread::Builder::new().spawn(move || {
            let mut signals = watched.lock().unwrap_or_else(PoisonError::into_inner);
            let mut is_second = false;
            // One iterator for all: what has come together is taken together.
            for signal in signals.forever() {
                if signal != SIGHUP && std::mem::replace(&mut is_second, true) {
                    std::process::exit(EXIT_SIGNALLED + signal);
                }
                // Nothing receives it only when the server did not start, or ends already.
                let _ = taken.send(signal);
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "no thread waits for a second signal: it changes nothing");
        }
        Ok(EndSignals { signals, first: watcher.ok().map(|_| first) })
    }

    /// Waits for the first; none when none can come any more. SIGHUP is none: other programs read
    /// their settings again then, and this one does so for what can be read again.
    fn first(&self, read_again: impl Fn()) -> Option<i32> {
        let is_end = |signal: &i32| {
            if *signal == SIGHUP {
                read_again();
            }
            *signal != SIGHUP
        };
        match &self.first {
            Some(taken) => taken.iter().find(is_end),
            None => {
                let mut signals = self.signals.lock().unwrap_or_else(PoisonError::into_inner);
                signals.forever().find(is_end)
            }
        }
    }
}

/// Reads the files of keys again on a thread of its own: a file that does not answer, as on a
/// network that is gone, keeps no signal from being heard. Where no thread can be had they are read
/// at once.
struct KeyReloads<F> {
    reload: F,
    asked: Option<SyncSender<()>>,
}

impl<F: Fn() -> Result<(), ReloadError> + Clone + Send + 'static> KeyReloads<F> {
    fn start(reload: F) -> KeyReloads<F> {
        // One more may wait while files are read: they may have changed meanwhile.
        let (asked, asks) = mpsc::sync_channel(1);
        let on_thread = reload.clone();
        let reader = thread::Builder::new().spawn(move || {
            for () in asks {
                log_reload(on_thread());
            }
        });
        KeyReloads { reload, asked: reader.ok().map(|_| asked) }
    }

    fn ask(&self) {
        match self.asked.as_ref().map(|asked| asked.try_send(())) {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full(()))) => tracing::warn!(
                "SIGHUP: the files of keys are still being read since an earlier one; does one of \
                 them not answer?"
            ),
            // What reads has panicked, which was reported then.
            Some(Err(TrySendError::Disconnected(()))) | None => log_reload((self.reload)()),
        }
    }
}

fn log_reload(read: Result<(), ReloadError>) {
    match read {
        Ok(()) => tracing::info!("SIGHUP: the files of keys were read again"),
        Err(error) => {
            for message in error.messages() {
                tracing::error!("SIGHUP: the keys of a file stay as they were: {message}");
            }
        }
    }
}

/// What is said to programs in terms of the builder is said to people in terms of flags.
fn in_terms_of_flags(error: StartError) -> Box<dyn Error> {
    match error {
        StartError::Exposed { address, .. } => format!(
            "{address} can be reached from other machines, where everybody could do everything; set \
             --api-key-file, --api-key or a key for tokens (--jwt-secret-file), or say --open if \
             that is meant"
        )
        .into(),
        other => other.into(),
    }
}

/// Lines of the log that wait to be written; more are lost.
const LOG_LINES_MAX: usize = 4096;

/// Logs are written by a thread of their own, which may wait for ever for a reader of standard
/// error: no shard, signal or drain does. Lines that wait at the end are written while the guard
/// is dropped, for a second at most. Where no thread can be had they are written at once.
fn start_logs(format: LogFormat) -> Result<Option<WorkerGuard>, String> {
    let filter = log_filter(&std::env::var("CORECAST_LOG").unwrap_or_default())?;
    let (writer, guard) = log_writer();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        // A line that cannot be written is lost. To say so on the same way would panic.
        .log_internal_errors(false)
        .with_writer(writer);
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(guard)
}

fn log_writer() -> (BoxMakeWriter, Option<WorkerGuard>) {
    // The writer's thread panics where it cannot be started.
    if thread::Builder::new().spawn(|| ()).is_err() {
        return (BoxMakeWriter::new(io::stderr), None);
    }
    let builder = NonBlockingBuilder::default().buffered_lines_limit(LOG_LINES_MAX);
    let (writer, guard) = builder.finish(io::stderr());
    (BoxMakeWriter::new(writer), Some(guard))
}

/// What `CORECAST_LOG` asks for; nothing is the same as `info`.
fn log_filter(text: &str) -> Result<EnvFilter, String> {
    let text = if text.is_empty() { "info" } else { text };
    EnvFilter::try_new(text).map_err(|error| {
        format!("CORECAST_LOG is {text:?} ({error}); write a level, such as info or debug")
    })
}

/// Says where the server is, on standard output, for people and for scripts. Scripts find the
/// address in the first line; the last ones say what a person wants to know next.
fn announcement(server: &Server, args: &ServeArgs) -> String {
    let (address, scheme) = (server.local_addr(), args.scheme());
    let mut lines = vec![format!("listening on {address}")];
    for (shard, core) in server.cores().into_iter().enumerate() {
        lines.push(match core {
            Some(core) => format!("shard {shard} on core {core}"),
            None => format!("shard {shard} unpinned"),
        });
    }
    lines.push(match address.ip().is_unspecified() {
        false => format!("clients connect to {scheme}://{address}/ws"),
        true => format!(
            "clients connect to {scheme}://HOST:{}/ws with any address of this machine as HOST",
            address.port()
        ),
    });
    lines.push(args.access());
    let shards = server.cores().len();
    let plural = if shards == 1 { "" } else { "s" };
    lines.push(format!("{shards} shard{plural} ({})", server.sizing()));
    lines.push(format!("executor: {}\n", server.executor()));
    lines.join("\n")
}
