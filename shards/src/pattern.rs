//! Patterns of names.

use std::fmt;

/// Bytes of a pattern: what a room's name may have, and some more.
const BYTES_MAX: usize = 256;

/// Stars of a pattern: more than names have parts.
const STARS_MAX: usize = 8;

/// A pattern of names, in which each `*` stands for one or more characters (Unicode scalar values)
/// and everything else for itself. So `news.*` matches `news.uk` and `news.uk.sport`, but neither
/// `news.` nor `news`; and `**` matches two characters or more.
///
/// A match looks at each byte of a name once per star at most: what follows a star is searched for
/// where it may come first, and there is no way back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// A pattern of 1 to 256 bytes with at most 8 stars. The error says which of these it is not.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let stars = text.bytes().filter(|byte| *byte == b'*').count();
        match text.len() {
            0 => Err("a pattern is empty; write a name, or * for every name".to_owned()),
            bytes if bytes > BYTES_MAX => {
                Err(format!("a pattern has {bytes} bytes; at most {BYTES_MAX} are allowed"))
            }
            _ if stars > STARS_MAX => {
                Err(format!("{text:?} has {stars} stars; at most {STARS_MAX} are allowed"))
            }
            _ => Ok(Pattern(text.into())),
        }
    }

    /// Whether the pattern stands for this name, as a whole and byte for byte.
    pub fn matches(&self, name: &str) -> bool {
        let Some((begin, rest)) = self.0.split_once('*') else { return *self.0 == *name };
        let Some(mut name) = name.strip_prefix(begin) else { return false };
        let (between, end) = rest.rsplit_once('*').map_or((None, rest), |(a, b)| (Some(a), b));
        for piece in between.into_iter().flat_map(|between| between.split('*')) {
            // The earliest place leaves the most for the stars that follow.
            match after_a_character(name).and_then(|name| name.split_once(piece)) {
                Some((_, after)) => name = after,
                None => return false,
            }
        }
        after_a_character(name).is_some_and(|name| name.ends_with(end))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern stands for one name alone: itself.
    pub fn is_literal(&self) -> bool {
        !self.0.contains('*')
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text behind its first character; none if it has no character.
fn after_a_character(text: &str) -> Option<&str> {
    let mut characters = text.chars();
    characters.next().map(|_| characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(name)
    }

    #[test]
    fn a_star_stands_for_one_or_more_characters() {
        for (pattern, name) in [
            ("news", "news"),
            ("*", "a"),
            ("*", "*"),
            ("*", "ü"),
            ("news.*", "news.uk"),
            ("news.*", "news.uk.sport"),
            ("*.news", "uk.news"),
            ("a*b*c", "a1b1b1c"),
            ("a*a", "aaa"),
            ("**", "ab"),
            ("**", "üß"),
            ("*ab", "abab"),
            ("ä*ö", "äüö"),
            ("*\u{301}", "e\u{301}"),
        ] {
            assert!(matches(pattern, name), "{pattern} is {name}");
        }
        for (pattern, name) in [
            ("news", "News"),
            ("news", "news "),
            ("*", ""),
            ("news.*", "news."),
            ("news.*", "news"),
            ("news.*", "xnews.uk"),
            ("*.news", ".news"),
            ("a*b*c", "abc"),
            ("a*b*c", "a1bc"),
            ("a*a", "aa"),
            ("**", "a"),
            ("**", "ü"),
            ("*ab", "ab"),
            ("aba*ba", "ababa"),
            ("é", "e\u{301}"),
        ] {
            assert!(!matches(pattern, name), "{pattern} is not {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_reason() {
        for (text, reason) in [
            (String::new(), "empty"),
            ("x".repeat(257), "257 bytes"),
            ("ü".repeat(129), "258 bytes"),
            ("*".repeat(9), "9 stars"),
        ] {
            let refused = Pattern::parse(&text).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
        for text in ["x".repeat(256), "*".repeat(8)] {
            assert_eq!(Pattern::parse(&text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn only_a_pattern_without_stars_is_literal() {
        assert!(Pattern::parse("a.b").unwrap().is_literal());
        assert!(!Pattern::parse("a.*").unwrap().is_literal());
    }

    /// The definition, at any price.
    fn matches_by_trying(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (1..=name.len()).any(|n| matches_by_trying(rest, &name[n..])),
            Some((c, rest)) => name.first() == Some(c) && matches_by_trying(rest, &name[1..]),
        }
    }

    /// Few letters, of one and of two bytes, so that pieces overlap.
    fn word(rng: &mut Rng, letters: &[char], most: u64) -> String {
        let length = rng.next() % (most + 1);
        let letter = |_| letters[(rng.next() >> 8) as usize % letters.len()];
        (0..length).map(letter).collect()
    }

    #[test]
    fn patterns_match_what_their_definition_says() {
        let mut rng = Rng::new(1, 0);
        let mut found = [0_u32; 2];
        for _ in 0..200_000 {
            let pattern = word(&mut rng, &['a', 'ä', '*'], 8);
            let name = word(&mut rng, &['a', 'ä'], 10);
            let Ok(compiled) = Pattern::parse(&pattern) else { continue };
            let [letters, of_name] = [&pattern, &name].map(|text| text.chars().collect::<Vec<_>>());
            let expected = matches_by_trying(&letters, &of_name);
            assert_eq!(compiled.matches(&name), expected, "{pattern} and {name}");
            found[usize::from(expected)] += 1;
        }
        assert!(found.iter().all(|times| *times > 10_000), "both happen: {found:?}");
    }

    #[test]
    fn a_name_that_almost_matches_costs_no_search_of_all_ways() {
        // By trying, this takes more than 10^12 steps.
        let pattern = Pattern::parse(&"*a".repeat(8)).unwrap();
        assert!(!pattern.matches(&("a".repeat(199) + "b")));
        assert!(pattern.matches(&"a".repeat(200)));
    }
}
