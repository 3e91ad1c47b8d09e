//! Where and of what it was measured.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde::Serialize;

/// The machine, and the versions of everything.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) memory: String,
    pub(super) kernel: String,
    pub(super) rustc: String,
    /// With `+changes` when the working copy differs from it.
    pub(super) commit: String,
    pub(super) date: String,
    pub(super) versions: BTreeMap<&'static str, String>,
}

/// Crates whose version matters for the figures.
const CRATES: [&str; 8] = [
    "corecast",
    "glommio",
    "axum",
    "tokio",
    "tokio-tungstenite",
    "tungstenite",
    "dashmap",
    "io-uring",
];

const LOCK: &str = include_str!("../../../Cargo.lock");

impl Machine {
    pub(super) fn describe() -> Machine {
        let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
        let changed = !output("git", &["status", "--porcelain"]).is_empty();
        let commit = output("git", &["rev-parse", "--short=12", "HEAD"]);
        Machine {
            cpu,
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: field("/proc/meminfo", "MemTotal").map_or_else(String::new, gigabytes),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| "unknown".to_owned(), |release| release.trim().to_owned()),
            rustc: output("rustc", &["--version"]),
            commit: commit + if changed { "+changes" } else { "" },
            date: output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            versions: CRATES.iter().map(|name| (*name, version(LOCK, name))).collect(),
        }
    }

    /// Lines of name and value.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let versions: Vec<String> =
            self.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        vec![
            ("machine", format!("{}, {} cores, {}", self.cpu, self.cores, self.memory)),
            ("kernel", format!("Linux {}", self.kernel)),
            ("commit", self.commit.clone()),
            ("versions", format!("{}; {}", versions.join(", "), self.rustc)),
            ("date", self.date.clone()),
        ]
    }
}

/// The value behind `name:` in one of the kernel's pages.
fn field(page: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(page).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// `24684096 kB` is `25.3 GB`.
fn gigabytes(kib: String) -> String {
    let number = kib.strip_suffix(" kB").and_then(|kib| kib.parse::<f64>().ok());
    number.map_or(kib, |kib| format!("{:.1} GB", kib * 1024.0 / 1e9))
}

/// What a program prints; nothing when it is not there.
fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// The versions of a crate that are locked, the newest last.
fn version(lock: &str, name: &str) -> String {
    let header = format!("name = \"{name}\"\nversion = \"");
    let versions: Vec<&str> =
        lock.split(&header).skip(1).filter_map(|rest| rest.split('"').next()).collect();
    versions.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_lock_file() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2\"\n\n[[package]]\nname = \"a\"\nversion = \"2.0\"\n";
        assert_eq!(version(lock, "a"), "1.2 and 2.0");
        assert_eq!(gigabytes("24684096 kB".to_owned()), "25.3 GB");
        for name in CRATES {
            assert!(!version(LOCK, name).is_empty(), "{name} is in the lock file");
        }
    }
}
