//! What must be known to read the figures: sentences beside the table.

use super::build::compression;
use super::figures::is_rate_reached;
use crate::lead::record::Figures;
use crate::publish::publisher::StageSent;
use crate::units::print::{bytes, count, percent, small_percent, whole};

pub(crate) fn remarks(figures: &Figures) -> Vec<String> {
    let mut remarks = Vec::new();
    remarks.extend(figures.early_end());
    remarks.extend(not_opened(figures));
    remarks.extend(let_go(figures));
    remarks.extend(publishers_let_go(figures));
    remarks.extend(rate_not_reached(figures));
    remarks.extend(figures.doubts());
    remarks.extend(connecting_limited(figures));
    remarks.extend(figures.connecting_doubt());
    remarks.extend(not_left(figures));
    remarks.extend(not_judged(figures));
    remarks.extend(figures.churn_doubt());
    if figures.shared.is_interrupted() {
        remarks.push("interrupted: the figures are of the time until then".to_owned());
    }
    if figures.outcome.balance.slow.were_not_slow() {
        remarks.push(not_slow(!figures.sent.stages.is_empty()));
    }
    remarks.extend(unknown_frames(figures));
    if figures.outcome.balance.lost > 0 {
        remarks.push(lost(figures));
    }
    remarks.extend(nothing_compressed(figures));
    remarks
}

fn not_slow(is_staged: bool) -> String {
    let more = match is_staged {
        true => "--stage with higher rates or longer times",
        false => "a higher --rate or a longer --duration",
    };
    format!(
        "the slow members were not slow: what was published for one of them fits the buffers of \
         its socket and of the server; use a larger --size, {more}"
    )
}

/// Of what stands in the kernel of a server that is stopped, the server itself knows nothing.
fn lost(figures: &Figures) -> String {
    let balance = &figures.outcome.balance;
    let lost = whole(balance.lost);
    let of_all = small_percent(balance.lost as f64 / balance.expected.max(1) as f64);
    format!("{lost} deliveries were lost ({of_all}): the server's host took these messages")
}

/// A server that writes payloads anew looks like one that loses everything.
fn unknown_frames(figures: &Figures) -> Option<String> {
    let unknown = figures.outcome.tally.unknown;
    (unknown > 0).then(|| {
        let unknown = whole(unknown);
        format!(
            "{unknown} frames carry no payload that I know: what is encoded anew counts as lost"
        )
    })
}

/// Who was refused takes part in no figure.
fn not_opened(figures: &Figures) -> Option<String> {
    let waves = figures.record.waves.len().max(1) as u64;
    let (opened, wanted) =
        (figures.outcome.counts.ready, u64::from(figures.shared.plan.members) * waves);
    (opened < wanted && !figures.shared.is_interrupted()).then(|| {
        let (opened, wanted) = (whole(opened), whole(wanted));
        format!("only {opened} of {wanted} connections were opened: the figures are of those")
    })
}

/// Slow members may be let go; whoever reads has done nothing for it.
fn let_go(figures: &Figures) -> Option<String> {
    let counts = &figures.outcome.counts;
    gone(counts.let_go, counts.ready, "members")
}

/// Nobody publishes in their place.
fn publishers_let_go(figures: &Figures) -> Option<String> {
    let publishers = figures.shared.plan.publishers();
    gone(figures.sent.let_go, publishers.into(), "publishers")
}

fn gone(gone: u64, all: u64, whose: &str) -> Option<String> {
    (gone > 0).then(|| {
        let (gone, all) = (whole(gone), whole(all));
        format!("{gone} of {all} connections of {whose} ended before the run did: see errors")
    })
}

/// Where connecting is what is measured, it shall be the server's.
fn connecting_limited(figures: &Figures) -> Option<String> {
    let is_measured = figures.shared.plan.traffic.is_none();
    (is_measured && figures.generator().connecting.limited).then(|| {
        "connecting was limited by the generator: one of its threads was more than 90 % busy; use \
         more --threads or cores, more --sources, or a lower --connect-rate"
            .to_owned()
    })
}

