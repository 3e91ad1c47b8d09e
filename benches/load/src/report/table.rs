//! The figures for people, as rows of a name and a value.

use hdrhistogram::Histogram;

use super::build::{compression, stages as stage_reports, tls};
use super::json::{CompressionReport, ThreadReport, TlsReport};
use super::latency::{Quantile, Spread};
use super::remarks::remarks;
use super::{last_member, stages};
use crate::lead::record::Figures;
use crate::receive::churn::ChurnResult;
use crate::setup::plan::{Connecting, Pace, Scenario};
use crate::setup::stages::Stages;
use crate::units::print::{bytes, count, percent, time, whole};

/// A heading and its rows.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<(String, String)>,
}

const NAME_WIDTH: usize = 26;

/// The table as text.
pub(crate) fn text(figures: &Figures) -> String {
    let mut out = format!("\n{}\n", headline(figures));
    for section in sections(figures) {
        out.push_str(&format!("\n{}\n", section.title));
        for (name, value) in section.rows {
            out.push_str(&format!("  {name:<NAME_WIDTH$}{value}\n"));
        }
    }
    for remark in remarks(figures) {
        out.push_str(&format!("\n! {remark}\n"));
    }
    out
}

/// What was done, in one line.
pub(crate) fn headline(figures: &Figures) -> String {
    let plan = &figures.shared.plan;
    let (name, url, members) = (plan.scenario.name(), &plan.target.url, whole(plan.members.into()));
    let Some(traffic) = &plan.traffic else {
        return format!("{name}: {members} connections to {url}");
    };
    let pace = match (traffic.pace, &traffic.stages) {
        (Pace::Rate(_), Some(stages)) => stages_words(stages),
        (Pace::Rate(rate), None) => format!("{} messages/s per room", count(rate)),
        (Pace::Window(window, _), _) => format!("a window of {window} messages per room"),
    };
    let rooms = counted(plan.streams.rooms, "room");
    let publishers = counted(plan.publishers(), "publisher");
    let size = bytes(traffic.form.size as f64);
    let kind = if traffic.form.is_json { "JSON payloads" } else { "payloads" };
    let streams = match plan.event_streams() {
        0 => String::new(),
        streams => format!(" ({} over event streams)", whole(streams as u64)),
    };
    format!(
        "{name}: {members} members{streams} in {rooms}, {publishers}, {pace}, {size} {kind}, {url}"
    )
}

fn stages_words(stages: &Stages) -> String {
    let [least, greatest] = [stages.least(), stages.greatest()].map(count);
    let rates = if least == greatest { least } else { format!("{least} to {greatest}") };
    let number = counted(stages.all().len() as u32, "stage");
    format!("{rates} messages/s per room in {number}")
}

/// `1 room`, `2 rooms`.
pub(crate) fn counted(number: u32, noun: &str) -> String {
    format!("{} {noun}{}", whole(number.into()), if number == 1 { "" } else { "s" })
}

pub(crate) fn sections(figures: &Figures) -> Vec<Section> {
    let is_storm = matches!(figures.shared.plan.scenario, Scenario::Storm { .. });
    let mut sections = vec![connections(figures)];
    if is_storm {
        sections.push(waves(figures));
    }
    if let Some((result, asked)) = figures.outcome.churn.as_ref().zip(figures.shared.plan.churn) {
        sections.push(churn(figures, result, asked.rate));
    }
    if figures.outcome.balance.slow.members > 0 {
        sections.push(slow_members(figures));
    }
    if figures.shared.plan.traffic.is_some() {
        sections.push(messages(figures));
        sections.push(latencies(figures));
        let rows = stages::rows(&stage_reports(figures));
        sections.push(Section { title: "Stages, by due time", rows });
    }
    sections.extend(server(figures));
    sections.push(generator(figures));
    sections.push(errors(figures));
    sections.push(assertions(figures));
    sections.retain(|section| !section.rows.is_empty());
    sections
}

