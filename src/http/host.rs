//! The name under which a client reached the server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The value of `Host`, or the authority of a request's target: a name or an address, and a port
/// (RFC 9110 section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host<'a> {
    /// An IPv6 address stands in brackets, as in the request.
    pub(crate) name: &'a str,
    /// None is the default of the scheme.
    pub(crate) port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads `name`, `name:port`, `address:port` or `[address]:port`; none when it is malformed.
    pub(crate) fn parse(text: &'a str) -> Option<Host<'a>> {
        let end = match text.starts_with('[') {
            true => text.find(']')? + 1,
            false => text.find(':').unwrap_or(text.len()),
        };
        let (name, rest) = text.split_at(end);
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            _ => return None,
        };
        is_name(name).then_some(Host { name, port })
    }

    /// Whether only this machine is meant: `localhost` and names below it, which browsers never ask
    /// a name server for (RFC 6761 section 6.3), and loopback addresses.
    pub(crate) fn is_loopback(&self) -> bool {
        let name = self.name.strip_suffix('.').unwrap_or(self.name);
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.eq_ignore_ascii_case("localhost") {
            return true;
        }
        match self.address() {
            Some(IpAddr::V6(address)) => {
                address.is_loopback() || address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
            }
            Some(IpAddr::V4(address)) => address.is_loopback(),
            None => false,
        }
    }

    fn address(&self) -> Option<IpAddr> {
        match inside_brackets(self.name) {
            Some(address) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => self.name.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    }
}

fn inside_brackets(name: &str) -> Option<&str> {
    name.strip_prefix('[')?.strip_suffix(']')
}

/// A registered name or an address (RFC 3986 section 3.2.2).
fn is_name(name: &str) -> bool {
    if let Some(address) = inside_brackets(name) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    !name.is_empty() && name.bytes().all(is_legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_ports_are_told_apart() {
        for (text, name, port) in [
            ("example.com", "example.com", None),
            ("Example.COM:8080", "Example.COM", Some(8080)),
            ("127.0.0.1:", "127.0.0.1", None),
            ("[::1]:80", "[::1]", Some(80)),
            ("[::1]", "[::1]", None),
        ] {
            assert_eq!(Host::parse(text), Some(Host { name, port }), "{text}");
        }
        for text in [
            "",
            ":80",
            "a b",
            "a:b",
            "a:1:2",
            "a:65536",
            "a:-1",
            "a:+1",
            "[::1",
            "[]",
            "[x]:1",
            "[::1]x",
            "::1",
            "user@host",
            "a/b",
            "a?b",
            "a#b",
            "[::1%25lo]",
            "\u{e9}",
        ] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for text in [
            "localhost",
            "LocalHost:8080",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1",
            "127.9.8.7:80",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(Host::parse(text).expect("legal").is_loopback(), "{text}");
        }
        for text in [
            "evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "192.0.2.1",
            "[::2]",
            "127.1",
        ] {
            assert!(!Host::parse(text).expect("legal").is_loopback(), "{text}");
        }
    }
}
