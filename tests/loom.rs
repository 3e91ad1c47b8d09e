//! Proves, by trying every interleaving and every value that a relaxed load may return, that the
//! mesh ring loses nothing, and that no shard and no task sleeps through a wake-up.
//!
//! The ring and the queue of woken tasks are compiled here a second time, from the same files,
//! against loom's atomics, lock and cell. Sleep is loom's `Notify`, and a sleeper that is never woken
//! is a deadlock, which loom reports. Each test names the mutations of `ring.rs` or `woken.rs` that
//! it catches; the mutations were made and the failures seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::model::Builder;
use loom::sync::Notify;
use loom::thread;

use ring::{Consumer, Producer, RingCapacity, ShardWaker, ring};
use woken::{TaskWaker, Woken};

mod sync {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
}

#[path = "../src/runtime/ring.rs"]
mod ring;
#[path = "../src/runtime/woken.rs"]
mod woken;

/// Catches, as a race on a slot: the store of `tail` in `push` made relaxed, the load of `tail` in
/// `pop` made relaxed. As a wrong order: `head` not advanced in `pop`.
#[test]
fn nothing_is_lost_and_order_is_kept() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(4, 1_000, bell(), bell());
        let writer = thread::spawn(move || {
            for item in 0..4 {
                producer.push(item, 1).expect("four items fit");
            }
        });
        let mut popped: Vec<u32> = (0..4).filter_map(|_| consumer.pop()).collect();
        writer.join().expect("the thread ends well");
        popped.extend(std::iter::from_fn(|| consumer.pop()));
        assert_eq!(popped, [0, 1, 2, 3]);
        assert!(consumer.is_empty());
    });
}

/// Catches, as a race on a slot that is used again: the store of `head` in `pop` made relaxed, the
/// load of `head` in `look` made relaxed. As an assertion: either bound off by one, the bound in
/// items rounded up to the slots there are, the bytes of a pop not given back.
#[test]
fn neither_bound_is_exceeded() {
    // Three of four slots, so that the bound is seen to be exact and positions wrap.
    check_bounds(RingCapacity { items: 3, bytes: 1_000 }, [1, 1, 1, 1, 1]);
    check_bounds(RingCapacity { items: 1, bytes: 1_000 }, [1, 1, 1, 1, 1]);
    check_bounds(RingCapacity { items: 4, bytes: 5 }, [3, 3, 9, 1, 4]);
}

fn check_bounds(bound: RingCapacity, sizes: [usize; 5]) {
    bounded(2).check(move || {
        let (mut producer, mut consumer) = ring(bound.items, bound.bytes, bell(), bell());
        // Pops that may have happened: counted before each, so an honest upper limit. The count
        // is a plain atomic that loom does not know, so it adds no order to what is tested.
        let begun = Arc::new(AtomicUsize::new(0));
        let popping = Arc::clone(&begun);
        let reader = thread::spawn(move || {
            let mut pop = || {
                popping.fetch_add(1, Ordering::SeqCst);
                let popped = consumer.pop();
                if popped.is_none() {
                    popping.fetch_sub(1, Ordering::SeqCst);
                }
                popped
            };
            let popped: Vec<usize> = (0..3).filter_map(|_| pop()).collect();
            (popped, consumer)
        });

        let mut pushed = Vec::new();
        for (item, bytes) in sizes.into_iter().enumerate() {
            let capacity = producer.capacity();
            let gone = begun.load(Ordering::SeqCst).min(pushed.len());
            let inside: usize = pushed[gone..].iter().map(|&item: &usize| sizes[item]).sum();
            assert!(
                capacity.items <= bound.items - (pushed.len() - gone),
                "capacity is never too high"
            );
            assert!(
                capacity.bytes <= bound.bytes.saturating_sub(inside),
                "capacity is never too high"
            );
            match producer.push(item, bytes) {
                Ok(()) => {
                    let gone = begun.load(Ordering::SeqCst).min(pushed.len());
                    let inside: usize = pushed[gone..].iter().map(|&item| sizes[item]).sum();
                    assert!(pushed.len() - gone < bound.items, "a slot was free");
                    assert!(inside < bound.bytes, "a byte was free");
                    pushed.push(item);
                }
                Err(refused) => {
                    assert_eq!(refused, item, "what does not fit comes back");
                    assert!(capacity.is_none(), "what fits is taken");
                }
            }
        }

        let (mut popped, mut consumer) = reader.join().expect("the thread ends well");
        popped.extend(std::iter::from_fn(|| consumer.pop()));
        assert_eq!(popped, pushed);
        let empty = RingCapacity { items: bound.items, bytes: bound.bytes };
        assert_eq!(producer.capacity(), empty, "everything popped is given back");
    });
}

