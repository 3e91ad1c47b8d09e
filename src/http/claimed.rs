//! What claims mean for a connection: what its client may do, who that is, and until when it stays.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use corecast_shards::{
    Credentials, Expiry, Identity, Name, NameSet, Opening, Pattern, Permission, Permissions, Time,
};
use serde_json::{Map, Value};

use super::Credential;
use super::tokens::{self, TokenClaims};
use crate::values::{Anonymous, Claims, Right, Rights};

/// What the connections of one shard may do, by what their handshakes brought. Connections whose
/// claims say the same share it.
#[derive(Debug)]
pub(crate) struct Grants {
    /// What the program's hooks leave to clients.
    known: Arc<Permissions>,
    anonymous: Arc<Permissions>,
    /// Of API keys that are for reading alone, and for publishing alone.
    readers: Arc<Permissions>,
    publishers: Arc<Permissions>,
    /// By the claim `cast`, while a connection has it.
    by_claim: HashMap<String, Weak<Permissions>>,
    /// At how many entries those are looked for that no connection has.
    purge_at: usize,
}

/// Fewer entries than this are not looked through.
const PURGE_MIN: usize = 64;

impl Grants {
    pub(crate) fn new(known: Permissions, anonymous: Anonymous) -> Grants {
        let restricted = |to: Anonymous| Arc::new(to.restrict(known.clone()));
        let (reading, publishing) = (
            Anonymous { join: true, ..Anonymous::none() },
            Anonymous { join: false, ..Anonymous::all() },
        );
        Grants {
            anonymous: restricted(anonymous),
            readers: restricted(reading),
            publishers: restricted(publishing),
            known: Arc::new(known),
            by_claim: HashMap::new(),
            purge_at: PURGE_MIN,
        }
    }

    /// How a connection begins by what its handshake brought.
    ///
    /// # Errors
    ///
    /// When a claim of its token has not the form that it must have, in words for the client.
    pub(crate) fn of_credential(
        &mut self,
        credential: &Credential,
        now: Time,
    ) -> Result<Opening, String> {
        let permissions = match credential {
            Credential::None => Arc::clone(&self.anonymous),
            Credential::Key(rights) => self.of_rights(*rights),
            Credential::Token(token) => return self.of_token(token, now),
        };
        Ok(Opening { permissions, ..Opening::default() })
    }

    /// What an API key permits: with the right to read, joins; with that to publish, messages.
    fn of_rights(&self, rights: Rights) -> Arc<Permissions> {
        match (rights.include(Right::Read), rights.include(Right::Publish)) {
            (true, true) => Arc::clone(&self.known),
            (true, false) => Arc::clone(&self.readers),
            (false, true) => Arc::clone(&self.publishers),
            (false, false) => Arc::new(Permissions::all(Permission::Forbidden)),
        }
    }

    /// How a connection begins that brought this token: it may do what the claim `cast` names, and
    /// without the claim nothing.
    ///
    /// # Errors
    ///
    /// When a claim has not the form that it must have, in words for the client.
    pub(crate) fn of_token(&mut self, token: &TokenClaims, now: Time) -> Result<Opening, String> {
        let none = Value::Object(Map::new());
        let permissions = self.of_cast(token.all.get("cast").unwrap_or(&none))?;
        let mut identity = identity(&token.all, now)?;
        if let (Some(expiry), Some(until)) = (&mut identity.expires, token.until) {
            // The leeway may let it stay longer.
            expiry.at = self::expiry(until, now, since_1970()).at;
        }
        Ok(Opening { permissions, identity: Some(Arc::new(identity)), ..Opening::default() })
    }

    /// How a connection begins that has these claims of its program. Where they say nothing of what
    /// it may do, that is the program's affair alone.
    ///
    /// # Errors
    ///
    /// When a claim has not the form that it must have, in words for the program's log.
    pub(crate) fn of_program(&mut self, claims: &Claims, now: Time) -> Result<Opening, String> {
        let permissions = match claims.get("cast") {
            Some(cast) => self.of_cast(cast)?,
            None => Arc::clone(&self.known),
        };
        let identity = Some(Arc::new(identity(claims, now)?));
        Ok(Opening { permissions, identity, ..Opening::default() })
    }

    /// What the claims of a fresh token give a connection that has others already.
    ///
    /// # Errors
    ///
    /// When a claim has not the form that it must have, in words for the client.
    pub(crate) fn refreshed(&mut self, claims: &Claims, now: Time) -> Result<Credentials, String> {
        let Opening { permissions, identity, .. } = self.of_program(claims, now)?;
        Ok(Credentials { permissions, identity: identity.unwrap_or_default() })
    }

