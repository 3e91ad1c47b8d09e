//! Which extension of a handshake is agreed to: permessage-deflate without context (RFC 7692).

use corecast_shards::Window;

use super::few::Few;

/// What is agreed to with a client that offered compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// How far back what it is sent may refer.
    pub(crate) window: Window,
    /// What it asked for, which the answer repeats (section 7.1.2.1).
    server_max_window_bits: Option<u8>,
}

const NAME: &str = "permessage-deflate";

impl Agreement {
    /// The first of the offers in these values that can be agreed to (section 5.1; RFC 6455 section
    /// 9.1). An offer is passed over that has a parameter twice, or one that is not known or has not a
    /// legal value (section 7.1), as one that is malformed.
    pub(super) fn first(extensions: &Few<'_>) -> Option<Agreement> {
        let lists = extensions.iter().filter_map(|value| std::str::from_utf8(value).ok());
        lists.flat_map(|list| split(list, ',')).find_map(Agreement::of)
    }

    fn of(offer: &str) -> Option<Agreement> {
        let mut parts = split(offer, ';').map(str::trim_ascii);
        if parts.next() != Some(NAME) {
            return None;
        }
        let mut seen = Vec::new();
        let mut agreement = Agreement { window: Window::Full, server_max_window_bits: None };
        for parameter in parts {
            let (name, value) = match parameter.split_once('=') {
                Some((name, value)) => (name.trim_ascii(), Some(unquoted(value.trim_ascii()))),
                None => (parameter, None),
            };
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
            match (name, value) {
                // Both hold in any case.
                ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
                ("client_max_window_bits", None) => {}
                // Every window of a client can be read.
                ("client_max_window_bits", Some(value)) => {
                    window_bits(value)?;
                }
                ("server_max_window_bits", Some(value)) => {
                    let bits = window_bits(value)?;
                    agreement.window = Window::of_bits(bits)?;
                    agreement.server_max_window_bits = Some(bits);
                }
                _ => return None,
            }
        }
        Some(agreement)
    }

    /// The field of the response that says so. It never says `client_max_window_bits`: a client that
    /// did not offer it fails at that, and the others may use any window.
    pub(super) fn field(self) -> String {
        let bits = self.server_max_window_bits;
        let bits = bits.map_or(String::new(), |bits| format!("; server_max_window_bits={bits}"));
        format!(
            "Sec-WebSocket-Extensions: {NAME}; server_no_context_takeover; \
             client_no_context_takeover{bits}\r\n"
        )
    }
}

