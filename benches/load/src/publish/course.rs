//! The course of a rate: when which message of a room is due.

use crate::setup::stages::{AREA, Stage, Stages};
use crate::watch::clock::nanos;

/// The nth message is due when the rate, added up over time, has come to n.
#[derive(Clone, Debug)]
pub(super) enum Course {
    /// One rate, without an end.
    Even {
        from: u64,
        /// Nanoseconds between two messages.
        interval: f64,
    },
    /// One stage after the other.
    Staged {
        stretches: Vec<Stretch>,
        /// Messages of all.
        messages: f64,
    },
}

/// A stage and what is before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    stage: Stage,
    from: u64,
    /// Messages that are due before it.
    before: f64,
}

impl Course {
    pub(super) fn even(from: u64, rate: f64) -> Self {
        match rate > 0.0 {
            true => Self::Even { from, interval: 1e9 / rate },
            false => Self::Staged { stretches: Vec::new(), messages: 0.0 },
        }
    }

    pub(super) fn staged(from: u64, stages: &Stages) -> Self {
        let (mut from, mut area) = (from, 0.0);
        let stretches = stages.all().iter().map(|&stage| {
            let stretch = Stretch { stage, from, before: area / AREA };
            from += nanos(stage.time);
            area += stage.area();
            stretch
        });
        Self::Staged { stretches: stretches.collect(), messages: stages.messages() }
    }

    /// When this message is due, of which there are fractions, too; the maximum if it never is.
    #[inline]
    pub(super) fn when(&self, message: f64) -> u64 {
        match self {
            Self::Even { from, interval } => from + (message * interval) as u64,
            Self::Staged { messages, .. } if message >= *messages => u64::MAX,
            Self::Staged { stretches, .. } => {
                last(stretches, |it| it.before <= message).map_or(u64::MAX, |it| it.when(message))
            }
        }
    }

    /// Whether all messages were due before a moment; an even rate has no last one.
    pub(super) fn is_over(&self, by: u64) -> bool {
        match self {
            Self::Even { .. } => false,
            Self::Staged { messages, .. } => self.count(by) >= *messages,
        }
    }

    /// Messages per second at a moment.
    pub(super) fn rate(&self, at: u64) -> f64 {
        match self {
            Self::Even { interval, .. } => 1e9 / interval,
            Self::Staged { stretches, .. } => {
                last(stretches, |it| it.from <= at).map_or(0.0, |it| it.rate(at))
            }
        }
    }

    /// About how many messages are due before a moment.
    pub(super) fn count(&self, by: u64) -> f64 {
        match self {
            Self::Even { from, interval } => by.saturating_sub(*from) as f64 / interval,
            Self::Staged { stretches, .. } => {
                last(stretches, |it| it.from <= by).map_or(0.0, |it| it.count(by))
            }
        }
    }
}

/// The last one that has begun. In those without messages none is due.
fn last(stretches: &[Stretch], has_begun: impl Fn(&Stretch) -> bool) -> Option<Stretch> {
    let begun = stretches.partition_point(has_begun);
    Some(stretches[begun.checked_sub(1)?])
}

impl Stretch {
    /// Within the stage, of which the rate is `begin + (end - begin) * t / time`: what adds up to
    /// `begin * t + (end - begin) * t² / (2 * time)`, solved for `t`.
    fn when(self, message: f64) -> u64 {
        let Stage { time, begin, end } = self.stage;
        let own = message - self.before;
        let square = begin * begin + 2.0 * (end - begin) * own / time.as_secs_f64();
        let since = match own > 0.0 {
            true => 2e9 * own / (begin + square.max(0.0).sqrt()),
            false => 0.0,
        };
        // Rounding moves no message to the next stage.
        self.from + (since as u64).min(nanos(time).saturating_sub(1))
    }

    fn rate(self, at: u64) -> f64 {
        let Stage { time, begin, end } = self.stage;
        let since = (at - self.from) as f64 / 1e9 / time.as_secs_f64();
        begin + (end - begin) * since.min(1.0)
    }

