//! The addresses that connections come from.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Bound before connecting, round robin, so that no address runs out of ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Empty: the system chooses.
    pub(crate) addresses: Vec<IpAddr>,
}

/// Connections before another address is taken. Linux gives out 28,232 ports by default, but the
/// more of them are taken, the longer the kernel searches: with 15,000 on one address that takes
/// more than half of the time of connecting.
const CONNECTIONS_PER_ADDRESS: u32 = 4_000;

impl Sources {
    /// As many addresses of loopback as so many connections need; none, if one is enough or the
    /// server is elsewhere.
    pub(crate) fn enough(connections: u32, server: IpAddr) -> Self {
        let count = connections.div_ceil(CONNECTIONS_PER_ADDRESS);
        match server {
            IpAddr::V4(server) if server.is_loopback() && count > 1 => {
                let first = u32::from(Ipv4Addr::LOCALHOST);
                let address = |i| IpAddr::from(Ipv4Addr::from(first + i));
                Self { addresses: (0..count).map(address).collect() }
            }
            _ => Self::default(),
        }
    }

    /// The address for one connection.
    pub(crate) fn of(&self, connection: u32) -> Option<IpAddr> {
        let count = self.addresses.len();
        (count > 0).then(|| self.addresses[connection as usize % count])
    }
}

impl FromStr for Sources {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut addresses = Vec::new();
        for part in text.split(',').map(str::trim) {
            match part.split_once('-') {
                Some((first, last)) => addresses.extend(range(first, last)?),
                None => addresses.push(part.parse().map_err(|_| wrong(part))?),
            }
        }
        Ok(Self { addresses })
    }
}

/// `127.0.0.1-8`: the last number counts up.
fn range(first: &str, last: &str) -> Result<Vec<IpAddr>, String> {
    let first: Ipv4Addr = first.parse().map_err(|_| wrong(first))?;
    let last: u8 = last.parse().map_err(|_| wrong(last))?;
    let [a, b, c, from] = first.octets();
    if from > last {
        return Err(format!("{first}-{last} counts down; write the smaller number first"));
    }
    Ok((from..=last).map(|d| IpAddr::from([a, b, c, d])).collect())
}

fn wrong(part: &str) -> String {
    format!("{part:?} is no address; write 127.0.0.1-8 or 127.0.0.1,127.0.0.2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_are_read() {
        let sources: Sources = "127.0.0.1-3, 10.0.0.9".parse().unwrap();
        let expected = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "10.0.0.9"];
        assert_eq!(sources.addresses, expected.map(|text| text.parse::<IpAddr>().unwrap()));
        for text in ["", "x", "127.0.0.5-2", "127.0.0.1-999", "127.0.0.1,"] {
            assert!(text.parse::<Sources>().is_err(), "{text}");
        }
    }

    #[test]
    fn many_connections_to_loopback_get_several_addresses() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(Sources::enough(4_000, loopback).of(7), None);
        let sources = Sources::enough(11_000, loopback);
        assert_eq!(sources.addresses.len(), 3);
        assert_eq!(sources.of(4), Some(IpAddr::from([127, 0, 0, 2])));
        assert_eq!(Sources::enough(50_000, IpAddr::from([10, 0, 0, 1])), Sources::default());
    }
}
