//! Who may use `/v1`.

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::HttpError;

/// Lets everybody in while no key is configured, and afterwards those who bring one.
pub(crate) fn authorize(headers: &HeaderMap, api_keys: &[String]) -> Result<(), HttpError> {
    if api_keys.is_empty() {
        return Ok(());
    }
    let brought = bearer_token(headers);
    match brought.is_some_and(|key| api_keys.iter().any(|known| same(key, known))) {
        true => Ok(()),
        false => Err(HttpError::unauthorized()),
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750 section 2.1).
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares in a time that does not tell how much of a key was right.
fn same(brought: &str, known: &str) -> bool {
    let differences = brought.bytes().zip(known.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    brought.len() == known.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_configured_key_opens() {
        let keys = ["one".to_owned(), "two".to_owned()];
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().expect("legal"));
            authorize(&headers, &keys).is_ok()
        };
        assert!(with("Bearer two") && with("bearer one"));
        assert!(!with("Bearer on") && !with("Bearer ones") && !with("Basic one") && !with("one"));
        assert!(authorize(&HeaderMap::new(), &keys).is_err());
        assert!(authorize(&HeaderMap::new(), &[]).is_ok());
    }
}
