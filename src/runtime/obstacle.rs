//! Why glommio does not start here, in words for the operator.

use std::{fs, io};

use crate::values::Obstacle;

pub(super) const NEWER_KERNEL: &str = "run Linux 5.11 or newer";

const ALLOW: &str = "allow io_uring_setup, io_uring_enter and io_uring_register in it (systemd: \
                     SystemCallFilter=, Docker: --security-opt seccomp=, Kubernetes: \
                     seccompProfile)";

const LOCK_MORE: &str = "raise the limit, which all programs of one user share (`ulimit -l`, \
                         LimitMEMLOCK= in systemd, --ulimit memlock= in a container), or choose \
                         fewer --shards";

const MORE_THREADS: &str = "allow more (`ulimit -u`, TasksMax= or LimitNPROC= in systemd, \
                            --pids-limit in a container)";

/// What an error of one of io_uring's calls means on this machine.
pub(super) fn io_uring_obstacle(error: &io::Error) -> Obstacle {
    let (reason, remedy) = Cause::of(error, Machine::read()).in_words();
    Obstacle { reason: format!("{reason}: {}", name(error)), remedy: remedy.to_owned() }
}

/// A filter that kills a process for a call of io_uring.
pub(super) fn deadly_filter() -> Obstacle {
    let reason = "a seccomp filter kills a process that uses io_uring".to_owned();
    Obstacle { reason, remedy: ALLOW.to_owned() }
}

/// A filter that kills a thread for a call of io_uring.
pub(super) fn thread_killing_filter() -> Obstacle {
    let reason = "a seccomp filter kills a thread that uses io_uring".to_owned();
    Obstacle { reason, remedy: ALLOW.to_owned() }
}

/// The program that is to try glommio cannot be started: without a trial, a filter might kill the
/// server itself.
pub(super) fn no_trial(error: &io::Error) -> Obstacle {
    Obstacle {
        reason: format!("no process can be started for a trial of glommio: {error}"),
        remedy:
            "let the server start its own program (/proc/self/exe), or say --executor glommio, \
                 which needs no trial"
                .to_owned(),
    }
}

/// The system does not say which cores there are.
pub(super) fn no_topology(path: &str, error: &io::Error) -> Obstacle {
    Obstacle {
        reason: format!(
            "glommio needs /sys to pin threads to cores, and {path} cannot be read: {error}"
        ),
        remedy: "mount /sys".to_owned(),
    }
}

/// The system starts no thread.
pub(super) fn no_thread(error: &io::Error) -> Obstacle {
    Obstacle {
        reason: format!("no thread can be started: {error}"),
        remedy: MORE_THREADS.to_owned(),
    }
}

/// The process may lock so many bytes, and so many are needed.
pub(super) fn memlock_obstacle(bytes: u64, needed: u64) -> Obstacle {
    Obstacle {
        reason: format!(
            "the process may lock only {bytes} bytes of memory (memlock), and the io_urings of its \
             shards need {needed}"
        ),
        remedy: format!(
            "raise the limit with `ulimit -l {}`, LimitMEMLOCK={needed} in systemd or --ulimit \
             memlock={needed} in a container, or choose fewer --shards",
            needed.div_ceil(1024)
        ),
    }
}

/// What bears on io_uring here.
#[derive(Clone, Copy, Debug)]
struct Machine {
    /// `kernel.io_uring_disabled`, which kernels without io_uring do not have, nor those before 6.6.
    disabled: Option<u8>,
    has_filter: bool,
}

/// Why one of io_uring's calls failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Disabled,
    Filter,
    Policy,
    FilterOrKernel,
    Kernel,
    Memory,
    Descriptors,
    Files,
    Unknown,
}

impl Machine {
    fn read() -> Machine {
        let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        Machine {
            disabled: disabled.ok().and_then(|text| text.trim().parse().ok()),
            has_filter: mode.is_some_and(|mode| mode.trim() != "0"),
        }
    }
}

impl Cause {
    fn of(error: &io::Error, machine: Machine) -> Cause {
        match (error.raw_os_error(), machine) {
            (Some(libc::ENOMEM), _) => Cause::Memory,
            (Some(libc::EMFILE), _) => Cause::Descriptors,
            (Some(libc::ENFILE), _) => Cause::Files,
            (Some(libc::EPERM), Machine { disabled: Some(1..), .. }) => Cause::Disabled,
            (Some(libc::EPERM | libc::EACCES), Machine { has_filter: true, .. }) => Cause::Filter,
            (Some(libc::EPERM | libc::EACCES), _) => Cause::Policy,
            (Some(libc::ENOSYS), Machine { disabled: Some(_), .. }) => Cause::Filter,
            (Some(libc::ENOSYS), Machine { has_filter: true, .. }) => Cause::FilterOrKernel,
            (Some(libc::ENOSYS), _) => Cause::Kernel,
            _ => Cause::Unknown,
        }
    }

    /// What is missing, and what would provide it.
    fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Cause::Disabled => (
                "io_uring is switched off on this host (kernel.io_uring_disabled)",
                "set it to 0 with `sysctl kernel.io_uring_disabled=0`",
            ),
            Cause::Filter => ("io_uring is refused by a seccomp filter", ALLOW),
            Cause::Policy => {
                ("io_uring is refused by a policy of this host", "look into the host's audit log")
            }
            Cause::FilterOrKernel => {
                ("io_uring is hidden by a seccomp filter, or this kernel has none", ALLOW)
            }
            Cause::Kernel => ("this kernel has no io_uring", NEWER_KERNEL),
            Cause::Memory => ("no more memory can be locked for io_uring (memlock)", LOCK_MORE),
            Cause::Descriptors => (
                "the process has too few descriptors left for io_uring",
                "raise the limit (`ulimit -n`, LimitNOFILE= in systemd, --ulimit nofile= in a \
                 container), or choose fewer --shards",
            ),
            Cause::Files => (
                "this host has too few open files left for io_uring",
                "raise it with `sysctl fs.file-max`",
            ),
            Cause::Unknown => ("the kernel refuses io_uring", "see the kernel's log"),
        }
    }
}

/// The name of an error of the system, as manuals have it.
fn name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM".to_owned(),
        Some(libc::EACCES) => "EACCES".to_owned(),
        Some(libc::ENOSYS) => "ENOSYS".to_owned(),
        Some(libc::ENOMEM) => "ENOMEM".to_owned(),
        Some(libc::EMFILE) => "EMFILE".to_owned(),
        Some(libc::ENFILE) => "ENFILE".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_io_uring_is_explained_by_what_bears_on_it_here() {
        use Cause::*;
        let rows = [
            (libc::EPERM, Some(0), true, Filter),
            (libc::EPERM, None, false, Policy),
            (libc::EPERM, Some(2), true, Disabled),
            (libc::EPERM, Some(1), false, Disabled),
            (libc::EACCES, Some(0), true, Filter),
            (libc::ENOSYS, Some(0), true, Filter),
            (libc::ENOSYS, None, true, FilterOrKernel),
            (libc::ENOSYS, None, false, Kernel),
            (libc::ENOMEM, Some(0), true, Memory),
            (libc::EMFILE, Some(0), true, Descriptors),
            (libc::ENFILE, Some(0), false, Files),
            (libc::EINVAL, Some(0), false, Unknown),
        ];
        for (errno, disabled, has_filter, refusal) in rows {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(Cause::of(&error, Machine { disabled, has_filter }), refusal, "{error}");
        }
    }
}
