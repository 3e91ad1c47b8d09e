//! Who may use a route.

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::HOST;

use super::{AccessRules, Host, HttpError};
use crate::program::{ApiAccess, ApiRequest, ShardProgram, bearer_token};

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
pub(super) async fn admit(
    access: Access,
    rules: &AccessRules,
    program: &dyn ShardProgram,
    request: &Request<Incoming>,
    api_request: impl FnOnce() -> ApiRequest,
) -> Result<Admission, HttpError> {
    let is_known = match access {
        Access::Everybody | Access::Program => false,
        Access::Api => admit_to_api(rules, program, request, api_request).await?,
    };
    Ok(Admission { is_known })
}

/// Whether the caller is known, if it may use `/v1`.
async fn admit_to_api(
    rules: &AccessRules,
    program: &dyn ShardProgram,
    request: &Request<Incoming>,
    api_request: impl FnOnce() -> ApiRequest,
) -> Result<bool, HttpError> {
    let has_key = bearer_token(request.headers()).is_some_and(|token| rules.keys.contain(token));
    match rules.api {
        ApiAccess::Off => Err(HttpError::nothing_there()),
        _ if has_key => Ok(true),
        ApiAccess::Program => {
            program.authorize_api(api_request()).await.map_err(HttpError::refusal)?;
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
