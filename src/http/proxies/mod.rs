//! Which proxies are believed, and which client they speak of.

mod forwarded;
mod header;

use std::net::IpAddr;

use httparse::Header;
use ipnet::{IpNet, Ipv4Net};

pub(crate) use header::ProxyHeader;

use super::HttpError;

/// The networks whose machines are believed when they say where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrustedProxies(Vec<IpNet>);

/// Networks by name.
const NAMED: [(&str, &[&str]); 2] = [
    ("loopback", &["127.0.0.0/8", "::1/128"]),
    ("private", &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]),
];

impl TrustedProxies {
    /// Adds a network, as in `10.0.0.0/8`, one address, or one of the names.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), String> {
        let text = text.trim();
        let named = NAMED.iter().find(|(name, _)| *name == text).map(|(_, networks)| *networks);
        for network in named.unwrap_or(&[text]) {
            self.0.push(network_of(network).ok_or_else(|| {
                format!(
                    "{text:?} is no network of proxies; write an address or a network, such as \
                     10.0.0.0/8, 192.0.2.7 or 2001:db8::/32, or loopback, or private"
                )
            })?);
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A network in which there are clients beside proxies: of public addresses, and as wide as
    /// those of no company, with fewer than 8 bits in IPv4 or 16 in IPv6.
    pub(crate) fn widest(&self) -> Option<IpNet> {
        let is_wide = |network: &IpNet| match network {
            IpNet::V4(network) => network.prefix_len() < 8,
            // From fc00:: on addresses are local (RFC 4193, RFC 4291 section 2.4).
            IpNet::V6(network) => network.prefix_len() < 16 && network.network().octets()[0] < 0xfc,
        };
        self.0.iter().copied().filter(is_wide).min_by_key(IpNet::prefix_len)
    }

    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client of a request that came from this address: the first one from the right in
    /// `X-Forwarded-For`, or in `Forwarded`, that is no trusted proxy's. The way back ends at the
    /// last proxy that is understood, and is not begun where the nearest one is not trusted.
    ///
    /// Most proxies write one of the two fields and pass the other one on as a client wrote it. So
    /// a request in which they disagree is refused.
    pub(super) fn client_of(
        &self,
        from: IpAddr,
        fields: &[Header<'_>],
    ) -> Result<IpAddr, HttpError> {
        let from = from.to_canonical();
        if !self.trust(from) {
            return Ok(from);
        }
        let read = [
            self.walk(from, fields, "x-forwarded-for", forwarded::read_list),
            self.walk(from, fields, "forwarded", forwarded::read_elements),
        ];
        match read {
            [Some(one), Some(other)] if one != other => Err(HttpError::bad_request(
                "X-Forwarded-For and Forwarded name different clients; let the proxy in front \
                 remove the one that it does not write",
            )),
            [one, other] => Ok(one.or(other).unwrap_or(from)),
        }
    }

    /// Goes back from proxy to proxy as one field says; none when it is not there. Further lines
    /// of a field continue it (RFC 9110 section 5.3).
    fn walk(
        &self,
        from: IpAddr,
        fields: &[Header<'_>],
        name: &str,
        read: fn(&[u8]) -> Vec<Option<IpAddr>>,
    ) -> Option<IpAddr> {
        let mut lines =
            fields.iter().rev().filter(|field| field.name.eq_ignore_ascii_case(name)).peekable();
        lines.peek()?;
        let mut client = from;
        for hop in lines.flat_map(|line| read(line.value).into_iter().rev()) {
            let Some(hop) = hop.map(|hop| hop.to_canonical()) else { break };
            client = hop;
            if !self.trust(hop) {
                break;
            }
        }
        Some(client)
    }
}

/// A network, or the one of a single address; IPv4 within IPv6 is IPv4.
fn network_of(text: &str) -> Option<IpNet> {
    /// Bits before an IPv4 address in IPv6 (RFC 4291 section 2.5.5.2).
    const MAPPED: u8 = 96;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical().into());
    }
    let network: IpNet = text.parse().ok()?;
    match (network.addr().to_canonical(), network) {
        (IpAddr::V4(address), IpNet::V6(mapped)) if mapped.prefix_len() >= MAPPED => {
            Ipv4Net::new(address, mapped.prefix_len() - MAPPED).ok().map(IpNet::V4)
        }
        _ => Some(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        let mut proxies = TrustedProxies::default();
        networks.iter().for_each(|network| proxies.add(network).expect("legal"));
        proxies
    }

    fn client(from: &str, fields: &[(&str, &str)]) -> Result<String, u16> {
        let fields: Vec<Header<'_>> =
            fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
        proxies(&["10.0.0.0/8", "2001:db8:1::/48"])
            .client_of(from.parse().expect("an address"), &fields)
            .map(|client| client.to_string())
            .map_err(|error| error.status.as_u16())
    }

    #[test]
    fn networks_addresses_and_names_are_understood() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            (" 192.0.2.7/32 ", "::ffff:192.0.2.7", "192.0.2.8"),
            ("::ffff:10.0.0.0/104", "10.255.0.1", "11.0.0.1"),
            ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("0.0.0.0/0", "192.0.2.1", "2001:db8::1"),
            ("loopback", "127.9.9.9", "10.0.0.1"),
            ("loopback", "::1", "::2"),
            ("private", "172.31.255.255", "172.32.0.0"),
            ("private", "fd12::1", "127.0.0.1"),
        ] {
            let proxies = proxies(&[network]);
            assert!(proxies.trust(inside.parse().unwrap()), "{inside} in {network}");
            assert!(!proxies.trust(outside.parse().unwrap()), "{outside} in {network}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "proxy.example", "10.0.0.0/", "all"] {
            let refused = TrustedProxies::default().add(text).unwrap_err();
            assert!(refused.contains("10.0.0.0/8"), "{refused}");
        }
    }

    #[test]
    fn a_network_of_everything_is_wide() {
        let rows: [(&[&str], Option<&str>); 6] = [
            (&["private", "loopback", "10.0.0.0/8", "2001:db8::/32", "fe80::/10"], None),
            (&["10.0.0.0/8", "0.0.0.0/0"], Some("0.0.0.0/0")),
            (&["128.0.0.0/1", "::/0"], Some("::/0")),
            (&["0.0.0.0/1"], Some("0.0.0.0/1")),
            (&["2000::/3"], Some("2000::/3")),
            (&["::ffff:0.0.0.0/96"], Some("0.0.0.0/0")),
        ];
        for (networks, expected) in rows {
            let widest = proxies(networks).widest().map(|network| network.to_string());
            assert_eq!(widest.as_deref(), expected, "{networks:?}");
        }
    }

    #[test]
    fn the_first_address_from_the_right_that_is_no_proxys_is_the_client() {
        let xff = |value| client("10.0.0.1", &[("X-Forwarded-For", value)]);
        for (value, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("198.51.100.9, 192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, 10.0.0.3,10.0.0.2", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1, 2001:db8:1::9", "2001:db8::1"),
            ("10.0.0.9, 10.0.0.8", "10.0.0.9"),
            // What is not understood ends the way back, and so does an empty entry.
            ("192.0.2.1, garbage", "10.0.0.1"),
            ("192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("192.0.2.1,,10.0.0.2", "10.0.0.2"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(xff(value).as_deref(), Ok(expected), "{value:?}");
        }
        let lines =
            [("x-forwarded-for", "198.51.100.9"), ("X-FORWARDED-FOR", "192.0.2.1, 10.0.0.2")];
        assert_eq!(client("10.0.0.1", &lines).as_deref(), Ok("192.0.2.1"), "lines continue");
    }

    #[test]
    fn a_thousand_hops_and_a_hundred_lines_are_walked_to_their_end() {
        let hops = vec!["10.0.0.2"; 1000].join(",");
        let long = format!("192.0.2.1,{hops}");
        assert_eq!(client("10.0.0.1", &[("X-Forwarded-For", &long)]).as_deref(), Ok("192.0.2.1"));
        let mut lines = vec![("X-Forwarded-For", "198.51.100.9"); 99];
        lines.push(("X-Forwarded-For", "192.0.2.1"));
        let found = client("10.0.0.1", &lines);
        assert_eq!(found.as_deref(), Ok("192.0.2.1"), "the last line is the nearest proxy's");
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let spoofed = [("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1")];
        assert_eq!(client("203.0.113.5", &spoofed).as_deref(), Ok("203.0.113.5"));
        assert_eq!(client("::ffff:203.0.113.5", &spoofed).as_deref(), Ok("203.0.113.5"));
        assert_eq!(client("::ffff:10.0.0.1", &spoofed).as_deref(), Ok("192.0.2.1"));
        let none = proxies(&[]).client_of([10, 0, 0, 1].into(), &[]).map_err(|error| error.status);
        assert_eq!(none, Ok([10, 0, 0, 1].into()));
    }

    #[test]
    fn two_fields_that_disagree_are_refused() {
        let both =
            |one, other| client("10.0.0.1", &[("X-Forwarded-For", one), ("Forwarded", other)]);
        assert_eq!(both("192.0.2.1", "for=192.0.2.1, for=10.0.0.2").as_deref(), Ok("192.0.2.1"));
        assert_eq!(both("192.0.2.1", "for=198.51.100.9"), Err(400));
        assert_eq!(both("192.0.2.1", "for=unknown"), Err(400), "not understood is another one");
        assert_eq!(both("", "for=192.0.2.1"), Err(400));
    }
}