    /// What the claim `cast` permits: `{"join": [patterns], "publish": [patterns], "broadcast":
    /// bool}`, and nothing that it does not name. Members that are not known mean nothing.
    pub(crate) fn of_cast(&mut self, cast: &Value) -> Result<Arc<Permissions>, String> {
        let written = written_permissions(cast);
        if let Some(known) = self.by_claim.get(&written).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let permissions = Arc::new(self.read_cast(cast)?);
        if self.by_claim.len() >= self.purge_at {
            self.by_claim.retain(|_, permissions| permissions.strong_count() > 0);
            self.purge_at = PURGE_MIN.max(2 * self.by_claim.len());
        }
        self.by_claim.insert(written, Arc::downgrade(&permissions));
        Ok(permissions)
    }

    fn read_cast(&self, cast: &Value) -> Result<Permissions, String> {
        let cast = cast.as_object().ok_or("the claim cast must be an object")?;
        let mut permissions = Permissions::clone(&self.known);
        permissions.join = permissions.join.within(names(cast, "join")?);
        permissions.publish = permissions.publish.within(names(cast, "publish")?);
        match cast.get("broadcast") {
            Some(Value::Bool(true)) => {}
            None | Some(Value::Bool(false)) => permissions.broadcast = Permission::Forbidden,
            Some(_) => return Err("the claim cast.broadcast must be true or false".to_owned()),
        }
        Ok(permissions)
    }
}

/// The claim `cast` without what each client has of its own.
fn written_permissions(cast: &Value) -> String {
    match cast.as_object().filter(|cast| cast.contains_key(INFO)) {
        None => cast.to_string(),
        Some(cast) => {
            let mut permissions = cast.clone();
            permissions.remove(INFO);
            Value::Object(permissions).to_string()
        }
    }
}

/// The member of the claim `cast` that the presence of rooms shows, its bytes as JSON, and how many
/// arrays and objects may be within each other: readers of JSON give up at some depth of a message.
const INFO: &str = "info";
const INFO_BYTES_MAX: usize = 1 << 10;
const INFO_DEPTH_MAX: usize = 16;

/// What presence shows of a client besides its name: the member `info` of the claim `cast`.
fn info(claims: &Claims) -> Result<Option<Arc<str>>, String> {
    let info = claims.get("cast").and_then(|cast| cast.get(INFO)).filter(|info| !info.is_null());
    let Some(info) = info else { return Ok(None) };
    if !is_within(info, INFO_DEPTH_MAX) {
        return Err(format!(
            "the claim cast.info has arrays and objects within each other deeper than {INFO_DEPTH_MAX}"
        ));
    }
    let info = info.to_string();
    match info.len() <= INFO_BYTES_MAX {
        true => Ok(Some(info.into())),
        false => Err(format!(
            "the claim cast.info has {} bytes as JSON; at most {INFO_BYTES_MAX} are allowed",
            info.len()
        )),
    }
}

/// Whether no more arrays and objects than this are within each other.
fn is_within(value: &Value, depth: usize) -> bool {
    let is_inner = |inner: &Value| depth > 0 && is_within(inner, depth - 1);
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(is_inner),
        Value::Object(members) => depth > 0 && members.values().all(is_inner),
        _ => true,
    }
}

/// Whether a server of this name accepts what a token says, if it has its key and knows its issuer;
/// for `corecast token`.
///
/// # Errors
///
/// What is wrong with it, in words.
#[doc(hidden)]
pub fn check_token(token: &str, audience: Option<&str>) -> Result<(), String> {
    let claims = tokens::read_unverified(token, audience)?;
    let mut grants = Grants::new(Permissions::default(), Anonymous::none());
    grants.of_token(&claims, Time::default()).map(drop)
}

/// The names that a list of patterns stands for; none if there is no list.
fn names(cast: &Map<String, Value>, action: &str) -> Result<NameSet, String> {
    let wrong = |what: &str| format!("the claim cast.{action}: {what}");
    let shape = || wrong("it must be an array of patterns, which are strings");
    let Some(list) = cast.get(action) else { return Ok(NameSet::default()) };
    let mut patterns = Vec::new();
    for pattern in list.as_array().ok_or_else(shape)? {
        let pattern = pattern.as_str().ok_or_else(shape)?;
        patterns.push(Pattern::parse(pattern).map_err(|what| wrong(&what))?);
    }
    NameSet::new(patterns).map_err(|what| wrong(&what))
}

