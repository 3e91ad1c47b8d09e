//! The parameters of a request's query.

use percent_encoding::percent_decode_str;

/// One parameter of a query, decoded as forms are: `+` is a space. None when it is absent.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    parameters(query, name).next()
}

/// All values of a parameter that may stand several times.
pub(crate) fn parameters(query: Option<&str>, name: &str) -> impl Iterator<Item = String> {
    raw(query, name).map(form_decode)
}

/// The same, where each value must be UTF-8 that was percent-encoded by the rules; none for those that
/// are not.
pub(crate) fn strict_parameters(
    query: Option<&str>,
    name: &str,
) -> impl Iterator<Item = Option<String>> {
    raw(query, name).map(|value| {
        let is_hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
        let is_whole = |(at, _)| value.as_bytes().get(at + 1..at + 3).is_some_and(is_hex);
        let is_legal = value.match_indices('%').all(is_whole);
        let decoded = is_legal.then(|| percent_decode_str(&value.replace('+', " ")).collect());
        decoded.and_then(|bytes| String::from_utf8(bytes).ok())
    })
}

/// The values of a parameter as they stand.
fn raw<'a>(query: Option<&'a str>, name: &str) -> impl Iterator<Item = &'a str> {
    let pairs = query.into_iter().flat_map(|query| query.split('&'));
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(move |(key, _)| form_decode(key) == name).map(|(_, value)| value)
}

fn form_decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Some("after=a%2Fb+c&limit=5&x&%6eame=n");
        assert_eq!(parameter(query, "after").as_deref(), Some("a/b c"));
        assert_eq!(parameter(query, "limit").as_deref(), Some("5"));
        assert_eq!(parameter(query, "x").as_deref(), Some(""));
        assert_eq!(parameter(query, "name").as_deref(), Some("n"));
        assert_eq!(parameter(query, "y"), None);
        let twice: Vec<_> = parameters(Some("a=1&b=2&%61=3"), "a").collect();
        assert_eq!(twice, ["1", "3"]);
    }

    #[test]
    fn what_is_badly_encoded_is_found() {
        let query = "a=x%2Fy&b=%&a=1+%c3%A9&a=%c3&a=%zz&a=%4&%61=%2541&a";
        let values: Vec<_> = strict_parameters(Some(query), "a").collect();
        let of = |value: &str| Some(value.to_owned());
        assert_eq!(values, [of("x/y"), of("1 \u{e9}"), None, None, None, of("%41"), of("")]);
    }
}
