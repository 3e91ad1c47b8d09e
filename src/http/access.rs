//! Who may open a connection, and who may use `/v1`: the rules of one server.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::credentials::Brought;
use super::few::Few;
use super::key_files::Keys;
use super::tokens::{self, BadToken, ClaimRules, TokenClaims};
use super::{Host, HttpError, KeyStore, Offered, Origins, TrustedProxies};
use crate::program::ApiAccess;
use crate::values::{Anonymous, Claims, RefusalReason, Refusals, Rights};

/// What a server was told about who may do what.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessRules {
    pub(crate) keys: KeyStore,
    /// What tokens must say.
    pub(crate) claims: ClaimRules,
    /// The cookie that may carry a token.
    pub(crate) token_cookie: Option<String>,
    /// Pages that may open connections beside the server's own.
    pub(crate) origins: Origins,
    /// Proxies that are believed when they say where a request came from.
    pub(crate) proxies: TrustedProxies,
    /// The server is for this machine alone and asks for no key. Then a page that points its own
    /// name at a loopback address must not get in (DNS rebinding).
    pub(crate) loopback_only: bool,
    /// The same, where something is open to all that reach it and no proxy was named. Then what comes
    /// over a proxy, from any machine, may not be meant to get in.
    pub(crate) watches_for_proxies: bool,
    /// A proxy was seen.
    pub(crate) proxy_seen: Arc<AtomicBool>,
    /// This server speaks TLS itself, so that its own pages come over https.
    pub(crate) tls: bool,
    /// Messages are compressed for clients that offer it.
    pub(crate) deflate: bool,
    /// Rooms that a handshake may name, to be joined at once; none where the program speaks a format
    /// of its own, and such a parameter is its own as well.
    pub(crate) rooms_named: Option<usize>,
    /// The program decides about each handshake, and about its token.
    pub(crate) program_authorizes: bool,
    pub(crate) api: ApiAccess,
    /// What connections may do that are not known.
    pub(crate) anonymous: Anonymous,
    pub(crate) refusals: Arc<Refusals>,
}

/// What opens `/v1`.
pub(crate) const NEEDS_KEY: &str = "this needs the header Authorization: Bearer <api key>";

/// What proxies write into requests, and browsers do not (RFC 9110 section 7.6.3, RFC 7239).
const PROXY_FIELDS: [&str; 4] = ["x-forwarded-for", "forwarded", "via", "x-real-ip"];

/// What a request proved about who sends it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Credential {
    /// Nothing.
    None,
    /// It brought an API key with these rights.
    Key(Rights),
    /// It brought a valid token, which says this.
    Token(Arc<TokenClaims>),
}

