//! The two header fields in which proxies say where a request came from.

use std::net::{IpAddr, Ipv6Addr};

use crate::http::is_token;

/// The addresses of a line of `X-Forwarded-For`, in their order; none for what is no address.
pub(super) fn read_list(value: &[u8]) -> Vec<Option<IpAddr>> {
    let entries = value.split(|byte| *byte == b',');
    entries.map(|entry| node(std::str::from_utf8(entry).ok()?.trim_matches(BLANKS))).collect()
}

/// The addresses of a line of `Forwarded`, in their order (RFC 7239 section 4); none for an
/// element without an address. A line that is malformed anywhere has none at all: a quotation mark
/// that a client left open would swallow what a proxy wrote behind it.
pub(super) fn read_elements(value: &[u8]) -> Vec<Option<IpAddr>> {
    let elements = std::str::from_utf8(value).ok().and_then(elements);
    elements.unwrap_or_else(|| vec![None])
}

/// What separates the parts of a field.
const BLANKS: [char; 2] = [' ', '\t'];

fn elements(mut rest: &str) -> Option<Vec<Option<IpAddr>>> {
    let mut found = Vec::new();
    loop {
        let (element, behind) = element(rest)?;
        found.push(element);
        match behind {
            Some(behind) => rest = behind,
            None => return Some(found),
        }
    }
}

/// The address of the element that the text begins with, and what follows its comma.
fn element(text: &str) -> Option<(Option<IpAddr>, Option<&str>)> {
    let mut address: Option<Option<IpAddr>> = None;
    let mut rest = text;
    loop {
        let (name, value, behind) = pair(rest.trim_start_matches(BLANKS))?;
        if name.eq_ignore_ascii_case("for") && address.replace(node(&value)).is_some() {
            return None;
        }
        let behind = behind.trim_start_matches(BLANKS);
        match behind.chars().next() {
            None => return Some((address.flatten(), None)),
            Some(',') => return Some((address.flatten(), Some(&behind[1..]))),
            Some(';') => rest = &behind[1..],
            Some(_) => return None,
        }
    }
}

/// One `name=value`, and what follows it. The value is a token or a quoted string (RFC 9110 section
/// 5.6); tokens are read more widely, because addresses are written without quotation marks, too.
fn pair(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    if !is_token(name) {
        return None;
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        let (value, behind) = unquote(quoted)?;
        return Some((name, value, behind));
    }
    let end = rest.find([',', ';', '"', ' ', '\t']).unwrap_or(rest.len());
    let (value, behind) = rest.split_at(end);
    (!value.is_empty()).then(|| (name, value.to_owned(), behind))
}

/// Reads up to the closing quotation mark; none when there is none.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            char => value.push(char),
        }
    }
    None
}

/// An address, with or without a port (RFC 7239 section 6). None for `unknown`, for names that a
/// proxy made up, and for anything else.
fn node(text: &str) -> Option<IpAddr> {
    if let Some(inside) = text.strip_prefix('[') {
        let (address, port) = inside.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        return (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
            .then_some(address.into());
    }
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (address, port) = text.split_once(':')?;
    is_port(port).then(|| address.parse().ok().map(IpAddr::V4)).flatten()
}

/// A number, or a name that a proxy made up for one.
fn is_port(text: &str) -> bool {
    let made_up = |name: &str| {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && name.bytes().all(is_legal)
    };
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && text.parse::<u16>().is_ok()) || text.strip_prefix('_').is_some_and(made_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(addresses: Vec<Option<IpAddr>>) -> Vec<String> {
        let text = |address: Option<IpAddr>| address.map_or("-".to_owned(), |it| it.to_string());
        addresses.into_iter().map(text).collect()
    }

    #[test]
    fn a_list_has_addresses_with_and_without_ports() {
        for (value, expected) in [
            ("192.0.2.1", &["192.0.2.1"][..]),
            (
                "192.0.2.1:80,\t[2001:db8::1]:443 , 2001:db8::2",
                &["192.0.2.1", "2001:db8::1", "2001:db8::2"],
            ),
            ("[2001:db8::1]", &["2001:db8::1"]),
            ("", &["-"]),
            (",192.0.2.1", &["-", "192.0.2.1"]),
            ("192.0.2.256, 192.0.2.1:x, 192.0.2.1:65536, 192.0.2.1:", &["-", "-", "-", "-"]),
            ("fe80::1%eth0, [::1, [192.0.2.1], a.example, 1.2.3, 0x7f.1, 127.1", &["-"; 7]),
            ("192.0.2.1 192.0.2.2", &["-"]),
        ] {
            assert_eq!(texts(read_list(value.as_bytes())), expected, "{value}");
        }
        assert_eq!(texts(read_list(b"\xff, 192.0.2.1")), ["-", "192.0.2.1"]);
    }

    #[test]
    fn the_samples_of_the_rfc_are_understood() {
        for (value, expected) in [
            ("for=\"_gazonk\"", &["-"][..]),
            ("For=\"[2001:db8:cafe::17]:4711\"", &["2001:db8:cafe::17"]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", &["192.0.2.60"]),
            ("for=192.0.2.43, for=198.51.100.17", &["192.0.2.43", "198.51.100.17"]),
            (
                "for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown",
                &["192.0.2.43", "2001:db8:cafe::17", "-"],
            ),
            ("for=_hidden, for=_SEVKISEK", &["-", "-"]),
            ("for=192.0.2.43:47011", &["192.0.2.43"]),
            ("for=\"192.0.2.43:_obf\"; host=\"a, b\"", &["192.0.2.43"]),
            ("proto=http", &["-"]),
            ("by=192.0.2.1; FOR = 192.0.2.2", &["-"]),
            ("for=\"192.0.2.\\43\"", &["192.0.2.43"]),
        ] {
            assert_eq!(texts(read_elements(value.as_bytes())), expected, "{value}");
        }
    }

    #[test]
    fn a_malformed_line_names_nothing() {
        for value in [
            "",
            ",for=192.0.2.1",
            "for=192.0.2.1,",
            "for=192.0.2.1;",
            "for=",
            "for",
            "=192.0.2.1",
            "for=192.0.2.1;for=192.0.2.2",
            "for=\"192.0.2.1",
            "for=\"192.0.2.1\\",
            "for=\"192.0.2.1\"x",
            "for=192.0.2.1 x",
            "f\u{f6}r=192.0.2.1",
            // What a proxy wrote behind a quotation mark that a client left open.
            "for=1.1.1.1;x=\", for=192.0.2.1",
            "for=1.1.1.1;x=\", for=\"[2001:db8::1]\"",
            "for=1.1.1.1;x=\", for=\"192.0.2.1\";by=\"a\"",
        ] {
            assert_eq!(texts(read_elements(value.as_bytes())), ["-"], "{value}");
        }
        assert_eq!(texts(read_elements(b"for=\xff")), ["-"]);
    }
}
