//! Whether what was asserted of the figures holds.

use super::json::{AssertionReport, LatencyReport, Report};
use crate::setup::assertion::{Assertion, Count, Figure, Quantile, Times};
use crate::units::print::{count, time};

/// What became of an assertion. Of a figure that there is none of, nothing holds.
pub(super) fn check(assertion: &Assertion, report: &Report) -> AssertionReport {
    let value = value(assertion.figure, report);
    AssertionReport {
        text: assertion.text.clone(),
        holds: value.is_some_and(|value| assertion.holds(value)),
        value: match value {
            None => UNKNOWN.to_owned(),
            Some(f64::INFINITY) => ENDLESS.to_owned(),
            Some(value) => show(assertion.figure, value),
        },
    }
}

/// Of few values there is no quantile, and where some never came no mean.
pub(crate) const UNKNOWN: &str = "not known";
/// However long is waited for what never comes, it is not what it takes.
const ENDLESS: &str = "longer than was waited";

fn show(figure: Figure, value: f64) -> String {
    match figure {
        Figure::Time(..) => time(value),
        Figure::Count(_) => count(value),
        Figure::Share(_) => format!("{} %", count(value * 100.0)),
    }
}

fn value(figure: Figure, report: &Report) -> Option<f64> {
    match figure {
        Figure::Time(times, quantile) => of_times(times, quantile, report),
        Figure::Count(count) => Some(counted(count, report).0 as f64),
        Figure::Share(Count::Published) if report.messages.published_share.is_some() => {
            report.messages.published_share
        }
        Figure::Share(count) => match counted(count, report) {
            (_, 0) => None,
            (some, all) => Some(some as f64 / all as f64),
        },
    }
}

/// In nanoseconds; without end where it never came.
fn of_times(times: Times, quantile: Quantile, report: &Report) -> Option<f64> {
    let last = report.last_member.as_ref();
    let (of, missing_at): (_, &[String]) = match times {
        Times::Latency => (&report.latency_us.latency, &report.latency_us.missing_at),
        Times::Handshake => (&report.connections.handshake_us, &[]),
        Times::Joined => (&report.connections.joined_us, &[]),
        Times::Churn => {
            let churn = report.churn.as_ref()?;
            (&churn.joined_us, &churn.missing_at)
        }
        Times::LastMember => (&last?.last_us, &last?.missing_at),
        Times::Skew => (&last?.skew_us, &last?.missing_at),
    };
    let LatencyReport { mean, p50, p90, p99, p999, max, .. } = of;
    let (name, micros) = match quantile {
        Quantile::Mean => ("mean", mean),
        Quantile::P50 => ("p50", p50),
        Quantile::P90 => ("p90", p90),
        Quantile::P99 => ("p99", p99),
        Quantile::P999 => ("p999", p999),
        Quantile::Max => ("max", max),
    };
    match missing_at.iter().any(|it| it == name) {
        true => Some(f64::INFINITY),
        false => micros.map(|micros| micros * 1e3),
    }
}

/// How many there were, and how many there could be.
fn counted(count: Count, report: &Report) -> (u64, u64) {
    let (messages, connections) = (&report.messages, &report.connections);
    let due = messages.published.saturating_add(messages.unsent);
    let wanted = connections.opened.saturating_add(connections.failed);
    match count {
        Count::Published => (messages.published, due),
        Count::Unsent => (messages.unsent, due),
        Count::Delivered => (messages.delivered, messages.expected),
        Count::Lost => (messages.lost, messages.expected),
        Count::Repeated => (messages.repeated, messages.expected),
        Count::Disordered => (messages.disordered, messages.expected),
        Count::Damaged => (messages.damaged, messages.expected),
        Count::Skipped => (messages.skipped, messages.expected),
        Count::CutOff => (messages.cut_off, messages.expected),
        Count::Opened => (connections.opened, wanted),
        Count::Failed => (connections.failed, wanted),
        Count::Closed => (connections.closed, connections.opened),
        Count::Errors => (report.errors.values().fold(0_u64, |all, it| all.saturating_add(*it)), 0),
    }
}

/// A sentence about those that do not hold, if there are such.
pub(crate) fn failure(assertions: &[AssertionReport]) -> Option<String> {
    let failed: Vec<_> = assertions.iter().filter(|assertion| !assertion.holds).collect();
    let each: Vec<_> =
        failed.iter().map(|it| format!("{} (it is {})", it.text, it.value)).collect();
    (!failed.is_empty()).then(|| {
        format!("{} of {} assertions failed: {}", failed.len(), assertions.len(), each.join("; "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json::{DeliveryReport, MessagesReport};

    #[test]
    fn assertions_are_checked_against_the_report() {
        let latency = LatencyReport { p99: Some(12_000.0), ..LatencyReport::default() };
        let messages = MessagesReport {
            published: 97,
            unsent: 3,
            delivered: 90,
            expected: 97,
            lost: 7,
            ..MessagesReport::default()
        };
        let report = Report {
            latency_us: DeliveryReport { latency, ..DeliveryReport::default() },
            messages,
            ..Report::default()
        };
        let rows = [
            ("p99<15ms", true, "12.0 ms"),
            ("p99<10ms", false, "12.0 ms"),
            ("max<10ms", false, UNKNOWN),
            ("lost==0", false, "7"),
            ("published>=99%", false, "97 %"),
            ("published>=97%", true, "97 %"),
            ("opened>=1%", false, UNKNOWN),
            ("errors==0", true, "0"),
        ];
        let checked = rows.map(|(text, holds, value)| {
            let checked = check(&text.parse().unwrap(), &report);
            assert_eq!((checked.holds, &*checked.value), (holds, value), "{text}");
            checked
        });
        let failure = failure(&checked).unwrap();
        let begin =
            "5 of 8 assertions failed: p99<10ms (it is 12.0 ms); max<10ms (it is not known)";
        assert!(failure.starts_with(begin), "{failure}");
        assert_eq!(super::failure(&checked[..1]), None);
    }

    fn check_rows(report: &Report, rows: &[(&str, bool, &str)]) {
        for &(text, holds, value) in rows {
            let checked = check(&text.parse().unwrap(), report);
            assert_eq!((checked.holds, &*checked.value), (holds, value), "{text}");
        }
    }

    /// As a number it is how long was waited for it.
    #[test]
    fn what_never_came_took_longer_than_any_bound() {
        let waited = Some(2e6);
        let latency = LatencyReport {
            p50: Some(900.0),
            p99: waited,
            max: waited,
            ..LatencyReport::default()
        };
        let missing_at = ["p99", "max"].map(str::to_owned).into();
        let latency_us = DeliveryReport { latency, missing_at, ..DeliveryReport::default() };
        let report = Report { latency_us, ..Report::default() };
        let rows = [
            ("p50<1ms", true, "900 µs"),
            ("p99<3s", false, ENDLESS),
            ("p99<=2s", false, ENDLESS),
            ("max<1h", false, ENDLESS),
            ("p99>=2s", true, ENDLESS),
            ("max>1h", true, ENDLESS),
            ("mean<1h", false, UNKNOWN),
        ];
        check_rows(&report, &rows);
    }

    /// What the kernel took once the time was over was not published at the rate.
    #[test]
    fn the_share_that_was_published_is_that_in_time() {
        let messages = MessagesReport {
            published: 1000,
            published_share: Some(0.9),
            ..MessagesReport::default()
        };
        let report = Report { messages, ..Report::default() };
        let rows = [("published>=99%", false, "90 %"), ("published==1000", true, "1.00 k")];
        check_rows(&report, &rows);
    }
}
