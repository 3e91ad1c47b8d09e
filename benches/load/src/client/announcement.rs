//! What corecast says beside messages that matters to the figures.

use serde_json::Value;

/// How it is counted that a server broke RFC 6455 or RFC 9112.
pub(crate) fn violation(what: &str) -> String {
    format!("the server sent {what}")
}

/// What corecast says that matters to the figures.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Announcement {
    /// So many messages were skipped.
    Gap(u64),
    Error(String),
}

impl Announcement {
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        if !contains(text, b"\"cast:") {
            return None;
        }
        let envelope: Value = serde_json::from_slice(text).ok()?;
        let data = &envelope["data"];
        match envelope["event"].as_str()? {
            "cast:gap" => {
                let (from, to) = (data["from"].as_u64()?, data["to"].as_u64()?);
                Some(Self::Gap(to.saturating_add(1).saturating_sub(from)))
            }
            "cast:error" => {
                Some(Self::Error(format!("cast:error {}", data["code"].as_str().unwrap_or("?"))))
            }
            _ => None,
        }
    }
}

/// Whether some text contains another.
pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_errors_are_understood() {
        let check =
            |text: &str, expected| assert_eq!(Announcement::read(text.as_bytes()), expected);
        check(
            r#"{"event":"cast:gap","room":"r","data":{"from":50,"to":61,"reason":"slow"}}"#,
            Some(Announcement::Gap(12)),
        );
        let endless = format!(r#"{{"event":"cast:gap","data":{{"from":1,"to":{}}}}}"#, u64::MAX);
        check(&endless, Some(Announcement::Gap(u64::MAX - 1)));
        check(
            r#"{"event":"cast:error","data":{"code":"overloaded","message":"x"}}"#,
            Some(Announcement::Error("cast:error overloaded".to_owned())),
        );
        check(r#"{"event":"cast:joined","room":"r"}"#, None);
        check("\"cast:", None);
    }
}
