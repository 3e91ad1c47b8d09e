//! Proves that handlers wait, and run tasks beside, the same on every executor, and that they cost
//! an executor nothing that the program did not ask for.

use std::cell::Cell;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use corecast::{Client, Event, Executor, ExecutorChoice, Message, Server};
use serde_json::json;

use crate::socket::{PATIENCE, Socket, builder};
use crate::support::{filter, http};

/// Those that start here, each with whether the program has asked for it.
fn executors() -> Vec<Executor> {
    match filter::glommio_starts() {
        true => vec![Executor::Auto, Executor::Plain, Executor::Glommio],
        false => vec![Executor::Auto, Executor::Plain],
    }
}

/// A handler that waits for a timer and a task.
async fn wait(client: Client, event: Event) -> corecast::HandlerResult {
    let number: u32 = event.parse()?;
    corecast::sleep(Duration::from_millis(3)).await;
    // None of it need be sent to another thread.
    let left = Rc::new(Cell::new(3));
    let counted = Rc::clone(&left);
    let doubled = corecast::spawn(async move {
        while counted.get() > 0 {
            corecast::sleep(Duration::from_millis(1)).await;
            counted.set(counted.get() - 1);
        }
        number * 2
    });
    let doubled = doubled.await.ok_or("the task has ended")?;
    assert_eq!(left.get(), 0);
    Ok(client.try_publish(Message::event("done", doubled)?)?)
}

#[test]
fn handlers_wait_for_timers_and_tasks_on_every_executor() {
    for executor in executors() {
        let server = builder().shards(1).executor(executor).on("wait", wait).start().unwrap();
        let mut socket = Socket::connect(server.local_addr());
        for number in 0..20 {
            socket.send(&json!({"event": "wait", "data": number}));
            socket.expect(json!({"event": "done", "data": number * 2}));
        }
        server.shutdown(PATIENCE);
    }
}

#[test]
fn a_server_knows_what_it_runs_on() {
    for executor in executors() {
        let server = builder().executor(executor).start().unwrap();
        match (executor, server.executor()) {
            (Executor::Plain, ExecutorChoice::Plain { obstacle: None })
            | (Executor::Glommio, ExecutorChoice::Glommio { asked: true }) => {}
            (Executor::Auto, ExecutorChoice::Glommio { asked: false }) => {
                assert!(filter::glommio_starts());
            }
            (Executor::Auto, ExecutorChoice::Plain { obstacle: Some(obstacle) }) => {
                assert!(!filter::glommio_starts());
                assert!(obstacle.reason.contains("io_uring"), "{obstacle:?}");
            }
            (asked, choice) => panic!("{asked:?} became {choice:?}"),
        }
    }
}

#[test]
fn a_spawned_task_goes_on_unless_it_panics_whether_or_not_it_is_awaited() {
    for executor in executors() {
        let (ran, runs) = channel();
        let server = builder()
            .shards(1)
            .executor(executor)
            .on("spawn", async move |client: Client, event: Event| {
                let ran = ran.clone();
                drop(corecast::spawn(async move {
                    corecast::sleep(Duration::from_millis(1)).await;
                    ran.send(())
                }));
                let ended = corecast::spawn(async { panic!("on purpose") }).await;
                let said = Message::event("ended", ended.is_none())?;
                Ok(client.reply_to(&event).try_publish(said)?)
            })
            .start()
            .unwrap();
        let mut socket = Socket::connect(server.local_addr());
        let answer = socket.request(json!({"event": "spawn"}));
        assert_eq!(answer["data"], json!(true));
        runs.recv_timeout(PATIENCE).unwrap();
        server.shutdown(PATIENCE);
    }
}

#[test]
fn other_threads_have_their_own_ways_to_wait() {
    let panic = catch_unwind(|| drop(corecast::sleep(Duration::ZERO))).unwrap_err();
    let words = panic.downcast_ref::<String>().unwrap();
    assert!(words.contains("corecast::sleep works on the threads of shards"), "{words}");
    let panic = catch_unwind(|| drop(corecast::spawn(async {}))).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("corecast::spawn"));
}

