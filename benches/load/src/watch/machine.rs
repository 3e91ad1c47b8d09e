//! The machine that figures come from.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// A machine, as its kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The model of its first CPU.
    pub cpu: String,
    /// How many CPUs it has.
    pub cores: usize,
    /// Its memory.
    pub memory_bytes: u64,
    /// The kernel's name and version.
    pub kernel: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kibibytes = field(&memory, "MemTotal").split(' ').next().and_then(|n| n.parse().ok());
        let system = rustix::system::uname();
        Self {
            cpu: field(&cpus, "model name").to_owned(),
            cores: cpus.lines().filter(|line| line.starts_with("processor")).count(),
            memory_bytes: kibibytes.map_or(0, |kibibytes: u64| kibibytes << 10),
            kernel: format!(
                "{} {}",
                system.sysname().to_string_lossy(),
                system.release().to_string_lossy()
            ),
        }
    }
}

/// The value of the first `name: value` line.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(key, _)| key.trim() == name).map_or("", |(_, value)| value.trim())
}

/// Files of our own: epoll, standard streams, /proc.
const OTHER_DESCRIPTORS: u64 = 64;

/// Raises this process's limit of descriptors to what so many connections need.
pub(crate) fn allow_descriptors(connections: u64) -> Result<(), String> {
    let needed = connections + OTHER_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    // Whether it could be raised shows in what it is then.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    match getrlimit(Resource::Nofile).current {
        Some(current) if current < needed => Err(format!(
            "{connections} connections need {needed} descriptors and this process may open \
             {current}; raise the limit (ulimit -Hn, LimitNOFILE=) or ask for fewer"
        )),
        _ => Ok(()),
    }
}
