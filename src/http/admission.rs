//! Who may use a route.

use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::HOST;

use super::access::NEEDS_KEY;
use super::tokens::TokenClaims;
use super::{AccessRules, Credential, Host, HttpError, Offered};
use crate::program::{ApiAccess, ApiRequest, ShardProgram};
use crate::values::{Right, Rights};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody: it changes nothing and tells no secret.
    Everybody,
    /// `/v1`: as [`AccessRules::api`] says.
    Api,
    /// The same; and clients with a token that may join the room, since this is the one route that
    /// browsers read of themselves, and an `EventSource` can send no header.
    Events,
    /// The program's route decides by itself; but no page reaches it by a name of its own on a server
    /// that is for its machine alone.
    Program,
}

/// Proof that a route's rule let a request in.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    caller: AdmittedAs,
}

/// Who sends a request that was let in.
#[derive(Clone, Debug)]
pub(crate) enum AdmittedAs {
    /// Nothing is known, and nothing was asked for.
    Unknown,
    /// It brought an API key with these rights.
    Key(Rights),
    /// The program's rule knows it.
    Program,
    /// It brought a token that says this.
    Token(Arc<TokenClaims>),
}

impl Admission {
    pub(crate) fn admitted_as(&self) -> &AdmittedAs {
        &self.caller
    }

    /// Whether the caller has a right that a route needs. Those that brought no API key are judged
    /// by the rule that let them in, or by the route.
    pub(crate) fn includes(&self, right: Right) -> bool {
        match self.caller {
            AdmittedAs::Key(rights) => rights.include(right),
            AdmittedAs::Unknown | AdmittedAs::Program | AdmittedAs::Token(_) => true,
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(caller: AdmittedAs) -> Admission {
        Admission { caller }
    }
}

/// Asks a route's rule.
pub(super) async fn admit(
    access: Access,
    rules: &AccessRules,
    program: &dyn ShardProgram,
    request: &Request<Incoming>,
    api_request: impl FnOnce() -> ApiRequest,
) -> Result<Admission, HttpError> {
    let caller = match access {
        Access::Everybody => AdmittedAs::Unknown,
        Access::Program => rules.admit_host(host_of(request)).map(|()| AdmittedAs::Unknown)?,
        Access::Events => match admit_token(rules, request)? {
            Some(caller) => caller,
            None => admit_to_api(access, rules, program, request, api_request).await?,
        },
        Access::Api => admit_to_api(access, rules, program, request, api_request).await?,
    };
    Ok(Admission { caller })
}

/// Who brings a token, or an API key, where there are tokens. A rule of the program is asked about
/// what is neither; and about a token, too, where the program decides what each of them allows.
fn admit_token(
    rules: &AccessRules,
    request: &Request<Incoming>,
) -> Result<Option<AdmittedAs>, HttpError> {
    if rules.api == ApiAccess::Off || rules.keys.known().tokens.is_empty() {
        return Ok(None);
    }
    let offered = Offered::by(request.headers(), request.uri());
    let has_rule = rules.api == ApiAccess::Program;
    let credential = match has_rule {
        true => rules.find_credential(&offered)?,
        false => rules.admit_credential(&offered)?,
    };
    Ok(match credential {
        Credential::None => None,
        Credential::Key(rights) => Some(AdmittedAs::Key(rights)),
        Credential::Token(_) if has_rule && rules.program_authorizes => None,
        Credential::Token(claims) => Some(AdmittedAs::Token(claims)),
    })
}

/// What opens the events of a room where there are tokens.
const NEEDS_KEY_OR_TOKEN: &str = "this needs an API key, or a token that may join the room: in the \
    header Authorization: Bearer, or the token as ?access_token=";

/// Who the caller is, if it may use `/v1`.
async fn admit_to_api(
    access: Access,
    rules: &AccessRules,
    program: &dyn ShardProgram,
    request: &Request<Incoming>,
    api_request: impl FnOnce() -> ApiRequest,
) -> Result<AdmittedAs, HttpError> {
    let keys = rules.keys.known();
    let offered = Offered::by(request.headers(), request.uri());
    let bearer = if keys.api.is_empty() { None } else { offered.bearer()? };
    let rights = bearer.and_then(|key| keys.api.rights_of(&key));
    match (rules.api, rights) {
        (ApiAccess::Off, _) => Err(HttpError::nothing_there()),
        (_, Some(rights)) => Ok(AdmittedAs::Key(rights)),
        (ApiAccess::Program, None) => {
            program.authorize_api(api_request()).await.map_err(HttpError::refusal)?;
            Ok(AdmittedAs::Program)
        }
        (ApiAccess::Keys, None) if !keys.are_none() => {
            let by_token = access == Access::Events && !keys.tokens.is_empty();
            Err(rules.refuse_without(if by_token { NEEDS_KEY_OR_TOKEN } else { NEEDS_KEY }))
        }
        (ApiAccess::Keys, None) => rules.admit_host(host_of(request)).map(|()| AdmittedAs::Unknown),
    }
}

/// Whether a caller may read what `/v1` says, as far as that is known without the program.
pub(super) fn may_read(rules: &AccessRules, request: &Request<Incoming>) -> bool {
    let keys = rules.keys.known();
    let bearer = Offered::by(request.headers(), request.uri()).bearer().ok().flatten();
    let rights = bearer.and_then(|key| keys.api.rights_of(&key));
    match (rules.api, rights) {
        (ApiAccess::Off, _) => false,
        (_, Some(rights)) => rights.include(Right::Read),
        (ApiAccess::Program, None) => false,
        (ApiAccess::Keys, None) => {
            keys.are_none()
                && !(rules.loopback_only
                    && host_of(request).is_some_and(|host| !host.is_loopback()))
        }
    }
}

/// Which host a request means; it was checked when its head arrived.
pub(super) fn host_of(request: &Request<Incoming>) -> Option<Host<'_>> {
    let field = || request.headers().get(HOST)?.to_str().ok();
    let authority = request.uri().authority().map(|authority| authority.as_str());
    authority.or_else(field).and_then(Host::parse)
}
