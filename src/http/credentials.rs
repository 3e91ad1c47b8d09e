//! Where a request carries who sends it.

use std::borrow::Cow;

use hyper::header::{AUTHORIZATION, COOKIE};
use hyper::{HeaderMap, Uri};

use super::HttpError;
use super::few::Few;
use crate::values::{bearer, parameters};

/// The parts of a request that may carry who sends it.
#[derive(Default)]
pub(crate) struct Offered<'a> {
    pub(super) authorizations: Few<'a>,
    pub(super) cookies: Few<'a>,
    /// Of a handshake alone.
    pub(super) protocols: Few<'a>,
    pub(super) query: Option<&'a str>,
}

/// What a request brought, from the first place that has something.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Brought<'a> {
    Nothing,
    /// `Authorization: Bearer` (RFC 6750 section 2.1): an API key, or a token.
    Bearer(Cow<'a, str>),
    /// A token from where no API key is taken.
    Token(Cow<'a, str>),
}

/// The entry of `Sec-WebSocket-Protocol` that is a token behind this.
const PROTOCOL_PREFIX: &str = "corecast.token.";

/// The parameter of the query that is a token (RFC 6750 section 2.3).
const PARAMETER: &str = "access_token";

impl<'a> Offered<'a> {
    /// Those of a request that is no handshake.
    pub(super) fn by(headers: &'a HeaderMap, uri: &'a Uri) -> Offered<'a> {
        let few = |name| headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
        Offered {
            authorizations: few(AUTHORIZATION),
            cookies: few(COOKIE),
            protocols: Few::default(),
            query: uri.query(),
        }
    }

    /// What the first of them has: the header, the cookie of this name, the parameter, the
    /// subprotocol. A place that has two different answers has none: which of them would count is
    /// anybody's guess, and an attacker may have added one.
    pub(super) fn find(&self, cookie: Option<&str>) -> Result<Brought<'a>, HttpError> {
        if let Some(bearer) = self.bearer()? {
            return Ok(Brought::Bearer(bearer));
        }
        if cookie.is_some() && self.cookies.is_cut() {
            return Err(ambiguous("the header Cookie"));
        }
        let cookie = cookie.map(|name| one(self.cookies(name), "the cookie of the token"));
        if let Some(token) = cookie.transpose()?.flatten() {
            return Ok(Brought::Token(token));
        }
        let parameters = parameters(self.query, PARAMETER).map(Cow::Owned);
        if let Some(token) = one(parameters, "the parameter access_token")? {
            return Ok(Brought::Token(token));
        }
        if self.protocols.is_cut() {
            return Err(ambiguous("the header Sec-WebSocket-Protocol"));
        }
        let token = one(self.protocol_tokens(), "a subprotocol corecast.token.…")?;
        Ok(token.map_or(Brought::Nothing, Brought::Token))
    }

    /// What stands behind `Bearer`, whatever it is: what is no text is a wrong one.
    pub(super) fn bearer(&self) -> Result<Option<Cow<'a, str>>, HttpError> {
        let Some(first) = self.authorizations.iter().next() else { return Ok(None) };
        if self.authorizations.only().is_none() {
            return Err(ambiguous("the header Authorization"));
        }
        Ok(bearer(first).map(String::from_utf8_lossy))
    }

    /// The values of a cookie (RFC 6265 section 4.2.1), without the quotes that they may have.
    fn cookies(&self, name: &str) -> impl Iterator<Item = Cow<'a, str>> {
        let pairs = self.cookies.iter().flat_map(|line| line.split(|byte| *byte == b';'));
        pairs.filter_map(move |pair| {
            let pair = std::str::from_utf8(pair).ok()?.trim();
            let (known, value) = pair.split_once('=')?;
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
            (known == name).then_some(Cow::Borrowed(value))
        })
    }

    fn protocol_tokens(&self) -> impl Iterator<Item = Cow<'a, str>> {
        let entries = self.protocols.iter().flat_map(|list| list.split(|byte| *byte == b','));
        entries.filter_map(|entry| {
            let entry = std::str::from_utf8(entry).ok()?.trim();
            entry.strip_prefix(PROTOCOL_PREFIX).map(Cow::Borrowed)
        })
    }
}

/// The one value of a place; an error if there are different ones.
fn one<'a>(
    mut values: impl Iterator<Item = Cow<'a, str>>,
    place: &'static str,
) -> Result<Option<Cow<'a, str>>, HttpError> {
    let Some(first) = values.next() else { return Ok(None) };
    if values.any(|other| other != first) {
        return Err(ambiguous(place));
    }
    Ok(Some(first))
}

fn ambiguous(place: &'static str) -> HttpError {
    HttpError::bad_request(format!("{place} stands more than once; send it once"))
}
