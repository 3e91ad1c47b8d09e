//! The header in which a proxy says, before anything else, where a connection came from: the PROXY
//! protocol, version 1 and 2 (haproxy's doc/proxy-protocol.txt).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the first bytes of a connection turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyHeader {
    /// Not yet enough of a header.
    Partial,
    /// A whole header, or one of which nothing more is of interest.
    Read {
        /// Bytes of the header, of which the last ones may be still to come.
        len: usize,
        /// Where the connection came from; none when the header does not say, and the connection
        /// is the proxy's own, or from where there are no addresses of IP.
        source: Option<IpAddr>,
    },
    /// No header, or a malformed one.
    Malformed,
}

/// Bytes of a header of version 1 at most, its end of line included.
const V1_BYTES_MAX: usize = 107;

const V1_BEGIN: &[u8] = b"PROXY ";
const V2_BEGIN: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of a header of version 2 before its addresses: the begin, version and command, family and
/// protocol, and the length of what follows.
const V2_FIXED: usize = 16;

impl ProxyHeader {
    /// Looks at what has arrived so far. Before [`ProxyHeader::Read`] no more than
    /// [`V1_BYTES_MAX`] bytes, or the addresses of version 2, are needed.
    pub(crate) fn read(bytes: &[u8]) -> ProxyHeader {
        if begins(bytes, V2_BEGIN) {
            return read_v2(bytes).unwrap_or(ProxyHeader::Malformed);
        }
        if begins(bytes, V1_BEGIN) { read_v1(bytes) } else { ProxyHeader::Malformed }
    }
}

/// Whether the bytes may begin with this when all of them are there.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    let len = bytes.len().min(with.len());
    bytes[..len] == with[..len]
}

/// A line of text: `PROXY TCP4 <source> <destination> <port> <port>`.
fn read_v1(bytes: &[u8]) -> ProxyHeader {
    let line = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        let is_long = line.len() == V1_BYTES_MAX;
        return if is_long { ProxyHeader::Malformed } else { ProxyHeader::Partial };
    };
    let text = std::str::from_utf8(&line[..end]).ok();
    let source = text.and_then(|text| source_of_line(text.strip_prefix("PROXY ")?));
    let read = source.map(|source| ProxyHeader::Read { len: end + 2, source });
    read.unwrap_or(ProxyHeader::Malformed)
}

/// The source of a line without its first word; none when it is malformed.
fn source_of_line(line: &str) -> Option<Option<IpAddr>> {
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Some(None);
    }
    let mut words = line.split(' ');
    let family = words.next()?;
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, _destination) = (address(words.next()?)?, address(words.next()?)?);
    let has_ports = is_port(words.next()?) && is_port(words.next()?);
    (has_ports && words.next().is_none()).then_some(Some(source))
}

/// A decimal number without leading zeros, 0 to 65,535.
fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port.to_string() == text)
}

