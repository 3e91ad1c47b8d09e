//! What has to be right before the first shard starts.

use std::fs;

use corecast_shards::Limits;

use super::executor::{LOCKED_PER_SHARD, MEMLOCK_MIN};
use super::executor_trial::{self, Trial};
use super::obstacle::no_topology;
use super::start_error::StartError;
use super::{io_uring_probe, sys};
use crate::values::{Executor, ExecutorChoice, Obstacle};

/// Descriptors that are not for WebSocket connections: listeners, rings, HTTP, logs.
const DESCRIPTORS_RESERVED: u64 = 64;

/// No public address takes more than this share of the connections. It may have as many in any case
/// as a network behind one address needs.
const ADDRESS_SHARE: usize = 8;
const ADDRESS_MIN: usize = 256;

/// Handshakes of one public address per second: enough for a network behind it that comes back
/// after a restart, and a fraction of what a core can answer.
const ADDRESS_HANDSHAKES: usize = 500;

/// The limit of plain HTTP connections, unless it is given: a share of all connections, but some in
/// any case, and no more than take 100 MB when they are idle.
const HTTP_SHARE: usize = 8;
const HTTP_MIN: usize = 64;
const HTTP_MAX: usize = 4096;

/// A shard's own: three rings and an event counter of the executor, an epoll, a ring for sends, a
/// waker, a timer, a listener twice, the one in reserve, and some room for what the executor
/// opens for a moment.
const DESCRIPTORS_PER_SHARD: u64 = 15;

/// Where glommio reads which cores there are, to pin a thread to one; without it glommio panics
/// (glommio 0.9.0 src/sys/hardware_topology.rs:56).
const TOPOLOGY: &str = "/sys/devices/system/cpu/online";

/// Which executor runs shards on these cores.
///
/// # Errors
///
/// When it has to be glommio, and glommio does not start here.
pub(super) fn choose_executor(
    asked: Executor,
    cores: &[Option<usize>],
    trial: Option<Trial>,
) -> Result<ExecutorChoice, StartError> {
    match asked {
        Executor::Plain => Ok(ExecutorChoice::Plain { obstacle: None }),
        Executor::Glommio => {
            check_topology(cores).map_err(StartError::IoUring)?;
            io_uring_probe::probe().map_err(StartError::IoUring)?;
            check_memlock(cores.len())?;
            Ok(ExecutorChoice::Glommio { asked: true })
        }
        Executor::Auto => {
            // It raises the limit, for the trial as well.
            let memlock = check_memlock(cores.len()).map_err(StartError::obstacle);
            let tried = || match trial {
                Some(trial) => executor_trial::run(trial, cores[0]),
                None => io_uring_probe::probe(),
            };
            Ok(match check_topology(cores).and_then(|()| tried()).and(memlock) {
                Ok(()) => ExecutorChoice::Glommio { asked: false },
                Err(obstacle) => ExecutorChoice::Plain { obstacle: Some(obstacle) },
            })
        }
    }
}

fn check_topology(cores: &[Option<usize>]) -> Result<(), Obstacle> {
    let pins = cores.iter().any(Option::is_some);
    let read = if pins { fs::read(TOPOLOGY).map(drop) } else { Ok(()) };
    read.map_err(|error| no_topology(TOPOLOGY, &error))
}

/// Whether this process may lock enough memory for the rings of so many shards.
fn check_memlock(shards: usize) -> Result<(), StartError> {
    let memlock = sys::resource_limit(libc::RLIMIT_MEMLOCK).map_err(StartError::System)?;
    let needed = match sys::locks_without_limit() {
        true => MEMLOCK_MIN,
        false => MEMLOCK_MIN.max(LOCKED_PER_SHARD * shards as u64),
    };
    if memlock.rlim_cur >= needed {
        return Ok(());
    }
    match sys::raise_limit(libc::RLIMIT_MEMLOCK) {
        Ok(raised) if raised >= needed => Ok(()),
        _ => Err(StartError::Memlock { bytes: memlock.rlim_max, needed }),
    }
}

/// Raises the soft descriptor limit to the hard one, and says how many connections that allows.
pub(super) fn check_descriptors(shards: usize, limits: &mut Limits) -> Result<(), StartError> {
    let descriptors = sys::raise_limit(libc::RLIMIT_NOFILE).map_err(StartError::System)?;
    let reserved = DESCRIPTORS_RESERVED.max(16 + DESCRIPTORS_PER_SHARD * shards as u64);
    let connections = descriptors.saturating_sub(reserved);
    if connections == 0 {
        return Err(StartError::Descriptors { descriptors, needed: reserved + 1 });
    }
    let connections = usize::try_from(connections).unwrap_or(usize::MAX);
    if limits.connections > connections && limits.connections != usize::MAX {
        tracing::warn!(
            "--max-connections is {} and works as {connections}: the process may open only \
             {descriptors} descriptors; raise the limit with `ulimit -n` or LimitNOFILE",
            limits.connections
        );
    }
    if limits.http_connections > connections && limits.http_connections != usize::MAX {
        tracing::warn!(
            "--max-http-connections is {} and the process may open only {descriptors} \
             descriptors, for all connections together; raise the limit with `ulimit -n` or \
             LimitNOFILE",
            limits.http_connections
        );
    }
    limits.connections = limits.connections.min(connections);
    if limits.http_connections == usize::MAX {
        limits.http_connections = (limits.connections / HTTP_SHARE).clamp(HTTP_MIN, HTTP_MAX);
    }
    if limits.address_connections == usize::MAX {
        limits.address_connections = (limits.connections / ADDRESS_SHARE).max(ADDRESS_MIN);
    }
    if limits.address_handshakes == usize::MAX {
        limits.address_handshakes = ADDRESS_HANDSHAKES;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_limits_says_what_is_derived_here() {
        let said = |flag| {
            let limit = Limits::TABLE.iter().find(|limit| limit.flag == flag);
            limit.expect("it is a limit").preset.to_string()
        };
        let connections = format!("what the descriptor limit allows, less {DESCRIPTORS_RESERVED}");
        assert_eq!(said("max-connections"), connections);
        assert_eq!(HTTP_SHARE, 8, "an eighth");
        let http = format!("an eighth of --max-connections, {HTTP_MIN} to {HTTP_MAX}");
        assert_eq!(said("max-http-connections"), http);
        assert_eq!(ADDRESS_SHARE, 8, "an eighth");
        let address =
            format!("an eighth of --max-connections, at least {ADDRESS_MIN}, for public addresses");
        assert_eq!(said("max-connections-per-address"), address);
        let handshakes = format!("{ADDRESS_HANDSHAKES} for public addresses");
        assert_eq!(said("handshakes-per-address"), handshakes);
    }
}