#[test]
fn a_loop_that_sleeps_for_no_time_leaves_the_shard_to_its_other_connections() {
    for executor in executors() {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let server = builder()
            .shards(1)
            .executor(executor)
            .on("loop", async move |client: Client, _: Event| {
                client.try_publish(Message::event("begun", 1)?)?;
                while !stopped.load(Ordering::Relaxed) {
                    corecast::sleep(Duration::ZERO).await;
                }
                Ok(client.try_publish(Message::event("done", 1)?)?)
            })
            .start()
            .unwrap();
        let [mut loops, mut other] = [(); 2].map(|()| Socket::connect(server.local_addr()));
        loops.send(&json!({"event": "loop"}));
        loops.expect(json!({"event": "begun", "data": 1}));
        other.assert_alive();
        stop.store(true, Ordering::Relaxed);
        loops.expect(json!({"event": "done", "data": 1}));
        server.shutdown(PATIENCE);
    }
}

#[test]
fn a_filter_that_kills_threads_costs_the_look_for_io_uring_and_not_the_program() {
    for call in filter::IO_URING {
        // The filter is this thread's, and that of the threads which it starts.
        let filtered = thread::spawn(move || {
            let program = filter::program(&[call], filter::KILL_THREAD);
            seccompiler::apply_filter(&program).unwrap();
            let server = Server::builder().listen("127.0.0.1:0").start().unwrap();
            let ExecutorChoice::Plain { obstacle: Some(obstacle) } = server.executor() else {
                panic!("glommio does not start where its threads are killed");
            };
            assert!(obstacle.reason.contains("seccomp filter"), "{obstacle:?}");
            Socket::connect(server.local_addr()).assert_alive();
        });
        filtered.join().unwrap();
    }
}

/// The bound holds however slow the machine is: a shard that yields once per millisecond has a poll
/// for each that goes by, and some for each message and its answer.
#[test]
fn a_handler_that_waits_on_glommio_does_not_make_the_shard_spin() {
    const PINGS: u64 = 200;
    const POLLS_PER_PING: u64 = 8;
    if !filter::glommio_starts() {
        return;
    }
    let server = builder()
        .shards(1)
        .executor(Executor::Glommio)
        .on("wait", async |client: Client, _: Event| {
            client.try_publish(Message::event("begun", 1)?)?;
            corecast::sleep(Duration::MAX).await;
            Ok(())
        })
        .start()
        .unwrap();
    let [mut waits, mut other] = [(); 2].map(|()| Socket::connect(server.local_addr()));
    waits.send(&json!({"event": "wait"}));
    waits.expect(json!({"event": "begun", "data": 1}));
    let (before, begun) = (runtime(&server, "polls"), Instant::now());
    for _ in 0..PINGS {
        other.assert_alive();
        thread::sleep(Duration::from_micros(500));
    }
    let polls = runtime(&server, "polls") - before;
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap();
    assert!(polls < 2 * millis + POLLS_PER_PING * PINGS, "{polls} polls in {millis} ms");
}

/// A figure of the only shard's runtime.
fn runtime(server: &Server, figure: &str) -> u64 {
    let stats = http(server.local_addr(), "GET", "/v1/stats", &[], "").json();
    stats["shards"][0]["runtime"][figure].as_u64().unwrap()
}

/// Turns of a shard while a handler waits for a fifth of a second.
fn turns_of_a_wait(executor: Executor) -> u64 {
    let server = builder()
        .shards(1)
        .executor(executor)
        .on("wait", async |client: Client, event: Event| {
            corecast::sleep(Duration::from_millis(200)).await;
            Ok(client.reply_to(&event).try_publish(Message::event("done", ())?)?)
        })
        .start()
        .unwrap();
    let mut socket = Socket::connect(server.local_addr());
    let before = runtime(&server, "turns");
    socket.request(json!({"event": "wait"}));
    runtime(&server, "turns") - before
}

#[test]
fn a_program_that_did_not_ask_for_glommio_pays_for_few_yields() {
    for executor in [Executor::Auto, Executor::Plain] {
        let turns = turns_of_a_wait(executor);
        assert!(turns < 50, "{turns} turns for one message on {executor:?}");
    }
}
