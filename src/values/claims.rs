//! What is known of who is behind a connection.

use corecast_shards::RoomName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What the `authorize` hook found out about a client: the members of a JSON object, as in the
/// claims of a token (RFC 7519 section 4). Without a hook, and for those whom it lets in without
/// claims, there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    members: Map<String, Value>,
    /// The room on whose home's shard the client is to live.
    room: Option<RoomName>,
}

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
        serde_json::from_value(value).map(Claims::of_members)
    }

    /// The members of an object.
    pub(crate) fn of_members(members: Map<String, Value>) -> Claims {
        Claims { members, room: None }
    }

    /// Claims with nothing but a subject (`sub`).
    pub fn for_subject(subject: impl Into<String>) -> Claims {
        let subject = Value::String(subject.into());
        Claims::of_members(Map::from_iter([("sub".to_owned(), subject)]))
    }

    /// The same, of a client that is to live on the home shard of this room, where its messages cost
    /// no hop between cores: for the room in which it will be with few others. It holds over the first
    /// room of the query, and joins nothing. The client lives elsewhere if that shard has a quarter
    /// more connections than the mean, and if no room can have this name.
    ///
    /// Of the claims that [`Builder::authorize`](crate::Builder::authorize) returns alone.
    ///
    /// ```
    /// # use corecast::{Claims, Handshake, Refusal, Server};
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .authorize(async |handshake: Handshake| match handshake.query_parameter("game") {
    ///         Some(game) => Ok(Claims::anonymous().place_with(&format!("game/{game}"))),
    ///         None => Err(Refusal::new(400, "which game?")),
    ///     })
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn place_with(self, room: &str) -> Claims {
        Claims { room: RoomName::new(room).ok(), ..self }
    }

    /// The room that was said to [`Claims::place_with`].
    pub(crate) fn room(&self) -> Option<&RoomName> {
        self.room.as_ref()
    }

    /// Who the client is: the claim `sub`, if it is a string.
    pub fn subject(&self) -> Option<&str> {
        self.get("sub").and_then(Value::as_str)
    }

    /// One claim.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// Whether nothing is known.
    pub fn is_anonymous(&self) -> bool {
        self.members.is_empty()
    }

    /// All claims as a value of the program's own.
    ///
    /// # Errors
    ///
    /// When they do not have the shape of `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.members)
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
        let placed = Claims::anonymous().place_with("r");
        assert!(placed.is_anonymous() && placed.room().map(RoomName::as_str) == Some("r"));
        assert!(placed.place_with("").room().is_none(), "no room has this name");
        assert_eq!(Claims::for_subject("ada").subject(), Some("ada"));
    }
}
