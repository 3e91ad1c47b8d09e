//! Proves that the server starts with what an ordinary user has, and says what to do where the
//! system refuses what it needs.

use crate::support::{Client, Outcome, Server, refused, serve};
use std::os::unix::process::CommandExt;
use std::process::Command;

fn command(shards: usize) -> Command {
    serve(&["--listen", "127.0.0.1:0", "--shards", &shards.to_string()])
}

/// Debian's default for what a user may lock.
const MEMLOCK: u64 = 8 << 20;

const NOBODY: u32 = 65_534;

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

#[test]
fn many_shards_start_for_an_ordinary_user() {
    for shards in [8, 16] {
        let mut server = Server::spawn(ordinary(command(shards)), shards);
        Client::connect(&server).assert_alive();
        assert_eq!(server.terminate().code(), Some(0));
    }
}

/// The kernel gives locked memory back some time after its process has ended.
#[test]
fn a_restart_at_once_works_near_the_limit() {
    const SHARDS: usize = 24;
    for _ in 0..4 {
        let mut server = Server::spawn(ordinary(command(SHARDS)), SHARDS);
        Client::connect(&server).assert_alive();
        assert_eq!(server.terminate().code(), Some(0));
    }
}

#[test]
fn more_shards_than_memory_can_be_locked_for_are_refused() {
    let outcome = refused(ordinary(command(64)));
    outcome.assert_readable(&["memlock", "--shards", "limitmemlock", "ulimit -l"]);
}

/// The command under a filter that answers one system call with EPERM.
fn without(mut command: Command, call: libc::c_long) -> Command {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const ANSWER: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let steps = [
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_IF_EQUAL, 0, 1, u32::try_from(call).unwrap()),
        step(ANSWER, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(ANSWER, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    // SAFETY: prctl is async-signal-safe, and the program that it reads lives in the closure.
    unsafe {
        command.pre_exec(move || {
            let mut steps = steps;
            let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
            let no_more = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            let mode = libc::SECCOMP_MODE_FILTER;
            match no_more | libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    command
}

#[test]
fn a_filter_that_refuses_any_call_of_io_uring_is_named() {
    for call in [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register] {
        let outcome: Outcome = refused(without(command(2), call));
        outcome.assert_readable(&["io_uring", "seccomp"]);
    }
}

#[test]
fn a_filter_that_refuses_pinning_costs_the_pinning() {
    let server = Server::spawn(without(command(2), libc::SYS_sched_setaffinity), 2);
    assert!(server.shard_lines().iter().all(|line| line.ends_with("unpinned")));
    assert!(server.log().contains("pinned"), "{}", server.log());
    Client::connect(&server).assert_alive();
}
