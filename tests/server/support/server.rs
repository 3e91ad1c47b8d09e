//! One `corecast serve` process per test, ended with the test, its log shown when the test fails.

use super::{PATIENCE, Response, filter, http, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    shard_lines: Vec<String>,
    log: Arc<Mutex<String>>,
    /// Set once the test itself asked the server to end.
    ending: bool,
}

impl From<&Server> for SocketAddr {
    fn from(server: &Server) -> SocketAddr {
        server.address
    }
}

impl Server {
    /// Starts with two shards on a free port of loopback, and these further flags.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_with_shards(2, flags)
    }

    pub(crate) fn start_with_shards(shards: usize, flags: &[&str]) -> Self {
        let mut command = serve(&["--listen", "127.0.0.1:0", "--shards", &shards.to_string()]);
        command.args(flags);
        Self::spawn(command, shards)
    }

    /// Starts any command that will print its address and this many shards.
    pub(crate) fn spawn(mut command: Command, shards: usize) -> Self {
        let mut child = command.spawn().expect("the corecast binary starts");
        let log = collect(child.stderr.take().unwrap());
        let lines = lines(child.stdout.take().unwrap());
        // The address is known only from the first line; until then the guard needs a placeholder.
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { child, address, shard_lines: Vec::new(), log, ending: false };
        let first = server.line(&lines);
        let address = first.strip_prefix("listening on ").and_then(|text| text.parse().ok());
        server.address = address.unwrap_or_else(|| panic!("not an address line: {first}"));
        server.shard_lines = (0..shards).map(|_| server.line(&lines)).collect();
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The start-up lines about the shards and their cores.
    pub(crate) fn shard_lines(&self) -> &[String] {
        &self.shard_lines
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn get(&self, target: &str) -> Response {
        http(self.address, "GET", target, &[], "")
    }

    pub(crate) fn post(&self, target: &str, body: &str) -> Response {
        http(self.address, "POST", target, &[], body)
    }

    pub(crate) fn delete(&self, target: &str) -> Response {
        http(self.address, "DELETE", target, &[], "")
    }

    pub(crate) fn stats(&self) -> Value {
        let response = self.get("/v1/stats");
        assert_eq!(response.status, 200, "in {response:?}");
        response.json()
    }

    /// A figure summed over the shards.
    pub(crate) fn total(&self, figure: &str) -> u64 {
        let stats = self.stats();
        let shards = stats["shards"].as_array().expect("stats list the shards");
        let number = |shard: &Value| {
            shard[figure].as_u64().unwrap_or_else(|| panic!("no {figure} in {shard}"))
        };
        shards.iter().map(number).sum()
    }

    /// Waits until a figure of the stats, summed over the shards, has this value.
    pub(crate) fn wait_for_total(&self, figure: &str, value: u64) {
        wait_until(&format!("{figure} is {value}"), || self.total(figure) == value);
    }

    /// How many connections were closed for this reason, over all shards.
    pub(crate) fn closed(&self, variant: &str) -> u64 {
        let stats = self.stats();
        let shards = stats["shards"].as_array().expect("stats list the shards");
        shards.iter().map(|shard| shard["closed"][variant].as_u64().unwrap_or(0)).sum()
    }

    /// The members of a room; 0 when it does not exist.
    pub(crate) fn members(&self, room: &str) -> u64 {
        let response = self.get(&format!("/v1/rooms/{room}"));
        if response.status == 404 { 0 } else { response.json()["members"].as_u64().unwrap() }
    }

    /// The bytes of memory that the process holds now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// How many descriptors the process has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    pub(crate) fn signal(&mut self, signal: i32) {
        self.ending = true;
        // SAFETY: the child has not been waited for, so its id is still its own.
        let sent = unsafe { libc::kill(self.child.id() as i32, signal) };
        assert_eq!(sent, 0, "the signal reaches the server");
    }

    /// Has the files of keys read again.
    pub(crate) fn reload(&self) {
        // SAFETY: the child has not been waited for, so its id is still its own.
        let sent = unsafe { libc::kill(self.child.id() as i32, libc::SIGHUP) };
        assert_eq!(sent, 0, "the signal reaches the server");
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.wait()
    }

    /// Waits for the end, which the test must have asked for.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for(&mut self.child)
    }

    fn line(&self, lines: &Receiver<String>) -> String {
        lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("a start-up line is missing"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.child.try_wait().ok().flatten();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of the server ---\n{}--- end ---", self.log());
            return;
        }
        if let (Some(status), false) = (ended, self.ending) {
            panic!("the server ended by itself with {status}:\n{}", self.log());
        }
        assert!(!self.log().contains("panicked"), "the server panicked:\n{}", self.log());
    }
}

/// What a server left that refused to run.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Exit code 1 and a message for people: no panic, and it speaks of all these things.
    pub(crate) fn assert_readable(&self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "stderr: {}", self.stderr);
        let message = self.stderr.to_lowercase();
        assert!(!message.contains("panicked"), "a panic is no message: {}", self.stderr);
        for word in words {
            assert!(message.contains(word), "{word} is missing in: {}", self.stderr);
        }
    }
}

/// Runs `corecast serve` with flags that it has to refuse.
pub(crate) fn refused(mut command: Command) -> Outcome {
    let mut child = command.spawn().expect("the corecast binary starts");
    let log = collect_joinable(child.stderr.take().unwrap());
    let status = wait_for(&mut child);
    Outcome { code: status.code(), stderr: log.join().unwrap() }
}

/// `corecast serve` with captured output, without settings from outside.
pub(crate) fn serve(flags: &[&str]) -> Command {
    let mut command = corecast("serve");
    command.args(flags);
    command
}

/// A command of the binary. Of the settings from outside only `CORECAST_EXECUTOR` reaches it, so that
/// one variable runs all of these tests on another executor, and the filter of this run.
pub(crate) fn corecast(subcommand: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    let is_from_outside = |name: &str| name.starts_with("CORECAST_") && name != "CORECAST_EXECUTOR";
    for (name, _) in std::env::vars().filter(|(name, _)| is_from_outside(name)) {
        command.env_remove(name);
    }
    command.arg(subcommand);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: prctl is async-signal-safe and touches nothing of the parent.
    unsafe {
        // A server must not outlive a test run that is killed. The signal comes when the thread
        // that spawned the server ends, which is the test's own thread.
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    match filter::ambient() {
        Some(action) => filter::without(command, &filter::IO_URING, action),
        None => command,
    }
}

/// The command under a limit of the operating system that neither it nor we can raise again.
pub(crate) fn serve_limited(
    flags: &[&str],
    resource: libc::__rlimit_resource_t,
    soft: u64,
    hard: u64,
) -> Command {
    let mut command = serve(flags);
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: setrlimit is async-signal-safe and gets a pointer to a live copy of the limit.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(resource, &limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    command
}

fn wait_for(child: &mut Child) -> ExitStatus {
    let mut status = None;
    let end = Instant::now() + PATIENCE;
    while status.is_none() && Instant::now() < end {
        status = child.try_wait().unwrap();
        thread::sleep(Duration::from_millis(10));
    }
    status.unwrap_or_else(|| {
        let _ = child.kill();
        panic!("the server did not end within {PATIENCE:?}")
    })
}

fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&text);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut sink = sink.lock().unwrap();
            sink.push_str(&line);
            sink.push('\n');
        }
    });
    text
}

fn collect_joinable(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    })
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        // Reading on after nobody listens any more keeps the server from blocking on its stdout.
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}
