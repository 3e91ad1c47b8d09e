//! More than can be delivered, while every tenth member does not read.

use super::goal::{Goal, Unit};
use super::row::Row;
use super::scale::Effort;
use super::site::{Seen, Side, ratio};
use crate::load::Pace;

/// Messages that are under way where the plateau is measured.
const WINDOW: usize = 256;

pub(super) const OVERLOAD: Row = Row {
    name: "overload",
    title: "one room of {members}, a tenth does not read, --slow skip",
    goals: &[
        Goal::shown("plateau, deliveries per second", Unit::PerSecond),
        Goal::at_least("offered 2 ×, ÷ plateau", Unit::Ratio, 0.90),
        Goal::at_least("offered 10 ×, ÷ plateau", Unit::Ratio, 0.90),
        Goal::at_most("CPU per delivery at 10 × ÷ at the plateau", Unit::Ratio, 1.10),
        Goal::at_most("memory at most", Unit::Bytes, 64e6),
        Goal::at_most("growth of memory from 2 × to 10 ×", Unit::AnyBytes, 8e6),
        Goal::at_least("gaps announced", Unit::Count, 1.0),
        Goal::at_most("messages skipped for members that read", Unit::Count, 0.0),
        Goal::at_most("members disconnected", Unit::Count, 0.0),
    ],
    effort: Effort::Usual,
    measure: |site| {
        let running = site.start(&Side::engine(1).with(&["--slow", "skip"]))?;
        let window = site.scale.room(128, Pace::Window(WINDOW));
        let plateau = running.broadcast_with_slow(&window)?;
        let offer = |rate| running.broadcast_with_slow(&site.scale.flood(rate));
        let capacity = plateau.rate() / site.scale.members as f64;
        let double = offer(2.0 * capacity)?;
        let tenfold = offer(10.0 * capacity)?;
        let both = [&double, &tenfold];
        let count =
            |of: fn(&Seen) -> u64| Some(both.iter().map(|seen| of(seen)).sum::<u64>() as f64);
        let memory =
            |seen: &Seen| seen.run.server.as_ref().map(|server| server.rss_max_bytes as f64);
        let growth = memory(&tenfold).zip(memory(&double)).map(|(after, before)| after - before);
        let share = |seen: &Seen| ratio(Some(seen.rate()), Some(plateau.rate()));
        Ok(vec![
            Some(plateau.rate()),
            share(&double),
            share(&tenfold),
            ratio(tenfold.cpu, plateau.cpu),
            memory(&tenfold),
            growth,
            count(|seen| seen.run.gaps.announced),
            count(|seen| seen.run.messages.skipped_readers),
            count(|seen| seen.run.connections.closed),
        ])
    },
};
