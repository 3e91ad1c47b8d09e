//! What the server says beside messages: greetings, answers, gaps, errors, pings and farewells.

use serde_json::Value;

use super::chunks::data;
use super::frames::close_kind;
use super::intake::Notice;
use super::member::{End, MemberStage, Wire};
use super::reader::Reader;
use super::wire;

impl Reader {
    pub(super) fn on_notice(&mut self, nth: usize, notice: Notice) {
        match notice {
            Notice::Text(text) => self.on_text(nth, &text),
            Notice::Ping(payload) => {
                self.intake.tally.pings += 1;
                let mut pong = Vec::new();
                wire::push_pong(&mut pong, &payload);
                self.send(nth, &pong);
            }
            Notice::Close(payload) => {
                let mut answer = Vec::new();
                wire::push_close(&mut answer, payload.get(..2).unwrap_or_default());
                self.send(nth, &answer);
                self.leave(nth, End::Announced, &close_kind(&payload));
            }
            Notice::End(reason) => self.leave(nth, End::Announced, &end_kind(&reason)),
            Notice::Violation(what) => self.leave(nth, End::Sudden, &violation(what)),
        }
    }

    fn on_text(&mut self, nth: usize, text: &[u8]) {
        let text = match self.members[nth].wire {
            Wire::WebSocket => text,
            Wire::Events => data(text).unwrap_or_default(),
        };
        let ready = self.shared.plan.ready.as_deref();
        if self.members[nth].stage == MemberStage::Greeting
            && ready.is_some_and(|it| contains(text, it))
        {
            return self.on_joined(nth);
        }
        match Said::read(text) {
            Some(Said::Gap(skipped)) => {
                self.intake.tally.gaps += 1;
                self.intake.tally.skipped += skipped;
                self.members[nth].skipped += skipped;
            }
            Some(Said::Error(kind)) => self.intake.tally.errors.add(&kind),
            None => {}
        }
    }
}

/// How it is counted that an event stream ended.
fn end_kind(reason: &str) -> String {
    let name = reason.split(" retry=").next().unwrap_or_default();
    let short: String = name.chars().take(40).collect();
    format!("event stream ended: {short}")
}

/// How it is counted that a server broke RFC 6455 or RFC 9112.
pub(super) fn violation(what: &str) -> String {
    format!("the server sent {what}")
}

/// What corecast says that matters to the figures.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// So many messages were skipped.
    Gap(u64),
    Error(String),
}

impl Said {
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        if !contains(text, b"\"cast:") {
            return None;
        }
        let envelope: Value = serde_json::from_slice(text).ok()?;
        let data = &envelope["data"];
        match envelope["event"].as_str()? {
            "cast:gap" => {
                let (from, to) = (data["from"].as_u64()?, data["to"].as_u64()?);
                Some(Self::Gap((to + 1).saturating_sub(from)))
            }
            "cast:error" => {
                Some(Self::Error(format!("cast:error {}", data["code"].as_str().unwrap_or("?"))))
            }
            _ => None,
        }
    }
}

/// Whether some text contains another.
pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_errors_are_understood() {
        let check = |text: &str, expected| assert_eq!(Said::read(text.as_bytes()), expected);
        check(
            r#"{"event":"cast:gap","room":"r","data":{"from":50,"to":61,"reason":"slow"}}"#,
            Some(Said::Gap(12)),
        );
        check(
            r#"{"event":"cast:error","data":{"code":"overloaded","message":"x"}}"#,
            Some(Said::Error("cast:error overloaded".to_owned())),
        );
        check(r#"{"event":"cast:joined","room":"r"}"#, None);
        check("\"cast:", None);
    }
}
