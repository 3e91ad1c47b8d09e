//! What has to be right before the first shard starts.

use std::io;
use std::net::SocketAddr;

use corecast_shards::Limits;

use super::start_error::StartError;
use super::sys;

/// glommio refuses to start with less locked memory than this, even as root
/// (glommio 0.9.0 src/sys/uring.rs:1293).
pub(super) const MEMLOCK_MIN: u64 = 512 << 10;

/// Descriptors that are not for WebSocket connections: listeners, rings, HTTP, logs.
const DESCRIPTORS_RESERVED: u64 = 64;

/// A shard's own: three rings and an event counter of the executor, an epoll, a ring for sends, a
/// doorbell, a timer, a listener, the one in reserve, and some room for what the executor opens for a
/// moment.
const DESCRIPTORS_PER_SHARD: u64 = 14;

/// Whether the kernel lets this process have an io_uring, and enough locked memory for it.
pub(super) fn check_io_uring() -> Result<(), StartError> {
    sys::probe_io_uring().map_err(StartError::IoUring)?;
    let memlock = sys::resource_limit(libc::RLIMIT_MEMLOCK).map_err(StartError::IoUring)?;
    if memlock.rlim_cur >= MEMLOCK_MIN {
        return Ok(());
    }
    match sys::raise_limit(libc::RLIMIT_MEMLOCK) {
        Ok(raised) if raised >= MEMLOCK_MIN => Ok(()),
        _ => Err(StartError::Memlock { bytes: memlock.rlim_max }),
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
    limits.connections = limits.connections.min(connections);
    Ok(())
}

/// The first of these addresses that this machine has, with its port. One that is taken ends the
/// search: who asks for a name shall not get a second server beside another's.
pub(super) fn choose_address(addresses: &[SocketAddr]) -> Result<SocketAddr, StartError> {
    let [others @ .., last] = addresses else {
        return Err(StartError::Address { reason: "it has no address".to_owned() });
    };
    for &address in others {
        match check_port(address) {
            Err(StartError::Listen { error, .. }) if is_of_another_machine(&error) => {}
            outcome => return outcome,
        }
    }
    check_port(*last)
}

fn is_of_another_machine(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

/// Takes the address for us alone for a moment, and says which port it is if the system chose it.
///
/// The shards' listeners share their address. So they would also share it with another server
/// that is there already, which would then lose half of its connections without an error.
pub(super) fn check_port(address: SocketAddr) -> Result<SocketAddr, StartError> {
    let listener = sys::sole_listener(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => StartError::PortTaken { address },
        _ => StartError::Listen { address, error },
    })?;
    listener.local_addr().map_err(|error| StartError::Listen { address, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 192.0.2.0/24 is reserved for documentation, so no machine has it.
    const ELSEWHERE: &str = "192.0.2.1:0";

    #[test]
    fn the_first_address_that_this_machine_has_is_chosen() {
        let [elsewhere, here] = [ELSEWHERE, "127.0.0.1:0"].map(|text| text.parse().unwrap());
        let chosen = choose_address(&[elsewhere, here]).unwrap();
        assert!(chosen.ip().is_loopback() && chosen.port() != 0, "{chosen}");
        assert!(matches!(choose_address(&[elsewhere]), Err(StartError::Listen { .. })));
        assert!(matches!(choose_address(&[]), Err(StartError::Address { .. })));
    }

    #[test]
    fn a_taken_address_ends_the_search() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = [taken.local_addr().unwrap(), "127.0.0.2:0".parse().unwrap()];
        assert!(matches!(choose_address(&addresses), Err(StartError::PortTaken { .. })));
    }
}
