//! Messages with holes: what a connection says to a server of any protocol.

use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Text in which `{room}`, `{payload}`, `{id}`, `{member}`, `{publisher}` and columns of a table are
/// filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MessageTemplate {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Hole(Hole),
}

/// What can be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hole {
    Room,
    Payload,
    /// Counts the messages of a connection.
    Id,
    /// The number of the connection, publishers behind members.
    Member,
    /// The number among the publishers.
    Publisher,
    /// Of a table, and where it is there once that is known.
    Column(String, usize),
}

/// What goes into the holes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill<'a> {
    pub(crate) room: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) id: u64,
    pub(crate) member: u32,
    pub(crate) publisher: u32,
    pub(crate) row: &'a [String],
}

/// What stands in a path as it is (RFC 3986 section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Hole {
    /// As it is written between braces.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Room => "room",
            Self::Payload => "payload",
            Self::Id => "id",
            Self::Member => "member",
            Self::Publisher => "publisher",
            Self::Column(name, _) => name,
        }
    }

    fn named(name: &str) -> Self {
        match name {
            "room" => Self::Room,
            "payload" => Self::Payload,
            "id" => Self::Id,
            "member" => Self::Member,
            "publisher" => Self::Publisher,
            column => Self::Column(column.to_owned(), 0),
        }
    }

    fn fill(&self, fill: &Fill<'_>, push: &mut impl FnMut(&[u8])) {
        match self {
            Self::Room => push(fill.room.as_bytes()),
            Self::Payload => push(fill.payload),
            Self::Id => push(fill.id.to_string().as_bytes()),
            Self::Member => push(fill.member.to_string().as_bytes()),
            Self::Publisher => push(fill.publisher.to_string().as_bytes()),
            Self::Column(_, nth) => push(fill.row.get(*nth).map_or(b"", |value| value.as_bytes())),
        }
    }
}

impl MessageTemplate {
    /// Without holes.
    pub(crate) fn text(text: String) -> Self {
        Self { pieces: vec![Piece::Text(text)] }
    }

    /// One behind the other.
    pub(crate) fn concat(templates: impl IntoIterator<Item = Self>) -> Self {
        Self { pieces: templates.into_iter().flat_map(|template| template.pieces).collect() }
    }

    /// Appends the filled-in message.
    pub(crate) fn render(&self, out: &mut Vec<u8>, fill: &Fill<'_>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Hole(hole) => hole.fill(fill, &mut |value| out.extend_from_slice(value)),
            }
        }
    }

    /// The same for a path: what is filled in is encoded.
    pub(crate) fn render_path(&self, out: &mut Vec<u8>, fill: &Fill<'_>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Hole(hole) => hole.fill(fill, &mut |value| {
                    out.extend(percent_encode(value, RESERVED).flat_map(str::bytes));
                }),
            }
        }
    }

    pub(crate) fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(hole) => Some(hole),
            Piece::Text(_) => None,
        })
    }

    pub(crate) fn has(&self, hole: &Hole) -> bool {
        self.holes().any(|other| other == hole)
    }

    /// Whether it says nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Looks columns up among these; the first that is not there is the error.
    pub(crate) fn resolve(&mut self, columns: &[String]) -> Result<(), String> {
        for piece in &mut self.pieces {
            if let Piece::Hole(Hole::Column(name, nth)) = piece {
                let found = columns.iter().position(|column| column == name);
                *nth = found.ok_or_else(|| name.clone())?;
            }
        }
        Ok(())
    }
}

impl FromStr for MessageTemplate {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, from) = rest.split_at(open);
            literal.push_str(before);
            match hole(from) {
                Some((hole, len)) => {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    pieces.push(Piece::Hole(hole));
                    rest = &from[len..];
                }
                None => {
                    literal.push('{');
                    rest = &from[1..];
                }
            }
        }
        literal.push_str(rest);
        pieces.push(Piece::Text(literal));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        Ok(Self { pieces })
    }
}

/// The hole that begins here, and its length; other braces are text, as JSON needs them.
fn hole(from: &str) -> Option<(Hole, usize)> {
    let close = from.find('}')?;
    let name = &from[1..close];
    is_name(name).then(|| (Hole::named(name), close + 1))
}

/// Whether a hole can have this name.
pub(crate) fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> MessageTemplate {
        let mut template: MessageTemplate = text.parse().unwrap();
        template.resolve(&["user".to_owned(), "api_token".to_owned()]).unwrap();
        template
    }

    fn fill(row: &[String]) -> Fill<'_> {
        Fill { room: "r/1", payload: b"PPP", id: 7, member: 3, publisher: 4, row }
    }

    #[test]
    fn holes_are_filled_and_other_braces_stay() {
        let row = ["ann", "t ~"].map(str::to_owned);
        let rows = [
            (r#"{"room":"{room}","id":{id},"data":{}}"#, r#"{"room":"r/1","id":7,"data":{}}"#),
            ("PUB {room} {payload}", "PUB r/1 PPP"),
            ("{member}{publisher}{", "34{"),
            ("{user}:{api_token}:{User}:{1}", "ann:t ~:{User}:{1}"),
            ("", ""),
        ];
        for (text, expected) in rows {
            let mut out = Vec::new();
            template(text).render(&mut out, &fill(&row));
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
        let mut out = Vec::new();
        template("/a%20b/{room}?t={api_token}").render_path(&mut out, &fill(&row));
        assert_eq!(out, b"/a%20b/r%2F1?t=t%20~");
    }

    #[test]
    fn a_hole_that_does_not_exist_is_named() {
        let mut template: MessageTemplate = "{room}{rom}".parse().unwrap();
        assert_eq!(template.resolve(&["user".to_owned()]), Err("rom".to_owned()));
    }
}
