//! A search from its first run to its last.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use super::judgement::{faults, judge};
use super::report::{CapacityReport, TrialReport};
use super::steps::{Found, Search, Verdict};
use super::table::rate as rate_text;
use crate::lead::record::Figures;
use crate::lead::run::Run;
use crate::report::{FORMAT, Machine};
use crate::setup::args::{DefaultScenario, LoadArgs, ScenarioArgs, command_line};
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
    let mut search = Search::new(start, args.to, precision);
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
    if !(traffic.rate >= 1.0 && args.to >= traffic.rate) {
        return Err("--rate is at least 1, and --to at least --rate".to_owned());
    }
    match (1.0..=100.0).contains(&args.precision) {
        true => Ok(()),
        false => Err("--precision is between 1 and 100 percent".to_owned()),
    }
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
    report.failed_at = found.high.map(|(rate, _)| rate);
    report.at_least =
        found.low.is_some() && found.high.is_none_or(|(_, verdict)| verdict == Verdict::Limited);
    report.why = match found.high {
        Some((rate, _)) => of_rate(rate).find_map(|trial| trial.why.clone()),
        None if report.interrupted || report.ended_early.is_some() => None,
        None => Some("no greater rate was tried (--to)".to_owned()),
    };
}

/// What the exit code says of a search that nobody interrupted, as a sentence.
pub(crate) fn fault(report: &CapacityReport, args: &CapacityArgs) -> Option<String> {
    let Some(found) = report.rate_per_room else {
        return Some("no rate held".to_owned());
    };
    if let Some(why) = &report.ended_early {
        return Some(format!("the search ended early: {why}"));
    }
    args.at_least.filter(|&least| found < least).map(|least| {
        let (found, least) = (rate_text(found), rate_text(least));
        format!("{found} per room held, where at least {least} were to (--at-least)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concluded(found: Found) -> CapacityReport {
        let trial = |rate_per_room, why: Option<&str>| TrialReport {
            rate_per_room,
            why: why.map(str::to_owned),
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
    }
}
