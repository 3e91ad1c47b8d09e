//! Who may open a connection, and who may use `/v1`: the rules of one server.

use super::fields::Few;
use super::{ApiKeys, Host, HttpError, Origins, TrustedProxies};
use crate::program::ApiAccess;
use crate::values::Anonymous;

/// What a server was told about who may do what.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessRules {
    pub(crate) keys: ApiKeys,
    /// Pages that may open connections beside the server's own.
    pub(crate) origins: Origins,
    /// Proxies that are believed when they say where a request came from.
    pub(crate) proxies: TrustedProxies,
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
