//! The parts of the engine, timed one by one. `cargo bench -p corecast-benches`.

#![allow(missing_docs, reason = "criterion's macros make functions")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use corecast_benches::micro::{
    DashRoom, Encoder, EngineRoom, Frames, Hop, MEMBERS, PAYLOADS, Room,
};
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Frames of one read.
const READ: usize = 16;

/// Runs `prepare` untimed before each timed `routine`.
fn timed<S>(
    state: &mut S,
    count: u64,
    mut prepare: impl FnMut(&mut S),
    mut routine: impl FnMut(&mut S),
) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..count {
        prepare(state);
        let begin = Instant::now();
        routine(state);
        total += begin.elapsed();
    }
    total
}

fn join_and_leave(c: &mut Criterion) {
    fn join_and_leave_in<R: Room>(group: &mut Group<'_>, name: &str, members: usize) {
        let mut room = R::new(members, 128);
        group.bench_function(BenchmarkId::new(name, members), |b| {
            b.iter(|| black_box(room.join_and_leave()));
        });
    }
    let mut group = c.benchmark_group("join and leave");
    for members in MEMBERS {
        join_and_leave_in::<EngineRoom>(&mut group, "engine", members);
        join_and_leave_in::<DashRoom>(&mut group, "DashMap", members);
    }
}

/// From the command's bytes until every member's bytes lie ready for a system call.
fn publish(c: &mut Criterion) {
    fn publish_in<R: Room>(group: &mut Group<'_>, name: &str, members: usize) {
        let mut room = R::new(members, 128);
        group.bench_function(BenchmarkId::new(name, members), |b| {
            b.iter(|| {
                room.publish();
                black_box(room.flush())
            });
        });
    }
    let mut group = c.benchmark_group("publish to all members");
    for members in MEMBERS {
        group.throughput(Throughput::Elements(members as u64));
        publish_in::<EngineRoom>(&mut group, "engine", members);
        publish_in::<DashRoom>(&mut group, "DashMap", members);
    }
}

/// Only what a member costs per send besides the system call, however many messages it carries.
fn flush(c: &mut Criterion) {
    let mut group = c.benchmark_group("flush bookkeeping");
    for members in MEMBERS {
        group.throughput(Throughput::Elements(members as u64));
        for messages in [1, 64] {
            let mut room = EngineRoom::new(members, 128);
            let name = format!("{messages} messages per send");
            group.bench_function(BenchmarkId::new(name, members), |b| {
                b.iter_custom(|count| {
                    let prepare =
                        |room: &mut EngineRoom| (0..messages).for_each(|_| room.publish());
                    timed(&mut room, count, prepare, |room| {
                        black_box(room.flush());
                    })
                });
            });
        }
    }
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame decode and unmask");
    for payload in PAYLOADS {
        let mut frames = Frames::new(READ, payload);
        group.throughput(Throughput::Elements(READ as u64));
        group.bench_function(BenchmarkId::from_parameter(payload), |b| {
            b.iter(|| black_box(frames.decode()));
        });
    }
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("envelope encode");
    for payload in PAYLOADS {
        let encoder = Encoder::new(payload);
        group.bench_function(BenchmarkId::new("for a room", payload), |b| {
            b.iter(|| black_box(encoder.encode_for_room()));
        });
        group.bench_function(BenchmarkId::new("whole", payload), |b| {
            b.iter(|| black_box(encoder.encode_whole()));
        });
    }
}

fn hop(c: &mut Criterion) {
    let mut group = c.benchmark_group("lane round trip");
    for payload in PAYLOADS {
        let mut hop = Hop::new(payload);
        group.bench_function(BenchmarkId::from_parameter(payload), |b| {
            b.iter_custom(|count| {
                let flush = |hop: &mut Hop| {
                    hop.flush();
                };
                timed(&mut hop, count, flush, Hop::publish)
            });
        });
    }
}

criterion_group!(benches, join_and_leave, publish, flush, decode, encode, hop);
criterion_main!(benches);
