//! The figures of a run: as text, as a page, and as the [`Report`] that programs read.

pub(crate) mod assertions;
mod build;
pub(crate) mod chart;
pub(crate) mod charts;
pub(crate) mod churn;
pub(crate) mod diff;
mod figures;
mod hdr;
mod histograms;
mod input;
mod intervals;
mod json;
mod last_member;
mod latency;
mod least;
pub(crate) mod merge;
pub(crate) mod merged;
pub(crate) mod outputs;
pub(crate) mod page;
mod parts;
mod remarks;
mod stage_diff;
mod stage_doubts;
mod stages;
mod sums;
pub(crate) mod table;
mod windows;

pub(crate) use json::text as json_text;
pub use json::{
    AssertionReport, CompressionReport, ConnectingReport, ConnectionsReport, DeliveryReport,
    FORMAT, GapsReport, GeneratorReport, IntervalReport, LastMemberReport, LatencyReport,
    MessagesReport, RATE_REACHED_FROM, Report, ServerReport, SettingsReport, SlowMembersReport,
    StageReport, ThreadReport, TlsReport, TrafficReport, WaveReport,
};

pub use churn::ChurnReport;
pub use histograms::HistogramsReport;

pub use crate::watch::machine::Machine;
