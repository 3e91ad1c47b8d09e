//! Proves what threads that know nothing of shards rely on: order, exactness, and `Full` instead of
//! memory that grows.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use corecast::{Broadcaster, Client, Event, Message, PublishError};
use futures_lite::future::block_on;
use serde_json::json;

use crate::socket::{PATIENCE, Socket, builder};
use crate::support::{Crowd, Envelope, Member, Outbox, heavy, wait_until};

const THREADS: usize = 8;
const MESSAGES: usize = 100_000;
const ROOMS: usize = 3;
const CLIENTS: usize = 500;

/// How many messages each thread publishes into each room, give or take none.
const EACH: usize = MESSAGES / THREADS;

#[test]
fn eight_threads_publish_to_500_clients_and_nothing_is_lost() {
    let _heavy = heavy();
    let server = builder().shards(2).start().unwrap();
    let (cast, address) = (server.broadcaster(), server.local_addr());
    let listening = AtomicUsize::new(0);
    thread::scope(|scope| {
        let crowd = scope.spawn(|| {
            let members = (0..CLIENTS).map(|n| Listener::new(n % ROOMS, &listening));
            Crowd::connect(address, members).run();
        });
        wait_until("all are members", || listening.load(Ordering::SeqCst) == CLIENTS);
        let publishers: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn({
                    let cast = cast.clone();
                    move || publish(&cast, thread)
                })
            })
            .collect();
        let full: usize = publishers.into_iter().map(|thread| thread.join().unwrap()).sum();
        println!("callers were told Full {full} times");
        crowd.join().unwrap();
    });
    for room in 0..ROOMS {
        let info = block_on(cast.room(&format!("r{room}"))).unwrap().unwrap();
        assert_eq!(info.offset as usize, share(room) * THREADS, "each message has one offset");
    }
    server.shutdown(PATIENCE);
}

/// How many of one thread's messages go to this room.
fn share(room: usize) -> usize {
    (0..EACH).filter(|n| n % ROOMS == room).count()
}

/// Publishes one thread's share, by all variants in turn. Returns how often there was no room.
fn publish(cast: &Broadcaster, thread: usize) -> usize {
    let mut full = 0;
    for n in 0..EACH {
        let room = cast.to_room(&format!("r{}", n % ROOMS));
        let mut message = Message::event("m", [thread, n]).unwrap();
        match n % 1_000 {
            0 => drop(block_on(room.publish(message)).unwrap()),
            1..500 => drop(room.unconfirmed().publish_blocking(message).unwrap()),
            _ => {
                while let Err(error) = room.try_publish(message) {
                    let PublishError::Full(refused) = error else { panic!("{error}") };
                    message = refused;
                    full += 1;
                    thread::yield_now();
                }
            }
        }
    }
    full
}

/// Expects every offset of its room, and every thread's messages in their order.
struct Listener<'a> {
    room: usize,
    heard: usize,
    last: [Option<usize>; THREADS],
    listening: &'a AtomicUsize,
}

impl<'a> Listener<'a> {
    fn new(room: usize, listening: &'a AtomicUsize) -> Listener<'a> {
        Listener { room, heard: 0, last: [None; THREADS], listening }
    }
}

impl fmt::Debug for Listener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a client of r{} that heard {} messages", self.room, self.heard)
    }
}

impl Member for Listener<'_> {
    fn on_welcome(&mut self, _: &Envelope, out: &mut Outbox) {
        out.send(&json!({"event": "cast:join", "room": format!("r{}", self.room)}).to_string());
    }

    fn on_message(&mut self, text: &str, _: &mut Outbox) {
        if text.starts_with(r#"{"event":"cast:joined""#) {
            self.listening.fetch_add(1, Ordering::SeqCst);
            return;
        }
        // Reading by hand: sixteen million parsed messages would outlast the server.
        let data = text.strip_prefix(r#"{"event":"m","data":["#).unwrap();
        let (data, rest) = data.split_once(']').unwrap();
        let (thread, n) = data.split_once(',').unwrap();
        let (thread, n): (usize, usize) = (thread.parse().unwrap(), n.parse().unwrap());
        let offset = rest.strip_suffix('}').and_then(|rest| rest.rsplit_once(':')).unwrap().1;
        self.heard += 1;
        assert_eq!(offset.parse::<usize>().unwrap(), self.heard, "no offset is missing");
        assert!(self.last[thread] < Some(n), "thread {thread} said {n} later");
        self.last[thread] = Some(n);
    }

    fn is_done(&self) -> bool {
        self.heard == share(self.room) * THREADS
    }
}

#[test]
fn callers_are_told_full_while_a_handler_blocks_its_shard() {
    let (blocked, blocks) = channel();
    let server = builder()
        .shards(1)
        .on("block", async move |_: Client, _: Event| {
            blocked.send(())?;
            // Nobody should; it must not cost more than the time it takes.
            thread::sleep(Duration::from_secs(1));
            Ok(())
        })
        .start()
        .unwrap();
    let cast = server.broadcaster();
    let mut socket = Socket::connect(server.local_addr());
    socket.join("r");
    socket.send(&json!({"event": "block"}));
    blocks.recv_timeout(PATIENCE).unwrap();
    let mut taken = 0;
    let error = loop {
        match cast.to_room("r").try_publish(Message::event("m", taken).unwrap()) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 100_000, "what waits for a shard is bounded");
    };
    let PublishError::Full(refused) = error else { panic!("{error}") };
    assert_eq!(refused, Message::event("m", taken).unwrap(), "it is given back");
    // These wait instead, and keep their place behind what was taken before.
    let receipt = cast.to_room("r").unconfirmed().publish_blocking(refused).unwrap();
    assert_eq!((receipt.offset, receipt.members), (None, None));
    let next = Message::event("m", taken + 1).unwrap();
    let receipt = block_on(cast.to_room("r").publish(next)).unwrap();
    assert_eq!(receipt.offset, Some(taken + 2), "what was refused was not published");
    for n in 0..taken + 2 {
        socket.expect(json!({"event": "m", "data": n, "room": "r", "offset": n + 1}));
    }
    server.shutdown(PATIENCE);
}