pub(super) fn row(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

fn connections(figures: &Figures) -> Section {
    let counts = &figures.outcome.counts;
    let mut rows = vec![
        row("opened", whole(counts.ready)),
        row("failed", whole(counts.failed)),
        row("closed by the server", whole(counts.closed - counts.broken)),
        row("connects per second", count(figures.connects_per_second())),
    ];
    if counts.broken > 0 {
        rows.push(row("closed here, see errors", whole(counts.broken)));
    }
    rows.push(row("connecting", connecting(figures)));
    rows.extend(latency_row("handshake", &figures.outcome.handshakes));
    rows.extend(latency_row("  our own part, at most", &figures.outcome.handshakes_own));
    rows.extend(latency_row("joined, since hello", &figures.outcome.joins));
    rows.extend(tls(figures).map(|tls| row("TLS", tls_words(&tls))));
    if figures.shared.plan.common.deflate {
        rows.push(row("compression", "permessage-deflate, without context"));
    }
    if figures.outcome.tally.pings > 0 {
        rows.push(row("pings answered", whole(figures.outcome.tally.pings)));
    }
    Section { title: "Connections", rows }
}

fn connecting(figures: &Figures) -> String {
    let way = match figures.shared.plan.connecting {
        Connecting::AtOnce(most) => format!("closed loop, {} at once", whole(most as u64)),
        Connecting::Rate(rate) => format!("open loop, {}/s, since due", count(rate)),
    };
    format!("{way}, generator {} busy", percent(figures.generator().connecting.busy))
}

fn tls_words(tls: &TlsReport) -> String {
    let TlsReport { version, suite, key_exchange, is_verified } = tls;
    let trust = if *is_verified { "" } else { ", certificate not checked" };
    format!("{version}, {suite}, {key_exchange}{trust}")
}

fn waves(figures: &Figures) -> Section {
    let rows = figures.record.waves.iter().enumerate().map(|(nth, wave)| {
        let value = format!(
            "{} opened, {} failed in {}, {}/s",
            whole(wave.opened),
            whole(wave.failed),
            time(wave.seconds * 1e9),
            count(wave.connects_per_second())
        );
        (format!("wave {}", nth + 1), value)
    });
    Section { title: "Waves", rows: rows.collect() }
}

fn churn(figures: &Figures, churn: &ChurnResult, rate: f64) -> Section {
    let mut rows = vec![
        row(
            "left",
            format!("{} of {} due, {}/s", whole(churn.left), whole(churn.due), count(rate)),
        ),
        row("joined in their place", whole(churn.came)),
        row("failed to join", whole(churn.failed)),
    ];
    if churn.unanswered > 0 {
        rows.push(row("leaves without an answer", whole(churn.unanswered)));
    }
    let times = [
        ("joined, since due", figures.churn_joins(churn)),
        ("  our own part, at most", Spread::whole(&churn.to_joined_own)),
        ("left, since said", Spread::whole(&churn.to_left)),
    ];
    rows.extend(times.into_iter().filter_map(|(name, all)| spread_row(name, all)));
    let judged = churn.judged;
    let (exactly, all) = (whole(judged.exactly), whole(judged.all));
    rows.push(row("judged by offsets", format!("{exactly} of {all} stays")));
    Section { title: "Churn", rows }
}

fn slow_members(figures: &Figures) -> Section {
    let slow = figures.outcome.balance.slow;
    let rate = match figures.shared.plan.slow.read_rate {
        0 => "read nothing".to_owned(),
        rate => format!("read {}/s each", bytes(rate as f64)),
    };
    let rows = vec![
        row(
            "slow members",
            format!("{}, {rate} while messages were published", whole(slow.members)),
        ),
        row("closed by the server", whole(slow.closed)),
        row("told of a gap", whole(slow.skipped)),
    ];
    Section { title: "Slow members", rows }
}

fn messages(figures: &Figures) -> Section {
    let (tally, balance) = (&figures.outcome.tally, &figures.outcome.balance);
    let mut rows = vec![
        row("published", whole(figures.sent.published)),
        row("delivered", format!("{} of {}", whole(figures.delivered()), whole(balance.expected))),
        row("messages per second", rates(figures)),
        row("lost", whole(balance.lost)),
        row("repeated", whole(tally.repeated)),
        row("out of order", whole(tally.disordered)),
    ];
    let seldom = [
        ("damaged or misdelivered", tally.damaged.total()),
        ("skipped, as announced", balance.skipped),
        ("cut off by a close", balance.cut_off),
        ("due but not sent", figures.sent.unsent),
        ("acknowledged", figures.sent.tally.acked),
        ("other frames", tally.unknown),
    ];
    rows.extend(seldom.iter().filter(|(_, n)| *n > 0).map(|(name, n)| row(name, whole(*n))));
    rows.extend(tally.damaged.kinds().map(|(kind, n)| row(&format!("  {kind} "), whole(n))));
    rows.extend(compression(figures).into_iter().flat_map(|it| compression_rows(&it)));
    rows.extend(content(figures));
    Section { title: "Messages", rows }
}

/// What was asked for, what of it was published, and what that made of deliveries.
fn rates(figures: &Figures) -> String {
    let delivered = count(figures.per_second(|snapshot| snapshot.received));
    let published = match (figures.offered_per_second(), figures.published_share()) {
        (Some(offered), Some(share)) => format!(
            "offered {}/s, published {}/s ({})",
            count(offered),
            count(offered * share),
            percent(share)
        ),
        _ => format!("published {}/s", count(figures.per_second(|snapshot| snapshot.published))),
    };
    format!("{published}, delivered {delivered}/s")
}

fn compression_rows(report: &CompressionReport) -> [(String, String); 2] {
    let messages = whole(report.messages);
    let CompressionReport { compressed_bytes, inflated_bytes, plain_bytes, .. } = *report;
    let [wire, all] = [compressed_bytes, inflated_bytes].map(|it| bytes((it + plain_bytes) as f64));
    let saved = percent(report.saved_share.unwrap_or_default());
    [
        row("compressed messages", messages),
        row("bytes of messages", format!("{all}, {wire} on the wire: {saved} saved")),
    ]
}

/// How much of what arrived was compared byte by byte.
fn content(figures: &Figures) -> Option<(String, String)> {
    let share = figures.outcome.tally.compared_share()?;
    let (of, messages) = (count(share * 100.0), whole(figures.outcome.tally.compared));
    Some(row("content compared", format!("{of} % of all bytes: those of {messages} messages")))
}

fn latencies(figures: &Figures) -> Section {
    let all = figures.latencies();
    if all.is_empty() {
        return Section { title: "Latency", rows: Vec::new() };
    }
    let is_open = figures.shared.plan.traffic.as_ref();
    let is_open = is_open.is_some_and(|traffic| matches!(traffic.pace, Pace::Rate(_)));
    let shares = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];
    let mut rows: Vec<_> = shares.map(|(name, share)| row(name, all.text(share))).into();
    rows.push(row("max", all.max_text()));
    rows.extend(sample(figures));
    rows.extend(last_member::rows(figures));
    rows.extend(latency_row("late by the generator", &figures.sent.own));
    rows.extend(latency_row("read late, at most", &figures.outcome.lateness));
    if figures.sent.full.max() > 0 {
        rows.extend(latency_row("late by a full socket", &figures.sent.full));
    }
    let title = match (is_open, figures.outcome.balance.slow.members > 0) {
        (true, false) => "Latency, since due (open loop)",
        (true, true) => "Latency, since due (open loop), without slow members",
        (false, false) => "Latency, since sent (closed loop)",
        (false, true) => "Latency, since sent (closed loop), without slow members",
    };
    Section { title, rows }
}

