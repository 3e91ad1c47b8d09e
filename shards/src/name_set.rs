//! Sets of names that patterns describe.

use crate::pattern::Pattern;

/// Patterns with a star that one set may have: each costs a look per command. Names without a star
/// are found by search, so that there may be many of them.
const STARRED_MAX: usize = 256;

/// The names that at least one of several patterns stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameSet {
    /// Sorted.
    literals: Box<[Pattern]>,
    starred: Box<[Pattern]>,
}

impl NameSet {
    /// The names that any of these patterns stands for; without patterns, none.
    ///
    /// # Errors
    ///
    /// When more than 256 of them have a star, in words.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Result<NameSet, String> {
        let (mut literals, mut starred): (Vec<_>, Vec<_>) =
            patterns.into_iter().partition(Pattern::is_literal);
        for list in [&mut literals, &mut starred] {
            list.sort_unstable();
            list.dedup();
        }
        match starred.len() <= STARRED_MAX {
            true => Ok(NameSet { literals: literals.into(), starred: starred.into() }),
            false => Err(format!(
                "{} patterns with a star are too many; at most {STARRED_MAX} are allowed",
                starred.len()
            )),
        }
    }

    /// Whether a pattern stands for this name.
    pub fn contains(&self, name: &str) -> bool {
        let is_literal = || self.literals.binary_search_by(|one| one.as_str().cmp(name)).is_ok();
        is_literal() || self.starred.iter().any(|pattern| pattern.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(patterns: &[&str]) -> NameSet {
        NameSet::new(patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap())).unwrap()
    }

    #[test]
    fn a_set_has_the_names_of_each_of_its_patterns() {
        let names = set(&["lobby", "news.*", "a", "zoo", "*.public", "lobby"]);
        for name in ["lobby", "a", "zoo", "news.uk", "x.public"] {
            assert!(names.contains(name), "{name}");
        }
        for name in ["", "Lobby", "news", "news.", ".public", "b"] {
            assert!(!names.contains(name), "{name}");
        }
        assert!(!set(&[]).contains("a") && !NameSet::default().contains(""));
    }

    #[test]
    fn names_may_be_many_and_patterns_with_stars_may_not() {
        let pattern = |text: String| Pattern::parse(&text).unwrap();
        let rooms = NameSet::new((0..10_000).map(|n| pattern(format!("room {n}")))).unwrap();
        assert!(rooms.contains("room 9999") && !rooms.contains("room 10000"));
        let starred = |count: usize| NameSet::new((0..count).map(|n| pattern(format!("{n}.*"))));
        assert!(starred(256).unwrap().contains("255.x"));
        assert!(starred(257).unwrap_err().contains("257 patterns"));
    }
}
