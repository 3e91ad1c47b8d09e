//! The stages of a rate for people: of one run, and of several together.

use super::figures::is_rate_reached;
use super::json::StageReport;
use super::latency::told;
use crate::units::print::{count, percent, whole};

/// Two rows for each stage: what became of its messages, and how long they took.
pub(super) fn rows(stages: &[StageReport]) -> Vec<(String, String)> {
    (1..).zip(stages).flat_map(|(nth, stage)| stage.rows(nth)).collect()
}

/// Which of them the end of a run cut, as a part of a sentence; none if it cut none.
pub(super) fn cut(stages: &[StageReport]) -> Option<String> {
    let all = (1..).zip(stages).filter_map(|(nth, stage): (usize, _)| {
        stage.cut().map(|words| format!("stage {nth} {words}"))
    });
    let all: Vec<_> = all.collect();
    (!all.is_empty()).then(|| all.join(", "))
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
        // A long name pushes its value aside; a space keeps them apart.
        let mut rows = vec![(self.name(nth) + " ", self.messages())];
        if self.delivered > 0 || self.missing > 0 {
            rows.push(("     latency".to_owned(), self.latency()));
        }
        rows
    }

    pub(super) fn name(&self, nth: usize) -> String {
        let seconds = match self.seconds.fract() == 0.0 {
            true => whole(self.seconds as u64),
            false => count(self.seconds),
        };
        let (begin, end) = (self.rate_per_room, self.rate_per_room_at_end);
        match [begin, end].map(count) {
            [rate, _] if begin == end => format!("{nth}: {seconds} s at {rate}/s"),
            // Rounded they would be the same.
            [from, to] if from == to => format!("{nth}: {seconds} s, {begin} to {end}/s"),
            [from, to] => format!("{nth}: {seconds} s, {from} to {to}/s"),
        }
    }

    /// How it was cut by the end of the run, if it was.
    pub(super) fn cut(&self) -> Option<String> {
        match self.measured_seconds {
            measured if measured >= self.seconds => None,
            0.0 => Some("not begun".to_owned()),
            measured => Some(format!("ended after {measured:.1} s")),
        }
    }

    fn messages(&self) -> String {
        let cut = self.cut().map(|words| format!(", {words}")).unwrap_or_default();
        let (published, offered) = (whole(self.published), whole(self.offered));
        let in_time = self.published_share.filter(|&share| !is_rate_reached(Some(share)));
        let in_time = in_time.map(|share| format!(" ({} in time)", percent(share)));
        let in_time = in_time.unwrap_or_default();
        let (delivered, missing) = (whole(self.delivered), whole(self.missing));
        let server = self.server_cpu.map(|cores| format!(", server {cores:.2} cores"));
        format!(
            "published {published} of {offered}{in_time}, delivered {delivered}, missing \
             {missing}{cut}{}",
            server.unwrap_or_default()
        )
    }

    fn latency(&self) -> String {
        let all = &self.latency_us;
        let known = [("p50", all.p50), ("p99", all.p99), ("max", all.max)];
        let words = |(name, micros): (_, Option<f64>)| {
            if micros.is_none() {
                return format!("{name} n/a: too few of {} values", whole(all.count));
            }
            let is_of_few = self.few_messages_at.iter().any(|it| it == name);
            let few = if is_of_few { " (fewer than ten messages beyond)" } else { "" };
            format!("{name} {}{few}", told(name, micros, &self.missing_at))
        };
        let mut parts: Vec<_> = known.map(words).into();
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
            LatencyReport { count: 90, p50: Some(81.0), max: Some(2e6), ..Default::default() };
        let stage = StageReport {
            seconds: 30.0,
            measured_seconds: 30.0,
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
        let still = StageReport { measured_seconds: 0.5, ..timed(0.5, 0.0, 0.0) };
        let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            row(
                "1: 30 s, 500 to 2.00 k/s ",
                "published 37,400 of 37,500 (98 % in time), delivered 299,000, missing 1,000, \
                 server 0.42 cores",
            ),
            row(
                "     latency",
                "p50 81.0 µs (fewer than ten messages beyond), p99 n/a: too few of 90 values, \
                 max > 2.00 s",
            ),
            row("2: 0.50 s at 0/s ", "published 0 of 0, delivered 0, missing 0"),
        ];
        let stages = [stage, still];
        assert_eq!(rows(&stages), expected);
        assert_eq!(plan(&stages), "30s:500..2000,0.5s:0");
        assert_eq!(plan(&[]), "");
    }

    fn timed(seconds: f64, begin: f64, end: f64) -> StageReport {
        let (rate_per_room, rate_per_room_at_end) = (begin, end);
        StageReport { seconds, rate_per_room, rate_per_room_at_end, ..StageReport::default() }
    }

    #[test]
    fn a_stage_that_was_cut_says_where() {
        let of = |measured_seconds| StageReport { measured_seconds, ..timed(60.0, 5.0, 5.0) };
        let stages = [of(60.0), of(5.04), of(0.0)];
        let said = cut(&stages).unwrap();
        assert_eq!(said, "stage 2 ended after 5.0 s, stage 3 not begun");
        let told = rows(&stages).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        let row = "published 0 of 0, delivered 0, missing 0";
        let ends = ["", ", ended after 5.0 s", ", not begun"].map(|end| format!("{row}{end}"));
        assert_eq!(told, ends);
        assert_eq!(cut(&stages[..1]), None);
    }

    #[test]
    fn a_stage_is_named_as_it_was_asked_for() {
        let rows = [
            (1_800.0, 500.0, 500.0, "1: 1,800 s at 500/s"),
            (10.0, 1_000.0, 1_001.0, "1: 10 s, 1000 to 1001/s"),
            (0.25, 500.0, 2_000.0, "1: 0.25 s, 500 to 2.00 k/s"),
        ];
        for (seconds, begin, end, name) in rows {
            assert_eq!(timed(seconds, begin, end).name(1), name);
        }
    }
}
