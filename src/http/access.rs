//! Who may use a route, and who may open a connection.

use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{HeaderMap, Request};

use super::fields::Few;
use super::router::Found;
use super::{ApiKeys, Host, HttpError, Origins};
use crate::anonymous::Anonymous;
use crate::http_api::ApiRequest;
use crate::runtime::Hub;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody: it changes nothing and tells no secret.
    Everybody,
    /// `/v1`: as [`AccessRules::api`] says.
    Api,
    /// The program's route decides by itself.
    Program,
}

/// Who may use `/v1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ApiAccess {
    /// Those who bring an API key, or everybody while none is configured.
    #[default]
    Keys,
    /// Those who bring an API key, and those whom the program's rule lets in.
    Program,
    /// Nobody.
    Off,
}

/// What a server was told about who may do what.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessRules {
    pub(crate) keys: ApiKeys,
    /// Pages that may open connections beside the server's own.
    pub(crate) origins: Origins,
    /// The server is for this machine alone and asks for no key. Then a page that points its own
    /// name at a loopback address must not get in (DNS rebinding).
    pub(crate) loopback_only: bool,
    /// The program decides about each handshake, and about its token.
    pub(crate) program_authorizes: bool,
    pub(crate) api: ApiAccess,
    /// What connections may do that are not known.
    pub(crate) anonymous: Anonymous,
}

impl AccessRules {
    /// Refuses requests that name another host than this machine, if only that is served. A
    /// request without a name is no browser's.
    pub(crate) fn admit_host(&self, host: Option<Host<'_>>) -> Result<(), HttpError> {
        match host {
            Some(host) if self.loopback_only && !host.is_loopback() => Err(HttpError::forbidden(
                "without keys this server is for its own machine: call it localhost, 127.0.0.1 \
                     or [::1] (the Host header names another), or start it with --api-key or --open",
            )),
            _ => Ok(()),
        }
    }

    /// Refuses handshakes from pages of foreign origins. What is no browser sends no origin.
    pub(crate) fn admit_origin(&self, origins: &Few<'_>, host: Host<'_>) -> Result<(), HttpError> {
        if origins.is_empty() || origins.only().is_some_and(|one| self.origins.admit(one, host)) {
            return Ok(());
        }
        Err(HttpError::forbidden(
            "pages of this origin may not connect: a page must come from the host that it connects \
             to, or the server must be started with --allow-origin",
        ))
    }

    /// Whether a handshake brought an API key. One that brings something else is refused, unless
    /// the program knows better.
    pub(crate) fn admit_token(&self, token: Option<&str>) -> Result<bool, HttpError> {
        let Some(token) = token else { return Ok(false) };
        let is_key = self.keys.contain(token);
        if !is_key && !self.keys.is_empty() && !self.program_authorizes {
            return Err(HttpError::unauthorized());
        }
        Ok(is_key)
    }
}

/// Proof that a route's rule let a request in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission {
    is_known: bool,
}

impl Admission {
    /// Whether the caller brought an API key, or the program's rule knows it.
    pub(crate) fn is_known(self) -> bool {
        self.is_known
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Admission {
        Admission { is_known: false }
    }
}

/// Asks a route's rule.
pub(crate) async fn admit(
    hub: &Hub,
    found: &Found<'_>,
    request: &Request<Incoming>,
    remote_addr: SocketAddr,
) -> Result<Admission, HttpError> {
    let is_known = match found.access() {
        Access::Everybody | Access::Program => false,
        Access::Api => admit_to_api(hub, found, request, remote_addr).await?,
    };
    Ok(Admission { is_known })
}

/// Whether the caller is known, if it may use `/v1`.
async fn admit_to_api(
    hub: &Hub,
    found: &Found<'_>,
    request: &Request<Incoming>,
    remote_addr: SocketAddr,
) -> Result<bool, HttpError> {
    let rules = hub.rules();
    let has_key = bearer_token(request.headers()).is_some_and(|token| rules.keys.contain(token));
    match rules.api {
        ApiAccess::Off => Err(HttpError::nothing_there()),
        _ if has_key => Ok(true),
        ApiAccess::Program => {
            let request = ApiRequest::new(request, found, remote_addr);
            hub.authorize_api(request).await.map_err(HttpError::refusal)?;
            Ok(true)
        }
        ApiAccess::Keys if !rules.keys.is_empty() => Err(HttpError::unauthorized()),
        ApiAccess::Keys => rules.admit_host(host_of(request)).map(|()| false),
    }
}

/// Which host a request means; it was checked when its head arrived.
pub(super) fn host_of(request: &Request<Incoming>) -> Option<Host<'_>> {
    let field = || request.headers().get(HOST)?.to_str().ok();
    let authority = request.uri().authority().map(|authority| authority.as_str());
    authority.or_else(field).and_then(Host::parse)
}

/// The token of `Authorization: Bearer …` (RFC 6750 section 2.1).
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
