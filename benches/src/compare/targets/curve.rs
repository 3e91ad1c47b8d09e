//! What messages per send buy: the curve behind all other figures.

use super::goal::{Goal, Unit};
use super::row::Row;
use super::scale::Effort;
use super::site::{Seen, Side};
use crate::load::Pace;

/// Messages under way.
const WINDOWS: [usize; 6] = [1, 4, 16, 64, 256, 1024];

pub(super) const CURVE: Row = Row {
    name: "curve",
    title: "one room of {members}, 128 bytes, more and more messages under way",
    goals: &[
        Goal::shown("1 under way: CPU per delivery", Unit::Time),
        Goal::shown("1 under way: messages per send", Unit::Ratio),
        Goal::shown("4 under way: CPU per delivery", Unit::Time),
        Goal::shown("4 under way: messages per send", Unit::Ratio),
        Goal::shown("16 under way: CPU per delivery", Unit::Time),
        Goal::shown("16 under way: messages per send", Unit::Ratio),
        Goal::shown("64 under way: CPU per delivery", Unit::Time),
        Goal::shown("64 under way: messages per send", Unit::Ratio),
        Goal::shown("256 under way: CPU per delivery", Unit::Time),
        Goal::shown("256 under way: messages per send", Unit::Ratio),
        Goal::shown("1,024 under way: CPU per delivery", Unit::Time),
        Goal::shown("1,024 under way: messages per send", Unit::Ratio),
    ],
    effort: Effort::Once,
    measure: |site| {
        let sides = WINDOWS.map(|_| Side::engine(1));
        let seen = site.each(&sides, |index, running| {
            running.broadcast(&site.scale.room(128, Pace::Window(WINDOWS[index])))
        })?;
        let figures = |seen: &Seen| [seen.cpu, seen.messages_per_send];
        Ok(seen.iter().flat_map(figures).collect())
    },
};
