//! When messages reached the last of the members that they were for.

use super::latency::Spread;
use super::table::{row, spread_row};
use crate::lead::record::Figures;
use crate::receive::fan_out::LastMembers;
use crate::units::print::{time, whole};

impl Figures {
    /// How long messages took to the last member, and from the first to the last.
    pub(super) fn to_last_member(&self) -> Option<[Spread<'_>; 2]> {
        let LastMembers { last, skew, missing, .. } = self.last_members.as_ref()?;
        let patience = self.shared.plan.traffic.as_ref()?.drain;
        let [last, skew] = [last, skew].map(Spread::whole);
        let [last, skew] = [last, skew].map(|it| Spread { missing: *missing, patience, ..it });
        (!last.is_empty()).then_some([last, skew])
    }

    /// In nanoseconds: members of one room are read in turn, by each thread its own.
    pub(super) fn own_reading(&self) -> Option<f64> {
        let plan = &self.shared.plan;
        let generator = self.generator();
        let read = generator.reading_ns_per_message? * generator.messages_per_read?;
        let members = f64::from(plan.members) / f64::from(plan.streams.rooms);
        Some(read * (members / plan.threads as f64 - 1.0).max(0.0))
    }
}

/// Beside the time from the first member to the last.
fn own_reading(figures: &Figures) -> String {
    let message = figures.generator().reading_ns_per_message;
    match figures.own_reading().zip(message) {
        None => String::new(),
        Some((all, message)) => format!(
            " (to read them all takes the generator {}, or {} per message)",
            time(all),
            time(message)
        ),
    }
}

/// For the table.
pub(super) fn rows(figures: &Figures) -> Vec<(String, String)> {
    let Some([last, skew]) = figures.to_last_member() else { return Vec::new() };
    let one_in = figures.last_members.as_ref().map_or(1, |all| all.one_in);
    let (arrived, all) = (whole(last.arrived), whole(last.arrived + last.missing));
    let sample = match one_in {
        1 => String::new(),
        _ => format!(" that were followed, one in {one_in}"),
    };
    let mut rows = Vec::new();
    rows.extend(spread_row("to the last member", last));
    let skew = spread_row("first to last member", skew);
    rows.extend(skew.map(|(name, value)| (name, value + &own_reading(figures))));
    rows.push(row("reached all members", format!("{arrived} of {all} messages{sample}")));
    rows
}
