//! The real shards in a simulated world: seeded, with a virtual clock and faulty wires, and a dumb
//! model as judge. Here is how it works:
//!
//! 1. A seed decides everything before the first step (`faults`: `Setup`): how many shards, rings,
//!    connections and rooms there are, how small the limits are, how likely each fault is.
//! 2. The `world` holds the shards, the rings between them (`mesh`), the sockets (`sends`), the
//!    clients (`client`, `script`) with what they may do (`rights`) and who
//!    they are (`tokens`), and the embedding program (`program`). It drives the shards
//!    through their public seam alone, as the runtime does.
//! 3. In each step the one scheduler picks a shard and one kind of thing to happen to it: bytes
//!    arrive, messages move on or off rings one at a time, sends begin or end, clients read, act or
//!    vanish, callers ask, time passes. All chance comes from the seed (`chance`).
//! 4. Whatever a socket takes goes at once before the judge: `view` reads the frames with code of
//!    its own (`wire`) and knows what that one client may see; `model` is what all clients share: a
//!    map from places in rooms to messages. `stream` is the same for clients of event streams.
//! 5. Every end of a connection must have a reason (`goodbye`).
//! 6. After the last step there is peace (`quiet`): no faults, no new input, every client reads. When
//!    nothing moves any more, everything must have arrived, every command must be answered, every
//!    log empty and every home's count right. Some seeds end with the server's drain instead.
//! 7. In a quarter of the worlds memory is short (`memory`): whatever is shed must be shed in time and from
//!    clients that may lose something.
//! 8. In some worlds all shards together may have few rooms, or few memberships (`totals`).
//! 9. In others clients may speak only so fast: a model says exactly what passes (`rates`).
//! 10. Some clients agree to compression (`deflate`), which is a plain one here (`runs`).
//! 11. In some worlds publishers repeat themselves (`keys`): what has the key of another message is not
//!     delivered.
//! 12. In some worlds the program watches rooms and members (`watching`), and must know them exactly.
//! 13. Some rooms keep messages (`history`): who comes back gets what must be kept, and nothing twice.
//! 14. Some clients ask who is in a room, or watch that (`presence`): when all is quiet they know it exactly.
//! 15. Some handshakes name rooms (`named`), which is as if their clients had asked to join them; and
//!     connections are handed to the homes of those (`placing`): each begins once, and where a server
//!     ends, those on their way end with it.
//! 16. In some rooms messages wait for others (`linger`): they are sent when that is over, and not before.
//! 17. Everything that the run is for is counted (`count`); a run in which something happened too
//!     rarely has shown nothing and fails.
//! 18. The harness can also lie (`lies`): then the judge, or an assertion of the engine, must notice.
//!
//! In some seeds a shard is driven as the runtime drives it (`turns`): in turns, and only while it
//! asks for them. A shard that sleeps must have nothing to do.
//!
//! An ordinary run is the same on every machine: so many seeds, each the same wherever and whenever
//! it runs. `CORECAST_SEED=n` replays one and prints its steps; `CORECAST_SEEDS=n` runs the first n.

#![allow(clippy::unwrap_used)]

mod bounds;
mod chance;
mod client;
mod count;
mod crash;
mod deflate;
mod faults;
mod goodbye;
mod history;
mod keys;
mod lies;
mod linger;
mod memory;
mod mesh;
mod model;
mod named;
mod placing;
mod policies;
mod presence;
mod program;
mod quiet;
mod rates;
mod rights;
mod runs;
mod script;
mod sends;
mod stream;
mod tokens;
mod totals;
mod turns;
mod view;
mod watching;
mod wire;
mod world;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chance::Chance;
use corecast_shards::{Codecs, Deflater, Inflater, NotInflated, SlowPolicy, Window};
use count::Count;
use faults::Setup;
use lies::{Lie, Lying};
use linger::Lingers;
use policies::Rule;
use world::World;

/// Seeds of an ordinary run: about a minute on two cores that have nothing else to do.
const SEEDS: u64 = 3_000;

/// With fewer seeds than these it is not checked how often everything happened.
const SEEDS_MIN: u64 = 1_000;

/// How long clients may be silent where a lie is about that.
const PING: Duration = Duration::from_secs(5);

/// Failures after which a run stops.
const FAILURES: usize = 12;

thread_local! {
    /// Whether a panic on this thread is expected and none of the reader's business.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Keeps those panics silent that show that a lie was noticed.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Runs one seed; the error says in which step what went wrong.
fn run_seed(seed: u64, tracing: bool) -> Result<Count, String> {
    let mut chance = Chance::new(seed);
    let setup = Setup::drawn(&mut chance);
    if tracing {
        println!("seed {seed}: {setup:#?}");
    }
    let mut world = World::new(setup, chance, Lying::new(Lie::None, 0), tracing);
    judge(&mut world).map_err(|what| format!("seed {seed}, {what}"))?;
    Ok(world.count)
}

fn judge(world: &mut World) -> Result<(), String> {
    let run = catch_unwind(AssertUnwindSafe(|| world.run()));
    run.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("step {}: {}", world.step, text.unwrap_or_default())
    })
}

