//! The stages of a rate for people: of one run, and of several together.

use super::figures::is_rate_reached;
use super::json::StageReport;
use super::latency::told;
use crate::units::print::{count, percent, whole};

/// Two rows for each stage: what became of its messages, and how long they took.
pub(super) fn rows(stages: &[StageReport]) -> Vec<(String, String)> {
    (1..).zip(stages).flat_map(|(nth, stage)| stage.rows(nth)).collect()
}

/// What was asked for, as `--stage` takes it; nothing without stages.
pub(super) fn plan(stages: &[StageReport]) -> String {
    stages.iter().map(StageReport::asked).collect::<Vec<_>>().join(",")
}

impl StageReport {
    fn asked(&self) -> String {
        let Self { seconds, rate_per_room, rate_per_room_at_end, .. } = self;
        match rate_per_room == rate_per_room_at_end {
            true => format!("{seconds}s:{rate_per_room}"),
            false => format!("{seconds}s:{rate_per_room}..{rate_per_room_at_end}"),
        }
    }

    fn rows(&self, nth: usize) -> Vec<(String, String)> {
        let seconds = count(self.seconds);
        let [begin, end] = [self.rate_per_room, self.rate_per_room_at_end].map(count);
        // A long name pushes its value aside; a space keeps them apart.
        let name = match begin == end {
            true => format!("{nth}: {seconds} s at {begin}/s "),
            false => format!("{nth}: {seconds} s, {begin} to {end}/s "),
        };
        let mut rows = vec![(name, self.messages())];
        if self.delivered > 0 || self.missing > 0 {
            rows.push(("     latency".to_owned(), self.latency()));
        }
        rows
    }

    fn messages(&self) -> String {
        let (published, offered) = (whole(self.published), whole(self.offered));
        let in_time = self.published_share.filter(|&share| !is_rate_reached(Some(share)));
        let in_time = in_time.map(|share| format!(" ({} in time)", percent(share)));
        let in_time = in_time.unwrap_or_default();
        let (delivered, missing) = (whole(self.delivered), whole(self.missing));
        let server = self.server_cpu.map(|cores| format!(", server {cores:.2} cores"));
        format!(
            "published {published} of {offered}{in_time}, delivered {delivered}, missing {missing}{}",
            server.unwrap_or_default()
        )
    }

    fn latency(&self) -> String {
        let all = &self.latency_us;
        let known = [("p50", all.p50), ("p99", all.p99), ("max", all.max)];
        let known = known.into_iter().filter(|(_, micros)| micros.is_some());
        let words = |(name, micros)| {
            let is_of_few = self.few_messages_at.iter().any(|it| it == name);
            let few = if is_of_few { " (fewer than ten messages beyond)" } else { "" };
            format!("{name} {}{few}", told(name, micros, &self.missing_at))
        };
        let mut parts: Vec<_> = known.map(words).collect();
        let busy = self.generator_busy;
        parts.extend(busy.map(|busy| format!("generator {} busy", percent(busy))));
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json::LatencyReport;

    #[test]
    fn a_stage_is_told_in_two_rows() {
        let latency_us =
            LatencyReport { p50: Some(81.0), max: Some(2e6), ..LatencyReport::default() };
        let stage = StageReport {
            seconds: 30.0,
            rate_per_room: 500.0,
            rate_per_room_at_end: 2_000.0,
            offered: 37_500,
            published: 37_400,
            published_share: Some(0.98),
            delivered: 299_000,
            missing: 1_000,
            latency_us,
            missing_at: vec!["max".to_owned()],
            few_messages_at: vec!["p50".to_owned()],
            server_cpu: Some(0.416),
            ..StageReport::default()
        };
        let still = StageReport { seconds: 0.5, ..StageReport::default() };
        let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            row(
                "1: 30 s, 500 to 2.00 k/s ",
                "published 37,400 of 37,500 (98 % in time), delivered 299,000, missing 1,000, \
                 server 0.42 cores",
            ),
            row("     latency", "p50 81.0 µs (fewer than ten messages beyond), max > 2.00 s"),
            row("2: 0.50 s at 0/s ", "published 0 of 0, delivered 0, missing 0"),
        ];
        let stages = [stage, still];
        assert_eq!(rows(&stages), expected);
        assert_eq!(plan(&stages), "30s:500..2000,0.5s:0");
        assert_eq!(plan(&[]), "");
    }
}
