//! Lists of words that each allow something: `all`, `none`, or some of them, as in `join,publish`.

use std::fmt;

/// Allows what a list names and forbids what it does not. The error says what another word is, and
/// what could be written.
pub(super) fn read<const N: usize>(
    text: &str,
    mut words: [(&'static str, &mut bool); N],
    otherwise: &str,
) -> Result<(), String> {
    let text = text.trim();
    let is_named = |word: &str| match text {
        "all" => true,
        "none" => false,
        list => list.split(',').any(|named| named.trim() == word),
    };
    let known = |named: &str| words.iter().any(|(word, _)| *word == named);
    let unknown = text.split(',').map(str::trim).find(|named| !known(named));
    if let Some(unknown) = unknown.filter(|_| !["all", "none"].contains(&text)) {
        let words = words.map(|(word, _)| word).join(", ");
        return Err(format!("{unknown:?} is {otherwise}; write all, none, or a list of {words}"));
    }
    for (word, allowed) in &mut words {
        **allowed = is_named(word);
    }
    Ok(())
}

/// Writes what [`read`] reads.
pub(super) fn write<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    words: [(&'static str, bool); N],
) -> fmt::Result {
    let named: Vec<_> =
        words.iter().filter_map(|(word, allowed)| allowed.then_some(*word)).collect();
    match named.len() {
        0 => f.write_str("none"),
        all if all == N => f.write_str("all"),
        _ => f.write_str(&named.join(",")),
    }
}