#[test]
fn every_seed_ends_in_the_quiet_state() {
    if let Some(seed) = variable("CORECAST_SEED") {
        run_seed(seed, true).unwrap();
        return;
    }
    let seeds = variable("CORECAST_SEEDS").unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let (total, failures) = (Mutex::new(Count::new()), Mutex::new(Vec::new()));
    let begin = Instant::now();
    let worker = || {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            match run_seed(seed, false) {
                Ok(count) => total.lock().unwrap().merge(&count),
                Err(what) => {
                    eprintln!("{what}");
                    let mut failures = failures.lock().unwrap();
                    failures.push(what);
                    failed.store(failures.len() >= FAILURES, Ordering::Relaxed);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(worker)));
    });
    println!("{seeds} seeds in {:?}", begin.elapsed());
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "replay with CORECAST_SEED: {failures:#?}");
    let total = total.into_inner().unwrap();
    total.print();
    if seeds >= SEEDS_MIN {
        total.check_coverage(seeds);
    }
}

/// Lies in one seed after the other, until enough of them had an occasion for it.
fn check_noticed(lie: Lie, prepare: impl Fn(&mut Setup)) {
    const TIMES: usize = 10;
    hush();
    let (mut lies, mut seed) = (0, 0);
    while lies < TIMES {
        seed += 1;
        assert!(seed < 500, "there were only {lies} occasions for {lie:?}");
        let world = |lie: Lie| {
            let mut chance = Chance::new(seed);
            let mut setup = Setup::honest(&mut chance);
            prepare(&mut setup);
            // There are few slots whose new owner asks for the same room, few members that are named in
            // a census, and few that have a name or a watcher of their own.
            let is_rare = matches!(
                lie,
                Lie::ReplayJoined
                    | Lie::LoseCensus
                    | Lie::LoseIdentity
                    | Lie::LosePresenceLeave
                    | Lie::OtherInfo
                    | Lie::MoreBytesLinger
            );
            let patience = if is_rare { 0 } else { chance.below(20) };
            World::new(setup, chance, Lying::new(lie, patience), false)
        };
        let mut lying = world(lie);
        QUIET.set(true);
        let noticed = judge(&mut lying);
        QUIET.set(false);
        if lying.lying.done {
            lies += 1;
            let Err(what) = noticed else { panic!("{lie:?} in seed {seed} was not noticed") };
            println!("{lie:?} in seed {seed}: {what}");
            assert_eq!(judge(&mut world(Lie::None)), Ok(()), "the truth in seed {seed}");
        } else {
            assert_eq!(noticed, Ok(()), "there was no lie in seed {seed}");
        }
    }
}

#[test]
fn two_swapped_messages_are_noticed() {
    check_noticed(Lie::Swap, |_| ());
    check_noticed(Lie::SwapPublishes, |setup| setup.rooms = 1);
}

#[test]
fn a_lost_message_is_noticed() {
    check_noticed(Lie::Lose, |_| ());
}

#[test]
fn a_doubled_message_is_noticed() {
    check_noticed(Lie::Double, |_| ());
}

#[test]
fn a_message_that_is_delivered_twice_under_another_key_is_noticed() {
    check_noticed(Lie::AnotherKey, |setup| setup.keys = 0.5);
}

#[test]
fn bytes_that_no_socket_took_are_noticed() {
    check_noticed(Lie::TooManyBytes, |setup| setup.faults.short_write = 0.3);
}

#[test]
fn a_lost_writable_is_noticed() {
    check_noticed(Lie::LoseWritable, |setup| setup.faults.short_write = 0.3);
}

#[test]
fn an_answer_for_the_former_owner_of_a_slot_is_noticed() {
    check_noticed(Lie::ReplayJoined, |setup| {
        setup.faults.hang_up = 0.05;
        (setup.rooms, setup.connections) = (1, 20);
        (setup.pace.mesh, setup.pace.receive, setup.pace.connect) = (60, 60, 60);
    });
}

#[test]
fn a_member_too_many_is_noticed() {
    check_noticed(Lie::OneMemberTooMany, |_| ());
}

#[test]
fn a_wrong_count_of_members_is_noticed() {
    check_noticed(Lie::WrongMembers, |_| ());
}

#[test]
fn an_end_before_its_time_is_noticed() {
    check_noticed(Lie::SlowBeforeItsTime, |setup| setup.faults.short_write = 0.3);
    check_noticed(Lie::IdleBeforeItsTime, |setup| setup.config.limits.ping_interval = PING);
}

#[test]
fn a_gap_before_its_time_is_noticed() {
    check_noticed(Lie::GapBeforeItsTime, |setup| {
        setup.faults.short_write = 0.3;
        setup.config.slow = SlowPolicy::Skip;
    });
}

