//! The figures of all shards.

use std::collections::BTreeMap;
use std::time::Duration;

use corecast_shards::{
    Amount, Answer, Counters, Disconnect, Latencies, Limits, ShardStats, Stay, Unrecovered,
};
use serde_json::{Map, Value, json};

use super::response::{Answered, ok};
use super::{Backend, ProcessFigures, ThreadStats};

/// What every shard has and has done, and the limits.
pub(super) async fn stats(shard: &impl Backend) -> Answered {
    let answers = shard.query_all(|| corecast_shards::Query::Stats).await?;
    let shards: Vec<Box<ShardStats>> = answers
        .into_iter()
        .filter_map(|answer| match answer {
            Answer::Stats(stats) => Some(stats),
            _ => None,
        })
        .collect();
    let connections: u64 = shards.iter().map(|stats| stats.connections).sum();
    ok(&json!({
        "connections": connections,
        "shards": shards.iter().map(|stats| describe(stats, shard.thread(stats.shard))).collect::<Vec<_>>(),
        "limits": limits(shard.limits()),
        "http_connections": shard.http_connections(),
        "refused": shard.rules().refusals.counts().collect::<BTreeMap<_, _>>(),
        "memory": process_memory(&shard.process_memory()),
        "tls": shard.tls_reloads().map(|(reloads, failures)| {
            json!({"reloads": reloads, "reload_failures": failures})
        }),
        "anonymous": shard.rules().anonymous.to_string(),
        "executor": shard.executor().name(),
        "executor_reason": shard.executor().reason(),
    }))
}

fn describe(stats: &ShardStats, thread: ThreadStats) -> Value {
    let counters = &stats.counters;
    json!({
        "shard": stats.shard.index(),
        "core": thread.core,
        "connections": stats.connections,
        "memberships": stats.memberships,
        "rooms": stats.rooms,
        "log_bytes": stats.log_bytes,
        "log_bytes_max_room": stats.log_bytes_max_room,
        "paused": stats.waiting,
        "blocked": stats.blocked,
        "pressed_rooms": stats.paused_rooms,
        "published": counters.published,
        "publish_keys": stats.publish_keys,
        "repeated": counters.publish_keys.repeated,
        "keys_forgotten": counters.publish_keys.forgotten,
        "delivered": counters.delivered,
        "sends": counters.sends,
        "gaps": counters.gaps,
        "rate_limited": counters.rate_limited,
        "too_many_rooms": counters.too_many_rooms,
        "placed": counters.placement.taken_over,
        "handed_over": counters.placement.handed_over,
        "placement_refused": placement_refused(counters),
        "opened": counters.opened,
        "closed": closed(&counters.closed),
        "forbidden": counters.forbidden,
        "refreshed": counters.refreshed,
        "revocations": stats.revocations,
        "refused_as_revoked": counters.refused_as_revoked,
        "mesh_sent": counters.mesh_sent,
        "log_bytes_copied": counters.log_bytes_copied,
        "rest_bytes_copied": counters.rest_bytes_copied,
        "deflate": deflate(counters),
        "history": history(stats),
        "presence": presence(stats),
        "memory": memory(stats),
        "latency_us": latencies(&counters.latencies),
        "runtime": runtime(&thread),
    })
}

/// What the process holds, of how much. `resident` is what the kernel says, and what the limit is about.
fn process_memory(figures: &ProcessFigures) -> Value {
    json!({
        "limit": figures.limit,
        "resident": figures.resident,
        "stage": figures.stage.name(),
        "connections_refused": figures.connections_refused,
    })
}

/// The bytes that a shard holds, by what they are for, and what was shed for want of more.
fn memory(stats: &ShardStats) -> Value {
    let (held, shed) = (&stats.memory, &stats.counters.memory);
    json!({
        "stage": stats.memory_stage.name(),
        "used": held.total(),
        "connections": held.connections,
        "inbound": held.inbound,
        "direct": held.direct,
        "rooms": held.rooms,
        "logs": held.logs,
        "history": held.history,
        "presence": held.presence,
        "mesh": held.mesh,
        "outside": held.outside,
        "rooms_refused": shed.rooms_refused,
        "reads_stopped": shed.reads_stopped,
        "members_struck": shed.members_struck,
        "connections_struck": shed.connections_struck,
        "publishes_paused": shed.publishes_paused,
    })
}

