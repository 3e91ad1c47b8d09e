//! Who may use a route.

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::{ApiKeys, HttpError};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody: it changes nothing and tells no secret.
    Everybody,
    /// Those who bring an API key, or everybody while none is configured.
    Api,
    /// The program's route decides by itself.
    Program,
}

/// Proof that a route's rule let a request in.
#[derive(Debug)]
pub(crate) struct Admission(());

impl Admission {
    #[cfg(test)]
    pub(crate) fn for_tests() -> Admission {
        Admission(())
    }
}

/// Asks a route's rule.
pub(crate) fn admit(
    access: Access,
    headers: &HeaderMap,
    keys: &ApiKeys,
) -> Result<Admission, HttpError> {
    let admitted = match access {
        Access::Everybody | Access::Program => true,
        Access::Api => {
            keys.is_empty() || bearer_token(headers).is_some_and(|token| keys.contain(token))
        }
    };
    if admitted { Ok(Admission(())) } else { Err(HttpError::unauthorized()) }
}

/// The token of `Authorization: Bearer …` (RFC 6750 section 2.1).
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_configured_key_opens_the_api() {
        let mut keys = ApiKeys::default();
        assert!(admit(Access::Api, &HeaderMap::new(), &keys).is_ok());
        keys.add("one").unwrap();
        keys.add("two").unwrap();
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().expect("legal"));
            admit(Access::Api, &headers, &keys).is_ok()
        };
        assert!(with("Bearer two") && with("bearer one"));
        assert!(!with("Bearer on") && !with("Bearer ones") && !with("Basic one") && !with("one"));
        assert!(admit(Access::Api, &HeaderMap::new(), &keys).is_err());
        assert!(admit(Access::Everybody, &HeaderMap::new(), &keys).is_ok());
        assert!(admit(Access::Program, &HeaderMap::new(), &keys).is_ok());
    }
}
