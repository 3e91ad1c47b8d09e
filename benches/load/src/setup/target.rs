//! The server that is measured.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

/// A `ws://` or `wss://` address, taken apart but not looked up.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) url: String,
    /// Host and port as the `Host` header has them.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) is_tls: bool,
}

const PORT: &str = ":80";
const PORT_OF_TLS: &str = ":443";

impl Target {
    /// The first address of the host where somebody listens.
    ///
    /// A name may have several, and which one the server has is not to be seen from here. With a
    /// single one nothing is tried: a measured server shall not see a connection more than asked.
    pub(crate) fn address(&self, patience: Duration) -> Result<SocketAddr, String> {
        let mut name = self.authority.clone();
        if self.port().is_none() {
            name.push_str(if self.is_tls { PORT_OF_TLS } else { PORT });
        }
        let found = name.to_socket_addrs().map_err(|error| error.to_string());
        found
            .and_then(|found| choose(found, patience).ok_or_else(|| "no address".to_owned()))
            .map_err(|why| format!("{} cannot be looked up ({why}); check the host name", name))
    }

    /// The name or address that a certificate must be for.
    pub(crate) fn host(&self) -> &str {
        let host = match self.port() {
            Some(port) => &self.authority[..self.authority.len() - port.len() - 1],
            None => &self.authority,
        };
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port, if one is written.
    fn port(&self) -> Option<&str> {
        let (_, port) = self.authority.rsplit_once(':')?;
        port.parse::<u16>().ok().map(|_| port)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let (is_tls, rest) = match url.split_once("://") {
            Some(("ws", rest)) => (false, rest),
            Some(("wss", rest)) => (true, rest),
            _ => return Err(no_ws(url)),
        };
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(split);
        if authority.contains('@') {
            return Err("names and passwords do not stand in the address; give \
                        --header 'Authorization: Basic …'"
                .to_owned());
        }
        if authority.contains('{') {
            return Err("what is filled in stands in the path, not in the host".to_owned());
        }
        if authority.is_empty() || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("an address looks like ws://127.0.0.1:8080/ws".to_owned());
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { url: url.to_owned(), authority: authority.to_owned(), path, is_tls })
    }
}

/// The first that takes a connection; the first of all if none does, whose error is then told.
fn choose(found: impl Iterator<Item = SocketAddr>, patience: Duration) -> Option<SocketAddr> {
    let mut addresses: Vec<_> = found.collect();
    addresses.dedup();
    let first = addresses.first().copied();
    if addresses.len() < 2 {
        return first;
    }
    let answers = |address: &SocketAddr| TcpStream::connect_timeout(address, patience).is_ok();
    addresses.into_iter().find(answers).or(first)
}

fn no_ws(url: &str) -> String {
    match url.split_once("://") {
        Some(("https", rest)) => format!("write wss://{rest}"),
        Some((_, rest)) => format!("write ws://{rest}"),
        None => "an address looks like ws://127.0.0.1:8080/ws".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let rows = [
            ("ws://127.0.0.1:8080/ws", "127.0.0.1:8080", "/ws"),
            ("ws://example.org", "example.org", "/"),
            ("ws://[::1]:9/a?b=/c", "[::1]:9", "/a?b=/c"),
            ("ws://h?token=x", "h", "/?token=x"),
        ];
        for (url, authority, path) in rows {
            let target: Target = url.parse().unwrap();
            assert_eq!((&*target.authority, &*target.path), (authority, path), "{url}");
        }
    }

    #[test]
    fn a_certificate_is_for_the_host_alone() {
        let rows = [
            ("wss://127.0.0.1:8080/ws", "127.0.0.1"),
            ("wss://example.org", "example.org"),
            ("wss://[::1]:9/", "::1"),
            ("wss://[::1]/", "::1"),
        ];
        for (url, host) in rows {
            let target: Target = url.parse().unwrap();
            assert_eq!((target.host(), target.is_tls), (host, true), "{url}");
        }
    }

    #[test]
    fn every_address_of_a_name_is_tried() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let nobody = SocketAddr::from(([127, 0, 0, 2], here.port()));
        let choose = |found: &[SocketAddr]| choose(found.iter().copied(), Duration::from_secs(5));
        assert_eq!(choose(&[nobody, here]), Some(here));
        assert_eq!(choose(&[here, nobody]), Some(here));
        assert_eq!(choose(&[nobody, nobody]), Some(nobody));
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn other_addresses_are_refused_with_advice() {
        let rows = [
            ("https://h/ws", "write wss://h/ws"),
            ("http://h/ws", "write ws://h/ws"),
            ("127.0.0.1:8080", "looks like"),
            ("ws://", "looks like"),
            ("ws://a b/", "looks like"),
            ("ws://user:secret@h/ws", "--header"),
            ("ws://{room}.h/ws", "in the path"),
        ];
        for (url, advice) in rows {
            let error = url.parse::<Target>().unwrap_err();
            assert!(error.contains(advice), "{url}: {error}");
        }
    }
}
