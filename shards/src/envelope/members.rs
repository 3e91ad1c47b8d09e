//! The known members of one JSON object.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::text::read_text;

/// The values of the known members, as written; the others are skipped.
pub(super) struct Members<'a, const N: usize> {
    pub(super) values: [Option<&'a RawValue>; N],
    /// Which of them are written twice, so that their value would be a guess.
    pub(super) doubled: [bool; N],
}

/// Why a text is not one JSON object, as the end of a sentence.
pub(super) enum NoObject {
    /// It is something else, or no JSON.
    Other,
    /// It begins with U+FEFF (RFC 8259 section 8.1).
    ByteOrderMark,
}

impl<'a, const N: usize> Members<'a, N> {
    /// Reads one JSON object, and refuses everything else, an array too.
    pub(super) fn parse(
        text: &'a str,
        names: [&'static str; N],
    ) -> Result<Members<'a, N>, NoObject> {
        let mut json = serde_json::Deserializer::from_str(text);
        let members = json.deserialize_map(MembersVisitor { names });
        let whole = members.and_then(|members| json.end().map(|()| members));
        whole.map_err(|_| match text.starts_with('\u{feff}') {
            true => NoObject::ByteOrderMark,
            false => NoObject::Other,
        })
    }

    /// Whether any known member is written twice.
    pub(super) fn any_doubled(&self) -> bool {
        self.doubled.contains(&true)
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
        let mut members = Members { values: [None; N], doubled: [false; N] };
        // Keys are read as they were written: one with a lone surrogate is legal JSON, and like any
        // other unknown member it is ignored.
        while let Some(key) = map.next_key::<&'a RawValue>()? {
            let name = read_text(key).ok();
            let place = self.names.iter().position(|known| name.as_deref() == Some(known));
            let Some(place) = place else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value::<&'a RawValue>()?;
            members.doubled[place] |= members.values[place].replace(value).is_some();
        }
        Ok(members)
    }
}