#[test]
fn a_lost_ping_is_noticed() {
    check_noticed(Lie::LosePing, |setup| {
        setup.config.limits.ping_interval = PING;
        setup.config.limits.ping_timeout = PING;
        // So that shards come to rest, and time passes.
        (setup.by_turns, setup.pace.client, setup.pace.time) = (true, 2, 20);
        setup.faults.jump = 0.02;
        // A client that speaks before the ping is missed needs none.
        (setup.burst, setup.read_bytes, setup.steps) = (1, 64 << 10, setup.steps.max(5_000));
    });
}

#[test]
fn a_lost_welcome_is_noticed() {
    check_noticed(Lie::LoseWelcome, |_| ());
}

#[test]
fn a_lost_event_is_noticed() {
    check_noticed(Lie::LoseEvent, |setup| setup.streams = 0.5);
}

#[test]
fn a_lost_comment_is_noticed() {
    check_noticed(Lie::LoseComment, |setup| {
        (setup.streams, setup.config.limits.ping_interval) = (0.5, PING);
        // So that shards come to rest, and time passes.
        (setup.by_turns, setup.pace.client, setup.pace.time) = (true, 2, 20);
        // No jump over the time between the lost comment and the next.
        setup.steps = setup.steps.max(8_000);
    });
}

#[test]
fn an_ack_after_a_later_message_is_noticed() {
    check_noticed(Lie::LateAck, |_| ());
}

#[test]
fn a_client_that_stays_behind_its_end_is_noticed() {
    check_noticed(Lie::LongerStay, |setup| {
        (setup.known, setup.by_turns, setup.pace.time) = (1.0, false, 20);
        setup.steps = setup.steps.max(5_000);
    });
}

#[test]
fn a_member_with_another_window_is_noticed() {
    check_noticed(Lie::WrongWindow, |setup| setup.deflate = 0.6);
}

#[test]
fn a_frame_for_another_connection_is_noticed() {
    check_noticed(Lie::EmitToAnother, |_| ());
}

/// Clients often leave a room that keeps everything, and come back.
fn come_back(setup: &mut Setup) {
    setup.keep_everything();
    (setup.rooms, setup.steps) = (2, setup.steps.max(5_000));
    setup.config.tuning.send_bytes = 300;
}

#[test]
fn a_history_that_does_not_come_is_noticed() {
    check_noticed(Lie::LoseHistory, come_back);
}

#[test]
fn a_message_that_is_missing_in_a_history_or_comes_twice_is_noticed() {
    check_noticed(Lie::LoseReplayed, come_back);
    check_noticed(Lie::DoubleReplayed, come_back);
}

#[test]
fn another_life_of_a_room_is_noticed() {
    check_noticed(Lie::OtherEpoch, come_back);
}

/// Clients watch who is in rooms, and ask.
fn watch(setup: &mut Setup) {
    (setup.presence, setup.known, setup.rooms) = (0.5, 0.8, 1);
    (setup.config.limits.presence_max, setup.steps) = (1_000, setup.steps.max(5_000));
}

#[test]
fn a_user_that_is_missing_or_somebody_else_is_noticed() {
    check_noticed(Lie::LoseCensus, |setup| {
        watch(setup);
        // Those without a token stay.
        setup.known = 0.0;
    });
    check_noticed(Lie::LoseIdentity, |setup| {
        watch(setup);
        // Few have the same name, which would be listed in any case.
        setup.known = 0.1;
    });
}

#[test]
fn information_of_somebody_else_is_noticed() {
    check_noticed(Lie::OtherInfo, |setup| {
        watch(setup);
        // Many stay.
        setup.known = 0.1;
    });
}

#[test]
fn a_change_of_presence_that_does_not_come_is_noticed() {
    check_noticed(Lie::LosePresenceChange, watch);
}

#[test]
fn one_that_has_left_and_is_still_shown_is_noticed() {
    check_noticed(Lie::LosePresenceLeave, |setup| {
        watch(setup);
        // So that all are named again when they are fewer.
        (setup.config.limits.presence_max, setup.known) = (30, 0.1);
    });
}

/// Connections are handed to the homes of their rooms.
fn place(setup: &mut Setup) {
    (setup.named, setup.pace.connect) = (1.0, 20);
}

#[test]
fn a_connection_that_is_lost_or_leaked_on_its_way_is_noticed() {
    check_noticed(Lie::LoseParcel, place);
    check_noticed(Lie::KeepDescriptor, place);
}

/// Messages of every room wait for others.
fn linger(setup: &mut Setup, millis: u64, bytes: usize) {
    let duration = Duration::from_millis(millis);
    setup.rules = vec![Rule::lingering(Lingers { duration, bytes })];
    setup.config.rooms = policies::of_config(&setup.rules);
}

#[test]
fn messages_that_are_sent_before_their_time_are_noticed() {
    check_noticed(Lie::LingerTooShort, |setup| {
        linger(setup, 1_000, 1 << 20);
        (setup.rooms, setup.pace.time, setup.verbatim) = (1, 2, false);
    });
}

#[test]
fn messages_that_linger_for_too_long_are_noticed() {
    check_noticed(Lie::LingerTooLong, |setup| linger(setup, 100, 1 << 20));
    check_noticed(Lie::MoreBytesLinger, |setup| linger(setup, 1_000, 300));
}
