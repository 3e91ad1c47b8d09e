//! The report for programs, `--json`: written here, and read back by whoever compares runs. Names
//! stay; new ones may come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::churn::ChurnReport;
use super::histograms::HistogramsReport;
use crate::watch::machine::Machine;

/// Changes when a name does.
pub const FORMAT: u32 = 1;

/// A rate counts as reached when this share of what was due was published while it was measured.
pub const RATE_REACHED_FROM: f64 = 0.99;

/// Everything that one run showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`] of the generator that wrote it.
    pub format: u32,
    /// `broadcast`, `hold`, `storm` or `slow`.
    pub scenario: String,
    /// The words of the command line.
    pub command: Vec<String>,
    /// Of the generator.
    pub version: String,
    /// When the run began, in seconds since 1970.
    pub started_unix: Option<u64>,
    /// When measuring began, in seconds since 1970. Of reports that were merged the time that all
    /// of them measured; none where they measured at different times.
    pub measured_from_unix: Option<f64>,
    /// When it ended.
    pub measured_to_unix: Option<f64>,
    /// A signal ended it: the figures are of the time until then.
    pub interrupted: bool,
    /// Why it ended before its time though nobody interrupted it: the server let go of whoever was
    /// needed. Rates are of the time until then.
    pub ended_early: Option<String>,
    /// The time that was measured.
    pub seconds: f64,
    /// Where the generator ran.
    pub machine: Machine,
    /// What was asked for.
    pub settings: SettingsReport,
    /// What became of the connections.
    pub connections: ConnectionsReport,
    /// What became of the messages.
    pub messages: MessagesReport,
    /// What compression saved, with `--deflate`.
    pub compression: Option<CompressionReport>,
    /// When they arrived.
    pub latency_us: DeliveryReport,
    /// When they reached the last of their members, unless that was not to be followed.
    pub last_member: Option<LastMemberReport>,
    /// All values behind percentiles, so that reports can be merged.
    pub histograms: Option<HistogramsReport>,
    /// Whether the latencies are the server's: the generator published and read by no more than a
    /// tenth of them late, did not stand still, and was not limited in any interval or stage.
    pub latency_trusted: bool,
    /// What went wrong, and how often.
    pub errors: BTreeMap<String, u64>,
    /// What was asserted of the figures.
    pub assertions: Vec<AssertionReport>,
    /// What was announced as skipped.
    pub gaps: GapsReport,
    /// What became of the members that left and were replaced, with `--churn`.
    pub churn: Option<ChurnReport>,
    /// What became of the members that read slowly or not at all.
    pub slow_members: SlowMembersReport,
    /// Pings that the server got an answer to.
    pub pings_answered: u64,
    /// What the server cost, if its process was named.
    pub server: Option<ServerReport>,
    /// What the generator itself did, and could.
    pub generator: GeneratorReport,
    /// Of a storm, each wave.
    pub waves: Vec<WaveReport>,
    /// Of a rate in stages, each stage; left out without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageReport>,
    /// The measured time in intervals.
    pub series: Vec<IntervalReport>,
}

/// What was asked for, completed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SettingsReport {
    /// Where the server listens, as it was given.
    pub url: String,
    /// The same with its address.
    pub address: String,
    /// Connections that receive.
    pub members: u32,
    /// Of these, how many over Server-Sent Events.
    pub event_streams: usize,
    /// Rooms that members are spread over.
    pub rooms: u32,
    /// Connections that publish.
    pub publishers: u32,
    /// Members that read slowly or not at all.
    pub slow_members: usize,
    /// Threads that receive.
    pub threads: usize,
    /// Addresses that are connected from.
    pub sources: usize,
    /// Rows of the table that holes are filled in from.
    pub csv_rows: usize,
    /// What is published, in scenarios that publish.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficReport>,
}

/// What is published.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrafficReport {
    /// Messages per second and room, in the open loop; with stages on average.
    pub rate_per_room: Option<f64>,
    /// Messages per room under way, in the closed loop.
    pub window: Option<u32>,
    /// What takes a message out of the window: `deliveries` or `acks`.
    pub window_by: Option<String>,
    /// `text` or `json`.
    pub payload: String,
    /// The size of each payload.
    pub payload_bytes: usize,
    /// The time before measuring.
    pub warm_up_seconds: f64,
    /// The time of measuring that was asked for.
    pub duration_seconds: f64,
}

