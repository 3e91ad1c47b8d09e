//! What the load generator reports, and what it proves.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One report, as far as it is used here.
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    /// What became of the connections.
    pub connections: ConnectionsReport,
    /// What became of the messages.
    pub messages: Messages,
    /// When they arrived.
    pub latency_us: Latency,
    /// Errors by kind.
    #[serde(default)]
    pub errors: BTreeMap<String, u64>,
    /// The server's side.
    pub server: Option<ServerSide>,
    /// The generator's side.
    pub generator: Generator,
    /// What was announced as skipped.
    #[serde(default)]
    pub gaps: Gaps,
    /// Pings that the server got an answer to.
    #[serde(default)]
    pub pings_answered: u64,
    /// The run from moment to moment.
    #[serde(default)]
    pub series: Vec<Point>,
}

/// What became of the connections.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "these are the generator's names, which its --help explains")]
pub struct ConnectionsReport {
    pub wanted: u64,
    pub opened: u64,
    pub failed: u64,
    #[serde(default)]
    pub closed: u64,
}

/// What became of the messages.
#[derive(Clone, Debug, Default, Deserialize)]
#[allow(missing_docs, reason = "these are the generator's names, which its --help explains")]
pub struct Messages {
    pub published: u64,
    pub delivered: u64,
    pub lost: u64,
    pub repeated: u64,
    pub disordered: u64,
    pub damaged: u64,
    pub skipped: u64,
    #[serde(default)]
    pub skipped_readers: u64,
    pub cut_off: u64,
    pub deliveries_per_second: f64,
    #[serde(default)]
    pub bytes_per_second: f64,
}

/// Latencies in microseconds; none when there was nothing.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "these are the generator's names, which its --help explains")]
pub struct Latency {
    pub p50: Option<f64>,
    pub p99: Option<f64>,
}

/// The server's CPU and memory.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "these are the generator's names, which its --help explains")]
pub struct ServerSide {
    pub cpu_per_delivery_ns: Option<f64>,
    pub cpu_per_connect_ns: Option<f64>,
    pub cpu_share: f64,
    pub rss_connected_bytes: f64,
    pub rss_end_bytes: f64,
    pub rss_max_bytes: f64,
}

/// The generator's own limits.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "these are the generator's names, which its --help explains")]
pub struct Generator {
    pub busy: f64,
    pub limited: bool,
}

/// Announcements of skipped messages.
#[derive(Clone, Debug, Default, Deserialize)]
#[allow(missing_docs, reason = "these are the generator's names, which its --help explains")]
pub struct Gaps {
    pub announced: u64,
}

/// The server at one moment.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "these are the generator's names, which its --help explains")]
pub struct Point {
    pub at_seconds: f64,
    pub server_cpu: Option<f64>,
}

impl Run {
    /// What went wrong where everybody reads; none when every message arrived once and in order.
    pub fn fault(&self) -> Option<String> {
        let messages = &self.messages;
        let others = [
            ("skipped", messages.skipped),
            ("cut off", messages.cut_off),
            ("connections failed", self.connections.failed),
        ];
        let errors = self.errors.iter().map(|(kind, count)| (kind.as_str(), *count));
        name_faults(messages.faults().into_iter().chain(others).chain(errors))
    }

    /// What must not happen to a single message even where members do not read: those may be
    /// closed, and get nothing more then.
    pub fn fault_among_slow(&self) -> Option<String> {
        name_faults(self.messages.faults().into_iter())
    }
}

impl Messages {
    fn faults(&self) -> [(&'static str, u64); 4] {
        [
            ("lost", self.lost),
            ("repeated", self.repeated),
            ("out of order", self.disordered),
            ("damaged", self.damaged),
        ]
    }
}

fn name_faults<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> Option<String> {
    let faults = counts.filter(|(_, count)| *count > 0);
    let text: Vec<String> = faults.map(|(name, count)| format!("{name}: {count}")).collect();
    (!text.is_empty()).then(|| text.join(", "))
}

#[cfg(test)]
impl Run {
    /// A run in which so many messages were lost.
    pub(crate) fn sample(lost: u64) -> Run {
        let text = format!(
            r#"{{"format":1,"connections":{{"wanted":1,"opened":1,"failed":0}},
            "messages":{{"published":1,"delivered":1,"lost":{lost},"repeated":0,"disordered":0,
            "damaged":0,"skipped":0,"cut_off":0,"deliveries_per_second":1.5,"other":3}},
            "latency_us":{{"count":0,"p50":null,"p99":null}},
            "server":null,"generator":{{"busy":0.5,"limited":false,"threads":[]}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lost_message_is_a_fault() {
        assert_eq!(Run::sample(0).fault(), None);
        assert_eq!(Run::sample(1).fault().as_deref(), Some("lost: 1"));
    }

    #[test]
    fn only_slow_members_may_be_closed() {
        let mut run = Run::sample(0);
        run.errors.insert("closed 1013 slow".to_owned(), 2);
        assert_eq!(run.fault().as_deref(), Some("closed 1013 slow: 2"));
        assert_eq!(run.fault_among_slow(), None);
        assert_eq!(Run::sample(2).fault_among_slow().as_deref(), Some("lost: 2"));
    }
}
