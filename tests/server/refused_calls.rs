//! Proves that the server starts with what an ordinary user has and with what a container allows,
//! and says what to do where the system refuses what it needs.

use crate::support::filter::{EAGAIN, ENOMEM, ENOSYS, EPERM, IO_URING, KILL, KILL_THREAD};
use crate::support::filter::{glommio_starts, without};
use crate::support::{Client, Server, refused, serve, serve_limited, wait_until};
use serde_json::json;
use std::ffi::CStr;
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

#[test]
fn a_filter_that_kills_a_thread_for_a_call_of_io_uring_is_named_and_the_server_starts_plainly() {
    if !glommio_starts() {
        // Another filter may refuse a call before the one that kills is made.
        return;
    }
    for call in IO_URING {
        check_plain(without(command(2), &[call], KILL_THREAD), 2, "seccomp filter kills a thread");
        let outcome = refused(without(on_glommio(2), &[call], KILL_THREAD));
        outcome.assert_readable(&["seccomp filter kills a thread", "--executor plain"]);
    }
}

/// Where no process can be started (here for want of a pipe), a look for io_uring within the server
/// could be its end.
#[test]
fn without_a_trial_the_server_starts_plainly_and_says_so() {
    let deadly = without(command(2), &IO_URING, KILL);
    check_plain(without(deadly, &[libc::SYS_pipe2], EPERM), 2, "no process can be started");
}

#[test]
fn the_soft_descriptor_limit_does_not_keep_glommio_from_starting() {
    if !glommio_starts() {
        return;
    }
    let flags = ["--listen", "127.0.0.1:0", "--shards", "2", "--executor", "auto"];
    let server = Server::spawn(serve_limited(&flags, libc::RLIMIT_NOFILE, 12, 1024), 2);
    assert_eq!(server.stats()["executor"], "glommio", "{}", server.stats()["executor_reason"]);
}

/// The command with an empty directory in the place of this one; none where a test may not do that.
fn hiding(mut command: Command, path: &'static CStr) -> Option<Command> {
    let hide = move || {
        let (none, flags) = (c"none".as_ptr(), libc::MS_REC | libc::MS_PRIVATE);
        let (path, kind, null) = (path.as_ptr(), c"tmpfs".as_ptr(), std::ptr::null());
        // SAFETY: these are system calls alone, async-signal-safe, with strings that live as long as
        // the program; they change nothing but the mounts of the child.
        let done = unsafe {
            libc::unshare(libc::CLONE_NEWNS)
                | libc::mount(none, c"/".as_ptr(), null, flags, null.cast())
                | libc::mount(none, path, kind, 0, null.cast())
        };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    let mut look = Command::new("true");
    // SAFETY: see above.
    unsafe { look.pre_exec(hide) };
    let can = look.status().is_ok_and(|status| status.success());
    // SAFETY: see above.
    unsafe { command.pre_exec(hide) };
    can.then_some(command)
}

#[test]
fn without_sys_the_server_starts_plainly_and_glommio_says_what_it_lacks() {
    let (Some(auto), Some(glommio)) = (hiding(command(1), c"/sys"), hiding(on_glommio(1), c"/sys"))
    else {
        return;
    };
    let pins = Server::spawn(command(1), 1).shard_lines()[0].contains("on core");
    if !pins {
        return;
    }
    check_plain(auto, 1, "glommio needs /sys");
    refused(glommio).assert_readable(&["glommio needs /sys", "mount /sys", "--executor plain"]);
}

#[test]
fn without_proc_a_filter_that_kills_does_not_kill_the_server() {
    if let Some(command) = hiding(without(command(2), &IO_URING, KILL), c"/proc") {
        check_plain(command, 2, "no process can be started");
    }
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

/// It waits for memory that is not there, for seconds: meanwhile nothing is served.
#[test]
fn a_second_signal_ends_a_server_that_starts_at_once() {
    if !glommio_starts() {
        return;
    }
    let mut command = without(on_glommio(2), &[libc::SYS_io_uring_setup], ENOMEM);
    let child = command.spawn().unwrap();
    let id = child.id();
    wait_until("it handles signals", || {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
        [libc::SIGTERM, libc::SIGINT].iter().all(|signal| caught & 1 << (signal - 1) != 0)
    });
    // Two of one kind may arrive as one.
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the child has not been waited for, so its id is still its own.
        assert_eq!(unsafe { libc::kill(id as i32, signal) }, 0);
    }
    let outcome = child.wait_with_output().unwrap();
    let codes = [libc::SIGTERM, libc::SIGINT].map(|signal| Some(128 + signal));
    assert!(codes.contains(&outcome.status.code()), "{outcome:?}");
    assert_eq!(String::from_utf8_lossy(&outcome.stderr), "", "it did not wait for the memory");
}

#[test]
fn a_server_that_gets_no_thread_says_why_it_does_not_start() {
    let calls = [libc::SYS_clone3, libc::SYS_clone];
    let outcome = refused(without(command(2), &calls, EAGAIN));
    outcome.assert_readable(&["no thread", "ulimit -u"]);
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
    wait_until("the log says so", || server.log().contains("pinned"));
    Client::connect(&server).assert_alive();
}
