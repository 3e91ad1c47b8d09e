//! Proves that a server whose log cannot be written is a server all the same: it serves, drains and
//! ends as any other.

use crate::support::{Client, PATIENCE, http, serve, serve_limited, wait_until};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

/// A device on which every write fails with ENOSPC.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// The writing end of a pipe that nobody reads: every write fails with EPIPE.
fn closed_pipe() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

/// A pipe that is full and stays so while the first end lives: a write to it waits for ever.
fn stuck_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    // SAFETY: the descriptor is the pipe's own and open; the call sets a flag of it.
    let set = |flags: i32| unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, flags) };
    assert_eq!(set(libc::O_NONBLOCK), 0);
    while (&writer).write(&[b'.'; 4096]).is_ok() {}
    while (&writer).write(b".").is_ok() {}
    assert_eq!(set(0), 0);
    (reader, writer)
}

/// A server of which nothing is heard but its address; killed with the test.
struct Mute {
    child: Child,
    address: SocketAddr,
}

impl Mute {
    fn start(mut command: Command, stderr: impl Into<Stdio>) -> Mute {
        let mut child = command.stderr(stderr).spawn().unwrap();
        let mut first = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut first).unwrap();
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let address = first.trim_end().strip_prefix("listening on ").unwrap().parse().unwrap();
        Mute { child, address }
    }

    /// Sends SIGTERM; returns the exit code.
    fn terminate(mut self) -> Option<i32> {
        // SAFETY: the child has not been waited for, so its id is still its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) }, 0);
        wait_until("it ends", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that is there when the server drains hears of it, and the server ends well.
fn check_drain(server: Mute) {
    let mut client = Client::connect(server.address);
    let reader = std::thread::spawn(move || client.goodbye().code);
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(reader.join().unwrap(), 1001);
}

fn command() -> Command {
    serve(&["--listen", "127.0.0.1:0", "--shards", "2"])
}

#[test]
fn a_full_log_changes_nothing() {
    check_drain(Mute::start(command(), full()));
}

#[test]
fn a_log_that_waits_for_its_reader_changes_nothing() {
    let (_reader, writer) = stuck_pipe();
    check_drain(Mute::start(command(), writer));
}

#[test]
fn a_log_that_nobody_reads_changes_nothing() {
    check_drain(Mute::start(command(), closed_pipe()));
}

#[test]
fn json_lines_that_cannot_be_written_change_nothing() {
    let mut command = command();
    command.args(["--log-format", "json"]);
    check_drain(Mute::start(command, full()));
}

/// Shards log that descriptors are short.
#[test]
fn shards_that_log_meanwhile_go_on() {
    for stderr in [Stdio::from(full()), closed_pipe()] {
        let flags = ["--listen", "127.0.0.1:0", "--shards", "2"];
        let limited = serve_limited(&flags, libc::RLIMIT_NOFILE, 100, 100);
        let server = Mute::start(limited, stderr);
        let many: Vec<_> = (0..200).map(|_| TcpStream::connect(server.address).unwrap()).collect();
        // The first is the one that makes room.
        let mut first = many.first().unwrap();
        first.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = first.read(&mut [0; 1]);
        drop(many);
        let ready = || http(server.address, "GET", "/healthz", &[], "").status == 200;
        wait_until("there is room again", ready);
        check_drain(server);
    }
}

#[test]
fn a_server_that_cannot_say_where_it_is_serves_all_the_same() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = serve(&["--listen", &free.to_string(), "--shards", "2"]);
    let child = command.stdout(full()).stderr(full()).spawn().unwrap();
    let server = Mute { child, address: free };
    wait_until("it listens", || TcpStream::connect(free).is_ok());
    check_drain(server);
}

#[test]
fn a_server_whose_words_wait_for_their_reader_serves_and_ends_all_the_same() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_reader, writer) = stuck_pipe();
    let mut command = serve(&["--listen", &free.to_string(), "--shards", "2"]);
    let stdout = writer.try_clone().unwrap();
    let child = command.stdout(stdout).stderr(writer).spawn().unwrap();
    let server = Mute { child, address: free };
    wait_until("it listens", || TcpStream::connect(free).is_ok());
    check_drain(server);
}

#[test]
fn a_server_that_cannot_say_why_it_does_not_start_ends_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (_reader, writer) = stuck_pipe();
    for stderr in [Stdio::from(full()), writer.into()] {
        let mut command = serve(&["--listen", &address, "--shards", "2"]);
        let mut child = command.stderr(stderr).spawn().unwrap();
        wait_until("it ends", || child.try_wait().unwrap().is_some());
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
}
