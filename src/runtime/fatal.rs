//! What ends the whole process, and what does not.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use corecast_shards::ShardId;

use crate::program::catch_panic_now;

/// The exit code of a process one of whose shards panicked (EX_SOFTWARE of sysexits.h).
const EXIT_PANIC: i32 = 70;

/// Runs a shard; if it panics, ends the process: nothing would serve its connections, and
/// nothing order its rooms.
pub(super) fn or_die(id: ShardId, shard: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(shard)).is_err() {
        die(id);
    }
}

fn die(id: ShardId) -> ! {
    // Standard error may be closed, full, or a pipe that is not read; the process ends all the same.
    let (written, said) = mpsc::channel();
    let say = move || {
        let words = "panicked; the process ends, because it would limp";
        written.send(writeln!(io::stderr(), "corecast: shard {id} {words}"))
    };
    if thread::Builder::new().spawn(say).is_ok() {
        let _ = said.recv_timeout(WORDS_MAX);
    }
    std::process::exit(EXIT_PANIC);
}

/// How long the end of the process waits for its last words to be read.
const WORDS_MAX: Duration = Duration::from_secs(1);

/// While it lives the engine is at work for the program's own code, whose panics are caught. One
/// that begins here is the engine's: the shard is left half changed, and the process ends.
#[derive(Debug)]
pub(super) struct AtWork {
    id: ShardId,
    /// The program calls while it unwinds already, from a destructor.
    unwinding: bool,
}

impl AtWork {
    pub(super) fn begin(id: ShardId) -> AtWork {
        AtWork { id, unwinding: thread::panicking() }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if thread::panicking() && !self.unwinding {
            die(self.id);
        }
    }
}

/// Runs code of the program's that cannot fail by its type: a panic is logged and costs nothing
/// else.
pub(super) fn catch_and_log<T>(what: &str, run: impl FnOnce() -> T) -> Option<T> {
    let result = catch_panic_now(run);
    result.inspect_err(|panic| tracing::error!("{what} {panic}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Output, Stdio};

    const MARK: &str = "CORECAST_TEST_PANIC";

    /// Runs one test of this module once more, in a process of its own.
    fn again(test: &str, stderr: Stdio) -> Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("runtime::fatal::tests::{test}"), "--nocapture"])
            .env(MARK, "1")
            .stderr(stderr)
            .output()
            .unwrap()
    }

    fn is_child() -> bool {
        std::env::var_os(MARK).is_some()
    }

    #[test]
    fn a_shard_that_panics_ends_the_process() {
        if is_child() {
            or_die(ShardId::new(3), || panic!("on purpose"));
            unreachable!("the process has ended");
        }
        let output = again("a_shard_that_panics_ends_the_process", Stdio::piped());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(EXIT_PANIC), "{said}");
        assert!(said.contains("shard 3 panicked"), "{said}");
    }

    #[test]
    fn a_shard_that_panics_ends_the_process_when_nothing_can_be_said() {
        if is_child() {
            or_die(ShardId::new(3), || panic!("on purpose"));
            unreachable!("the process has ended");
        }
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let test = "a_shard_that_panics_ends_the_process_when_nothing_can_be_said";
        assert_eq!(again(test, full.into()).status.code(), Some(EXIT_PANIC));
    }

    #[test]
    fn a_shard_that_panics_ends_the_process_when_no_word_is_read() {
        if is_child() {
            // As the command has it: the words of a panic are not written on the shard's thread.
            std::panic::set_hook(Box::new(|_| {}));
            or_die(ShardId::new(3), || panic!("on purpose"));
            unreachable!("the process has ended");
        }
        let (reader, mut writer) = std::io::pipe().unwrap();
        let filler = writer.try_clone().unwrap();
        thread::spawn(move || while writer.write_all(&[b'.'; 4096]).is_ok() {});
        let test = "a_shard_that_panics_ends_the_process_when_no_word_is_read";
        thread::sleep(Duration::from_millis(200));
        assert_eq!(again(test, filler.into()).status.code(), Some(EXIT_PANIC));
        drop(reader);
    }

    #[test]
    fn a_panic_of_the_engine_inside_a_handler_ends_the_process() {
        if is_child() {
            let _ = catch_unwind(|| {
                let _at_work = AtWork::begin(ShardId::new(2));
                panic!("on purpose");
            });
            unreachable!("the process has ended");
        }
        let test = "a_panic_of_the_engine_inside_a_handler_ends_the_process";
        assert_eq!(again(test, Stdio::piped()).status.code(), Some(EXIT_PANIC));
    }

    #[test]
    fn a_destructor_that_calls_the_engine_while_a_handler_unwinds_does_not_end_the_process() {
        struct Calls;
        impl Drop for Calls {
            fn drop(&mut self) {
                let _at_work = AtWork::begin(ShardId::new(2));
            }
        }
        let caught = catch_unwind(|| {
            let _calls = Calls;
            panic!("on purpose");
        });
        assert!(caught.is_err(), "it was caught, and nothing else happened");
    }
}
