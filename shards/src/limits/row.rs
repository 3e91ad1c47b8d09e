//! What a row of the table is: its texts, its bounds, and its amounts as they are written.

use std::fmt;
use std::time::Duration;

use super::Limits;

/// One row of the table of limits. In its texts, backticks mark what is code.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limit {
    /// The flag without its dashes: `max-rooms`.
    pub flag: &'static str,
    /// What holds when nothing is set.
    pub preset: Preset,
    /// The smallest amount that the server starts with.
    pub least: Amount,
    /// The largest one.
    pub most: Amount,
    /// What is limited.
    pub what: &'static str,
    /// What a client or the operator sees beyond it. None for a setting that is no limit.
    pub beyond: Option<&'static str>,
    /// Whole sentences with what else there is to know.
    pub more: Option<&'static str>,
    pub(crate) field: Option<Field>,
}

/// What holds when nothing is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Preset {
    /// This amount.
    Fixed(Amount),
    /// An amount that the server finds out when it starts, in words.
    Derived(&'static str),
}

/// The value of a limit.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub enum Amount {
    /// Bytes of memory or of a message.
    Bytes(usize),
    /// A number of things.
    Count(usize),
    /// A duration.
    Time(Duration),
}

/// Where a limit is in [`Limits`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) get: fn(&Limits) -> Amount,
    pub(crate) set: fn(&mut Limits, Amount),
}

impl Limit {
    /// The environment variable that stands for the flag: `CORECAST_MAX_ROOMS`.
    pub fn variable(&self) -> String {
        format!("CORECAST_{}", self.key().to_uppercase())
    }

    /// The name in `/v1/stats`: `max_rooms`.
    pub fn key(&self) -> String {
        self.flag.replace('-', "_")
    }

    /// The amount that these limits have here; none for a setting that is no field of theirs.
    pub fn get(&self, limits: &Limits) -> Option<Amount> {
        self.field.map(|field| (field.get)(limits))
    }

    /// Sets it in these limits; a setting that is no field of theirs changes nothing.
    ///
    /// # Panics
    ///
    /// When the amount is of another kind than the limit's own bounds.
    pub fn set(&self, limits: &mut Limits, amount: Amount) {
        if let Some(field) = self.field {
            (field.set)(limits, amount);
        }
    }

    /// Whether the server starts with this amount.
    ///
    /// # Errors
    ///
    /// When it is out of bounds, in words for the operator.
    pub fn check(&self, amount: Amount) -> Result<(), String> {
        assert!(amount.is_like(self.least), "--{} is not measured as {amount:?} is", self.flag);
        let must_be = if amount < self.least {
            self.at_least()
        } else if amount > self.most {
            format!("at most {}", self.most.plain())
        } else {
            return Ok(());
        };
        Err(format!("--{} is {} and must be {must_be}", self.flag, amount.plain()))
    }

    fn at_least(&self) -> String {
        match self.least {
            Amount::Time(INSTANT) => "more than 0".to_owned(),
            least => format!("at least {}", least.plain()),
        }
    }

    /// Its bounds in words, as in `512B to 32KiB`; none when every amount will do.
    pub fn bounds(&self) -> Option<String> {
        match (self.least.is_zero(), self.most.is_endless()) {
            (true, true) => None,
            (true, false) => Some(format!("at most {}", self.most)),
            (false, true) if self.least == Amount::Time(INSTANT) => Some(self.at_least()),
            (false, true) => Some(format!("at least {}", self.least)),
            (false, false) => Some(format!("{} to {}", self.least, self.most)),
        }
    }

    /// One line that says what is limited and what happens beyond it.
    pub fn summary(&self) -> String {
        let mut text = self.what.to_owned();
        if let Preset::Derived(derived) = self.preset {
            text.push_str(&format!(" [default: {derived}]"));
        }
        if let Some(beyond) = self.beyond {
            text.push_str(&format!("; beyond: {beyond}"));
        }
        text
    }
}

/// The shortest time that is one.
const INSTANT: Duration = Duration::from_nanos(1);

impl Amount {
    fn is_like(self, other: Amount) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }

    fn is_zero(self) -> bool {
        matches!(self, Amount::Bytes(0) | Amount::Count(0) | Amount::Time(Duration::ZERO))
    }

    /// Whether no amount of this kind is larger.
    fn is_endless(self) -> bool {
        matches!(
            self,
            Amount::Bytes(usize::MAX) | Amount::Count(usize::MAX) | Amount::Time(Duration::MAX)
        )
    }

    /// As an exact number, without a unit of size.
    pub(crate) fn plain(self) -> String {
        match self {
            Amount::Bytes(number) | Amount::Count(number) => number.to_string(),
            time @ Amount::Time(_) => time.to_string(),
        }
    }
}

/// As it is typed after a flag, or in words.
impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Preset::Fixed(amount) => amount.fmt(f),
            Preset::Derived(words) => f.write_str(words),
        }
    }
}

/// As it is typed after a flag: `16KiB`, `128`, `10s`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Amount::Bytes(0) | Amount::Time(Duration::ZERO) => f.write_str("0"),
            Amount::Bytes(bytes) => {
                let units = [(30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "B")];
                let whole = units.iter().find(|(shift, _)| bytes % (1 << shift) == 0);
                let (shift, unit) = whole.expect("a number is a whole number of ones");
                write!(f, "{}{unit}", bytes >> shift)
            }
            Amount::Count(number) => write!(f, "{number}"),
            Amount::Time(time) if time.subsec_nanos() == 0 => write!(f, "{}s", time.as_secs()),
            Amount::Time(time) if time.subsec_nanos() % 1_000_000 == 0 => {
                write!(f, "{}ms", time.as_millis())
            }
            Amount::Time(time) => write!(f, "{}", time.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_as_they_are_typed() {
        let time = |nanos| Amount::Time(Duration::from_nanos(nanos));
        let rows = [
            (Amount::Bytes(0), "0"),
            (Amount::Bytes(512), "512B"),
            (Amount::Bytes(32 << 10), "32KiB"),
            (Amount::Bytes(4 << 20), "4MiB"),
            (Amount::Bytes((1 << 30) + 1), "1073741825B"),
            (Amount::Count(100_000), "100000"),
            (time(0), "0"),
            (time(1), "0.000000001"),
            (time(500_000_000), "500ms"),
            (time(90_000_000_000), "90s"),
        ];
        for (amount, text) in rows {
            assert_eq!(amount.to_string(), text, "{amount:?}");
        }
    }

    #[test]
    fn bounds_are_words_for_what_they_exclude() {
        let bounds = |least, most| Limit { least, most, ..Limit::SHARDS }.bounds();
        let time = |nanos| Amount::Time(Duration::from_nanos(nanos));
        let endless = Amount::Time(Duration::MAX);
        assert_eq!(bounds(Amount::Count(0), Amount::Count(usize::MAX)), None);
        assert_eq!(bounds(Amount::Bytes(512), Amount::Bytes(1 << 10)).unwrap(), "512B to 1KiB");
        assert_eq!(bounds(Amount::Bytes(1), Amount::Bytes(usize::MAX)).unwrap(), "at least 1B");
        assert_eq!(bounds(Amount::Count(0), Amount::Count(9)).unwrap(), "at most 9");
        assert_eq!(bounds(time(1), endless).unwrap(), "more than 0");
        assert_eq!(bounds(time(1_000_000_000), endless).unwrap(), "at least 1s");
    }
}
