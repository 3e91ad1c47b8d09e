//! JSON strings as text.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// Why a JSON value has no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoText {
    /// It is not a string.
    NotAString,
    /// A surrogate escape is not one of a pair: legal JSON grammar (RFC 8259 section 8.2), and no text.
    LoneSurrogate,
}

/// The value of a JSON string, borrowed where nothing is escaped.
pub(super) fn read_text(raw: &RawValue) -> Result<Cow<'_, str>, NoText> {
    let quoted = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let quoted = quoted.ok_or(NoText::NotAString)?;
    if !quoted.contains('\\') {
        return Ok(Cow::Borrowed(quoted));
    }
    serde_json::from_str(raw.get()).map(Cow::Owned).map_err(|_| NoText::LoneSurrogate)
}