/// A connection that would end later, in seconds since 1970, does not end: milliseconds of it are no
/// integer that JSON carries exactly.
const NEVER: f64 = (1_u64 << 43) as f64;

/// Whose claims these are: `sub`, `jti`, `exp` and `cast.info`.
///
/// # Errors
///
/// When one of them has not the form that it must have, in words.
pub(crate) fn identity(claims: &Claims, now: Time) -> Result<Identity, String> {
    let name = |claim: &str| match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(text)) => {
            Name::new(text).map(Some).map_err(|bad| format!("the claim {claim}: {bad}"))
        }
        Some(_) => Err(format!("the claim {claim} must be a string")),
    };
    let expires = match claims.get("exp").map(Value::as_f64) {
        None => None,
        Some(Some(exp)) if exp > NEVER => None,
        Some(Some(exp)) => Some(expiry(exp, now, since_1970())),
        Some(None) => return Err("the claim exp must be a number of seconds".to_owned()),
    };
    Ok(Identity::new(name("sub")?, name("jti")?, expires).with_info(info(claims)?))
}

pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// When a time in seconds since 1970 comes, on the clock of all shards. One that is over lies at the
/// clock's start, so that it is over for every shard; one in the far future never comes.
pub(crate) fn expiry(unix: f64, now: Time, since_1970: Duration) -> Expiry {
    let left = unix - since_1970.as_secs_f64();
    let at = match left > 0.0 {
        true => now + Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX),
        false => Time::default(),
    };
    // A cast of a float takes the nearest number that there is.
    Expiry { at, unix_millis: (unix * 1e3) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Time = Time::from_nanos(5_000_000_000);

    fn grants() -> Grants {
        Grants::new(Permissions::default(), Anonymous::none())
    }

    fn claims(value: &Value) -> Claims {
        Claims::new(value).unwrap()
    }

    fn set(patterns: &[&str]) -> NameSet {
        NameSet::new(patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap())).unwrap()
    }

    #[test]
    fn what_a_claim_does_not_name_it_does_not_permit() {
        let cast = json!({"join": ["news.*", "lobby"], "presence": 7, "history": [3], "x": null});
        let permissions = grants().of_cast(&cast).unwrap();
        assert_eq!(permissions.join, Permission::Within(set(&["lobby", "news.*"])));
        assert_eq!(permissions.publish, Permission::Within(NameSet::default()));
        assert_eq!(permissions.broadcast, Permission::Forbidden);
        let permissions = grants().of_cast(&json!({"broadcast": true})).unwrap();
        assert_eq!(permissions.broadcast, Permission::Allowed);
    }

    #[test]
    fn an_info_is_small_and_not_deep() {
        let read = |info: &Value| super::info(&claims(&json!({"cast": {"info": info}})));
        let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        let mixed = |depth| (0..depth / 2).fold(json!(1), |inner, _| json!({"a": [inner]}));
        assert_eq!(read(&Value::Null), Ok(None));
        for info in [nested(16), mixed(16), json!("x".repeat(1_022))] {
            assert_eq!(read(&info), Ok(Some(info.to_string().into())));
        }
        for info in [nested(17), mixed(18)] {
            assert!(read(&info).unwrap_err().contains("deeper than 16"), "{info}");
        }
        let error = read(&json!("x".repeat(1_023))).unwrap_err();
        assert!(error.contains("1025 bytes") && error.contains("1024"), "{error}");
    }

    #[test]
    fn a_hook_decides_only_where_a_claim_permits() {
        let mut hooks = Permissions::default();
        (hooks.join, hooks.broadcast) = (Permission::Asked, Permission::Asked);
        let mut grants = Grants::new(hooks, Anonymous::all());
        let permissions = grants.of_cast(&json!({"join": ["a"]})).unwrap();
        assert_eq!(permissions.join, Permission::AskedWithin(set(&["a"])));
        assert_eq!(permissions.broadcast, Permission::Forbidden);
        let permissions = grants.of_cast(&json!({"broadcast": true})).unwrap();
        assert_eq!(permissions.broadcast, Permission::Asked);
    }

    #[test]
    fn a_program_that_says_nothing_of_permissions_decides_by_its_hooks() {
        let mut grants = grants();
        let opening = grants.of_program(&Claims::for_subject("ann"), NOW).unwrap();
        assert_eq!(*opening.permissions, Permissions::default());
        let subject = opening.identity.unwrap().subject.clone().unwrap();
        assert_eq!(subject.as_str(), "ann");
    }

    #[test]
    fn a_credential_permits_what_it_is_for() {
        let mut grants = grants();
        let key = |rights: &str| Credential::Key(rights.parse().unwrap());
        for (credential, join, publish) in [
            (Credential::None, false, false),
            (key("all"), true, true),
            (key("admin"), true, true),
            (key("publish,read"), true, true),
            (key("read"), true, false),
            (key("publish"), false, true),
            (Credential::Key(Rights::none()), false, false),
        ] {
            let opening = grants.of_credential(&credential, NOW).unwrap();
            let Permissions { join: may_join, publish: may_publish, broadcast, .. } =
                &*opening.permissions;
            assert_eq!(*may_join == Permission::Allowed, join, "{credential:?}");
            assert_eq!(*may_publish == Permission::Allowed, publish, "{credential:?}");
            assert_eq!(*broadcast == Permission::Allowed, publish, "{credential:?}");
            assert!(opening.identity.is_none());
        }
    }

    #[test]
    fn a_token_without_the_claim_permits_nothing_and_may_stay_for_the_leeway() {
        let all = claims(&json!({"sub": "ann", "exp": 1}));
        let until = since_1970().as_secs_f64() + 1e6;
        let token = TokenClaims { all, until: Some(until) };
        let opening = grants().of_credential(&Credential::Token(Arc::new(token)), NOW).unwrap();
        assert_eq!(opening.permissions.join, Permission::Within(NameSet::default()));
        assert_eq!(opening.permissions.broadcast, Permission::Forbidden);
        let expires = opening.identity.unwrap().expires.unwrap();
        assert_eq!(expires.unix_millis, 1_000);
        assert!(expires.at > NOW + Duration::from_secs(999_000), "it is not over yet");
    }

    #[test]
    fn connections_with_the_same_claim_share_what_it_permits() {
        let mut grants = grants();
        let first = grants.of_cast(&json!({"join": ["a"], "publish": []})).unwrap();
        let second = grants.of_cast(&json!({"publish": [], "join": ["a"]})).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        for n in 0..10 * PURGE_MIN {
            grants.of_cast(&json!({"join": [n.to_string()]})).unwrap();
        }
        assert!(grants.by_claim.len() <= PURGE_MIN + 1, "{}", grants.by_claim.len());
        let third = grants.of_cast(&json!({"join": ["a"], "publish": []})).unwrap();
        assert!(Arc::ptr_eq(&first, &third), "what a connection has is kept");
    }

    #[test]
    fn a_claim_of_the_wrong_form_is_named() {
        for (value, name) in [
            (json!({"cast": []}), "cast"),
            (json!({"cast": null}), "cast"),
            (json!({"cast": {"join": "a"}}), "cast.join"),
            (json!({"cast": {"join": [7]}}), "cast.join"),
            (json!({"cast": {"publish": [""]}}), "cast.publish"),
            (json!({"cast": {"publish": ["*********"]}}), "9 stars"),
            (json!({"cast": {"broadcast": "yes"}}), "cast.broadcast"),
            (json!({"sub": 7}), "sub"),
            (json!({"sub": ""}), "sub"),
            (json!({"sub": "x".repeat(257)}), "sub"),
            (json!({"jti": {}}), "jti"),
            (json!({"exp": "1"}), "exp"),
        ] {
            let refused = grants().of_program(&claims(&value), NOW).unwrap_err();
            assert!(refused.contains(name), "{value}: {refused}");
        }
    }

    #[test]
    fn an_expiry_is_told_by_both_clocks_and_overflows_neither() {
        let unix = Duration::from_secs(1_000);
        for (exp, at, unix_millis) in [
            (1_001.0, NOW + Duration::from_secs(1), 1_001_000),
            (1_000.25, NOW + Duration::from_millis(250), 1_000_250),
            (1_000.0, Time::default(), 1_000_000),
            (999.0, Time::default(), 999_000),
            (-1e300, Time::default(), 0),
            (1e300, Time::from_nanos(u64::MAX), u64::MAX),
            (u64::MAX as f64, Time::from_nanos(u64::MAX), u64::MAX),
        ] {
            assert_eq!(expiry(exp, NOW, unix), Expiry { at, unix_millis }, "{exp}");
        }
    }
}
