//! Proves that the server starts with what an ordinary user has and with what a container allows,
//! and says what to do where the system refuses what it needs.

use crate::support::filter::{ENOMEM, ENOSYS, EPERM, IO_URING, KILL, glommio_starts, without};
use crate::support::{Client, Server, refused, serve, serve_limited, wait_until};
use serde_json::json;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

fn command(shards: usize) -> Command {
    serve(&["--listen", "127.0.0.1:0", "--shards", &shards.to_string()])
}

/// The same, and it has to be glommio that runs the shards.
fn on_glommio(shards: usize) -> Command {
    let mut command = command(shards);
    command.args(["--executor", "glommio"]);
    command
}

/// Debian's default for what a user may lock.
const MEMLOCK: u64 = 8 << 20;

const NOBODY: u32 = 65_534;

/// What one user may lock, all processes of that user share: of the tests that need most of it, one
/// runs at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALLOWANCE: Mutex<()> = Mutex::new(());
    ALLOWANCE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The command as an ordinary user would run it: without privileges, as far as the test has them
/// to give up, and with this much memory to lock.
fn ordinary(mut command: Command) -> Command {
    // SAFETY: all of these are async-signal-safe and touch nothing of the parent.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: MEMLOCK, rlim_max: MEMLOCK };
            let mut done = libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit);
            if libc::geteuid() == 0 {
                done |= libc::setgroups(0, std::ptr::null());
                done |= libc::setgid(NOBODY) | libc::setuid(NOBODY);
                // It was forgotten with the user.
                done |= libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            }
            if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
    command
}

/// With glommio, where it can be had at all.
fn either(shards: usize) -> Command {
    if glommio_starts() { on_glommio(shards) } else { command(shards) }
}

#[test]
fn many_shards_start_for_an_ordinary_user() {
    let _alone = alone();
    for shards in [8, 16] {
        let mut server = Server::spawn(ordinary(either(shards)), shards);
        Client::connect(&server).assert_alive();
        assert_eq!(server.terminate().code(), Some(0));
    }
}

/// The kernel gives locked memory back some time after its process has ended.
#[test]
fn a_restart_at_once_works_near_the_limit() {
    let _alone = alone();
    const SHARDS: usize = 24;
    for _ in 0..4 {
        let mut server = Server::spawn(ordinary(either(SHARDS)), SHARDS);
        Client::connect(&server).assert_alive();
        assert_eq!(server.terminate().code(), Some(0));
    }
}

#[test]
fn more_shards_than_memory_can_be_locked_for_are_refused_on_glommio_and_start_plainly() {
    if !glommio_starts() {
        // It is told of another filter, which all servers of this run have.
        return;
    }
    let _alone = alone();
    let outcome = refused(ordinary(on_glommio(64)));
    outcome.assert_readable(&["memlock", "--shards", "limitmemlock", "ulimit -l"]);
    check_plain(ordinary(command(64)), 64, "memlock");
}

#[test]
fn too_little_lockable_memory_for_any_ring_starts_plainly() {
    if !glommio_starts() {
        // It is told of another filter, which all servers of this run have.
        return;
    }
    let little = |flags: &[&str]| serve_limited(flags, libc::RLIMIT_MEMLOCK, 65_536, 65_536);
    let flags = ["--listen", "127.0.0.1:0", "--shards", "2"];
    check_plain(little(&flags), 2, "memlock");
    refused(little(&[&flags[..], &["--executor", "glommio"]].concat()))
        .assert_readable(&["memlock"]);
}

/// The server runs on plain threads, and says so, with this reason, wherever it says what it is.
fn check_plain(mut command: Command, shards: usize, reason: &str) {
    // Whatever this run asks for, it is the server that finds out.
    command.env_remove("CORECAST_EXECUTOR");
    let server = Server::spawn(command, shards + 4);
    let line = server.shard_lines().last().unwrap().clone();
    assert!(line.starts_with("executor: plain (") && line.contains(reason), "{line}");
    assert!(line.contains("; to use glommio, "), "it says what would change that: {line}");
    wait_until(&format!("the log says {line}"), || server.log().contains(&line));
    let stats = server.stats();
    assert_eq!(stats["executor"], "plain");
    let told = stats["executor_reason"].as_str().unwrap();
    assert!(told.contains(reason) && line.contains(told), "{told}");
    for shard in stats["shards"].as_array().unwrap() {
        assert_eq!(shard["runtime"]["sends_by"], "plain");
    }
    exchange(&server);
}

