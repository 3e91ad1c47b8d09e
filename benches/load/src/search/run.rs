//! A search from its first run to its last.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use super::judgement::{faults, judge};
use super::report::{CapacityReport, TrialReport};
use super::steps::{Found, Search, Verdict};
use super::table::{rate as rate_text, result};
use crate::lead::record::Figures;
use crate::lead::run::Run;
use crate::report::{FORMAT, Machine};
use crate::setup::args::{DefaultScenario, LoadArgs, ScenarioArgs, command_line};
use crate::setup::assertion::{Assertion, Figure, Times};
use crate::setup::capacity::CapacityArgs;
use crate::setup::plan::Plan;

/// Runs one rate after another until it is known which is the greatest that holds, or it is
/// interrupted.
///
/// # Errors
///
/// When the first run cannot be made, or what was asserted cannot be told: a sentence for people.
pub(crate) fn search(
    args: &CapacityArgs,
    interrupted: &Arc<AtomicBool>,
) -> Result<CapacityReport, String> {
    let began = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let mut report = CapacityReport {
        format: FORMAT,
        scenario: "capacity".to_owned(),
        command: command_line(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix: began.map(|began| began.as_secs()),
        machine: Machine::this(),
        asserted: args.broadcast.common.assert.iter().map(|it| it.text.clone()).collect(),
        ..CapacityReport::default()
    };
    check(args)?;
    let (start, precision) = (args.broadcast.traffic.rate, args.precision / 100.0);
    let mut search = Search::new(start, args.to, precision).wanting(args.at_least);
    while let Some(rate) = search.next() {
        let figures = run_at(args, rate, report.trials.len() + 1, interrupted);
        report.interrupted = interrupted.load(Relaxed);
        if report.interrupted {
            break;
        }
        match figures.and_then(|figures| note(&mut report, rate, &figures)) {
            Ok(verdict) => search.note(rate, verdict),
            Err(why) if report.trials.is_empty() => return Err(why),
            Err(why) => {
                report.ended_early = Some(format!("at {}: {why}", rate_text(rate)));
                break;
            }
        }
    }
    conclude(&mut report, search.found());
    Ok(report)
}

/// Whether a search makes sense.
fn check(args: &CapacityArgs) -> Result<(), String> {
    let traffic = &args.broadcast.traffic;
    if traffic.window.is_some() {
        return Err("capacity searches for a rate; leave out --window".to_owned());
    }
    if !traffic.stage.is_empty() {
        return Err("capacity searches for one rate; leave out --stage".to_owned());
    }
    if args.broadcast.churn.is_some() {
        return Err("capacity searches with members that stay; leave out --churn".to_owned());
    }
    if !(traffic.rate >= 1.0 && args.to >= traffic.rate) {
        return Err("--rate is at least 1, and --to at least --rate".to_owned());
    }
    if args.at_least.is_some_and(|least| !(1.0..=args.to).contains(&least)) {
        return Err("--at-least is at least 1, and at most --to".to_owned());
    }
    if args.broadcast.common.lenient {
        let why = "a rate at which something is lost does not hold; leave out --lenient";
        return Err(why.to_owned());
    }
    if traffic.no_last_member
        && let Some(needs) = args.broadcast.common.assert.iter().find(|it| is_of_last_member(it))
    {
        let text = &needs.text;
        return Err(format!("{text} cannot be told without it: leave out --no-last-member"));
    }
    match (1.0..=100.0).contains(&args.precision) {
        true => Ok(()),
        false => Err("--precision is between 1 and 100 percent".to_owned()),
    }
}

fn is_of_last_member(assertion: &Assertion) -> bool {
    matches!(assertion.figure, Figure::Time(Times::LastMember | Times::Skew, _))
}

/// What is done at one rate.
fn plan(args: &CapacityArgs, rate: f64) -> Result<Plan, String> {
    let mut broadcast = args.broadcast.clone();
    broadcast.traffic.rate = rate;
    let scenario = Some(ScenarioArgs::Broadcast(Box::new(broadcast)));
    Plan::new(LoadArgs { scenario, default: DefaultScenario(None) })
}

fn run_at(
    args: &CapacityArgs,
    rate: f64,
    nth: usize,
    interrupted: &Arc<AtomicBool>,
) -> Result<Figures, String> {
    if !args.broadcast.common.quiet {
        eprintln!("run {nth}: {} per room", rate_text(rate));
    }
    Run::start(plan(args, rate)?, interrupted.clone())?.go()
}

/// Judges a run, and keeps what is told of it.
fn note(report: &mut CapacityReport, rate: f64, figures: &Figures) -> Result<Verdict, String> {
    let of_run = figures.report();
    let judgement = judge(&of_run, faults(figures))?;
    let verdict = judgement.verdict;
    let trial = TrialReport::new(rate, &of_run, judgement);
    if !figures.shared.plan.common.quiet {
        let why = trial.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
        eprintln!("  {}{why}", trial.verdict());
    }
    if report.trials.is_empty() {
        report.settings = of_run.settings;
    }
    report.trials.push(trial);
    Ok(verdict)
}

/// Says what was found.
fn conclude(report: &mut CapacityReport, found: Found) {
    let rooms = f64::from(report.settings.rooms);
    report.rate_per_room = found.low;
    report.messages_per_second = found.low.map(|low| low * rooms);
    let of_rate = |rate: f64| report.trials.iter().rev().filter(move |it| it.rate_per_room == rate);
    let of_low = found.low.and_then(|low| of_rate(low).next());
    report.deliveries_per_second = of_low.map(|trial| trial.deliveries_per_second);
    let held = |rate| of_rate(rate).filter(|trial| trial.verdict == Verdict::Held).count();
    report.held_times = found.low.map_or(0, held) as u64;
    report.failed_at = found.high.map(|(rate, _)| rate);
    report.at_least = found.low.is_some()
        && report.ended_early.is_none()
        && found.high.is_none_or(|(_, verdict)| verdict == Verdict::Limited);
    report.why = match found.high {
        Some((rate, _)) => of_rate(rate).find_map(|trial| trial.why.clone()),
        None if report.interrupted || report.ended_early.is_some() => None,
        None => Some("no greater rate was tried (--to)".to_owned()),
    };
}

/// What the exit code says of a search that nobody interrupted, as a sentence.
pub(crate) fn fault(report: &CapacityReport, args: &CapacityArgs) -> Option<String> {
    if let Some(why) = &report.ended_early {
        return Some(format!("the search ended early: {why}"));
    }
    let least = args.at_least.filter(|&least| report.rate_per_room.is_none_or(|it| it < least));
    if let Some(least) = least {
        return Some(less_held(report, least));
    }
    report.rate_per_room.is_none().then(|| result(report))
}

/// What to say where no rate held that is as high as was asked for.
fn less_held(report: &CapacityReport, least: f64) -> String {
    let what = report
        .rate_per_room
        .map_or_else(|| result(report), |found| format!("{} per room held", rate_text(found)));
    let least_text = rate_text(least);
    let is_known = report.failed_at.is_some_and(|failed| failed <= least && has_failed(report));
    if is_known {
        return format!("{what}, where at least {least_text} were to (--at-least)");
    }
    let is_below = report.failed_at.is_none_or(|failed| failed <= least);
    let why = report.why.as_deref().filter(|_| is_below).unwrap_or("it was not tried");
    format!("{what}; whether the server holds {least_text} (--at-least) is not known: {why}")
}

/// Whether the server did not hold the smallest rate that did not hold, or the generator.
fn has_failed(report: &CapacityReport) -> bool {
    let mut trials = report.trials.iter();
    trials.any(|it| Some(it.rate_per_room) == report.failed_at && it.verdict == Verdict::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concluded(found: Found) -> CapacityReport {
        let trial = |rate_per_room, why: Option<&str>| TrialReport {
            rate_per_room,
            why: why.map(str::to_owned),
            verdict: if why.is_some() { Verdict::Failed } else { Verdict::Held },
            deliveries_per_second: 10.0 * rate_per_room,
            ..TrialReport::default()
        };
        let trials = vec![trial(100.0, None), trial(200.0, Some("lost"))];
        let mut report = CapacityReport { trials, ..CapacityReport::default() };
        report.settings.rooms = 2;
        conclude(&mut report, found);
        report
    }

    #[test]
    fn what_is_above_says_whether_the_server_was_the_limit() {
        let found = |low, high| concluded(Found { low, high });
        let bounded = found(Some(100.0), Some((200.0, Verdict::Failed)));
        assert_eq!((bounded.rate_per_room, bounded.at_least), (Some(100.0), false));
        assert_eq!(bounded.messages_per_second, Some(200.0));
        assert_eq!(bounded.deliveries_per_second, Some(1_000.0));
        assert_eq!((bounded.failed_at, bounded.why.as_deref()), (Some(200.0), Some("lost")));
        assert!(found(Some(100.0), Some((200.0, Verdict::Limited))).at_least);
        let all = found(Some(100.0), None);
        assert!(all.at_least && all.why.is_some_and(|why| why.contains("--to")));
        let none = found(None, Some((200.0, Verdict::Limited)));
        assert_eq!((none.rate_per_room, none.at_least), (None, false));
        assert_eq!((bounded.held_times, none.held_times), (1, 0));
    }

    #[test]
    fn the_next_run_that_cannot_begin_is_no_proof_of_more() {
        let ended_early = Some("at 200/s: no connection".to_owned());
        let mut report =
            CapacityReport { ended_early, ..concluded(Found { low: None, high: None }) };
        conclude(&mut report, Found { low: Some(100.0), high: None });
        assert!(!report.at_least, "{report:?}");
    }

    #[test]
    fn where_the_generator_was_the_limit_it_is_not_known_whether_more_holds() {
        let failed = concluded(Found { low: Some(100.0), high: Some((200.0, Verdict::Failed)) });
        let less = less_held(&failed, 250.0);
        assert_eq!(less, "100/s per room held, where at least 250/s were to (--at-least)");
        let less = less_held(&failed, 150.0);
        assert!(
            less.contains("whether the server holds 150/s (--at-least) is not known"),
            "{less}"
        );
        let mut limited = failed;
        limited.trials[1].verdict = Verdict::Limited;
        let less = less_held(&limited, 250.0);
        assert!(less.ends_with("is not known: lost"), "{less}");
    }
}