/// The parts between these separators, those in quotation marks left out.
fn split(list: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let is_end = |character: char| {
            let ends = character == separator && !quoted;
            quoted ^= character == '"' && !escaped;
            escaped = character == '\\' && quoted && !escaped;
            ends
        };
        let end = text.find(is_end);
        rest = end.map(|end| &text[end + separator.len_utf8()..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

/// The value within quotation marks, if it stands in some (RFC 6455 section 9.1).
fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.unwrap_or(value)
}

/// 8 to 15, without leading zeros (section 7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    value.parse().ok().filter(|bits| is_plain && (8..=15).contains(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(values: &[&str]) -> Option<Agreement> {
        Agreement::first(&values.iter().map(|value| value.as_bytes()).collect())
    }

    /// The parameters of the answer beside those that it always has.
    fn answer(offer: &str) -> Option<String> {
        const ALWAYS: &str = "Sec-WebSocket-Extensions: permessage-deflate; \
            server_no_context_takeover; client_no_context_takeover";
        let field = agreed(&[offer])?.field();
        let field = field.strip_suffix("\r\n").expect("it ends its line");
        Some(field.strip_prefix(ALWAYS).expect("both are always said").to_owned())
    }

    #[test]
    fn legal_offers_are_agreed_to() {
        for (offer, window, said) in [
            // Section 7.1: without parameters.
            ("permessage-deflate", Window::Full, ""),
            // Section 7.1.1.1 and 7.1.1.2.
            ("permessage-deflate; server_no_context_takeover", Window::Full, ""),
            ("permessage-deflate; client_no_context_takeover", Window::Full, ""),
            // Section 7.1.2.1: the server's window.
            (
                "permessage-deflate; server_max_window_bits=15",
                Window::Full,
                "; server_max_window_bits=15",
            ),
            (
                "permessage-deflate; server_max_window_bits=14",
                Window::Small,
                "; server_max_window_bits=14",
            ),
            (
                "permessage-deflate; server_max_window_bits=9",
                Window::Small,
                "; server_max_window_bits=9",
            ),
            // Section 7.1.2.2: the client's window, with and without a value.
            ("permessage-deflate; client_max_window_bits", Window::Full, ""),
            ("permessage-deflate; client_max_window_bits=8", Window::Full, ""),
            ("permessage-deflate; client_max_window_bits=15", Window::Full, ""),
            // RFC 6455 section 9.1: a value in quotation marks, blanks, and no blanks.
            (
                "permessage-deflate; server_max_window_bits=\"10\"",
                Window::Small,
                "; server_max_window_bits=10",
            ),
            (
                "permessage-deflate;client_max_window_bits;server_max_window_bits=10",
                Window::Small,
                "; server_max_window_bits=10",
            ),
            ("  permessage-deflate ;\tclient_max_window_bits  ", Window::Full, ""),
            // Section 5.1: what comes first counts.
            (
                "permessage-deflate; server_max_window_bits=10, permessage-deflate",
                Window::Small,
                "; server_max_window_bits=10",
            ),
            // Section 7.1: an offer that is declined leaves the next one.
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate", Window::Full, ""),
            (
                "permessage-deflate; unknown, permessage-deflate; client_max_window_bits",
                Window::Full,
                "",
            ),
            ("permessage-bzip2, permessage-deflate", Window::Full, ""),
            (
                "x; a=\"1, permessage-deflate; server_max_window_bits=9\", permessage-deflate",
                Window::Full,
                "",
            ),
            ("x; a=\"\\\"\", permessage-deflate", Window::Full, ""),
        ] {
            let agreement = agreed(&[offer]).unwrap_or_else(|| panic!("{offer} is declined"));
            assert_eq!(agreement.window, window, "{offer}");
            assert_eq!(answer(offer).as_deref(), Some(said), "{offer}");
        }
    }

    #[test]
    fn offers_that_are_not_legal_are_declined() {
        for offer in [
            "",
            ",",
            "deflate-frame",
            "Permessage-Deflate",
            "permessage-deflate-2",
            // Section 7.1: a parameter that is not defined, in a value that is not legal, or twice.
            "permessage-deflate; unknown",
            "permessage-deflate; unknown=1",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=\"\"",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            // Section 7.1.2: 8 to 15, without leading zeros, and the server's has one.
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=9.0",
            "permessage-deflate; server_max_window_bits=\"9",
            "permessage-deflate; server_max_window_bits=99999999999999999999",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=16",
            // No compressor here can do it, though a client may ask for it.
            "permessage-deflate; server_max_window_bits=8",
            // RFC 6455 section 9.1: a parameter has a name.
            "permessage-deflate;",
            "permessage-deflate; =1",
            "permessage-deflate; ; client_max_window_bits",
            "permessage-deflate client_max_window_bits",
        ] {
            assert_eq!(agreed(&[offer]), None, "{offer}");
        }
    }

    /// RFC 6455 section 9.1: several fields are one list.
    #[test]
    fn fields_count_in_their_order() {
        let small = "permessage-deflate; server_max_window_bits=9";
        let windows = |values: &[&str]| agreed(values).map(|agreement| agreement.window);
        assert_eq!(windows(&[small, "permessage-deflate"]), Some(Window::Small));
        assert_eq!(windows(&["x-webkit-deflate-frame", "permessage-deflate"]), Some(Window::Full));
        assert_eq!(windows(&[]), None);
        assert_eq!(
            Agreement::first(&[&b"\xff, permessage-deflate"[..]].into_iter().collect()),
            None
        );
    }
}