/// What percentiles are of, where that is not everything.
fn sample(figures: &Figures) -> Option<(String, String)> {
    let one_in = figures.shared.plan.traffic.as_ref()?.sampled_one_in;
    let samples = whole(figures.outcome.recorder.whole().len());
    let value = format!("of {samples} samples, one delivery in {one_in}; max of all");
    (one_in > 1).then(|| row("percentiles", value))
}

fn latency_row(name: &str, histogram: &Histogram<u64>) -> Option<(String, String)> {
    spread_row(name, Spread::whole(histogram))
}

pub(super) fn spread_row(name: &str, all: Spread<'_>) -> Option<(String, String)> {
    let shares = [("p50", 0.5), ("p99", 0.99)].into_iter();
    let known = shares.filter(|&(_, share)| all.at(share) != Quantile::Few);
    let parts = known.map(|(name, share)| format!("{name} {}, ", all.text(share)));
    let max = all.max_text();
    (!all.is_empty()).then(|| row(name, format!("{}max {max}", parts.collect::<String>())))
}

fn server(figures: &Figures) -> Option<Section> {
    let server = figures.server()?;
    let mut rows = vec![row("CPU", format!("{:.2} cores", server.cpu_share))];
    let costs = [
        ("CPU per delivery", server.cpu_per_delivery_ns.map(time)),
        ("CPU per connect", server.cpu_per_connect_ns.map(time)),
        ("memory per connection", server.rss_per_connection_bytes.map(growth)),
        ("memory per further one", server.rss_slope_bytes.map(growth)),
    ];
    rows.extend(costs.into_iter().filter_map(|(name, value)| Some(row(name, value?))));
    let memory = [server.rss_before_bytes, server.rss_connected_bytes, server.rss_max_bytes];
    let [before, connected, max] = memory.map(|it| bytes(it as f64));
    rows.push(row("memory", format!("{before} before, {connected} connected, {max} at most")));
    Some(Section { title: "Server", rows })
}

