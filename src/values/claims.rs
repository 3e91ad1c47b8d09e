//! What is known of who is behind a connection.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What the `authorize` hook found out about a client: the members of a JSON object, as in the
/// claims of a token (RFC 7519 section 4). Without a hook, and for those whom it lets in without
/// claims, there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Nothing is known.
    pub fn anonymous() -> Claims {
        Claims::default()
    }

    /// The members of any value that serialises to a JSON object.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn new(claims: &impl Serialize) -> Result<Claims, serde_json::Error> {
        let value = serde_json::to_value(claims)?;
        serde_json::from_value(value).map(Claims)
    }

    /// The members of an object.
    pub(crate) fn of_members(members: Map<String, Value>) -> Claims {
        Claims(members)
    }

    /// Claims with nothing but a subject (`sub`).
    pub fn for_subject(subject: impl Into<String>) -> Claims {
        Claims(Map::from_iter([("sub".to_owned(), Value::String(subject.into()))]))
    }

    /// Who the client is: the claim `sub`, if it is a string.
    pub fn subject(&self) -> Option<&str> {
        self.get("sub").and_then(Value::as_str)
    }

    /// One claim.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whether nothing is known.
    pub fn is_anonymous(&self) -> bool {
        self.0.is_empty()
    }

    /// All claims as a value of the program's own.
    ///
    /// # Errors
    ///
    /// When they do not have the shape of `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_are_an_object() {
        let claims = Claims::new(&json!({"sub": "ada", "admin": true})).unwrap();
        assert_eq!((claims.subject(), claims.get("admin")), (Some("ada"), Some(&json!(true))));
        assert_eq!(claims.parse::<Value>().unwrap(), json!({"sub": "ada", "admin": true}));
        assert!(Claims::new(&7).is_err() && Claims::new(&json!(["sub"])).is_err());
        assert!(Claims::anonymous().is_anonymous());
        assert_eq!(Claims::for_subject("ada").subject(), Some("ada"));
    }
}
