//! What each client address has of a server, for all of its shards.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use corecast_shards::{AddressKey, AddressTable, Limits, Time};

/// One table for all shards, because an address comes to any of them. It is looked at when a
/// connection comes, begins or ends, and never for a message.
#[derive(Debug)]
pub(crate) struct Addresses {
    table: Mutex<AddressTable>,
    started: Instant,
    /// Which addresses have a limit of connections.
    connections: Counted,
    /// Which ones have a limit of handshakes.
    handshakes: Counted,
}

/// Which addresses count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    /// All, because the operator has set the limit.
    All,
    /// Those of the public internet: behind another one a proxy, a bridge or a load test may stand,
    /// with very many clients.
    Public,
}

impl Addresses {
    /// A table for these limits, of which those were set that are set in `asked`.
    pub(crate) fn new(limits: &Limits, asked: &Limits) -> Addresses {
        let counted = |amount| if amount == usize::MAX { Counted::Public } else { Counted::All };
        Addresses {
            table: Mutex::new(AddressTable::new(
                limits.address_connections,
                limits.address_handshakes,
            )),
            started: Instant::now(),
            connections: counted(asked.address_connections),
            handshakes: counted(asked.address_handshakes),
        }
    }

    /// Counts one more handshake of an address, if it may begin one; else says after how long it
    /// may.
    pub(crate) fn begin_handshake(&self, address: IpAddr) -> Result<(), Duration> {
        match self.handshakes.include(address) {
            true => self.table().begin_handshake(key(address), self.now()),
            false => Ok(()),
        }
    }

    /// The time on the table's own clock.
    fn now(&self) -> Time {
        let nanos = self.started.elapsed().as_nanos();
        Time::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// A panic would end the process.
    fn table(&self) -> MutexGuard<'_, AddressTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn include(self, address: IpAddr) -> bool {
        self == Counted::All || is_public(address)
    }
}

fn key(address: IpAddr) -> AddressKey {
    match address.to_canonical() {
        IpAddr::V4(address) => AddressKey::of_ipv4(address.octets()),
        IpAddr::V6(address) => AddressKey::of_ipv6(address.octets()),
    }
}

/// Whether an address may come from the public internet: it is not this machine's, of a private
/// network (RFC 1918, RFC 4193), of one link, or behind a carrier's translation (RFC 6598).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_carriers = first == 100 && second & 0xC0 == 64;
            let is_near = address.is_loopback() || address.is_link_local();
            !(address.is_private() || is_near || is_carriers || address.is_unspecified())
        }
        IpAddr::V6(address) => {
            let is_near = address.is_loopback() || address.is_unicast_link_local();
            !(address.is_unique_local() || is_near || address.is_unspecified())
        }
    }
}

/// The place of a connection among those of its client's address. It is free again when this is
/// dropped, whatever became of the connection.
#[derive(Debug)]
pub(crate) struct AddressPlace {
    addresses: Arc<Addresses>,
    key: AddressKey,
}

/// What became of the wish for a place.
#[derive(Debug)]
pub(crate) enum Claim {
    /// The address does not count.
    Free,
    Placed(AddressPlace),
    /// It has as many connections as it may.
    Refused,
}

impl AddressPlace {
    /// Counts one more connection of an address, if it counts, and if it may have one.
    pub(crate) fn claim(addresses: &Arc<Addresses>, address: IpAddr) -> Claim {
        if !addresses.connections.include(address) {
            return Claim::Free;
        }
        let key = key(address);
        match addresses.table().open(key) {
            true => Claim::Placed(AddressPlace { addresses: Arc::clone(addresses), key }),
            false => Claim::Refused,
        }
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let now = self.addresses.now();
        self.addresses.table().close(self.key, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for address in ["192.0.2.1", "100.63.255.255", "100.128.0.0", "172.32.0.0", "2001:db8::1"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "0.0.0.0",
            "::",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_limit_that_was_set_is_that_of_every_address() {
        let mut limits = Limits::default();
        (limits.address_connections, limits.address_handshakes) = (1, 1);
        let claim = |addresses: &Arc<Addresses>, address: &str| {
            AddressPlace::claim(addresses, address.parse().unwrap())
        };
        let set = Arc::new(Addresses::new(&limits, &limits));
        let near = claim(&set, "127.0.0.1");
        assert!(matches!(near, Claim::Placed(_)), "{near:?}");
        assert!(matches!(claim(&set, "::ffff:127.0.0.1"), Claim::Refused), "the same");
        drop(near);
        assert!(matches!(claim(&set, "127.0.0.1"), Claim::Placed(_)), "its place is free");

        let derived = Arc::new(Addresses::new(&limits, &Limits::default()));
        assert!(matches!(claim(&derived, "127.0.0.1"), Claim::Free));
        assert!((0..9).all(|_| derived.begin_handshake([127, 0, 0, 1].into()).is_ok()));
        let far = claim(&derived, "192.0.2.1");
        assert!(matches!(far, Claim::Placed(_)), "{far:?}");
        assert!(matches!(claim(&derived, "192.0.2.1"), Claim::Refused));
    }
}