/// Of how many rooms it is known who is there, and who was told that.
fn presence(stats: &ShardStats) -> Value {
    let presence = &stats.counters.presence;
    json!({
        "rooms": stats.presence_rooms,
        "users": stats.presence_users,
        "watchers": stats.presence_watchers,
        "censuses": presence.censuses,
        "states": presence.states,
        "changes": presence.changes,
        "refused": presence.refused,
    })
}

/// How many rooms keep messages, and what became of clients that asked for those that they missed.
fn history(stats: &ShardStats) -> Value {
    let history = &stats.counters.history;
    let journal = &history.journal;
    let refused = Unrecovered::ALL.map(|reason| (reason.as_str(), history.refused[reason.index()]));
    json!({
        "rooms": stats.histories,
        "replaying": stats.replaying,
        "replay_wait": stats.replay_waits.as_secs_f64(),
        "recovered": history.recovered,
        "refused": BTreeMap::from(refused),
        "evicted": history.evicted,
        "replayed": history.replayed,
        "replayed_bytes": history.replayed_bytes,
        "journal": {
            "taken_up": journal.taken_up,
            "bytes": journal.bytes,
            "bytes_again": journal.bytes_again,
            "lost": journal.lost,
            "failed": journal.failed,
        },
    })
}

/// What was compressed and inflated.
fn deflate(counters: &Counters) -> Value {
    let (deflated, inflated) = (&counters.deflated, &counters.inflated);
    json!({
        "connections_opened": counters.opened_with_deflate,
        "messages": deflated.messages,
        "bytes_before": deflated.bytes_before,
        "bytes_after": deflated.bytes_after,
        "not_worth": deflated.not_worth,
        "beyond_turn": deflated.beyond_turn,
        "inflated_messages": inflated.messages,
        "inflated_bytes_before": inflated.bytes_before,
        "inflated_bytes_after": inflated.bytes_after,
        "inflate_refused": inflated.refused,
    })
}

/// Connections that stayed where they were accepted, though their room's home is elsewhere.
fn placement_refused(counters: &Counters) -> Value {
    let refused = Stay::ALL.into_iter().filter(|stay| *stay != Stay::AtHome);
    let stayed = refused.map(|stay| (stay.name(), counters.placement.stayed[stay.index()]));
    json!(stayed.collect::<BTreeMap<_, _>>())
}

/// Bucket by its end.
fn latencies(latencies: &Latencies) -> Value {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let bucket = |(end, count): (Duration, u64)| (micros(end).to_string(), count.into());
    json!({
        "count": latencies.count(),
        "p50": micros(latencies.quantile(0.5)),
        "p99": micros(latencies.quantile(0.99)),
        "max": micros(latencies.max()),
        "below": Value::Object(latencies.buckets().map(bucket).collect()),
    })
}

/// What the shard's thread asked of the kernel.
fn runtime(thread: &ThreadStats) -> Value {
    let counts = thread.counts;
    json!({
        "sends_by": if thread.sends_on_ring { "ring" } else { "plain" },
        "turns": counts.turns,
        "sends": counts.sends,
        "send_batches": counts.send_batches,
        "sends_batched": counts.sends_batched,
        "reads": counts.reads,
        "polls": counts.polls,
        "timer_sets": counts.timer_sets,
        "accepts": counts.accepts,
        "doorbell_writes": thread.waker_writes,
        "evicted": counts.evicted,
        "refused": counts.refused,
        "tls_handshakes": counts.tls_handshakes,
        "tls_resumed": counts.tls_resumed,
        "tls_failed": counts.tls_failed,
        "tls_bytes": counts.tls_bytes,
        "http_bytes": counts.http_bytes,
        "failures": thread.failures,
    })
}

fn closed(counts: &[u64; Disconnect::COUNT]) -> Value {
    let named = Disconnect::ALL.iter().map(|reason| (reason.name(), counts[reason.index()]));
    Value::Object(named.map(|(name, count)| (name.to_owned(), count.into())).collect::<Map<_, _>>())
}

/// Every limit under the name of its flag; durations in seconds.
fn limits(limits: &Limits) -> Value {
    let shown = |amount| match amount {
        Amount::Bytes(number) | Amount::Count(number) => Value::from(number),
        Amount::Time(time) => time.as_secs_f64().into(),
    };
    let entries = Limits::TABLE.iter().filter_map(|limit| Some((limit.key(), limit.get(limits)?)));
    Value::Object(entries.map(|(key, amount)| (key, shown(amount))).collect())
}