/// What a connection added. Less than any server can do with says only that it had the memory from
/// before.
fn growth(per_connection: f64) -> String {
    match per_connection < PER_CONNECTION_MIN {
        true => "n/a: the server had the memory already".to_owned(),
        false => bytes(per_connection),
    }
}

const PER_CONNECTION_MIN: f64 = 64.0;

fn generator(figures: &Figures) -> Section {
    let generator = figures.generator();
    let mut rows = Vec::new();
    for ThreadReport { name, busy, waited, longest_gap_us } in &generator.threads {
        let (busy, waited, gap) = (percent(*busy), percent(*waited), time(longest_gap_us * 1e3));
        let gap =
            if *longest_gap_us > 0.0 { format!(", {gap} between turns") } else { String::new() };
        rows.push(row(name, format!("{busy} busy, {waited} waiting for a CPU{gap}")));
    }
    if figures.shared.plan.traffic.is_some() {
        let speed = count(generator.verified_per_second);
        let busy = percent(generator.busy);
        rows.push(row("verified", format!("{speed} messages/s at {busy} busy")));
    }
    let cpu = generator.ns_per_message.map(|nanos| (nanos, "CPU"));
    // A thread that publishes, too, knows only this.
    let spent = cpu.or(generator.reading_ns_per_message.map(|nanos| (nanos, "reading")));
    if let (Some((nanos, what)), Some(batch)) = (spent, generator.messages_per_read) {
        let value = format!("{} of {what}, {batch:.1} messages per read", time(nanos));
        rows.push(row("per message", value));
    }
    if let Some(capacity) = generator.capacity_per_second {
        rows.push(row("capacity at this batching", format!("{} messages/s", count(capacity))));
    }
    Section { title: "Generator", rows }
}

fn errors(figures: &Figures) -> Section {
    let errors = figures.errors();
    let rows = errors.kinds.iter().map(|(kind, count)| row(kind, whole(*count)));
    // A long kind pushes its number aside; a space keeps them apart.
    let rows = rows.map(|(kind, count)| (format!("{kind} "), count));
    Section { title: "Errors", rows: rows.collect() }
}

fn assertions(figures: &Figures) -> Section {
    let rows = figures.report().assertions.into_iter().map(|it| {
        let verdict = if it.holds { "holds" } else { "fails" };
        (format!("{} ", it.text), format!("{verdict}: {}", it.value))
    });
    Section { title: "Assertions", rows: rows.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_that_are_the_same_are_told_once() {
        let words = |text: &str| {
            let all = text.split(',').map(|stage| stage.parse().unwrap()).collect();
            stages_words(&Stages::new(all).unwrap().unwrap())
        };
        assert_eq!(words("1s:500"), "500 messages/s per room in 1 stage");
        assert_eq!(words("1s:500,1s:0..9"), "0 to 500 messages/s per room in 2 stages");
    }

    #[test]
    fn no_memory_is_no_figure() {
        for nothing in [-300.0, 0.0, 18.8] {
            assert!(growth(nothing).starts_with("n/a"), "{nothing}");
        }
        assert_eq!(growth(300.0), "300 B");
    }
}