/// The generator or the server was too slow for what was asked for.
fn rate_not_reached(figures: &Figures) -> Option<String> {
    let (offered, share) = (figures.offered_per_second()?, figures.published_share()?);
    if !figures.sent.stages.is_empty() {
        return stages_not_reached(&figures.sent.stages);
    }
    (!is_rate_reached(Some(share))).then(|| {
        let (published, offered) = (count(offered * share), count(offered));
        let share = percent(share);
        format!(
            "the rate was not reached: {published} of {offered} messages/s were published ({share})"
        )
    })
}

/// The same of stages: what was made up for later was not published at the rate of its stage.
fn stages_not_reached(stages: &[StageSent]) -> Option<String> {
    let missed = (1..).zip(stages).filter(|(_, stage)| !is_rate_reached(stage.share_in_time()));
    let words = |(nth, stage): (u32, &StageSent)| {
        let share = percent(stage.share_in_time().unwrap_or_default());
        let (in_time, due) = (whole(stage.in_time), whole(stage.due));
        format!("in stage {nth} {in_time} of {due} messages were published in time ({share})")
    };
    let all: Vec<_> = missed.map(words).collect();
    (!all.is_empty()).then(|| format!("the rate was not reached: {}", all.join(", ")))
}

/// Whose messages were not judged at the edges, though they may be where a server says offsets.
fn not_judged(figures: &Figures) -> Option<String> {
    let (plan, churn) = (&figures.shared.plan, figures.outcome.churn.as_ref()?);
    let says_offsets = plan.churn?.says_leave && plan.event_streams == 0.0;
    let others = churn.judged.all - churn.judged.exactly;
    (says_offsets && others > 0).then(|| {
        format!(
            "{} of {} stays could not be judged by offsets: the server said none, or none that \
             grow, or another epoch, or nobody else was in the room; of these nothing is lost at \
             the edges",
            whole(others),
            whole(churn.judged.all)
        )
    })
}

/// What was due and never done, as a sentence.
fn not_left(figures: &Figures) -> Option<String> {
    let churn = figures.outcome.churn.as_ref()?;
    let not_left = churn.due - churn.left;
    (not_left > 0).then(|| {
        let share = percent(not_left as f64 / churn.due.max(1) as f64);
        format!(
            "{} of {} members that were due to leave did not ({share}): they had not joined yet, \
             were let go, or the generator was late",
            whole(not_left),
            whole(churn.due)
        )
    })
}

/// Small messages are not worth it to servers, and a run with them measures no compression.
fn nothing_compressed(figures: &Figures) -> Option<String> {
    let form = figures.shared.plan.traffic.as_ref()?.form;
    let report = compression(figures)?;
    if report.messages > 0 || report.plain_bytes == 0 {
        return None;
    }
    let size = bytes(form.size as f64);
    let (what, more) = match form.is_json {
        true => ("JSON", "use a larger --size"),
        false => ("text", "use --payload json or a larger --size"),
    };
    Some(format!(
        "no message came compressed: payloads are {size} of {what}; {more}, or see which messages the \
         server compresses (--deflate-min of corecast serve)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_that_missed_their_rate_are_named() {
        let stage = |due, in_time| StageSent { due, in_time, ..StageSent::new() };
        let said = stages_not_reached(&[stage(5_000, 2_500), stage(0, 0), stage(100, 98)]);
        let words = "the rate was not reached: in stage 1 2,500 of 5,000 messages were published \
                     in time (50 %), in stage 3 98 of 100 messages were published in time (98 %)";
        assert_eq!(said.as_deref(), Some(words));
        assert_eq!(stages_not_reached(&[stage(5_000, 4_990), stage(0, 0)]), None);
    }

    #[test]
    fn no_advice_names_what_stages_replace() {
        assert!(not_slow(false).ends_with("--size, a higher --rate or a longer --duration"));
        assert!(not_slow(true).ends_with("--size, --stage with higher rates or longer times"));
    }
}
