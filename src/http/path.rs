//! Paths of requests.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

/// What a canonical path keeps encoded: what would end its segment, or begin an encoding.
const KEPT: &AsciiSet = &CONTROLS.add(b'/').add(b'%');

/// The one spelling that routes are found by: each segment decoded after splitting, so that
/// `/%761/stats` is `/v1/stats`, and encoded again as little as possible, so that room `a/b` stays
/// one segment (`a%2Fb`). A segment that is not UTF-8 stays encoded, too.
pub(crate) fn canonical(path: &str) -> Cow<'_, str> {
    if path.bytes().all(|byte| byte != b'%' && byte.is_ascii_graphic()) {
        return Cow::Borrowed(path);
    }
    let segments = path.split('/').map(|segment| {
        let decoded: Vec<u8> = percent_decode_str(segment).collect();
        percent_encode(&decoded, KEPT).to_string()
    });
    Cow::Owned(segments.collect::<Vec<_>>().join("/"))
}

/// A canonical segment as it was meant; none when it is not UTF-8.
pub(crate) fn decode(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_has_one_canonical_form() {
        for (path, same) in [
            ("/v1/stats", "/v1/stats"),
            ("/%76%31/st%61ts", "/v1/stats"),
            ("/v1%2fstats", "/v1%2Fstats"),
            ("/v1/rooms/a%2Fb", "/v1/rooms/a%2Fb"),
            ("/v1/rooms/%C3%A9+%zz", "/v1/rooms/%C3%A9+%25zz"),
            ("/v1/rooms/é", "/v1/rooms/%C3%A9"),
            ("/%2576%2531/stats", "/%2576%2531/stats"),
            ("/%ff", "/%FF"),
            ("//v1", "//v1"),
            ("/%2e%2e/v1", "/../v1"),
        ] {
            assert_eq!(canonical(path), same, "{path}");
            assert_eq!(canonical(same), same, "the canonical form is its own");
        }
        assert_eq!(decode("a%2Fb").as_deref(), Some("a/b"));
        assert_eq!(decode("%FF"), None);
    }
}