/// What became of the connections of members.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionsReport {
    /// Members.
    pub wanted: u32,
    /// Connections that were ready, over all waves.
    pub opened: u64,
    /// Connections that never were.
    pub failed: u64,
    /// Connections that the server ended.
    pub closed: u64,
    /// Connections of members that read, and of publishers, that ended before the run did.
    #[serde(default)]
    pub let_go: u64,
    /// Connections that were ended because of what the server had sent.
    pub broken: u64,
    /// How long connecting took.
    pub connect_seconds: f64,
    /// Connections that became ready per second of that.
    pub connects_per_second: f64,
    /// From the beginning of a connection to the answer to its upgrade, TLS included.
    pub handshake_us: LatencyReport,
    /// Of each, the most that was the generator's own: it began late, came late to an answer, or did
    /// its part of TLS.
    #[serde(default)]
    pub handshake_own_us: LatencyReport,
    /// From saying hello until that was understood.
    pub joined_us: LatencyReport,
    /// `open`: connections began at a rate whatever the server did, and handshakes count from when
    /// they were due; else `closed`.
    #[serde(rename = "loop")]
    pub loop_kind: String,
    /// Connections that were to begin per second, in the open loop.
    pub connect_rate: Option<f64>,
    /// Connections that were in their handshake at once, at most, in the closed loop.
    pub opening: Option<usize>,
    /// What TLS agreed on, at a `wss://` address.
    pub tls: Option<TlsReport>,
}

/// TLS between the generator and the server. What it costs the generator is in
/// [`GeneratorReport`], like all else that the generator does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TlsReport {
    /// `1.2` or `1.3`.
    pub version: String,
    /// The cipher suite, by its name in the IANA's registry.
    pub suite: String,
    /// The group of the key exchange.
    pub key_exchange: String,
    /// Whether the certificate was checked: false with `--insecure`.
    pub is_verified: bool,
}

/// What became of the messages. From `expected` to `other`, a message counts once for each member.
///
/// `expected` is what was delivered for the first time, plus `lost`, `skipped` and `cut_off`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MessagesReport {
    /// Messages of the measured time that the kernel has taken from publishers.
    pub published: u64,
    /// Messages that were due, and that the kernel never took; after an early end, too.
    pub unsent: u64,
    /// Messages that were due per second, in the open loop; in stages until the run was over.
    pub offered_per_second: Option<f64>,
    /// Of what was due in the open loop, the share that was published while it was measured; see
    /// [`RATE_REACHED_FROM`].
    pub published_share: Option<f64>,
    /// Messages whose publisher got an ack.
    pub acked: u64,
    /// What was published, times the members it was for.
    pub expected: u64,
    /// What arrived, each message once.
    pub delivered: u64,
    /// What did not, without a reason.
    pub lost: u64,
    /// What arrived again.
    pub repeated: u64,
    /// What arrived after a message that was published later.
    pub disordered: u64,
    /// What arrived and does not count: without its end, with other content, with a number or time
    /// that is impossible, or at a member of another room.
    pub damaged: u64,
    /// The same by what was wrong.
    pub damage: BTreeMap<String, u64>,
    /// What is missing, and was announced as skipped.
    pub skipped: u64,
    /// Of these, what was skipped for members that read as fast as they can.
    pub skipped_readers: u64,
    /// What was published after the server had ended the connection with a close frame.
    pub cut_off: u64,
    /// Messages whose content was compared byte by byte.
    pub compared: u64,
    /// Their share of all bytes of payloads that arrived.
    pub compared_share: Option<f64>,
    /// Messages without a payload of this run.
    pub other: u64,
    /// Of these, what came while messages were published and is nothing that corecast says.
    pub unknown: u64,
    /// Messages per second.
    pub published_per_second: f64,
    /// Deliveries per second.
    pub deliveries_per_second: f64,
    /// Bytes per second that members read, frames included.
    pub bytes_per_second: f64,
}

/// Payloads of the frames in which measured messages came: no answers, and nothing of the warm-up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompressionReport {
    /// Messages that came compressed.
    pub messages: u64,
    /// Their bytes as they came.
    pub compressed_bytes: u64,
    /// The same inflated.
    pub inflated_bytes: u64,
    /// Bytes of messages that came uncompressed.
    pub plain_bytes: u64,
    /// What did not have to be sent; below zero where compression made messages longer.
    pub saved_bytes: i64,
    /// The same as a share of the bytes of all messages, inflated.
    pub saved_share: Option<f64>,
}

/// Latencies in microseconds. A quantile is only there if at least ten values lie beyond it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyReport {
    /// How many were recorded.
    pub count: u64,
    /// Their mean.
    pub mean: Option<f64>,
    /// Half took no longer.
    pub p50: Option<f64>,
    /// 90 % took no longer.
    pub p90: Option<f64>,
    /// 99 % took no longer.
    pub p99: Option<f64>,
    /// 99.9 % took no longer.
    pub p999: Option<f64>,
    /// None took longer.
    pub max: Option<f64>,
}

