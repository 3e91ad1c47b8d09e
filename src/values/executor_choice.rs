//! What runs the threads of shards: what was asked for, and what became of it.

use std::fmt;

/// What is to run the thread of each shard: [`Builder::executor`](crate::Builder::executor).
///
/// Handlers that wait for [`sleep`](crate::sleep), [`spawn`](crate::spawn), the verbs of this crate
/// or wakers of any other thread work the same everywhere. A program whose handlers use glommio
/// itself asks for [`Executor::Glommio`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Executor {
    /// A glommio executor wherever one starts, else a plain thread. Handlers use nothing of
    /// glommio's: its calls panic on a plain thread, and on its executor each completes up to a
    /// second late, because the shard yields to it once per second while a handler waits.
    #[default]
    Auto,
    /// A glommio executor. Handlers may use glommio's timers, tasks and sockets: while one of them
    /// waits, its shard yields to the executor once per millisecond. Where the kernel refuses
    /// io_uring the server does not start.
    Glommio,
    /// A plain thread, which needs no io_uring and locks no memory.
    Plain,
}

/// What runs the threads of a server's shards, and why: [`Server::executor`](crate::Server::executor).
/// As text it is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExecutorChoice {
    /// A glommio executor on each.
    Glommio {
        /// The program asked for it and its handlers may use it.
        asked: bool,
    },
    /// Nothing but the thread.
    Plain {
        /// Why glommio does not start here; none when the program asked for plain threads.
        obstacle: Option<Obstacle>,
    },
}

/// Why glommio does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Obstacle {
    /// What is missing.
    pub reason: String,
    /// What would provide it.
    pub remedy: String,
}

impl ExecutorChoice {
    /// `glommio` or `plain`.
    pub fn name(&self) -> &'static str {
        match self {
            ExecutorChoice::Glommio { .. } => "glommio",
            ExecutorChoice::Plain { .. } => "plain",
        }
    }

    /// Why it is this one.
    pub fn reason(&self) -> &str {
        match self {
            ExecutorChoice::Glommio { asked: false } => "the kernel allows io_uring",
            ExecutorChoice::Plain { obstacle: Some(obstacle) } => &obstacle.reason,
            ExecutorChoice::Glommio { asked: true } | ExecutorChoice::Plain { obstacle: None } => {
                "as asked for"
            }
        }
    }
}

impl fmt::Display for ExecutorChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.reason())?;
        match self {
            ExecutorChoice::Plain { obstacle: Some(obstacle) } => {
                write!(f, "; to use glommio, {}", obstacle.remedy)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_one_line_with_its_reason_and_what_would_change_it() {
        let [reason, remedy] = ["io_uring is refused: EPERM", "allow it"].map(str::to_owned);
        let obstacle = Some(Obstacle { reason, remedy });
        let rows = [
            (ExecutorChoice::Glommio { asked: false }, "glommio (the kernel allows io_uring)"),
            (ExecutorChoice::Glommio { asked: true }, "glommio (as asked for)"),
            (ExecutorChoice::Plain { obstacle: None }, "plain (as asked for)"),
            (
                ExecutorChoice::Plain { obstacle },
                "plain (io_uring is refused: EPERM); to use glommio, allow it",
            ),
        ];
        for (choice, line) in rows {
            assert_eq!(choice.to_string(), line);
        }
    }
}
