//! Paths and queries of requests.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The segments of a path, decoded after splitting, so that `a%2Fb` is one segment. None when one
/// is not UTF-8.
pub(crate) fn segments(path: &str) -> Option<Vec<Cow<'_, str>>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split('/').map(|segment| percent_decode_str(segment).decode_utf8().ok()).collect()
}

/// One parameter of a query, decoded as forms are: `+` is a space. None when it is absent.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    let value = value.replace('+', " ");
    Some(percent_decode_str(&value).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_may_be_part_of_a_name() {
        assert_eq!(
            segments("/v1/rooms/a%2Fb"),
            Some(vec!["v1".into(), "rooms".into(), "a/b".into()])
        );
        assert_eq!(
            segments("/v1/rooms/%C3%A9+"),
            Some(vec!["v1".into(), "rooms".into(), "é+".into()])
        );
        assert_eq!(segments("/%ff"), None);
    }

    #[test]
    fn parameters_are_decoded() {
        let query = Some("after=a%2Fb+c&limit=5&x");
        assert_eq!(parameter(query, "after").as_deref(), Some("a/b c"));
        assert_eq!(parameter(query, "limit").as_deref(), Some("5"));
        assert_eq!(parameter(query, "x").as_deref(), Some(""));
        assert_eq!(parameter(query, "y"), None);
    }
}
