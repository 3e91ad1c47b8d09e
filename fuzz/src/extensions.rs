//! The negotiation of extensions: what a handshake's offers are answered with is what RFC 7692
//! section 7.1 makes of them, by a second reader that follows the grammar of RFC 6455 section 9.1
//! character by character.

use super::{Agreed, agree};

/// So many fields of a handshake are read.
const FIELDS_MAX: usize = 4;
/// Longer ones say nothing new.
const FIELD_BYTES_MAX: usize = 400;

/// Each line is a field.
pub fn check(data: &[u8]) {
    let is_legal = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    let lines = data.split(|byte| *byte == b'\n').take(FIELDS_MAX);
    let clean = |line: &[u8]| -> Vec<u8> {
        line.iter().filter(|byte| is_legal(byte)).take(FIELD_BYTES_MAX).copied().collect()
    };
    let fields: Vec<Vec<u8>> = lines.map(clean).collect();
    let values: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    let agreed = agree(&values).map(|agreed| asked_window(&agreed));
    let read: Option<Vec<_>> = values.iter().map(|value| Reader::new(value).list()).collect();
    match read {
        // Where all of it is legal, the first offer that can be accepted is.
        Some(lists) => {
            let mut offers = lists.into_iter().flatten();
            let expected = offers.find_map(|offer| offer.judge());
            assert_eq!(agreed, expected, "{values:?}");
        }
        // Where it is not, the answer is to an offer that is there and legal by itself.
        None => {
            if let Some(agreed) = agreed {
                let mut parts = values.iter().flat_map(|value| value.split(|byte| *byte == b','));
                let agrees = |part: &[u8]| {
                    let offers = Reader::new(part).list().unwrap_or_default();
                    offers.iter().any(|offer| offer.judge() == Some(agreed))
                };
                assert!(parts.any(agrees), "{agreed:?} to {values:?}");
            }
        }
    }
}

/// The window that was asked for, if one was, as the answer repeats it; what is compressed keeps to it.
/// Both sides do without context, and nothing else is said.
fn asked_window(agreed: &Agreed) -> Option<u8> {
    const ALWAYS: &str = "Sec-WebSocket-Extensions: permessage-deflate; \
        server_no_context_takeover; client_no_context_takeover";
    let more = agreed.field.strip_prefix(ALWAYS).unwrap_or_else(|| panic!("{agreed:?}"));
    let bits = more.strip_prefix("; server_max_window_bits=").map(|bits| bits.parse());
    let bits: Option<u8> = bits.map(|bits| bits.unwrap_or_else(|_| panic!("{agreed:?}")));
    assert_eq!(more.is_empty(), bits.is_none(), "{agreed:?}");
    assert!((9..=bits.unwrap_or(15)).contains(&agreed.window_bits), "{agreed:?}");
    bits
}

#[derive(Debug)]
struct Offer {
    name: String,
    parameters: Vec<(String, Option<Value>)>,
}

#[derive(Debug)]
struct Value {
    text: String,
    /// Its quoted form has a backslash. Nothing has to be escaped in a token, and such offers are
    /// declined.
    is_escaped: bool,
}

impl Offer {
    /// The window that it asks for, if it asks for one, in an offer that is accepted.
    fn judge(&self) -> Option<Option<u8>> {
        let mut names: Vec<_> = self.parameters.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        if self.name != "permessage-deflate" || names.len() < self.parameters.len() {
            return None;
        }
        let mut window = None;
        for (name, value) in &self.parameters {
            let text = value.as_ref().map(|value| value.text.as_str());
            let bits = text.and_then(|text| (8..=15).find(|bits: &u8| bits.to_string() == text));
            match (name.as_str(), text) {
                ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
                ("client_max_window_bits", None) => {}
                ("client_max_window_bits", Some(_)) => drop(bits?),
                // Compressors here know no window of 8.
                ("server_max_window_bits", Some(_)) => {
                    window = Some(bits.filter(|bits| *bits > 8)?)
                }
                _ => return None,
            }
            if value.as_ref().is_some_and(|value| value.is_escaped) {
                return None;
            }
        }
        Some(window)
    }
}

/// What is left to read. Every method takes what it returns; `None` is no match.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// `1#extension`, of which elements may be empty (RFC 9110 section 5.6.1).
    fn list(mut self) -> Option<Vec<Offer>> {
        let mut offers = Vec::new();
        loop {
            self.blanks();
            if !matches!(self.rest.first(), None | Some(b',')) {
                offers.push(self.offer()?);
            }
            match self.rest.first() {
                None => return Some(offers),
                Some(_) => self.character(b',')?,
            }
        }
    }

    fn offer(&mut self) -> Option<Offer> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        self.blanks();
        while self.character(b';').is_some() {
            self.blanks();
            let name = self.token()?;
            self.blanks();
            let value = match self.character(b'=') {
                Some(()) => Some(self.value()?),
                None => None,
            };
            parameters.push((name, value));
            self.blanks();
        }
        Some(Offer { name, parameters })
    }

    /// A token, or a string that is one within its quotation marks.
    fn value(&mut self) -> Option<Value> {
        self.blanks();
        if self.character(b'"').is_none() {
            return Some(Value { text: self.token()?, is_escaped: false });
        }
        let (mut text, mut is_escaped) = (String::new(), false);
        loop {
            let byte = self.any()?;
            match byte {
                b'"' => break,
                b'\\' => {
                    is_escaped = true;
                    text.push(char::from(self.any()?));
                }
                _ => text.push(char::from(byte)),
            }
        }
        let is_token = !text.is_empty() && text.chars().all(is_token_character);
        is_token.then_some(Value { text, is_escaped })
    }

    fn token(&mut self) -> Option<String> {
        let len =
            self.rest.iter().take_while(|byte| is_token_character(char::from(**byte))).count();
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        (len > 0).then(|| token.iter().copied().map(char::from).collect())
    }

    fn character(&mut self, expected: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[expected])?;
        Some(())
    }

    fn any(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t') = self.rest.first() {
            self.rest = &self.rest[1..];
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}
