//! Whether a rate held, and if it did not, who was the limit.

use super::steps::Verdict;
use crate::lead::record::Figures;
use crate::report::assertions::UNKNOWN;
use crate::report::{AssertionReport, LatencyReport, MessagesReport, RATE_REACHED_FROM, Report};
use crate::setup::assertion::{Assertion, Count, Figure};
use crate::units::print::{percent, whole};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    /// Why it did not hold.
    pub(super) why: Option<String>,
}

/// What the server did that no rate is worth, and that no generator is an excuse for.
pub(super) fn faults(figures: &Figures) -> Vec<String> {
    let mut faults: Vec<_> = figures.early_end().into_iter().collect();
    faults.extend(figures.wrongs());
    let errors = figures.errors().total();
    if figures.shared.plan.common.strict && errors > 0 {
        faults.push(format!("{} errors (--strict)", whole(errors)));
    }
    faults
}

/// # Errors
///
/// When members are missing, or what was asserted cannot be told, which another rate would not mend:
/// a sentence with advice.
pub(super) fn judge(report: &Report, mut faults: Vec<String>) -> Result<Judgement, String> {
    if let Some(why) = not_opened(report) {
        return Err(why);
    }
    faults.extend(not_delivered(&report.messages));
    let failed: Vec<_> = report.assertions.iter().filter(|it| !it.holds).collect();
    let (slow, wrong): (Vec<_>, Vec<_>) = failed.iter().copied().partition(|it| is_of_speed(it));
    let shown = |it: &&AssertionReport| format!("{} (it is {})", it.text, it.value);
    let mut late: Vec<_> = not_published(report).into_iter().collect();
    if faults.is_empty()
        && late.is_empty()
        && let Some(unknown) = failed.iter().find(|it| it.value == UNKNOWN)
    {
        return Err(format!(
            "{} cannot be told: there are too few values; give a longer --duration or a higher \
             --rate",
            unknown.text
        ));
    }
    faults.extend(wrong.iter().map(shown));
    late.extend(slow.iter().map(shown));
    let limit = limit_of_generator(report).filter(|_| faults.is_empty());
    faults.extend(late);
    let why = (!faults.is_empty()).then(|| faults.join("; "));
    Ok(match (why, limit) {
        (None, _) => Judgement { verdict: Verdict::Held, why: None },
        (why, None) => Judgement { verdict: Verdict::Failed, why },
        (Some(why), Some(limit)) => {
            Judgement { verdict: Verdict::Limited, why: Some(format!("{limit}: {why}")) }
        }
    })
}

/// Whether the generator, too, can be why it does not hold: latencies and what was published.
fn is_of_speed(assertion: &AssertionReport) -> bool {
    let figure = assertion.text.parse::<Assertion>().map(|assertion| assertion.figure);
    matches!(
        figure,
        Ok(Figure::Time(..)
            | Figure::Count(Count::Published | Count::Unsent)
            | Figure::Share(Count::Published | Count::Unsent))
    )
}

/// What members that read did not get though nothing was lost.
fn not_delivered(messages: &MessagesReport) -> Option<String> {
    let MessagesReport { skipped_readers: skipped, cut_off, .. } = *messages;
    let parts = [(skipped, "were skipped"), (cut_off, "were cut off by a close")];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<_> = parts.map(|(count, what)| format!("{} {what}", whole(count))).collect();
    (!parts.is_empty()).then(|| format!("deliveries are missing: {}", parts.join(", ")))
}

fn not_opened(report: &Report) -> Option<String> {
    let (opened, wanted) = (report.connections.opened, u64::from(report.connections.wanted));
    let (few, all) = (whole(opened), whole(wanted));
    (opened < wanted).then(|| {
        format!("only {few} of {all} connections were opened, and no rate is of fewer members")
    })
}

fn not_published(report: &Report) -> Option<String> {
    let messages = &report.messages;
    match messages.published_share {
        Some(share) if share < RATE_REACHED_FROM => {
            Some(format!("only {} was published in time", percent(share)))
        }
        _ if messages.unsent > 0 => {
            Some(format!("{} messages were due and not sent", whole(messages.unsent)))
        }
        _ => None,
    }
}

