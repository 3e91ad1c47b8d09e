//! JSON as servers of rooms carry it: quotes of a market, measurements, lines of a chat.
//!
//! What is drawn depends on the number of a text alone, so that a receiver knows what was sent.

/// One text after the other, each of a kind of its own.
pub(crate) struct Records {
    kind: Kind,
    chance: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Quotes,
    Telemetry,
    Chat,
}

/// What stands in front of the head of a payload.
pub(crate) const OPENING: &str = r#"{"id":""#;
/// The note fills what is left of the size.
const NOTE: &str = r#"],"note":""#;
const CLOSING: &str = r#""}"#;

const SYMBOLS: [&str; 8] =
    ["BTC-EUR", "ETH-EUR", "SOL-USD", "AAPL", "MSFT", "NVDA", "SAP.DE", "ASML.AS"];
const VENUES: [&str; 4] = ["XETR", "XNAS", "BATS", "CBSE"];
const SITES: [&str; 4] = ["north", "south", "harbour", "depot 7"];
const NAMES: [&str; 8] = ["Marta", "Jonas", "Aylin", "Chidi", "Yuki", "Noor", "Lars", "Beatriz"];
const WORDS: [&str; 40] = [
    "the",
    "train",
    "is",
    "late",
    "again",
    "so",
    "we",
    "meet",
    "at",
    "gate",
    "four",
    "around",
    "noon",
    "and",
    "then",
    "see",
    "what",
    "still",
    "has",
    "to",
    "be",
    "done",
    "before",
    "weekend",
    "thanks",
    "for",
    "your",
    "help",
    "with",
    "that",
    "release",
    "yesterday",
    "it",
    "looks",
    "good",
    "from",
    "here",
    "anyone",
    "hungry",
    "already",
];

impl Records {
    /// Of the nth text.
    pub(crate) fn new(nth: usize) -> Self {
        let kind = [Kind::Quotes, Kind::Telemetry, Kind::Chat][nth % 3];
        Self { kind, chance: nth as u64 + 1 }
    }

    /// What follows the head of a payload, in so many bytes.
    pub(crate) fn text(mut self, size: usize) -> String {
        let kind = match self.kind {
            Kind::Quotes => "quotes",
            Kind::Telemetry => "telemetry",
            Kind::Chat => "chat",
        };
        let mut text = format!(r#"","kind":"{kind}","items":["#);
        let most = size.saturating_sub(NOTE.len() + CLOSING.len());
        let mut is_first = true;
        loop {
            let record = self.record();
            if text.len() + usize::from(!is_first) + record.len() > most {
                break;
            }
            text.push_str(if is_first { "" } else { "," });
            text.push_str(&record);
            is_first = false;
        }
        text.push_str(NOTE);
        let mut note = String::new();
        while text.len() + note.len() + CLOSING.len() < size {
            note.push_str(self.one_of(&WORDS));
            note.push(' ');
        }
        note.truncate(size.saturating_sub(text.len() + CLOSING.len()));
        text + &note + CLOSING
    }

    fn record(&mut self) -> String {
        let at = 1_764_200_000_000 + self.below(86_400_000);
        match self.kind {
            Kind::Quotes => self.quote(at),
            Kind::Telemetry => self.measurement(at),
            Kind::Chat => self.line(at),
        }
    }

    fn quote(&mut self, at: u64) -> String {
        let (symbol, venue) = (self.one_of(&SYMBOLS), self.one_of(&VENUES));
        let bid = 10_000 + self.below(90_000);
        let (bid, ask, size) = (bid, bid + 1 + self.below(40), self.below(100_000));
        let price = |cents: u64| format!("{}.{:02}", cents / 100, cents % 100);
        let (bid, ask) = (price(bid), price(ask));
        format!(
            r#"{{"symbol":"{symbol}","bid":{bid},"ask":{ask},"size":{size},"venue":"{venue}","at":{at}}}"#
        )
    }

    fn measurement(&mut self, at: u64) -> String {
        let (pump, site) = (self.below(400), self.one_of(&SITES));
        let (celsius, rpm) = (150 + self.below(500), 900 + self.below(1_200));
        let (whole, tenth) = (celsius / 10, celsius % 10);
        let is_on = self.below(10) > 0;
        format!(
            r#"{{"device":"pump-{pump:04}","site":"{site}","celsius":{whole}.{tenth},"rpm":{rpm},"on":{is_on},"at":{at}}}"#
        )
    }

    fn line(&mut self, at: u64) -> String {
        let (user, name) = (self.below(100_000), self.one_of(&NAMES));
        let words = 4 + self.below(14);
        let words: Vec<_> = (0..words).map(|_| self.one_of(&WORDS)).collect();
        let words = words.join(" ");
        format!(r#"{{"user":{user},"name":"{name}","text":"{words}","at":{at}}}"#)
    }

    fn one_of(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len() as u64) as usize]
    }

    fn below(&mut self, most: u64) -> u64 {
        self.chance = self
            .chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % most
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn texts_are_json_of_the_size_that_was_asked_for() {
        for nth in 0..12 {
            for size in [64, 65, 127, 300, 1024, 70_000] {
                let text = Records::new(nth).text(size);
                assert_eq!(text.len(), size);
                let whole = format!("{OPENING}{text}");
                let value: serde_json::Value = serde_json::from_str(&whole).unwrap();
                let items = value["items"].as_array().unwrap();
                assert!(!items.is_empty() || size < 300, "{whole}");
                // What is left is less than a record.
                assert!(value["note"].as_str().unwrap().len() < 200, "{whole}");
            }
        }
    }

    #[test]
    fn each_number_has_a_text_of_its_own_and_always_the_same() {
        let texts = || (0..256).map(|nth| Records::new(nth).text(900));
        assert_eq!(texts().collect::<BTreeSet<_>>().len(), 256);
        assert!(texts().eq(texts()));
    }
}