    fn count(self, by: u64) -> f64 {
        let Stage { time, begin, end } = self.stage;
        let whole = time.as_secs_f64();
        let since = ((by - self.from) as f64 / 1e9).min(whole);
        self.before + since * (begin + (end - begin) * since / whole / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn staged(from: u64, text: &[&str]) -> Course {
        let all = text.iter().map(|stage| stage.parse().unwrap()).collect();
        Course::staged(from, &Stages::new(all).unwrap().unwrap())
    }

    /// In tenths of seconds.
    fn due(course: &Course, messages: u32) -> Vec<u64> {
        let when = |nth| course.when(f64::from(nth));
        (0..messages).map(when).map(|at| at.checked_div(SECOND / 10).unwrap()).collect()
    }

    #[test]
    fn each_stage_has_its_rate() {
        let course = staged(7 * SECOND, &["1s:2", "1s:0", "1s:5", "1s:1", "1s:0"]);
        assert_eq!(due(&course, 8), [70, 75, 90, 92, 94, 96, 98, 100]);
        assert_eq!((course.when(8.0), course.when(9.0)), (u64::MAX, u64::MAX));
        let counts = [(0, 0.0), (7, 0.0), (8, 2.0), (9, 2.0), (10, 7.0), (11, 8.0), (99, 8.0)];
        for (by, count) in counts {
            assert_eq!(course.count(by * SECOND), count, "{by} s");
        }
    }

    /// What is due by then is the area below the rate.
    #[test]
    fn a_rate_that_rises_is_added_up() {
        let up = staged(0, &["4s:0..8"]);
        assert_eq!(
            [0.0, 1.0, 4.0, 9.0].map(|nth| up.when(nth)),
            [0, 1, 2, 3].map(|at| at * SECOND)
        );
        assert_eq!([1, 2, 3, 4].map(|by| up.count(by * SECOND)), [1.0, 4.0, 9.0, 16.0]);
        assert_eq!(up.when(16.0), u64::MAX);
        let down = staged(0, &["4s:8..0", "1s:1"]);
        assert_eq!([7.0, 12.0, 15.0, 16.0].map(|nth| down.when(nth) / SECOND), [1, 2, 3, 4]);
        let trapezium = staged(0, &["2s:1..3"]);
        assert_eq!([1, 2].map(|by| trapezium.count(by * SECOND)), [1.5, 4.0]);
        assert_eq!(trapezium.when(1.5), SECOND);
    }

    /// Each stage has as many as it is to have, however its times round.
    #[test]
    fn no_message_is_due_in_another_stage() {
        // How many messages of all before a stage are due, in tenths, and before the end.
        let rows = [
            (vec!["100ms:30", "300ms:70"], vec![30, 240]),
            (vec!["700ms:10..20", "1100ms:90..0"], vec![105, 600]),
            (vec!["100ms:1"; 20], (1..=20).collect()),
        ];
        for (stages, tenths) in rows {
            let course = staged(3, &stages);
            let mut ends = Vec::new();
            for stage in &stages {
                let time = nanos(stage.parse::<Stage>().unwrap().time);
                ends.push(ends.last().copied().unwrap_or(3) + time);
            }
            let all: u64 = tenths.last().map_or(0, |all: &u64| all.div_ceil(10));
            for nth in 0..all {
                let at = course.when(nth as f64);
                let stage = ends.iter().position(|&end| at < end);
                let expected = tenths.iter().position(|&all| nth * 10 < all);
                assert_eq!(stage, expected, "{nth} of {stages:?} at {at}");
            }
            assert_eq!(course.when(all as f64), u64::MAX, "{stages:?}");
        }
    }

    #[test]
    fn a_stage_has_its_rate_at_each_moment() {
        let course = staged(SECOND, &["2s:100", "4s:100..500", "1s:0"]);
        for (at, rate) in [(0, 0.0), (1, 100.0), (3, 100.0), (5, 300.0), (7, 0.0), (9, 0.0)] {
            assert_eq!(course.rate(at * SECOND), rate, "{at} s");
        }
        assert_eq!(Course::even(7, 40.0).rate(9), 40.0);
    }

    #[test]
    fn a_course_is_over_with_its_last_stage_that_has_messages() {
        let course = staged(SECOND, &["100ms:1", "2s:0..3", "700ms:0", "1s:0"]);
        let bounds = [(0, false), (SECOND * 31 / 10 - 1_000, false), (SECOND * 31 / 10, true)];
        for (by, is_over) in bounds {
            assert_eq!(course.is_over(by), is_over, "{by}");
        }
        let ends = staged(0, &["1s:0", "2s:5"]);
        assert_eq!([2, 3].map(|by| ends.is_over(by * SECOND)), [false, true]);
        assert!(!Course::even(7, 40.0).is_over(u64::MAX));
    }

    #[test]
    fn a_rate_that_stays_has_no_end() {
        let course = Course::even(7 * SECOND, 4.0);
        assert_eq!((course.when(2.0), course.count(9 * SECOND)), (7 * SECOND + SECOND / 2, 8.0));
        assert_eq!(Course::even(7, 0.0).when(0.0), u64::MAX, "nothing is due");
    }
}