/// How the generator was the limit, if it was. Whether messages went out late because of it or
/// because the server's socket was full, it knows.
fn limit_of_generator(report: &Report) -> Option<String> {
    let busy = report.generator.busy;
    let mean = |latency: &LatencyReport| latency.mean.unwrap_or_default();
    let (own, full) = (&report.latency_us.own_lateness, &report.latency_us.socket_full);
    let is_reached = report.messages.published_share.is_none_or(|it| it >= RATE_REACHED_FROM);
    if report.generator.limited {
        Some(format!("the generator was {} busy", percent(busy)))
    } else if !report.latency_trusted {
        Some("the generator itself was late".to_owned())
    } else if !is_reached && mean(own) >= mean(full) {
        Some("the generator did not publish faster".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::DeliveryReport;

    /// A report on a rate that was published to this share, with an assertion.
    fn report(share: f64, holds: bool, value: &str) -> Report {
        let asserted =
            AssertionReport { text: "p99<1ms".to_owned(), holds, value: value.to_owned() };
        let messages = MessagesReport { published_share: Some(share), ..MessagesReport::default() };
        Report { messages, assertions: vec![asserted], latency_trusted: true, ..Report::default() }
    }

    fn check(report: &Report, faults: &[&str], verdict: Verdict, part: &str) {
        let faults = faults.iter().map(|&fault| fault.to_owned()).collect();
        let judged = judge(report, faults).unwrap();
        assert_eq!(judged.verdict, verdict, "{judged:?}");
        let why = judged.why.unwrap_or_default();
        assert!(why.contains(part), "{part} in {why}");
    }

    #[test]
    fn a_rate_holds_if_everything_does() {
        check(&report(1.0, true, "900 µs"), &[], Verdict::Held, "");
        check(&report(1.0, false, "2 ms"), &[], Verdict::Failed, "p99<1ms (it is 2 ms)");
        check(&report(1.0, true, "900 µs"), &["5 were lost"], Verdict::Failed, "5 were lost");
        let mut some = report(1.0, true, "900 µs");
        some.messages.unsent = 3;
        check(&some, &[], Verdict::Failed, "3 messages were due and not sent");
    }

    #[test]
    fn a_rate_is_of_all_members() {
        let mut some = report(1.0, true, "900 µs");
        some.connections.wanted = 9;
        let error = judge(&some, Vec::new()).unwrap_err();
        assert!(error.contains("only 0 of 9 connections"), "{error}");
    }

    #[test]
    fn what_the_generator_did_not_do_is_not_the_servers() {
        let late = |own, full| {
            let mean = |mean| LatencyReport { mean: Some(mean), ..LatencyReport::default() };
            let latency_us = DeliveryReport {
                own_lateness: mean(own),
                socket_full: mean(full),
                ..DeliveryReport::default()
            };
            Report { latency_us, ..report(0.9, true, "900 µs") }
        };
        check(&late(500.0, 20.0), &[], Verdict::Limited, "only 90 % was published in time");
        check(&late(20.0, 500.0), &[], Verdict::Failed, "only 90 % was published in time");
        let failed = report(1.0, false, "2 ms");
        let mut limited = failed.clone();
        (limited.generator.limited, limited.generator.busy) = (true, 0.97);
        check(&limited, &[], Verdict::Limited, "the generator was 97 % busy: p99<1ms");
        let untrusted = Report { latency_trusted: false, ..failed };
        check(&untrusted, &[], Verdict::Limited, "the generator itself was late");
    }

    #[test]
    fn no_generator_excuses_what_the_server_did_to_messages() {
        let mut limited = report(0.9, false, "2 ms");
        (limited.generator.limited, limited.latency_trusted) = (true, false);
        check(&limited, &["5 were lost"], Verdict::Failed, "5 were lost; only 90 %");
        let mut skipped = limited.clone();
        skipped.messages.skipped_readers = 7;
        check(&skipped, &[], Verdict::Failed, "deliveries are missing: 7 were skipped; only");
        let mut closed = limited.clone();
        closed.assertions[0].text = "closed==0".to_owned();
        check(&closed, &[], Verdict::Failed, "closed==0 (it is 2 ms)");
        check(&limited, &[], Verdict::Limited, "only 90 %");
    }

    #[test]
    fn a_rate_at_which_readers_miss_something_does_not_hold() {
        let mut some = report(1.0, true, "900 µs");
        (some.messages.skipped_readers, some.messages.cut_off) = (7, 2);
        let why = "deliveries are missing: 7 were skipped, 2 were cut off by a close";
        check(&some, &[], Verdict::Failed, why);
    }

    /// It only makes latencies longer than they are.
    #[test]
    fn what_holds_does_so_with_a_generator_that_is_late_too() {
        let untrusted = Report { latency_trusted: false, ..report(1.0, true, "900 µs") };
        check(&untrusted, &[], Verdict::Held, "");
    }

    #[test]
    fn what_cannot_be_told_ends_the_search_with_advice() {
        let error = judge(&report(1.0, false, UNKNOWN), Vec::new()).unwrap_err();
        assert!(
            error.contains("p99<1ms cannot be told") && error.contains("--duration"),
            "{error}"
        );
        check(&report(1.0, false, UNKNOWN), &["lost"], Verdict::Failed, "lost; p99<1ms");
    }
}
