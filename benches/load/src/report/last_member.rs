//! When messages reached the last of the members that they were for.

use serde::{Deserialize, Serialize};

use super::build::{latency, missing_at};
use super::json::LatencyReport;
use super::latency::Spread;
use super::table::{row, spread_row};
use crate::lead::record::Figures;
use crate::receive::fan_out::LastMembers;
use crate::units::print::{time, whole};

/// When messages reached the last of the members that they were for: those that read as fast as
/// they can, and were there when publishing began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LastMemberReport {
    /// Messages that were followed: those that reached everybody, and `missing`.
    pub due: u64,
    /// Messages that did not reach everybody, or were not even sent.
    pub missing: u64,
    /// Which of `p50`, `p90`, `p99`, `p999` and `max` fall on such a one.
    pub missing_at: Vec<String>,
    /// One message in so many was followed.
    pub sampled_one_in: u64,
    /// From when a message was due (open loop) or sent (closed loop) until it reached the last
    /// member.
    pub last_us: LatencyReport,
    /// Between the first member and the last.
    pub skew_us: LatencyReport,
    /// What the generator itself takes, about, to read all members of a room one after the other:
    /// so much of the skew may be its own.
    pub own_reading_us: Option<f64>,
}

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
    fn own_reading(&self) -> Option<f64> {
        let plan = &self.shared.plan;
        let generator = self.generator();
        let read = generator.ns_per_message? * generator.messages_per_read?;
        let members = f64::from(plan.members) / f64::from(plan.streams.rooms);
        Some(read * (members / plan.threads as f64 - 1.0).max(0.0))
    }
}

pub(super) fn report(figures: &Figures) -> Option<LastMemberReport> {
    let [last, skew] = figures.to_last_member()?;
    Some(LastMemberReport {
        due: last.arrived + last.missing,
        missing: last.missing,
        missing_at: missing_at(last),
        sampled_one_in: figures.last_members.as_ref()?.one_in,
        last_us: latency(last),
        skew_us: latency(skew),
        own_reading_us: figures.own_reading().map(|nanos| nanos / 1e3),
    })
}

/// For the table.
pub(super) fn rows(figures: &Figures) -> Vec<(String, String)> {
    let Some([last, skew]) = figures.to_last_member() else { return Vec::new() };
    let one_in = figures.last_members.as_ref().map_or(1, |all| all.one_in);
    let (arrived, all) = (whole(last.arrived), whole(last.arrived + last.missing));
    let sample = match one_in {
        1 => String::new(),
        _ => format!(", of which one in {one_in} was followed"),
    };
    let mut rows = Vec::new();
    rows.extend(spread_row("to the last member", last));
    let skew = spread_row("first to last member", skew);
    let reading = figures.own_reading().map_or(String::new(), |nanos| {
        format!(" (to read them all takes the generator {})", time(nanos))
    });
    rows.extend(skew.map(|(name, value)| (name, value + &reading)));
    rows.push(row("reached all members", format!("{arrived} of {all} messages{sample}")));
    rows
}
