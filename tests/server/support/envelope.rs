//! One text message of the server: its members, each also exactly as written.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

#[derive(Clone)]
pub(crate) struct Envelope {
    text: String,
    members: Vec<(String, Box<RawValue>)>,
}

impl Envelope {
    pub(crate) fn parse(text: &str) -> Self {
        let members: Members = serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("the server sent no JSON object ({error}): {text}"));
        for (index, (name, _)) in members.0.iter().enumerate() {
            let repeated = members.0[..index].iter().any(|(earlier, _)| earlier == name);
            assert!(!repeated, "the server sent member {name} twice: {text}");
        }
        Self { text: text.to_owned(), members: members.0 }
    }

    /// A member as the server wrote it, byte for byte.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(member, _)| member == name).map(|(_, value)| value.get())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// A member's value; `null` when it is absent.
    pub(crate) fn value(&self, name: &str) -> Value {
        self.raw(name).map_or(Value::Null, |raw| {
            serde_json::from_str(raw).unwrap_or_else(|error| panic!("{name} is {raw}: {error}"))
        })
    }

    pub(crate) fn event(&self) -> String {
        self.string("event")
    }

    pub(crate) fn room(&self) -> String {
        self.string("room")
    }

    pub(crate) fn data(&self) -> Value {
        self.value("data")
    }

    /// The message's position in its room.
    pub(crate) fn offset(&self) -> u64 {
        self.value("offset").as_u64().unwrap_or_else(|| panic!("no offset in {self:?}"))
    }

    /// A whole number inside `data`, where acks and answers to joins carry theirs.
    pub(crate) fn data_number(&self, name: &str) -> u64 {
        self.data()[name].as_u64().unwrap_or_else(|| panic!("no number data.{name} in {self:?}"))
    }

    /// The code of a `cast:error`; anything else is a failure, as is an error without a message.
    pub(crate) fn error_code(&self) -> String {
        assert_eq!(self.event(), "cast:error", "in {self:?}");
        assert!(!self.error_message().is_empty(), "an error says what is wrong: {self:?}");
        self.data()["code"].as_str().unwrap_or_else(|| panic!("no code in {self:?}")).to_owned()
    }

    pub(crate) fn error_message(&self) -> String {
        self.data()["message"].as_str().unwrap_or_default().to_owned()
    }

    fn string(&self, name: &str) -> String {
        match self.value(name) {
            Value::String(value) => value,
            other => panic!("{name} is {other} in {self:?}"),
        }
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
