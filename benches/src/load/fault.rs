//! What a report proves, or fails to prove.

use corecast_load::report::{MessagesReport, RATE_REACHED_FROM, Report};

/// What went wrong where everybody reads; none when every message arrived once and in order.
pub fn fault(report: &Report) -> Option<String> {
    let messages = &report.messages;
    let others = [
        ("rates not reached", u64::from(!is_rate_reached(report))),
        ("skipped", messages.skipped),
        ("cut off", messages.cut_off),
        ("connections failed", report.connections.failed),
    ];
    let errors = report.errors.iter().map(|(kind, count)| (kind.as_str(), *count));
    name_faults(faults(messages).into_iter().chain(others).chain(errors))
}

/// The end of a short run is a large share of it: a rate is reached, too, if the run would have had
/// to go on for no longer than this.
const END_MAX: f64 = 0.05;

/// Whether as much was published as was asked for.
pub fn is_rate_reached(report: &Report) -> bool {
    let missing = 1.0 - report.messages.published_share.unwrap_or(1.0);
    missing <= 1.0 - RATE_REACHED_FROM || missing * report.seconds <= END_MAX
}

/// What must not happen to a single message even where members do not read: those may be closed,
/// and get nothing more then.
pub fn fault_among_slow(report: &Report) -> Option<String> {
    name_faults(faults(&report.messages).into_iter())
}

/// What no load excuses: of what was published something came twice, in another order or damaged,
/// or did not come though every connection stayed. Some servers end a connection that is too slow
/// without a word, and what it was owed counts as lost then.
pub fn fault_of_messages(report: &Report) -> Option<String> {
    let [lost, others @ ..] = wrongs(&report.messages);
    let lost = (report.connections.closed == 0).then_some(lost);
    name_faults(lost.into_iter().chain(others))
}

fn faults(messages: &MessagesReport) -> [(&'static str, u64); 5] {
    let [lost, repeated, disordered, damaged] = wrongs(messages);
    [("due but not sent", messages.unsent), lost, repeated, disordered, damaged]
}

fn wrongs(messages: &MessagesReport) -> [(&'static str, u64); 4] {
    [
        ("lost", messages.lost),
        ("repeated", messages.repeated),
        ("out of order", messages.disordered),
        ("damaged", messages.damaged),
    ]
}

fn name_faults<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> Option<String> {
    let faults = counts.filter(|(_, count)| *count > 0);
    let text: Vec<String> = faults.map(|(name, count)| format!("{name}: {count}")).collect();
    (!text.is_empty()).then(|| text.join(", "))
}

/// The report of a run in which so many messages were lost.
#[cfg(test)]
pub(crate) fn report_of_lost(lost: u64) -> Report {
    let mut report = Report::default();
    report.messages.lost = lost;
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lost_message_is_a_fault() {
        assert_eq!(fault(&report_of_lost(0)), None);
        assert_eq!(fault(&report_of_lost(1)).as_deref(), Some("lost: 1"));
    }

    #[test]
    fn what_was_not_published_is_a_fault() {
        let mut report = Report { seconds: 2.0, ..Report::default() };
        report.messages.published_share = Some(0.995);
        assert_eq!(fault(&report), None);
        report.messages.published_share = Some(0.96);
        assert_eq!(fault(&report).as_deref(), Some("rates not reached: 1"));
        report.seconds = 0.1;
        assert!(is_rate_reached(&report), "that is its end");
        report.seconds = 2.0;
        report.messages.published_share = Some(0.36);
        assert_eq!(fault(&report).as_deref(), Some("rates not reached: 1"));
        report.messages.unsent = 7;
        assert_eq!(fault_among_slow(&report).as_deref(), Some("due but not sent: 7"));
    }

    #[test]
    fn what_is_lost_is_no_overload() {
        let mut report = Report { seconds: 2.0, ..report_of_lost(0) };
        (report.messages.unsent, report.messages.published_share) = (7, Some(0.4));
        assert_eq!(fault_of_messages(&report), None);
        report.messages.lost = 5;
        assert_eq!(fault_of_messages(&report).as_deref(), Some("lost: 5"));
        report.connections.closed = 2;
        assert_eq!(fault_of_messages(&report), None);
        report.messages.damaged = 3;
        assert_eq!(fault_of_messages(&report).as_deref(), Some("damaged: 3"));
    }

    #[test]
    fn only_slow_members_may_be_closed() {
        let mut report = report_of_lost(0);
        report.errors.insert("closed 1013 slow".to_owned(), 2);
        assert_eq!(fault(&report).as_deref(), Some("closed 1013 slow: 2"));
        assert_eq!(fault_among_slow(&report), None);
        assert_eq!(fault_among_slow(&report_of_lost(2)).as_deref(), Some("lost: 2"));
    }
}