/// A message goes from one client to another.
fn exchange(server: &Server) {
    let [mut one, mut other] = [(); 2].map(|()| Client::connect(server));
    other.join("r");
    one.publish("r", "chat", json!({"n": 1}));
    assert_eq!(other.recv_event("chat").data(), json!({"n": 1}));
}

#[test]
fn a_filter_that_refuses_any_call_of_io_uring_is_named_and_the_server_starts_plainly() {
    if !glommio_starts() {
        // It is told of another filter, which all servers of this run have.
        return;
    }
    for call in IO_URING {
        let outcome = refused(without(on_glommio(2), &[call], EPERM));
        outcome.assert_readable(&["io_uring", "seccomp", "--executor plain"]);
        check_plain(without(command(2), &[call], EPERM), 2, "refused by a seccomp filter: EPERM");
        check_plain(without(command(2), &[call], ENOSYS), 2, "seccomp filter");
    }
}

#[test]
fn a_filter_that_kills_what_uses_io_uring_costs_a_trial_and_not_the_server() {
    check_plain(without(command(2), &IO_URING, KILL), 2, "seccomp filter kills");
}

/// What other processes of the same user have locked is no limit that could be read before.
#[test]
fn memory_that_is_used_up_is_waited_for_and_then_refused_on_glommio() {
    if !glommio_starts() {
        return;
    }
    let outcome = refused(without(on_glommio(2), &[libc::SYS_io_uring_setup], ENOMEM));
    outcome.assert_readable(&["memlock", "ulimit -l", "--executor plain"]);
}

#[test]
fn memory_that_is_used_up_is_waited_for_and_then_the_server_starts_plainly() {
    if !glommio_starts() {
        return;
    }
    check_plain(without(command(2), &[libc::SYS_io_uring_setup], ENOMEM), 2, "memlock");
}

/// A child's status is lost where its parent ignores SIGCHLD, as some supervisors leave it.
#[test]
fn a_trial_whose_end_is_not_known_costs_glommio_and_not_the_server() {
    let mut command = without(command(2), &IO_URING, KILL);
    // SAFETY: signal is async-signal-safe and touches nothing of the parent.
    unsafe {
        command.pre_exec(|| match libc::signal(libc::SIGCHLD, libc::SIG_IGN) {
            libc::SIG_ERR => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    check_plain(command, 2, "a trial of glommio failed (no status");
}

#[test]
fn plain_threads_make_no_call_of_io_uring() {
    let mut command = without(command(2), &IO_URING, KILL);
    command.args(["--executor", "plain"]);
    let server = Server::spawn(command, 2 + 4);
    assert_eq!(server.shard_lines().last().unwrap(), "executor: plain (as asked for)");
    exchange(&server);
}

#[test]
fn sends_go_over_a_ring_on_plain_threads_only_when_they_are_told_to() {
    if !glommio_starts() {
        return;
    }
    for (sends, by) in [("auto", "plain"), ("plain", "plain"), ("ring", "ring")] {
        let server = Server::start(&["--executor", "plain", "--sends", sends]);
        assert_eq!(server.stats()["shards"][0]["runtime"]["sends_by"], by, "--sends {sends}");
        exchange(&server);
    }
}

#[test]
fn it_runs_on_glommio_where_that_starts() {
    if !glommio_starts() {
        return;
    }
    for (executor, line) in [
        ("auto", "executor: glommio (the kernel allows io_uring)"),
        ("glommio", "executor: glommio (as asked for)"),
    ] {
        let mut command = command(2);
        command.args(["--executor", executor]);
        let server = Server::spawn(command, 2 + 4);
        assert_eq!(server.shard_lines().last().unwrap(), line);
        assert_eq!(server.stats()["executor"], "glommio");
        exchange(&server);
    }
}

#[test]
fn a_filter_that_refuses_pinning_costs_the_pinning() {
    let server = Server::spawn(without(command(2), &[libc::SYS_sched_setaffinity], EPERM), 2);
    assert!(server.shard_lines().iter().all(|line| line.ends_with("unpinned")));
    assert!(server.log().contains("pinned"), "{}", server.log());
    Client::connect(&server).assert_alive();
}