/// Catches, as a deadlock: the fence in `ShardWaker::wake` or in `ShardWaker::announce_park` removed or made
/// acquire-release, `flush` that does not ring or rings for every other item only.
#[test]
fn a_sleeping_reader_is_woken() {
    bounded(3).check(|| {
        let reader = Shard::new();
        let (mut producer, mut consumer) = ring(4, 1_000, reader.shard_waker.clone(), bell());
        let writer = thread::spawn(move || {
            producer.push(0, 1).expect("two items fit");
            producer.flush();
            producer.push(1, 1).expect("two items fit");
            producer.flush();
        });
        assert_eq!(reader.next(&mut [&mut consumer]), 0);
        assert_eq!(reader.next(&mut [&mut consumer]), 1);
        assert!(reader.wakes() <= reader.parks());
        writer.join().expect("the thread ends well");
    });
}

/// Two writers, one reader that looks at both rings before it sleeps. Catches, as more wakes than
/// parks: the exchange in `ShardWaker::wake` made a store, or left out.
#[test]
fn two_writers_wake_a_doze_once() {
    bounded(3).check(|| {
        let reader = Shard::new();
        let (mut left, mut from_left) = ring(1, 1_000, reader.shard_waker.clone(), bell());
        let (mut right, mut from_right) = ring(1, 1_000, reader.shard_waker.clone(), bell());
        let writers = [
            thread::spawn(move || {
                left.push(1, 1).expect("one item fits");
                left.flush();
            }),
            thread::spawn(move || {
                right.push(2, 1).expect("one item fits");
                right.flush();
            }),
        ];
        let rings = &mut [&mut from_left, &mut from_right];
        assert_eq!(reader.next(rings) + reader.next(rings), 3);
        for writer in writers {
            writer.join().expect("the thread ends well");
        }
        assert!(reader.wakes() <= reader.parks());
    });
}

/// The reader takes one item of a full ring and no more, as a shard does whose own results wait.
/// Catches, as a deadlock: the fence in `pop` or in `wait_for_room` removed or made
/// acquire-release, `head` stored only after the fence, `pop` that does not ring.
#[test]
fn a_writer_that_waits_for_room_is_woken() {
    check_wait(RingCapacity { items: 1, bytes: 1_000 }, 1);
    check_wait(RingCapacity { items: 4, bytes: 5 }, 9);
}

fn check_wait(bound: RingCapacity, bytes: usize) {
    loom::model(move || {
        let writer = Shard::new();
        let shard_waker = writer.shard_waker.clone();
        let (mut producer, mut consumer) = ring(bound.items, bound.bytes, bell(), shard_waker);
        producer.push(0, bytes).expect("an empty ring takes anything");
        let reader = thread::spawn(move || {
            assert_eq!(consumer.pop(), Some(0));
            consumer
        });
        writer.send(&mut producer, 1, bytes);
        let mut consumer = reader.join().expect("the thread ends well");
        assert_eq!(consumer.pop(), Some(1));
        assert_eq!(consumer.pop(), None);
    });
}

/// Both ends sleep whenever they can, several times over, and everything arrives in order.
/// Catches again what the tests of one end catch, over more than one round.
#[test]
fn both_ends_sleep_and_everything_arrives() {
    bounded(2).check(|| {
        let (reader, writer) = (Shard::new(), Shard::new());
        let shard_wakers = (reader.shard_waker.clone(), writer.shard_waker.clone());
        let (mut producer, mut consumer) = ring(1, 1_000, shard_wakers.0, shard_wakers.1);
        let sending = thread::spawn(move || {
            for item in 0..3 {
                writer.send(&mut producer, item, 1);
                producer.flush();
            }
        });
        for item in 0..3 {
            assert_eq!(reader.next(&mut [&mut consumer]), item);
        }
        sending.join().expect("the thread ends well");
    });
}

