//! One text message of the server: its members, each also exactly as written.

use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// One text message of the server. As a [`Value`] it is the whole object.
#[derive(Clone)]
pub struct Envelope {
    text: String,
    members: Vec<(String, Box<RawValue>)>,
    /// Made when it is first asked for: loads look at few members of many messages.
    object: OnceLock<Value>,
}

impl Envelope {
    /// Reads a message, which must be an object without two members of one name.
    pub fn parse(text: &str) -> Self {
        let members: Members = serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("the server sent no JSON object ({error}): {text}"));
        for (index, (name, _)) in members.0.iter().enumerate() {
            let repeated = members.0[..index].iter().any(|(earlier, _)| earlier == name);
            assert!(!repeated, "the server sent member {name} twice: {text}");
        }
        Self { text: text.to_owned(), members: members.0, object: OnceLock::new() }
    }

    /// All of it, as the server wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A member as the server wrote it, byte for byte.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(member, _)| member == name).map(|(_, value)| value.get())
    }

    /// Whether it has this member.
    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// A member's value; `null` when it is absent.
    pub fn value(&self, name: &str) -> Value {
        self.raw(name).map_or(Value::Null, |raw| {
            serde_json::from_str(raw).unwrap_or_else(|error| panic!("{name} is {raw}: {error}"))
        })
    }

    /// Its event.
    pub fn event(&self) -> String {
        self.string("event")
    }

    /// Its room.
    pub fn room(&self) -> String {
        self.string("room")
    }

    /// Its data; `null` when there is none.
    pub fn data(&self) -> Value {
        self.value("data")
    }

    /// The message's position in its room.
    pub fn offset(&self) -> u64 {
        self.value("offset").as_u64().unwrap_or_else(|| panic!("no offset in {self:?}"))
    }

    /// A whole number inside `data`, where acks and answers to joins carry theirs.
    pub fn data_number(&self, name: &str) -> u64 {
        self.data()[name].as_u64().unwrap_or_else(|| panic!("no number data.{name} in {self:?}"))
    }

    /// The code of a `cast:error`; anything else is a failure, as is an error without a message.
    pub fn error_code(&self) -> String {
        assert_eq!(self.event(), "cast:error", "in {self:?}");
        assert!(!self.error_message().is_empty(), "an error says what is wrong: {self:?}");
        self.data()["code"].as_str().unwrap_or_else(|| panic!("no code in {self:?}")).to_owned()
    }

    /// The words of a `cast:error`.
    pub fn error_message(&self) -> String {
        self.data()["message"].as_str().unwrap_or_default().to_owned()
    }

    fn string(&self, name: &str) -> String {
        match self.value(name) {
            Value::String(value) => value,
            other => panic!("{name} is {other} in {self:?}"),
        }
    }
}

impl Deref for Envelope {
    type Target = Value;

    fn deref(&self) -> &Value {
        let parse = || serde_json::from_str(&self.text).expect("it was parsed before");
        self.object.get_or_init(parse)
    }
}

impl PartialEq for Envelope {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl PartialEq<Value> for Envelope {
    fn eq(&self, value: &Value) -> bool {
        **self == *value
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The members in the order written. A map would hide a member that comes twice.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an envelope")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
