//! The known members of one JSON object.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The values of the members that somebody knows, as written; the others are skipped.
pub(super) struct Members<'a, const N: usize> {
    pub(super) values: [Option<&'a RawValue>; N],
    /// The first known member that stands twice.
    pub(super) doubled: Option<&'static str>,
}

impl<'a, const N: usize> Members<'a, N> {
    /// Reads one JSON object, and refuses everything else, an array too.
    pub(super) fn parse(
        text: &'a str,
        names: [&'static str; N],
    ) -> Result<Members<'a, N>, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(text);
        let members = json.deserialize_map(MembersVisitor { names })?;
        json.end()?;
        Ok(members)
    }

    /// Whether this member stands at most once, so that its value is no guess.
    pub(super) fn once(&self, name: &str) -> bool {
        self.doubled != Some(name)
    }
}

struct MembersVisitor<const N: usize> {
    names: [&'static str; N],
}

impl<'a, const N: usize> Visitor<'a> for MembersVisitor<N> {
    type Value = Members<'a, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Members<'a, N>, M::Error> {
        let mut members = Members { values: [None; N], doubled: None };
        while let Some(place) = map.next_key_seed(Place { names: &self.names })? {
            let Some(place) = place else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value::<&'a RawValue>()?;
            if members.values[place].replace(value).is_some() {
                members.doubled.get_or_insert(self.names[place]);
            }
        }
        Ok(members)
    }
}

/// Reads a key as its place among the known names, without keeping its text.
struct Place<'n> {
    names: &'n [&'static str],
}

impl<'a> DeserializeSeed<'a> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.names.iter().position(|known| *known == name))
    }
}
