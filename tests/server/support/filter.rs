//! Filters that refuse system calls, as containers have them.

use super::corecast;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::os::unix::process::CommandExt;
use std::process::Command;

pub(crate) const EPERM: SeccompAction = SeccompAction::Errno(libc::EPERM as u32);
pub(crate) const ENOSYS: SeccompAction = SeccompAction::Errno(libc::ENOSYS as u32);
pub(crate) const ENOMEM: SeccompAction = SeccompAction::Errno(libc::ENOMEM as u32);
pub(crate) const EAGAIN: SeccompAction = SeccompAction::Errno(libc::EAGAIN as u32);
pub(crate) const KILL: SeccompAction = SeccompAction::KillProcess;
pub(crate) const KILL_THREAD: SeccompAction = SeccompAction::KillThread;

pub(crate) const IO_URING: [libc::c_long; 3] =
    [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// A program for the kernel that meets these calls with this action and allows all others.
pub(crate) fn program(calls: &[libc::c_long], action: SeccompAction) -> BpfProgram {
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let machine = std::env::consts::ARCH.try_into().expect("seccomp knows this machine");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, machine);
    filter.unwrap().try_into().unwrap()
}

/// The command under a filter.
pub(crate) fn without(
    mut command: Command,
    calls: &[libc::c_long],
    action: SeccompAction,
) -> Command {
    let program = program(calls, action);
    // SAFETY: two calls of prctl and seccomp are async-signal-safe, and the program that they read
    // lives in the closure.
    unsafe {
        command.pre_exec(move || {
            seccompiler::apply_filter(&program).map_err(|_| std::io::Error::last_os_error())
        });
    }
    command
}

/// What every server of this run meets when it asks for io_uring: `CORECAST_TEST_FILTER` is `EPERM`
/// or `ENOSYS`.
pub(crate) fn ambient() -> Option<SeccompAction> {
    let name = std::env::var("CORECAST_TEST_FILTER").ok()?;
    let known = [("EPERM", EPERM), ("ENOSYS", ENOSYS)];
    let action = known.into_iter().find(|(known, _)| *known == name);
    Some(action.unwrap_or_else(|| panic!("no filter is called {name}")).1)
}

/// Whether a server can run on glommio here. What only such a one shows is not tested elsewhere.
pub(crate) fn glommio_starts() -> bool {
    let status = corecast("try-executor").status().expect("the corecast binary starts");
    status.success()
}
