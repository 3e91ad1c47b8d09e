//! All figures for programs. Names stay; new ones may come.

use std::time::UNIX_EPOCH;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::figures::Latency;
use crate::lead::record::Figures;
use crate::setup::args::{WindowBy, command_line};
use crate::setup::plan::{Pace, Plan};
use crate::watch::clock::seconds;

/// Changes when a name does.
const FORMAT: u32 = 1;

pub(crate) fn json(figures: &Figures) -> Value {
    let plan = &figures.shared.plan;
    let began = figures.record.began.and_then(|began| began.duration_since(UNIX_EPOCH).ok());
    json!({
        "format": FORMAT,
        "scenario": plan.scenario.name(),
        "command": command_line(),
        "version": env!("CARGO_PKG_VERSION"),
        "started_unix": began.map(|began| began.as_secs()),
        "interrupted": figures.shared.is_interrupted(),
        "seconds": figures.seconds(),
        "machine": {
            "cpu": figures.machine.cpu,
            "cores": figures.machine.cores,
            "memory_bytes": figures.machine.memory,
            "kernel": figures.machine.kernel,
        },
        "settings": settings(plan),
        "connections": connections(figures),
        "messages": messages(figures),
        "latency_us": latency_with_method(figures),
        "errors": errors(figures),
        "gaps": {
            "announced": figures.outcome.tally.gaps,
            "messages": figures.outcome.tally.skipped,
        },
        "slow_members": slow_members(figures),
        "pings_answered": figures.outcome.tally.pings,
        "server": server(figures),
        "generator": generator(figures),
        "waves": waves(figures),
        "series": series(figures),
    })
}

fn settings(plan: &Plan) -> Value {
    let mut settings = json!({
        "url": plan.target.url,
        "address": plan.address.to_string(),
        "members": plan.members,
        "event_streams": plan.event_streams(),
        "rooms": plan.streams.rooms,
        "publishers": plan.publishers(),
        "slow_members": (0..plan.members).filter(|&member| plan.slow.has(member)).count(),
        "threads": plan.threads,
        "sources": plan.sources.addresses.len(),
    });
    let Some(traffic) = &plan.traffic else { return settings };
    let (rate, window, by) = match traffic.pace {
        Pace::Rate(rate) => (Some(rate), None, None),
        Pace::Window(window, WindowBy::Deliveries) => (None, Some(window), Some("deliveries")),
        Pace::Window(window, WindowBy::Acks) => (None, Some(window), Some("acks")),
    };
    settings["rate_per_room"] = json!(rate);
    settings["window"] = json!(window);
    settings["window_by"] = json!(by);
    settings["payload_bytes"] = json!(traffic.size);
    settings["warm_up_seconds"] = json!(traffic.warm_up.as_secs_f64());
    settings["duration_seconds"] = json!(traffic.duration.as_secs_f64());
    settings
}

fn connections(figures: &Figures) -> Value {
    let counts = &figures.outcome.counts;
    json!({
        "wanted": figures.shared.plan.members,
        "opened": counts.ready,
        "failed": counts.failed,
        "closed": counts.closed,
        "connect_seconds": figures.connect_seconds(),
        "connects_per_second": figures.connects_per_second(),
        "handshake_us": latency(&figures.outcome.handshakes),
    })
}

fn slow_members(figures: &Figures) -> Value {
    let slow = figures.outcome.verdict.slow;
    json!({ "members": slow.members, "closed": slow.closed, "told_of_a_gap": slow.skipped })
}

fn messages(figures: &Figures) -> Value {
    let (tally, verdict) = (&figures.outcome.tally, &figures.outcome.verdict);
    json!({
        "published": figures.sent.published,
        "unsent": figures.sent.unsent,
        "acked": figures.sent.tally.acked,
        "expected": verdict.expected,
        "delivered": figures.delivered(),
        "lost": verdict.lost,
        "repeated": tally.repeated,
        "disordered": tally.disordered,
        "damaged": tally.damaged,
        "skipped": verdict.skipped,
        "skipped_readers": verdict.skipped_readers,
        "cut_off": verdict.cut_off,
        "compared": tally.compared,
        "other": tally.other,
        "published_per_second": figures.per_second(|snapshot| snapshot.published),
        "deliveries_per_second": figures.per_second(|snapshot| snapshot.received),
        "bytes_per_second": figures.per_second(|snapshot| snapshot.bytes),
    })
}

