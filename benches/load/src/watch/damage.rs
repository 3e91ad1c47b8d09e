//! What was wrong with messages that came and do not count.

/// How often what was wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damaged {
    counts: [u64; Damage::ALL.len()],
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// Its end is missing.
    End,
    /// Other bytes than were published.
    Content,
    /// A text frame holds what is no UTF-8.
    Text,
    /// A number that nobody has published yet.
    Number,
    /// It is due later than it came.
    Time,
    /// It was published in another room, or by nobody.
    Stream,
    /// It was published before its member had joined, or after it had left.
    Stay,
}

impl Damage {
    const ALL: [Self; 7] =
        [Self::End, Self::Content, Self::Text, Self::Number, Self::Time, Self::Stream, Self::Stay];

    /// As reports name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::End => "without its end",
            Self::Content => "other content",
            Self::Text => "not UTF-8",
            Self::Number => "a number that was not published",
            Self::Time => "a time to come",
            Self::Stream => "of another room",
            Self::Stay => "before joining or after leaving",
        }
    }
}

impl Damaged {
    #[cold]
    pub(crate) fn add(&mut self, damage: Damage) {
        self.add_many(damage, 1);
    }

    pub(crate) fn add_many(&mut self, damage: Damage, count: u64) {
        self.counts[damage as usize] += count;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (ours, theirs) in self.counts.iter_mut().zip(other.counts) {
            *ours += theirs;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn of(&self, damage: Damage) -> u64 {
        self.counts[damage as usize]
    }

    /// What there was, by name.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = Damage::ALL.into_iter().map(|damage| (damage.name(), self.of(damage)));
        all.filter(|(_, count)| *count > 0)
    }
}
