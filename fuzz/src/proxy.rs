//! The header of the PROXY protocol: nothing of it may depend on how it is cut, it has an end within
//! its bounds, and where it names a source, `ppp` reads the same one.

use std::net::IpAddr;

use super::{ProxyVerdict, read_proxy_header};

/// Longer ones say nothing new: entries behind the addresses are skipped.
const HEADER_MAX: usize = 400;

/// Bytes that decide about any header: those of version 2 with addresses of IPv6.
const DECIDED_MAX: usize = 107;

pub fn check(data: &[u8]) {
    let bytes = &data[..data.len().min(HEADER_MAX)];
    let mut decided = None;
    for end in 0..=bytes.len() {
        match (decided, read_proxy_header(&bytes[..end])) {
            (None, ProxyVerdict::Partial) => {
                assert!(end < DECIDED_MAX, "{end} bytes do not decide");
            }
            (None, verdict) => decided = Some(verdict),
            (Some(before), verdict) => assert_eq!(before, verdict, "of {end} bytes"),
        }
    }
    match decided {
        Some(ProxyVerdict::Read { len, source }) if len <= bytes.len() => {
            check_source(&bytes[..len], source);
        }
        Some(ProxyVerdict::Malformed) => check_malformed(bytes),
        _ => {}
    }
}

/// What another reader finds in a header; none when it is none to it.
fn read_again(header: &[u8]) -> Option<Option<IpAddr>> {
    if let Ok(header) = ppp::v1::Header::try_from(header) {
        return Some(match header.addresses {
            ppp::v1::Addresses::Tcp4(addresses) => Some(addresses.source_address.into()),
            ppp::v1::Addresses::Tcp6(addresses) => Some(addresses.source_address.into()),
            ppp::v1::Addresses::Unknown => None,
        });
    }
    let header = ppp::v2::Header::try_from(header).ok()?;
    let is_stream = header.protocol == ppp::v2::Protocol::Stream;
    if header.command == ppp::v2::Command::Local || !is_stream {
        return Some(None);
    }
    Some(match header.addresses {
        ppp::v2::Addresses::IPv4(addresses) => Some(addresses.source_address.into()),
        ppp::v2::Addresses::IPv6(addresses) => Some(addresses.source_address.into()),
        ppp::v2::Addresses::Unix(_) | ppp::v2::Addresses::Unspecified => None,
    })
}

/// It refuses LOCAL connections of a family that it does not know, and some lines without
/// addresses.
fn check_source(header: &[u8], source: Option<IpAddr>) {
    match read_again(header) {
        Some(again) => assert_eq!(source, again, "in {header:?}"),
        None => assert_eq!(source, None, "only we find a source in {header:?}"),
    }
}

/// It takes ports with a sign.
fn check_malformed(bytes: &[u8]) {
    let again = read_again(bytes).flatten();
    assert!(again.is_none() || bytes.contains(&b'+'), "only we find no header in {bytes:?}");
}
