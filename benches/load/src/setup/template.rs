//! Messages with holes: what a connection says to a server of any protocol.

use std::str::FromStr;

/// Text in which `{room}`, `{payload}`, `{id}`, `{member}` and `{publisher}` are filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MessageTemplate {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Room,
    Payload,
    Id,
    /// The number of the connection, for members and publishers alike.
    Number,
}

/// What goes into the holes.
#[derive(Debug)]
pub(crate) struct Fill<'a> {
    pub(crate) room: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) id: u64,
    pub(crate) number: u32,
}

impl MessageTemplate {
    /// Appends the filled-in message.
    pub(crate) fn render(&self, out: &mut Vec<u8>, fill: &Fill<'_>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Room => out.extend_from_slice(fill.room.as_bytes()),
                Piece::Payload => out.extend_from_slice(fill.payload),
                Piece::Id => out.extend_from_slice(fill.id.to_string().as_bytes()),
                Piece::Number => out.extend_from_slice(fill.number.to_string().as_bytes()),
            }
        }
    }

    pub(crate) fn has_payload(&self) -> bool {
        self.pieces.contains(&Piece::Payload)
    }

    pub(crate) fn has_id(&self) -> bool {
        self.pieces.contains(&Piece::Id)
    }
}

impl FromStr for MessageTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, from) = rest.split_at(open);
            literal.push_str(before);
            match hole(from)? {
                Some((piece, len)) => {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    pieces.push(piece);
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
fn hole(from: &str) -> Result<Option<(Piece, usize)>, String> {
    let Some(close) = from.find('}') else { return Ok(None) };
    let name = &from[1..close];
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Ok(None);
    }
    let piece = match name {
        "room" => Piece::Room,
        "payload" => Piece::Payload,
        "id" => Piece::Id,
        "member" | "publisher" => Piece::Number,
        _ => {
            return Err(format!(
                "there is no {{{name}}}; there are {{room}}, {{payload}}, {{id}}, {{member}} and \
                 {{publisher}}"
            ));
        }
    };
    Ok(Some((piece, close + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> String {
        let template: MessageTemplate = text.parse().unwrap();
        let mut out = Vec::new();
        template.render(&mut out, &Fill { room: "r-1", payload: b"PPP", id: 7, number: 3 });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn holes_are_filled_and_other_braces_stay() {
        let rows = [
            (r#"{"room":"{room}","id":{id},"data":{}}"#, r#"{"room":"r-1","id":7,"data":{}}"#),
            ("PUB {room} {payload}", "PUB r-1 PPP"),
            ("{member}{publisher}{", "33{"),
            ("", ""),
        ];
        for (text, expected) in rows {
            assert_eq!(render(text), expected, "{text}");
        }
    }

    #[test]
    fn a_hole_that_does_not_exist_is_an_error() {
        assert!("{rom}".parse::<MessageTemplate>().unwrap_err().contains("{room}"));
    }
}