/// Latencies of deliveries, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeliveryReport {
    /// From when the message was due (open loop) or sent (closed loop).
    #[serde(flatten)]
    pub latency: LatencyReport,
    /// Deliveries that were due: those that came, and `missing`.
    pub due: u64,
    /// Deliveries that never came: lost, skipped, cut off, or of a message that was not even sent.
    /// A percentile that falls on one is how long was waited, which is less than it would have taken;
    /// then there is no mean.
    pub missing: u64,
    /// Which of `p50`, `p90`, `p99`, `p999` and `max` fall on such a one.
    #[serde(default)]
    pub missing_at: Vec<String>,
    /// Which of `p50`, `p90`, `p99` and `p999` have fewer than ten messages beyond them, so that
    /// another run has another. What makes a message late does so for each of its members, and is
    /// one delay, not one for each of them.
    #[serde(default)]
    pub few_messages_at: Vec<String>,
    /// The longest of those that came.
    pub max_arrived: Option<f64>,
    /// `open`: published at a rate whatever the server does; else `closed`.
    #[serde(rename = "loop")]
    pub loop_kind: String,
    /// One delivery in so many was recorded; the longest, `max`, is that of all of them.
    pub sampled_one_in: Option<u32>,
    /// From when a message was due until the kernel had taken it.
    pub publish_delay: LatencyReport,
    /// Of each delay, what was the generator's own: it had something else to do, or no CPU.
    pub own_lateness: LatencyReport,
    /// The rest: the socket took no more.
    pub socket_full: LatencyReport,
    /// What each delivery has waited for the thread that reads it, at most: since that thread had
    /// last found nothing of it.
    #[serde(default)]
    pub reader_lateness: LatencyReport,
}

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

/// What was asserted of a figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AssertionReport {
    /// As it was written.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
    /// What the figure is, for people.
    pub value: String,
}

/// Messages that were announced as skipped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GapsReport {
    /// Announcements.
    pub announced: u64,
    /// Messages in them.
    pub messages: u64,
}

/// Members that read slowly or not at all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SlowMembersReport {
    /// How many.
    pub members: u64,
    /// How many the server closed.
    pub closed: u64,
    /// How many were told that messages were skipped.
    pub told_of_a_gap: u64,
}

/// What the server cost, while measuring unless a name says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerReport {
    /// Its processes.
    pub pids: Vec<u32>,
    /// CPU time.
    pub cpu_seconds: f64,
    /// Cores in use.
    pub cpu_share: f64,
    /// CPU time per delivery.
    pub cpu_per_delivery_ns: Option<f64>,
    /// CPU time per connection that became ready.
    pub cpu_per_connect_ns: Option<f64>,
    /// Resident memory before the first connection.
    pub rss_before_bytes: u64,
    /// The same when all were connected.
    pub rss_connected_bytes: u64,
    /// The same at the end.
    pub rss_end_bytes: u64,
    /// The most that was seen.
    pub rss_max_bytes: u64,
    /// What all connections added, divided by their number.
    pub rss_per_connection_bytes: Option<f64>,
    /// What each further connection added while connecting, by least squares.
    pub rss_slope_bytes: Option<f64>,
}

/// What the generator itself did, and could.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GeneratorReport {
    /// Its threads.
    pub threads: Vec<ThreadReport>,
    /// The share of its time that the busiest thread was on a CPU.
    pub busy: f64,
    /// That share leaves nothing for punctuality: the figures are the generator's, not the server's.
    pub limited: bool,
    /// The same of single intervals: how many.
    pub limited_intervals: usize,
    /// What it did while members connected.
    pub connecting: ConnectingReport,
    /// Messages that were checked per second.
    pub verified_per_second: f64,
    /// CPU time of the receiving threads per message; none where one thread publishes, too.
    pub ns_per_message: Option<f64>,
    /// Time per message in which sockets that were ready were read one after the other, which is
    /// known of a thread that publishes, too.
    pub reading_ns_per_message: Option<f64>,
    /// Messages that came with one call; the more, the less each costs.
    pub messages_per_read: Option<f64>,
    /// What the receiving threads could check per second if they had nothing to wait for.
    pub capacity_per_second: Option<f64>,
}

/// What the generator did while members connected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectingReport {
    /// The share of its time that the busiest thread was on a CPU.
    pub busy: f64,
    /// That share leaves nothing for punctuality: a server may be able to take more connections.
    pub limited: bool,
}

/// One thread of the generator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThreadReport {
    /// What it does.
    pub name: String,
    /// The share of its time on a CPU.
    pub busy: f64,
    /// The share of its time of waiting for one.
    pub waited: f64,
    /// The longest time between two of its turns while measuring, in microseconds; without work
    /// that is ten milliseconds.
    pub longest_gap_us: f64,
}

