//! A trial of glommio in a process of its own.
//!
//! glommio ends its process where an operation is missing, and some filters of system calls kill a
//! process for its first io_uring. A program that can be started for nothing but the trial learns
//! of both from the end of that process.

use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::executor::{MEMLOCK_MIN, MEMORY_PATIENCE, try_glommio};
use super::obstacle::{deadly_filter, no_trial};
use super::start_error::StartError;
use super::{io_uring_probe, sys};
use crate::values::Obstacle;

/// Makes the command that runs [`try_executor`] and prints what that says. The core is added to it as
/// its last argument, if there is one.
pub(crate) type Trial = fn() -> Command;

/// What a process may take that has little to do but to wait for locked memory.
const TRIAL_MAX: Duration = Duration::from_secs(MEMORY_PATIENCE.as_secs() + 4);

const TRIAL_POLL: Duration = Duration::from_millis(1);

/// Starts glommio in the calling process, pinned to this core if one is given, and ends it again. The
/// error is a line with the reason and one with the remedy.
#[doc(hidden)]
pub fn try_executor(core: Option<usize>) -> Result<(), String> {
    let tried = io_uring_probe::probe().and_then(|()| match may_lock_enough() {
        true => try_glommio(core).map_err(StartError::obstacle),
        // That is for the server to say, which knows how much its shards need.
        false => Ok(()),
    });
    tried.map_err(|Obstacle { reason, remedy }| format!("{reason}\n{remedy}\n"))
}

/// Whether glommio would make a single executor with the limit of this process.
fn may_lock_enough() -> bool {
    sys::resource_limit(libc::RLIMIT_MEMLOCK).is_ok_and(|limit| limit.rlim_cur >= MEMLOCK_MIN)
}

/// What a trial on this core says.
pub(super) fn run(trial: Trial, core: Option<usize>) -> Result<(), Obstacle> {
    let mut command = trial();
    command.args(core.map(|core| core.to_string()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| no_trial(&error))?;
    let ended = wait(&mut child);
    let mut said = String::new();
    let mut words = child.stdout.take().expect("it is piped, and taken once");
    // What is no text says nothing.
    let _ = words.read_to_string(&mut said);
    judge(ended, &said)
}

/// How the process ended; none when it did not and was killed.
///
/// # Errors
///
/// When there is no way to know. Where SIGCHLD is ignored the kernel keeps no status (wait(2)).
fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + TRIAL_MAX;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(TRIAL_POLL);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn judge(ended: io::Result<Option<ExitStatus>>, said: &str) -> Result<(), Obstacle> {
    let how = match ended {
        Ok(Some(status)) if status.success() => return Ok(()),
        Ok(Some(status)) if status.signal() == Some(libc::SIGSYS) => return Err(deadly_filter()),
        Ok(Some(status)) => status.to_string(),
        Ok(None) => format!("no end within {TRIAL_MAX:?}"),
        Err(_) => "no status, because SIGCHLD is ignored".to_owned(),
    };
    let mut lines = said.lines().map(str::to_owned);
    Err(match (lines.next(), lines.next()) {
        (Some(reason), Some(remedy)) => Obstacle { reason, remedy },
        _ => Obstacle {
            reason: format!("a trial of glommio failed ({how})"),
            remedy: "find out with --executor glommio, with which the server may fail in the \
                     same way"
                .to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn obstacle(trial: Trial) -> Obstacle {
        run(trial, None).expect_err("it did not end well")
    }

    #[test]
    fn a_trial_is_judged_by_its_end_and_its_words() {
        assert_eq!(run(|| shell("exit 0"), None), Ok(()));
        assert_eq!(run(|| shell("test $0 = 7"), Some(7)), Ok(()));
        let said = obstacle(|| shell("echo why; echo what to do; exit 1"));
        assert_eq!((said.reason.as_str(), said.remedy.as_str()), ("why", "what to do"));
        assert_eq!(obstacle(|| shell("kill -SYS $$")), deadly_filter());
        let ended = obstacle(|| shell("echo Bye; exit 3"));
        assert!(ended.reason.contains("exit status: 3"), "{ended:?}");
    }

    #[test]
    fn an_end_without_a_status_is_a_failure_whatever_it_was() {
        let unknown = || Err(io::Error::from_raw_os_error(libc::ECHILD));
        let unread = judge(unknown(), "").unwrap_err();
        assert!(unread.reason.contains("SIGCHLD"), "{unread:?}");
        let said = judge(unknown(), "why\nwhat to do\n").unwrap_err();
        assert_eq!((said.reason.as_str(), said.remedy.as_str()), ("why", "what to do"));
    }

    #[test]
    fn a_trial_that_cannot_be_started_is_a_failure_with_its_reason() {
        let unstarted = obstacle(|| Command::new("/no/such/program"));
        assert!(unstarted.reason.contains("no process can be started"), "{unstarted:?}");
    }
}
