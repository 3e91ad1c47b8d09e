//! Servers as child processes, and what the kernel knows of them.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What every server prints first.
const LISTENING: &str = "listening on ";

/// A server that was started here, and ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    /// Kept open: a server may have more to say, and must not die of a closed pipe.
    output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a server and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or says something else.
    pub fn start(mut command: Command) -> io::Result<Server> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::other(format!("cannot start {command:?}: {error}")))?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        let mut output = BufReader::new(output);
        match read_address(&mut output) {
            Some(address) => Ok(Server { child, address, output }),
            None => {
                // It may have ended by itself; then there is nothing to kill.
                let _ = child.kill();
                let status = child.wait()?;
                Err(io::Error::other(format!("{command:?} did not listen: {status}")))
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Tells it to drain and end.
    ///
    /// # Errors
    ///
    /// When it runs no longer.
    pub fn terminate(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::TERM)?)
    }

    /// Waits until it has ended, or ends it after `patience`; returns how it ended and what it said
    /// after its address.
    ///
    /// # Errors
    ///
    /// When it cannot be waited for.
    pub fn end(&mut self, patience: Duration) -> io::Result<(ExitStatus, String)> {
        let begin = Instant::now();
        while self.is_alive() && begin.elapsed() < patience {
            thread::sleep(Duration::from_millis(10));
        }
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let mut said = String::new();
        self.output.read_to_string(&mut said)?;
        Ok((self.child.wait()?, said))
    }

    /// Its resident memory.
    ///
    /// # Errors
    ///
    /// When it runs no longer.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        self.status_bytes("VmRSS:")
    }

    /// Forgets how much memory it had resident until now (Linux, proc_pid_clear_refs(5)).
    ///
    /// # Errors
    ///
    /// When it runs no longer.
    pub fn forget_peak(&self) -> io::Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5")
    }

    /// The most memory that it had resident since then, or ever.
    ///
    /// # Errors
    ///
    /// When it runs no longer.
    pub fn peak_bytes(&self) -> io::Result<u64> {
        self.status_bytes("VmHWM:")
    }

    /// Memory that cannot leave RAM: locked, or lent to the kernel for rings.
    ///
    /// # Errors
    ///
    /// When it runs no longer.
    pub fn pinned_bytes(&self) -> io::Result<u64> {
        Ok(self.status_bytes("VmLck:")? + self.status_bytes("VmPin:")?)
    }

    fn status_bytes(&self, name: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let bytes = field_bytes(&status, name);
        bytes.ok_or_else(|| io::Error::other(format!("no {name} the process has ended")))
    }

    /// How many descriptors it has open.
    ///
    /// # Errors
    ///
    /// When it runs no longer.
    pub fn descriptors(&self) -> io::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The child is not waited for yet, so that its pid is still its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a running engine says of itself; of a floor, its counters alone.
///
/// # Errors
///
/// When it does not answer, or something else does.
pub fn stats(address: SocketAddr) -> io::Result<Value> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let body = response.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(serde_json::from_str(body)?)
}

fn read_address(output: &mut impl BufRead) -> Option<SocketAddr> {
    let mut line = String::new();
    output.read_line(&mut line).ok()?;
    line.trim_end().strip_prefix(LISTENING)?.parse().ok()
}

fn field_bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// A command that runs on these cores only; anywhere when there are none.
pub fn pinned(program: &Path, cores: &[usize]) -> Command {
    if cores.is_empty() {
        return Command::new(program);
    }
    let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
    // taskset replaces itself by the program: the pid is the program's.
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(cores.join(",")).arg(program);
    command
}

/// A program that was built beside this one.
///
/// # Errors
///
/// When it is not there.
pub fn sibling(name: &str) -> io::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(io::Error::other(format!("{} is not built", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_status_page() {
        assert_eq!(field_bytes("VmHWM:\t 5 kB\nVmRSS:\t    1234 kB\n", "VmRSS:"), Some(1234 << 10));
        assert_eq!(field_bytes("Name:\tx\nState:\tZ (zombie)\n", "VmRSS:"), None);
    }

    #[test]
    fn an_address_stands_on_the_first_line() {
        let mut output = &b"listening on 127.0.0.1:80\nshard 0 on core 0\n"[..];
        assert_eq!(read_address(&mut output), Some(([127, 0, 0, 1], 80).into()));
        assert_eq!(read_address(&mut &b"error\n"[..]), None);
    }

    #[test]
    fn a_pinned_command_names_its_cores() {
        let command = pinned(Path::new("/x"), &[0, 2]);
        let args: Vec<_> = command.get_args().collect();
        assert_eq!((command.get_program().to_str(), args.len()), (Some("taskset"), 3));
        assert_eq!(args[1], "0,2");
    }
}
