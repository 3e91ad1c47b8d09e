//! What a search found, for programs.

use serde::{Deserialize, Serialize};

use super::judgement::Judgement;
use super::steps::Verdict;
use crate::report::{Machine, Report, SettingsReport};
use crate::units::print::{time, whole};

/// What a search for the greatest rate found: `corecast load capacity --json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CapacityReport {
    /// [`FORMAT`](crate::report::FORMAT) of the generator that wrote it.
    pub format: u32,
    /// `capacity`.
    pub scenario: String,
    /// The words of the command line.
    pub command: Vec<String>,
    /// Of the generator.
    pub version: String,
    /// When the search began, in seconds since 1970.
    pub started_unix: Option<u64>,
    /// A signal ended it: a greater rate might have held.
    pub interrupted: bool,
    /// Why it ended before its time though nobody interrupted it: the next run could not begin.
    pub ended_early: Option<String>,
    /// Where the generator ran.
    pub machine: Machine,
    /// What was asked for in each run; the rate is that of the first.
    pub settings: SettingsReport,
    /// What a rate had to hold, beside that nothing is lost and everything is published in time.
    pub asserted: Vec<String>,
    /// The greatest rate that held, in messages per second and room; none if no rate did.
    pub rate_per_room: Option<f64>,
    /// In how many runs it held; once only where the search ended before it was tried again.
    #[serde(default)]
    pub held_times: u64,
    /// The server may hold more: the generator was the limit of the next rate, or no greater one was
    /// tried.
    pub at_least: bool,
    /// What it is in messages per second of all rooms.
    pub messages_per_second: Option<f64>,
    /// What it is in deliveries per second.
    pub deliveries_per_second: Option<f64>,
    /// The smallest rate that did not hold.
    pub failed_at: Option<f64>,
    /// Why it did not, or why there is none.
    pub why: Option<String>,
    /// All runs, in their order.
    pub trials: Vec<TrialReport>,
}

/// One run at one rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrialReport {
    /// Messages per second and room.
    pub rate_per_room: f64,
    /// `held`, `failed`, or `limited` by the generator.
    pub verdict: Verdict,
    /// Why it did not hold.
    pub why: Option<String>,
    /// The share of it that was published in time.
    pub published_share: Option<f64>,
    /// Deliveries per second.
    pub deliveries_per_second: f64,
    /// Deliveries that were due and never came.
    pub missing: u64,
    /// Why it ended before its time though nobody interrupted it.
    #[serde(default)]
    pub ended_early: Option<String>,
    /// Half of the latencies were no longer.
    pub p50_us: Option<f64>,
    /// 99 % were no longer.
    pub p99_us: Option<f64>,
    /// 99 % of the messages took no longer to the last of their members.
    pub last_p99_us: Option<f64>,
    /// Which of `p50`, `p99` and `last_p99` fall on what never came: they are how long was waited.
    pub missing_at: Vec<String>,
    /// Which of `p50`, `p90`, `p99` and `p999` have fewer than ten messages beyond them, so that
    /// another run has another.
    #[serde(default)]
    pub few_messages_at: Vec<String>,
    /// Cores that the server used, if its process was named.
    pub server_cpu: Option<f64>,
    /// CPU time per delivery.
    pub cpu_per_delivery_ns: Option<f64>,
    /// The share of its time that the busiest thread of the generator was on a CPU.
    pub generator_busy: f64,
    /// See [`Report::latency_trusted`].
    pub latency_trusted: bool,
}

impl TrialReport {
    pub(super) fn new(rate: f64, report: &Report, judgement: Judgement) -> Self {
        let (latency, last) = (&report.latency_us, report.last_member.as_ref());
        let is_missing = |names: &[String], name: &str| names.iter().any(|it| it == name);
        let missing_at = [
            ("p50", is_missing(&latency.missing_at, "p50")),
            ("p99", is_missing(&latency.missing_at, "p99")),
            ("last_p99", last.is_some_and(|last| is_missing(&last.missing_at, "p99"))),
        ];
        let missing_at = missing_at.into_iter().filter(|(_, is_missing)| *is_missing);
        Self {
            rate_per_room: rate,
            verdict: judgement.verdict,
            why: judgement.why,
            published_share: report.messages.published_share,
            deliveries_per_second: report.messages.deliveries_per_second,
            missing: latency.missing,
            ended_early: report.ended_early.clone(),
            p50_us: latency.latency.p50,
            p99_us: latency.latency.p99,
            last_p99_us: last.and_then(|last| last.last_us.p99),
            missing_at: missing_at.map(|(name, _)| name.to_owned()).collect(),
            few_messages_at: latency.few_messages_at.clone(),
            server_cpu: report.server.as_ref().map(|server| server.cpu_share),
            cpu_per_delivery_ns: report.server.as_ref().and_then(|it| it.cpu_per_delivery_ns),
            generator_busy: report.generator.busy,
            latency_trusted: report.latency_trusted,
        }
    }

    /// A latency for people, by its name: `1.20 ms`, `> 2.00 s` of what never came, or `1.20 ms *`
    /// with few messages beyond.
    pub(super) fn latency(&self, name: &str) -> Option<String> {
        let micros = match name {
            "p50" => self.p50_us,
            "p99" => self.p99_us,
            _ => self.last_p99_us,
        };
        let more = if self.missing_at.iter().any(|it| it == name) { "> " } else { "" };
        let few = if self.few_messages_at.iter().any(|it| it == name) { " *" } else { "" };
        micros.map(|micros| format!("{more}{}{few}", time(micros * 1e3)))
    }

    /// The same in nanoseconds, of what came.
    pub(super) fn nanos(&self, name: &str) -> Option<f64> {
        let is_missing = self.missing_at.iter().any(|it| it == name);
        let micros = if name == "p50" { self.p50_us } else { self.p99_us };
        micros.filter(|_| !is_missing).map(|micros| micros * 1e3)
    }

    /// In words, with what is missing and whether it went to its end.
    pub(super) fn verdict(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Held => "holds",
            Verdict::Failed => "fails",
            Verdict::Limited => "generator's limit",
        };
        let early = if self.ended_early.is_some() { ", ended early" } else { "" };
        let missing = match self.missing {
            0 => String::new(),
            missing => format!(", {} missing", whole(missing)),
        };
        format!("{verdict}{early}{missing}")
    }
}