fn latency_with_method(figures: &Figures) -> Value {
    let traffic = figures.shared.plan.traffic.as_ref();
    let is_open = traffic.is_some_and(|traffic| matches!(traffic.pace, Pace::Rate(_)));
    let mut value = latency(figures.outcome.recorder.whole());
    value["loop"] = json!(if is_open { "open" } else { "closed" });
    value["sampled_one_in"] = json!(traffic.map(|traffic| traffic.sampled_one_in));
    value["publish_delay"] = latency(&figures.sent.delays);
    value
}

fn latency(histogram: &Histogram<u64>) -> Value {
    let it = Latency::of(histogram);
    let micros = |nanos: fn(&Latency) -> u64| it.as_ref().map(|it| nanos(it) as f64 / 1e3);
    json!({
        "count": histogram.len(),
        "mean": it.map(|it| it.mean / 1e3),
        "p50": micros(|it| it.p50),
        "p90": micros(|it| it.p90),
        "p99": micros(|it| it.p99),
        "p999": micros(|it| it.p999),
        "max": micros(|it| it.max),
    })
}

fn errors(figures: &Figures) -> Value {
    let kinds = figures.errors().kinds;
    Value::Object(
        kinds.into_iter().map(|(kind, count)| (kind, json!(count))).collect::<Map<_, _>>(),
    )
}

fn server(figures: &Figures) -> Value {
    let Some(server) = figures.server() else { return Value::Null };
    json!({
        "pids": figures.pids,
        "cpu_seconds": server.cpu_seconds,
        "cpu_share": server.cores,
        "cpu_per_delivery_ns": server.cpu_per_delivery,
        "cpu_per_connect_ns": server.cpu_per_connect,
        "rss_before_bytes": server.resident_before,
        "rss_connected_bytes": server.resident_connected,
        "rss_end_bytes": server.resident_end,
        "rss_max_bytes": server.resident_max,
        "rss_per_connection_bytes": server.resident_per_connection,
        "rss_slope_bytes": server.resident_slope,
    })
}

fn generator(figures: &Figures) -> Value {
    let generator = figures.generator();
    let thread = |(name, busy, waited): &(String, f64, f64)| json!({ "name": name, "busy": busy, "waited": waited });
    json!({
        "threads": generator.threads.iter().map(thread).collect::<Vec<_>>(),
        "busy": generator.busiest,
        "limited": generator.is_limited,
        "verified_per_second": generator.verified_per_second,
        "ns_per_message": generator.nanos_per_message,
        "messages_per_read": generator.messages_per_read,
        "capacity_per_second": generator.capacity_per_second,
    })
}

fn waves(figures: &Figures) -> Value {
    let waves = figures.record.waves.iter().map(|wave| {
        json!({
            "opened": wave.opened,
            "failed": wave.failed,
            "seconds": wave.seconds,
            "connects_per_second": wave.connects_per_second(),
        })
    });
    waves.collect()
}

fn series(figures: &Figures) -> Value {
    let points = figures.points();
    let points = points.iter().map(|point| {
        let micros = |nanos: Option<u64>| nanos.map(|nanos| nanos as f64 / 1e3);
        json!({
            "at_seconds": seconds(point.at),
            "deliveries_per_second": point.deliveries,
            "published_per_second": point.published,
            "connections": point.connections,
            "server_cpu": point.server_cores,
            "server_rss_bytes": point.resident,
            "generator_busy": point.generator_busy,
            "p50_us": micros(point.p50),
            "p99_us": micros(point.p99),
            "max_us": micros(point.max),
        })
    });
    points.collect()
}
