//! Why a server does not start.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use corecast_shards::SHARDS_MAX;

use super::obstacle::{memlock_obstacle, no_thread};
use crate::values::Obstacle;

/// Why a server did not start. Each message says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// What was given to listen on is no address.
    Address {
        /// Why not.
        reason: String,
    },
    /// What was given as an API key is none, or its file cannot be read.
    ApiKey {
        /// Why not.
        reason: String,
    },
    /// What was given for tokens is no key, its file cannot be read, or a rule for them means
    /// nothing.
    Token {
        /// Why not.
        reason: String,
    },
    /// What was given as an origin is none.
    Origin {
        /// Why not.
        reason: String,
    },
    /// What was given as a network of trusted proxies is none.
    TrustedProxy {
        /// Why not.
        reason: String,
    },
    /// The PROXY protocol is asked for, and no proxy may speak it.
    ProxyProtocol,
    /// What was given for rooms of certain names cannot hold.
    Room {
        /// Why not.
        reason: String,
    },
    /// The directory for histories cannot be used.
    HistoryDir {
        /// Which, why not, and what to do.
        reason: String,
    },
    /// A certificate or its key cannot be used.
    Tls {
        /// Which file, and why.
        reason: String,
    },
    /// A route of the program could never be reached.
    Route {
        /// Which, and why.
        message: String,
    },
    /// Another socket has the address.
    PortTaken {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the kernel says.
        error: io::Error,
    },
    /// The address can be reached from other machines, and everybody there could do everything.
    Exposed {
        /// The address that was asked for.
        address: SocketAddr,
        /// Everybody could use `/v1`.
        http_api: bool,
        /// Everybody could connect, and send to everybody.
        connections: bool,
    },
    /// The kernel refuses io_uring, or the system something else without which glommio does not
    /// start.
    IoUring(Obstacle),
    /// The process may lock too little memory for the io_urings of so many shards.
    Memlock {
        /// How much it may.
        bytes: u64,
        /// How much it would need.
        needed: u64,
    },
    /// The process may open too few descriptors.
    Descriptors {
        /// How many it may.
        descriptors: u64,
        /// How many it takes to hold one connection.
        needed: u64,
    },
    /// There cannot be that many shards.
    Shards {
        /// How many were asked for.
        wanted: usize,
    },
    /// A limit cannot have this value.
    Limit {
        /// What is wrong, and what would be right.
        message: String,
    },
    /// The executor of a shard did not start.
    Executor(String),
    /// The system starts no thread for a shard.
    Thread(io::Error),
    /// A system call failed that never should.
    System(io::Error),
    /// The program's own code, a closure of [`Builder::shard_state`](crate::Builder::shard_state),
    /// panicked on a shard.
    Program {
        /// The panic's words.
        message: String,
    },
    /// A shard's thread ended before it had started.
    Died,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Address { reason } => write!(
                f,
                "cannot listen there: {reason}; give an address and a port, such as 127.0.0.1:8080"
            ),
            StartError::ApiKey { reason }
            | StartError::Token { reason }
            | StartError::Origin { reason }
            | StartError::TrustedProxy { reason }
            | StartError::Room { reason }
            | StartError::HistoryDir { reason } => f.write_str(reason),
            StartError::ProxyProtocol => f.write_str(
                "--proxy-protocol needs --trusted-proxy: without one no proxy could connect; name the \
                 address or the network of the proxy",
            ),
            StartError::Tls { reason } => write!(f, "TLS: {reason}"),
            StartError::Route { message } => f.write_str(message),
            StartError::PortTaken { address } => write!(
                f,
                "{address} is taken: another program listens there; end it, or choose another \
                 address with --listen"
            ),
            StartError::Listen { address, error } => write!(
                f,
                "cannot listen on {address}: {error}; choose an address of this machine with --listen"
            ),
            StartError::Exposed { address, http_api, connections } => {
                fmt_exposed(f, *address, *http_api, *connections)
            }
            StartError::IoUring(obstacle) => fmt_obstacle(f, obstacle),
            StartError::Memlock { bytes, needed } => {
                fmt_obstacle(f, &memlock_obstacle(*bytes, *needed))
            }
            StartError::Descriptors { descriptors, needed } => write!(
                f,
                "the process may open only {descriptors} descriptors, and it takes {needed} to \
                 hold one connection; raise the limit with `ulimit -n 65536`, LimitNOFILE=65536 \
                 in systemd or --ulimit nofile=65536 in a container, or choose fewer --shards"
            ),
            StartError::Shards { wanted } => {
                write!(
                    f,
                    "{wanted} shards are not possible; choose 1 to {SHARDS_MAX} with --shards"
                )
            }
            StartError::Limit { message } => f.write_str(message),
            StartError::Executor(message) => {
                write!(f, "the executor of a shard did not start: {message}")
            }
            StartError::Thread(error) => {
                let Obstacle { reason, remedy } = no_thread(error);
                write!(f, "{reason}; {remedy}, or choose fewer --shards")
            }
            StartError::System(error) => {
                write!(f, "the system refused what every server needs: {error}")
            }
            StartError::Program { message } => write!(
                f,
                "a closure that makes a shard's state {message}; the backtrace stands above"
            ),
            StartError::Died => f.write_str("a shard ended before it had started"),
        }
    }
}

fn fmt_exposed(
    f: &mut fmt::Formatter<'_>,
    address: SocketAddr,
    http_api: bool,
    connections: bool,
) -> fmt::Result {
    write!(
        f,
        "{address} can be reached from other machines, and everybody there could do everything; "
    )?;
    if connections {
        f.write_str("say who may connect (Builder::authorize, Builder::anonymous), ")?;
    }
    if http_api {
        f.write_str("say who may use /v1 (Builder::http_api, Builder::api_key), ")?;
    }
    f.write_str("or call Builder::open if that is meant")
}

fn fmt_obstacle(f: &mut fmt::Formatter<'_>, obstacle: &Obstacle) -> fmt::Result {
    let Obstacle { reason, remedy } = obstacle;
    write!(f, "{reason}; {remedy}; or do without glommio: --executor plain")
}

impl StartError {
    /// What keeps glommio from starting.
    pub(super) fn obstacle(self) -> Obstacle {
        match self {
            StartError::IoUring(obstacle) => obstacle,
            StartError::Memlock { bytes, needed } => memlock_obstacle(bytes, needed),
            other => Obstacle {
                reason: other.to_string(),
                remedy: "look into the limits of the process and the kernel's log".to_owned(),
            },
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Listen { error, .. }
            | StartError::Thread(error)
            | StartError::System(error) => Some(error),
            _ => None,
        }
    }
}
