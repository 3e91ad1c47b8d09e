//! The histograms of a report, so that reports can be merged.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::hdr::encode;
use crate::lead::record::Figures;

/// Histograms in nanoseconds, as `HistogramLogProcessor` and its like read them: V2, compressed, in
/// base64. What never came is in none of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistogramsReport {
    /// How long was waited for what never came, in seconds.
    pub waited_seconds: f64,
    /// Latencies of deliveries; see [`DeliveryReport::latency`](super::DeliveryReport::latency).
    pub deliveries: Option<String>,
    /// See [`LastMemberReport::last_us`](super::LastMemberReport::last_us).
    pub last_member: Option<String>,
    /// See [`LastMemberReport::skew_us`](super::LastMemberReport::skew_us).
    pub skew: Option<String>,
    /// See [`DeliveryReport::publish_delay`](super::DeliveryReport::publish_delay).
    pub publish_delay: Option<String>,
    /// See [`DeliveryReport::own_lateness`](super::DeliveryReport::own_lateness).
    pub own_lateness: Option<String>,
    /// See [`DeliveryReport::socket_full`](super::DeliveryReport::socket_full).
    pub socket_full: Option<String>,
    /// See [`DeliveryReport::reader_lateness`](super::DeliveryReport::reader_lateness).
    pub reader_lateness: Option<String>,
    /// See [`ConnectionsReport::handshake_us`](super::ConnectionsReport::handshake_us).
    pub handshakes: Option<String>,
    /// See [`ConnectionsReport::handshake_own_us`](super::ConnectionsReport::handshake_own_us).
    pub handshakes_own: Option<String>,
    /// See [`ConnectionsReport::joined_us`](super::ConnectionsReport::joined_us).
    pub joins: Option<String>,
    /// See [`ChurnReport::joined_us`](super::ChurnReport::joined_us).
    pub churn_joins: Option<String>,
}

pub(super) fn report(figures: &Figures) -> HistogramsReport {
    let (sent, outcome) = (&figures.sent, &figures.outcome);
    let traffic = figures.shared.plan.traffic.as_ref();
    let last = figures.last_members.as_ref();
    HistogramsReport {
        waited_seconds: traffic.map_or(0.0, |traffic| traffic.drain.as_secs_f64()),
        deliveries: text(outcome.recorder.whole()),
        last_member: last.and_then(|last| text(&last.last)),
        skew: last.and_then(|last| text(&last.skew)),
        publish_delay: text(&sent.delays),
        own_lateness: text(&sent.own),
        socket_full: text(&sent.full),
        reader_lateness: text(&outcome.lateness),
        handshakes: text(&outcome.handshakes),
        handshakes_own: text(&outcome.handshakes_own),
        joins: text(&outcome.joins),
        churn_joins: outcome.churn.as_ref().and_then(|churn| text(&churn.to_joined)),
    }
}

/// None of what has no values.
pub(super) fn text(histogram: &Histogram<u64>) -> Option<String> {
    (!histogram.is_empty()).then(|| encode(histogram))
}
