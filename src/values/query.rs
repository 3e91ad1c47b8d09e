//! The parameters of a request's query.

use percent_encoding::percent_decode_str;

/// One parameter of a query, decoded as forms are: `+` is a space. None when it is absent.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    parameters(query, name).next()
}

/// All values of a parameter that may stand several times.
pub(crate) fn parameters(query: Option<&str>, name: &str) -> impl Iterator<Item = String> {
    let pairs = query.into_iter().flat_map(|query| query.split('&'));
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(move |(key, _)| form_decode(key) == name).map(|(_, value)| form_decode(value))
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
}