/// The binary header; none when it is malformed.
fn read_v2(bytes: &[u8]) -> Option<ProxyHeader> {
    let Some(fixed) = bytes.get(V2_BEGIN.len()..V2_FIXED) else {
        return Some(ProxyHeader::Partial);
    };
    let [version_command, family_protocol, high, low] = *fixed else { return None };
    let block = usize::from(u16::from_be_bytes([high, low]));
    let read = |source| Some(ProxyHeader::Read { len: V2_FIXED + block, source });
    match version_command {
        // LOCAL: the proxy's own connection, as for a check of health. Its addresses are ignored.
        0x20 => return read(None),
        0x21 => {}
        _ => return None,
    }
    let (family, protocol) = (family_protocol >> 4, family_protocol & 0xF);
    // What the addresses of UNSPEC, INET, INET6 and UNIX take.
    let size = *[0, 12, 36, 216].get(usize::from(family))?;
    if protocol > 2 || block < size {
        return None;
    }
    const STREAM: u8 = 1;
    let address = &bytes[V2_FIXED..];
    match (family, protocol) {
        (1, STREAM) => match address.first_chunk::<4>() {
            Some(source) => read(Some(IpAddr::from(*source))),
            None => Some(ProxyHeader::Partial),
        },
        (2, STREAM) => match address.first_chunk::<16>() {
            Some(source) => read(Some(IpAddr::from(*source))),
            None => Some(ProxyHeader::Partial),
        },
        // No address, one of a socket in the file system, or of a datagram.
        _ => read(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(len: usize, source: &str) -> ProxyHeader {
        ProxyHeader::Read { len, source: source.parse().ok() }
    }

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let len = u16::try_from(block.len()).unwrap().to_be_bytes();
        [V2_BEGIN, &[command, family], &len, block].concat()
    }

    /// Whatever is cut off a header, the rest is no other one.
    fn check(header: &[u8], source: &str) {
        let expected = read(header.len(), source);
        assert_eq!(ProxyHeader::read(&[header, b"GET /"].concat()), expected, "{header:?}");
        for end in 0..=header.len() {
            let found = ProxyHeader::read(&header[..end]);
            assert!(found == ProxyHeader::Partial || found == expected, "{found:?} of {end}");
        }
    }

    #[test]
    fn a_line_of_text_names_the_source() {
        for (line, source) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.1 65535 0\r\n", "192.0.2.1"),
            ("PROXY TCP6 2001:db8::1 ::1 56324 443\r\n", "2001:db8::1"),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 443\r\n", "::ffff:192.0.2.1"),
            ("PROXY UNKNOWN\r\n", ""),
            ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", ""),
        ] {
            check(line.as_bytes(), source);
        }
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(V1_BYTES_MAX - 16));
        assert_eq!(longest.len(), V1_BYTES_MAX);
        check(longest.as_bytes(), "");
    }

    #[test]
    fn a_line_that_is_none_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(V1_BYTES_MAX - 15));
        for line in [
            &long,
            "GET / HTTP/1.1\r\n\r\n",
            "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1\t192.0.2.2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY \r\n",
        ] {
            assert_eq!(ProxyHeader::read(line.as_bytes()), ProxyHeader::Malformed, "{line}");
        }
        let endless = format!("PROXY TCP4 {}", "1".repeat(V1_BYTES_MAX));
        assert_eq!(ProxyHeader::read(endless.as_bytes()), ProxyHeader::Malformed);
        assert_eq!(ProxyHeader::read(b"PROXY UNKNOWN\n"), ProxyHeader::Partial, "no end of line");
    }

    #[test]
    fn a_binary_header_names_the_source() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x34, 0, 80];
        check(&v2(0x21, 0x11, &v4), "192.0.2.1");
        let v6: Vec<u8> = [Ipv6Addr::LOCALHOST.octets(), [0xfd; 16]].concat();
        check(&v2(0x21, 0x21, &[&v6[..], &[0; 4]].concat()), "::1");
        // What follows the addresses is skipped: one entry of type, length and value, or garbage.
        for more in [&b"\x04\0\x01x"[..], &[0xff; 4096]] {
            check(&v2(0x21, 0x11, &[&v4[..], more].concat()), "192.0.2.1");
        }
        for (family, block) in
            [(0x00, 0), (0x00, 7), (0x31, 216), (0x32, 216), (0x12, 12), (0x22, 36)]
        {
            check(&v2(0x21, family, &vec![1; block]), "");
        }
        // Of a LOCAL connection not even the family counts.
        for (family, block) in [(0x00, 0), (0x11, 12), (0x11, 0), (0xff, 3)] {
            check(&v2(0x20, family, &vec![1; block]), "");
        }
    }

    #[test]
    fn a_binary_header_that_is_none_is_refused() {
        for (command, family, block) in [
            (0x11, 0x11, 12),
            (0x31, 0x11, 12),
            (0x22, 0x11, 12),
            (0x21, 0x41, 216),
            (0x21, 0x13, 12),
            (0x21, 0x11, 11),
            (0x21, 0x21, 35),
            (0x21, 0x31, 215),
        ] {
            let header = v2(command, family, &vec![1; block]);
            assert_eq!(ProxyHeader::read(&header), ProxyHeader::Malformed, "{header:?}");
        }
        assert_eq!(ProxyHeader::read(b"\r\n\r\n\0\r\nQUIT\r"), ProxyHeader::Malformed);
    }
}
