//! The servers that are compared. To add another one, add a variant here.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use serde_json::Value;

use crate::baseline::{Queue, Writer};
use crate::floor::Means;
use crate::process::{pinned, sibling, stats};

/// One server, in one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    Engine { shards: usize },
    Baseline { queue: Queue, writer: Writer, threads: usize },
    Floor { means: Means },
}

impl System {
    /// The baseline as a server needs it in order to survive slow clients.
    pub(super) const fn baseline(threads: usize) -> System {
        System::Baseline { queue: Queue::Bounded, writer: Writer::Batched, threads }
    }

    /// The registry as it is usually written: queues without bounds, and a send per message.
    pub(super) const fn usual(threads: usize) -> System {
        System::Baseline { queue: Queue::Unbounded, writer: Writer::Plain, threads }
    }

    /// Messages of a room that may be under way to it where others have so many: who sends one by one
    /// gains nothing by more, and what is measured would wait behind what came before.
    pub(super) fn window(self, window: usize) -> usize {
        match self {
            System::Baseline { writer: Writer::Plain, .. } => (window / 16).max(1),
            _ => window,
        }
    }

    /// How it is called in tables.
    pub(super) fn name(self) -> String {
        match self {
            System::Engine { .. } => "engine".to_owned(),
            System::Baseline { writer: Writer::Plain, .. } => "registry as usual".to_owned(),
            System::Baseline { queue, .. } => format!("baseline {}", word(queue)),
            System::Floor { means } => format!("floor {}", word(means)),
        }
    }

    /// The program behind it.
    pub(super) fn program(self) -> io::Result<PathBuf> {
        sibling(match self {
            System::Engine { .. } => "corecast",
            System::Baseline { .. } => "baseline",
            System::Floor { .. } => "floor",
        })
    }

    /// What starts it on these cores.
    pub(super) fn command(self, program: &Path, cores: &[usize]) -> Command {
        let mut command = pinned(program, cores);
        match self {
            System::Engine { shards } => {
                command.args(["serve", "--shards"]).arg(shards.to_string());
                command.env("CORECAST_LOG", "warn");
            }
            System::Baseline { queue, writer, threads } => {
                command.arg("--queue").arg(word(queue));
                command.arg("--writer").arg(word(writer));
                command.arg("--threads").arg(threads.to_string());
            }
            System::Floor { means } => {
                command.arg("--means").arg(word(means));
            }
        }
        command.args(["--listen", "127.0.0.1:0"]);
        command
    }
}

fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// What a server says that it has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counters {
    delivered: f64,
    sends: f64,
}

impl Counters {
    /// Asks a running server; the baseline does not know.
    pub(super) fn read(system: System, address: SocketAddr) -> io::Result<Option<Counters>> {
        match system {
            System::Baseline { .. } => Ok(None),
            System::Engine { .. } | System::Floor { .. } => Ok(Counters::sum(&stats(address)?)),
        }
    }

    fn sum(stats: &Value) -> Option<Counters> {
        let shards = stats["shards"].as_array()?;
        let sum = |name| shards.iter().filter_map(|shard| shard[name].as_f64()).sum();
        Some(Counters { delivered: sum("delivered"), sends: sum("sends") })
    }

    /// Messages per send since `earlier`.
    pub(super) fn messages_per_send_since(self, earlier: Counters) -> Option<f64> {
        let sends = self.sends - earlier.sends;
        (sends > 0.0).then(|| (self.delivered - earlier.delivered) / sends)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_per_send_are_read_from_the_stats() {
        let counters = |delivered: u64, sends: u64| {
            let shard = json!({"delivered": delivered, "sends": sends});
            let other = json!({"delivered": 0, "sends": 0});
            Counters::sum(&json!({"shards": [shard, other]})).unwrap()
        };
        let (before, after) = (counters(100, 50), counters(6500, 150));
        assert_eq!(after.messages_per_send_since(before), Some(64.0));
        assert_eq!(after.messages_per_send_since(after), None);
    }

    #[test]
    fn every_system_has_a_name_of_its_own() {
        let floor = System::Floor { means: Means::Uring };
        let baseline = System::baseline(1);
        let names = [floor.name(), baseline.name(), System::usual(1).name()];
        assert_eq!(names, ["floor uring", "baseline bounded", "registry as usual"]);
        assert_eq!([baseline, System::usual(1)].map(|system| system.window(256)), [256, 16]);
        let command = floor.command(Path::new("/floor"), &[]);
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
        assert_eq!(args.join(" "), "--means uring --listen 127.0.0.1:0");
    }
}