impl AccessRules {
    /// Refuses requests that name another host than this machine, if only that is served. A
    /// request without a name is no browser's.
    pub(crate) fn admit_host(&self, host: Option<Host<'_>>) -> Result<(), HttpError> {
        match host {
            Some(host) if self.loopback_only && !host.is_loopback() => {
                self.refusals.count(RefusalReason::Host);
                Err(HttpError::forbidden(
                    "without keys this server is for its own machine: call it localhost, 127.0.0.1 \
                     or [::1] (the Host header names another), or start it with --api-key or --open",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether a client that brings nothing, and that no program knows, may do nothing.
    pub(crate) fn is_closed_to_unknown(&self) -> bool {
        self.anonymous == Anonymous::none() && !self.program_authorizes
    }

    /// Warns of the first request that came over a proxy, if this machine alone is to be served.
    pub(crate) fn watch_for_proxies(&self, fields: &[httparse::Header<'_>]) {
        let is_of_proxy = |field: &httparse::Header<'_>| {
            PROXY_FIELDS.iter().any(|name| field.name.eq_ignore_ascii_case(name))
        };
        if self.watches_for_proxies
            && fields.iter().any(is_of_proxy)
            && !self.proxy_seen.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "a request came over a proxy, and whatever that lets in may do everything, because no \
                 key is configured; add one, or say --open if that is meant"
            );
        }
    }

    /// Refuses handshakes from pages of foreign origins. What is no browser sends no origin.
    pub(crate) fn admit_origin(&self, origins: &Few<'_>, host: Host<'_>) -> Result<(), HttpError> {
        let admits = |one| self.origins.admit(one, host, self.tls);
        if origins.is_empty() || origins.only().is_some_and(admits) {
            return Ok(());
        }
        Err(self.refuse_origin())
    }

    /// Refuses what a foreign page asks for.
    pub(crate) fn refuse_origin(&self) -> HttpError {
        self.refusals.count(RefusalReason::Origin);
        HttpError::forbidden(
            "pages of this origin may not connect: a page must come from the host and port that it \
             connects to, which a proxy in front must pass on (in nginx: proxy_set_header Host \
             $http_host), or the server must be started with --allow-origin",
        )
    }

    /// Who sends a request. One that brings what is neither a key nor a valid token is refused,
    /// unless no key is configured, or the program knows better.
    pub(crate) fn admit_credential(&self, offered: &Offered<'_>) -> Result<Credential, HttpError> {
        self.judge_credential(offered)?.map_err(|bad| self.refuse(&bad))
    }

    /// The same for a request that a rule of the program is asked about: a token that is not valid
    /// may be one of its own, and is as none.
    pub(crate) fn find_credential(&self, offered: &Offered<'_>) -> Result<Credential, HttpError> {
        Ok(self.judge_credential(offered)?.unwrap_or(Credential::None))
    }

    fn judge_credential(
        &self,
        offered: &Offered<'_>,
    ) -> Result<Result<Credential, BadToken>, HttpError> {
        let keys = self.keys.known();
        if keys.are_none() {
            return Ok(Ok(Credential::None));
        }
        match offered.find(self.token_cookie.as_deref())? {
            Brought::Nothing => Ok(Ok(Credential::None)),
            Brought::Bearer(bearer) => self.judge_bearer(&keys, bearer),
            Brought::Token(_) if keys.tokens.is_empty() => Ok(Ok(Credential::None)),
            Brought::Token(token) => Ok(self.judge_token(&keys, &token)),
        }
    }

    fn judge_bearer(
        &self,
        keys: &Keys,
        bearer: Cow<'_, str>,
    ) -> Result<Result<Credential, BadToken>, HttpError> {
        match keys.api.rights_of(&bearer) {
            Some(rights) => Ok(Ok(Credential::Key(rights))),
            None if !keys.tokens.is_empty() => Ok(self.judge_token(keys, &bearer)),
            None if self.program_authorizes => Ok(Ok(Credential::None)),
            None => Err(self.refuse_without(NEEDS_KEY)),
        }
    }

    /// Refuses what brought no API key and needs one, or what these words say.
    pub(crate) fn refuse_without(&self, needed: &'static str) -> HttpError {
        self.refusals.count(RefusalReason::ApiKey);
        HttpError::unauthorized(needed)
    }

    fn judge_token(&self, keys: &Keys, token: &str) -> Result<Credential, BadToken> {
        let judged = tokens::judge(token, &keys.tokens, &self.claims);
        judged.map(|claims| Credential::Token(Arc::new(claims)))
    }

    /// Refuses what brought a token that is not accepted.
    pub(crate) fn refuse(&self, bad: &BadToken) -> HttpError {
        self.note(bad);
        HttpError::bad_token(bad.message())
    }

    /// Judges the token of a refresh. The error is in words for the client.
    pub(crate) fn judge_refresh(&self, token: &str) -> Result<TokenClaims, String> {
        let judged = tokens::judge(token, &self.keys.known().tokens, &self.claims);
        judged.inspect_err(|bad| self.note(bad)).map_err(|bad| bad.message().into_owned())
    }

    /// Counts a token that is not accepted. Nothing of the token itself is logged.
    fn note(&self, bad: &BadToken) {
        tracing::debug!(reason = bad.kind().name(), "a token is refused");
        self.refusals.count(bad.kind());
    }
}

impl Credential {
    /// What a token says.
    pub(crate) fn claims(&self) -> Option<Claims> {
        match self {
            Credential::None | Credential::Key(_) => None,
            Credential::Token(token) => Some(token.all.clone()),
        }
    }
}