/// Whichever end goes last. Catches, as too few drops: `Drop` of the shared half left out. As a
/// race: the store of `head` made relaxed, so that a slot is written while its item moves out.
#[test]
fn what_is_left_in_a_ring_is_dropped_once() {
    struct Item(Arc<AtomicUsize>);

    impl Drop for Item {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    loom::model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (mut producer, mut consumer) = ring(2, 1_000, bell(), bell());
        let item = Item(Arc::clone(&drops));
        assert!(producer.push(item, 1).is_ok());
        let reader = thread::spawn(move || drop(consumer.pop()));
        for _ in 0..2 {
            let item = Item(Arc::clone(&drops));
            // A refused item comes back and is dropped here, which is once as well.
            drop(producer.push(item, 1));
        }
        drop(producer);
        reader.join().expect("the thread ends well");
        assert_eq!(drops.load(Ordering::SeqCst), 3);
    });
}

/// A task is woken twice while it runs, or begins to, or its shard is about to sleep. Catches, as a
/// deadlock: the exchange in `TaskWaker::begin_run` made a store or relaxed, the one in
/// `TaskWaker::queue` relaxed, `queue` that does not wake the shard. As an assertion: `queue` that
/// does not look whether the task is queued.
#[test]
fn a_woken_task_sees_what_came_before_the_wake_up() {
    bounded(3).check(|| {
        let shard = Shard::new();
        let woken = sync::Arc::new(Woken::new(shard.shard_waker.clone()));
        let waker = sync::Arc::new(TaskWaker::queued(7, sync::Arc::clone(&woken)));
        let done = sync::Arc::new(sync::AtomicUsize::new(0));
        let (others, doing) = (sync::Arc::clone(&waker), sync::Arc::clone(&done));
        let other = thread::spawn(move || {
            for count in 1..=2 {
                doing.store(count, sync::Ordering::Relaxed);
                others.queue();
            }
        });
        let mut seen = 0;
        while seen != 2 {
            for _ in 0..woken.count() {
                assert_eq!(woken.next(), Some(7));
                waker.begin_run();
                seen = done.load(sync::Ordering::Relaxed);
            }
            if seen != 2 {
                shard.sleep_unless(|| !woken.is_empty());
            }
        }
        other.join().expect("the thread ends well");
        assert!(woken.count() <= 1, "a task is queued once, however often it is woken");
    });
}

/// A shard with nothing to do but a ring or a task: it sleeps as `ShardWaker` prescribes.
struct Shard {
    shard_waker: ShardWaker,
    sleep: Arc<Notify>,
    wakes: Arc<AtomicUsize>,
    parks: AtomicUsize,
}

impl Shard {
    fn new() -> Self {
        let sleep = Arc::new(Notify::new());
        let wakes = Arc::new(AtomicUsize::new(0));
        let (bed, count) = (Arc::clone(&sleep), Arc::clone(&wakes));
        let shard_waker = ShardWaker::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            bed.notify();
        });
        Self { shard_waker, sleep, wakes, parks: AtomicUsize::new(0) }
    }

    /// The next item of any of `rings`; sleeps while there is none.
    fn next(&self, rings: &mut [&mut Consumer<u32>]) -> u32 {
        loop {
            if let Some(item) = rings.iter_mut().find_map(|ring| ring.pop()) {
                return item;
            }
            self.sleep_unless(|| rings.iter().any(|ring| !ring.is_empty()));
        }
    }

    /// Pushes `item`; sleeps while there is no capacity.
    fn send(&self, ring: &mut Producer<u32>, item: u32, bytes: usize) {
        while ring.push(item, bytes).is_err() {
            self.sleep_unless(|| ring.wait_for_capacity());
        }
    }

    /// Sleeps until it is woken, unless there is work after all.
    fn sleep_unless(&self, has_work: impl FnOnce() -> bool) {
        self.parks.fetch_add(1, Ordering::SeqCst);
        self.shard_waker.announce_park();
        if !has_work() {
            self.sleep.wait();
        }
        self.shard_waker.end_park();
    }

    fn parks(&self) -> usize {
        self.parks.load(Ordering::SeqCst)
    }

    fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }
}

/// A waker whose owner never sleeps.
fn bell() -> ShardWaker {
    ShardWaker::new(|| panic!("nobody parks here"))
}

/// A model for what has too many interleavings to try all: at most `preemptions` of the switches
/// between threads happen where a thread could have gone on.
fn bounded(preemptions: usize) -> Builder {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder
}