/// One wave of a storm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WaveReport {
    /// Connections that were ready.
    pub opened: u64,
    /// Connections that never were.
    pub failed: u64,
    /// How long connecting took.
    pub seconds: f64,
    /// Connections that became ready per second.
    pub connects_per_second: f64,
}

/// One stage of a rate that changed: what was due in it, whenever it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// How long it was to be.
    pub seconds: f64,
    /// How long it was: less, or not at all, if the run was over before it had ended. Of reports
    /// that were merged the shortest.
    pub measured_seconds: f64,
    /// Messages per second and room when it began.
    pub rate_per_room: f64,
    /// The same when it ended.
    pub rate_per_room_at_end: f64,
    /// Messages that were due in it; after an early end, too.
    pub offered: u64,
    /// Of these, what the kernel took, then or later.
    pub published: u64,
    /// Messages that were due until the stage or the run was over.
    pub due: u64,
    /// Of what was due, the share that was published before the stage had ended; none if nothing was.
    pub published_share: Option<f64>,
    /// Deliveries to members that read as fast as they can.
    pub delivered: u64,
    /// Deliveries to them that never came: lost, skipped, cut off, or of a message that was not even
    /// sent.
    pub missing: u64,
    /// From when a message was due; see [`DeliveryReport`] for what never came.
    pub latency_us: LatencyReport,
    /// See [`DeliveryReport::missing_at`].
    pub missing_at: Vec<String>,
    /// See [`DeliveryReport::few_messages_at`].
    pub few_messages_at: Vec<String>,
    /// The longest of those that came.
    pub max_arrived: Option<f64>,
    /// Cores that the server used while it lasted.
    pub server_cpu: Option<f64>,
    /// The share of its time that the busiest thread of the generator was on a CPU; none if the run
    /// ended before.
    pub generator_busy: Option<f64>,
    /// All latencies, as in [`HistogramsReport`].
    pub histogram: Option<String>,
}

/// One interval of the measured time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IntervalReport {
    /// Its end, since measuring began.
    pub at_seconds: f64,
    /// Messages that arrived.
    pub deliveries_per_second: f64,
    /// Messages that were published.
    pub published_per_second: f64,
    /// Connections that were open at its end.
    pub connections: u64,
    /// Cores that the server used.
    pub server_cpu: Option<f64>,
    /// Resident memory of the server at its end.
    pub server_rss_bytes: Option<u64>,
    /// The share of its time that the busiest thread of the generator was on a CPU.
    pub generator_busy: f64,
    /// Deliveries that were due in it, whenever they came.
    #[serde(default)]
    pub due: u64,
    /// Of these, what never came.
    #[serde(default)]
    pub missing: u64,
    /// Which of `p50_us`, `p99_us` and `max_us` fall on what never came: then they are how long was
    /// waited, which is less than it would have taken.
    #[serde(default)]
    pub missing_at: Vec<String>,
    /// Of the deliveries that were due in it, half took no longer.
    pub p50_us: Option<f64>,
    /// 99 % took no longer.
    pub p99_us: Option<f64>,
    /// None took longer, whether it was recorded or not.
    pub max_us: Option<f64>,
}

impl Report {
    /// The report as `--json` writes it.
    ///
    /// # Errors
    ///
    /// None: everything in it is a value of JSON.
    pub(crate) fn text(&self) -> serde_json::Result<String> {
        text(self)
    }
}

/// A report as `--json` writes it: members of each object in the order of their names.
pub(crate) fn text(report: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(&serde_json::to_value(report)?)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_back_as_it_was_written() {
        let traffic = TrafficReport { window: Some(3), ..TrafficReport::default() };
        let settings = SettingsReport { traffic: Some(traffic), ..SettingsReport::default() };
        let latency = LatencyReport { count: 1, p50: Some(0.1), ..LatencyReport::default() };
        let report = Report {
            settings,
            latency_us: DeliveryReport { latency, ..DeliveryReport::default() },
            server: Some(ServerReport::default()),
            compression: Some(CompressionReport::default()),
            waves: vec![WaveReport::default()],
            stages: vec![StageReport::default()],
            series: vec![IntervalReport::default()],
            ..Report::default()
        };
        for report in [report, Report::default()] {
            let text = report.text().unwrap();
            assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report, "{text}");
        }
    }

    #[test]
    fn a_scenario_that_publishes_nothing_has_no_settings_of_it() {
        let text = Report::default().text().unwrap();
        assert!(text.contains("\"url\"") && !text.contains("\"rate_per_room\""), "{text}");
    }
}
