//! A ring carries items from one shard to one other, and a waker wakes a shard that sleeps.
//!
//! ```text
//!  writer's shard                                                      reader's shard
//!  push, push, flush ──── items ───▶ [ slot | slot | slot | slot ] ───▶ pop, pop
//!         │                                                              │
//!         └── wakes the reader's shard     wakes the writer's shard ┘ if it waits for capacity
//! ```
//!
//! Invariant: what is pushed is popped once, in order, or dropped once with the ring.
//! Invariant: no shard sleeps with an item in a ring it reads, or with capacity in a ring it waits for.
//!
//! The second one rests on pairs of sequentially consistent fences. A thread that goes to sleep
//! first says so, then fences, then looks; a thread that changes a ring first changes it, then
//! fences, then looks whether the other sleeps. One of the two fences comes first, and the thread
//! that has the second one sees what the other did before its own. So they cannot both miss each
//! other.

use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Deref;

use super::sync::{Arc, AtomicBool, AtomicUsize, Ordering, UnsafeCell, fence};

/// One ring with one writer and one reader, bounded in items and in bytes.
///
/// `reader` is rung after items went in, `writer` after capacity appeared that the producer waited
/// for. Both bounds must be above zero.
pub(crate) fn ring<T>(
    items_max: usize,
    bytes_max: usize,
    reader: ShardWaker,
    writer: ShardWaker,
) -> (Producer<T>, Consumer<T>) {
    assert!(items_max > 0 && bytes_max > 0, "nothing passes a ring without capacity");
    let slot = |_| UnsafeCell::new(MaybeUninit::uninit());
    let shared = Arc::new(RingShared {
        tail: Padded(AtomicUsize::new(0)),
        freed: Padded(Freed { head: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }),
        waits: Padded(AtomicBool::new(false)),
        slots: (0..items_max.next_power_of_two()).map(slot).collect(),
        items_max,
        bytes_max,
        reader,
        writer,
    });
    let producer = Producer {
        shared: Arc::clone(&shared),
        tail: 0,
        head_seen: 0,
        pushed_bytes: 0,
        popped_bytes_seen: 0,
        flushed: true,
        waits: false,
    };
    (producer, Consumer { shared, head: 0, tail_seen: 0, popped_bytes: 0 })
}

/// The end of a ring that its writer holds.
///
/// Invariant: head_seen <= head <= tail <= head_seen + items_max, all modulo 2^64.
pub(crate) struct Producer<T> {
    shared: Arc<RingShared<T>>,
    /// Where the next item goes. No other thread writes the shared one.
    tail: usize,
    /// The reader's head when we last looked. Looking costs a cache miss, so we look when we must.
    head_seen: usize,
    /// Bytes of all items ever pushed.
    pushed_bytes: usize,
    /// Bytes of all items ever popped, when we last looked.
    popped_bytes_seen: usize,
    /// Whether the reader was woken for everything that was pushed.
    flushed: bool,
    /// Whether the shared wish for capacity is set.
    waits: bool,
}

impl<T: Send> Producer<T> {
    /// What fits now. Only ever too low, because meanwhile the consumer pops.
    pub(crate) fn capacity(&mut self) -> RingCapacity {
        self.look();
        self.capacity_seen()
    }

    /// Puts one item that accounts for `bytes` into the ring, or gives it back.
    ///
    /// It is refused when no slot or not a single byte is free. While any byte is free, the last
    /// item may exceed the bound, so that a message larger than the whole ring still passes.
    ///
    /// The consumer sees the item at once if it looks, but only [`flush`](Self::flush) wakes it.
    /// Call that before the shard sleeps or yields, also after a refused push.
    pub(crate) fn push(&mut self, item: T, bytes: usize) -> Result<(), T> {
        if self.capacity_seen().is_none() {
            self.look();
            if self.capacity_seen().is_none() {
                return Err(item);
            }
        }
        self.shared.slot(self.tail).with_mut(|slot| {
            // SAFETY: `slot` is valid for writes because the ring owns it, and nothing else
            // touches it: fewer than `items_max` items lie between `head_seen` and `tail`, so the
            // item that was here before lies behind `head_seen`. The consumer moved it out
            // before it released that head, and `look` acquired the head. There is no other
            // producer, since this method takes `&mut self`.
            unsafe { (*slot).write((item, bytes)) };
        });
        self.tail = self.tail.wrapping_add(1);
        self.pushed_bytes = self.pushed_bytes.wrapping_add(bytes);
        self.flushed = false;
        if self.waits {
            self.set_waits(false);
        }
        self.check();
        // Releases the item to the consumer, which acquires the tail before it reads the slot.
        self.shared.tail.store(self.tail, Ordering::Release);
        Ok(())
    }

    /// Wakes the reader if it sleeps and anything was pushed since the last flush.
    pub(crate) fn flush(&mut self) {
        if !self.flushed {
            self.flushed = true;
            self.shared.reader.wake();
        }
    }

    /// Asks that the writer's shard be woken when capacity appears, for a push that was refused.
    ///
    /// Returns true if there is capacity now; then the wish is withdrawn and the push will succeed.
    /// Otherwise the wish stands until the next push that succeeds.
    ///
    /// A shard that wants to sleep calls this after [`ShardWaker::announce_park`] for every ring it waits
    /// for, and sleeps only if all say false: a wake-up before the announcement wakes nothing.
    pub(crate) fn wait_for_capacity(&mut self) -> bool {
        self.set_waits(true);
        // Pairs with the fence in `Consumer::pop`.
        fence(Ordering::SeqCst);
        self.look();
        let appeared = !self.capacity_seen().is_none();
        if appeared {
            self.set_waits(false);
        }
        appeared
    }

    fn set_waits(&mut self, waits: bool) {
        self.waits = waits;
        self.shared.waits.store(waits, Ordering::Relaxed);
    }

    /// Learns what the consumer has freed.
    fn look(&mut self) {
        // Acquires the slots up to the head. The bytes are at least as new as the head; should
        // they be newer, then those bytes are free too.
        self.head_seen = self.shared.freed.head.load(Ordering::Acquire);
        self.popped_bytes_seen = self.shared.freed.bytes.load(Ordering::Relaxed);
        self.check();
    }

    fn capacity_seen(&self) -> RingCapacity {
        let items = self.tail.wrapping_sub(self.head_seen);
        let bytes = self.pushed_bytes.wrapping_sub(self.popped_bytes_seen);
        RingCapacity {
            items: self.shared.items_max - items,
            bytes: self.shared.bytes_max.saturating_sub(bytes),
        }
    }

    fn check(&self) {
        debug_assert!(self.tail.wrapping_sub(self.head_seen) <= self.shared.items_max);
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("tail", &self.tail).finish_non_exhaustive()
    }
}

/// What fits into a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingCapacity {
    /// Free slots.
    pub(crate) items: usize,
    /// Bytes below the bound; zero also when the last item exceeded it.
    pub(crate) bytes: usize,
}

impl RingCapacity {
    /// Whether not even one item would be taken.
    pub(crate) fn is_none(self) -> bool {
        self.items == 0 || self.bytes == 0
    }
}

/// The end of a ring that its reader holds.
///
/// Invariant: head <= tail_seen <= tail, all modulo 2^64.
pub(crate) struct Consumer<T> {
    shared: Arc<RingShared<T>>,
    /// Where the next item comes from. No other thread writes the shared one.
    head: usize,
    /// The writer's tail when we last looked.
    tail_seen: usize,
    /// Bytes of all items ever popped.
    popped_bytes: usize,
}

impl<T: Send> Consumer<T> {
    /// Takes the oldest item, and wakes the writer's shard if the producer waits for capacity.
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.head == self.tail_seen {
            // Acquires the items up to the tail.
            self.tail_seen = self.shared.tail.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        let (item, bytes) = self.shared.slot(self.head).with(|slot| {
            // SAFETY: `slot` holds an item: it lies in front of the tail that we acquired, and
            // the producer wrote it before it released that tail. The item is moved out only
            // once, since the head moves on below, and the producer does not write here before
            // it has acquired that head. There is no other consumer: we are `&mut self`.
            unsafe { (*slot).assume_init_read() }
        });
        self.head = self.head.wrapping_add(1);
        self.popped_bytes = self.popped_bytes.wrapping_add(bytes);
        // Bytes first, so that a thread that acquires the head knows at least the bytes up to it.
        self.shared.freed.bytes.store(self.popped_bytes, Ordering::Relaxed);
        self.shared.freed.head.store(self.head, Ordering::Release);
        // Pairs with the fence in `Producer::wait_for_capacity`. The flag stays for the producer to
        // clear: so an answer to an old wish can never take back a newer one.
        fence(Ordering::SeqCst);
        if self.shared.waits.load(Ordering::Relaxed) {
            self.shared.writer.wake();
        }
        Some(item)
    }

    /// Whether nothing is in the ring. After [`ShardWaker::announce_park`], true means that the
    /// thread that pushes next finds the owner dozing and wakes it.
    pub(crate) fn is_empty(&self) -> bool {
        // Nothing is read from a slot on this answer, so there is nothing to acquire.
        self.head == self.shared.tail.load(Ordering::Relaxed)
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("head", &self.head).finish_non_exhaustive()
    }
}

/// What the two ends share. What each end writes has cache lines of its own, so that neither end
/// slows the other down by writing beside what it reads.
pub(crate) struct RingShared<T> {
    /// Items ever pushed. Written by the producer.
    tail: Padded<AtomicUsize>,
    /// Written by the consumer.
    freed: Padded<Freed>,
    /// Whether the producer waits for capacity. Written by the producer, and rarely.
    waits: Padded<AtomicBool>,
    /// A power of two of them, so that a position stays right when the counters wrap.
    slots: Box<[Slot<T>]>,
    items_max: usize,
    bytes_max: usize,
    reader: ShardWaker,
    writer: ShardWaker,
}

/// An item and the bytes that it accounts for.
pub(crate) type Slot<T> = UnsafeCell<MaybeUninit<(T, usize)>>;

/// Items and bytes ever popped.
struct Freed {
    head: AtomicUsize,
    bytes: AtomicUsize,
}

// SAFETY: the two ends share only atomics, wakers (which are `Sync`) and slots. An item is moved
// in by one thread and out by another, which `T: Send` allows, and it is never reached by both at
// once, as the SAFETY comments of `push` and `pop` argue. No `&T` is ever handed out.
unsafe impl<T: Send> Sync for RingShared<T> {}

impl<T> RingShared<T> {
    fn slot(&self, position: usize) -> &Slot<T> {
        &self.slots[position & (self.slots.len() - 1)]
    }
}

impl<T> Drop for RingShared<T> {
    fn drop(&mut self) {
        // Both ends are gone, and dropping the last of them acquired all that the other one did.
        let mut head = self.freed.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        while head != tail {
            self.slot(head).with_mut(|slot| {
                // SAFETY: we are alone, and the slots from head to tail were pushed and not popped,
                // so each holds an item, which is dropped here and never looked at again.
                unsafe { (*slot).assume_init_drop() };
            });
            head = head.wrapping_add(1);
        }
    }
}

/// One per shard: says whether its owner is about to sleep, and how to wake it.
///
/// The owner's way to sleep, after it has flushed every ring that it writes:
///
/// 1. [`announce_park`](Self::announce_park).
/// 2. Look once more: every ring that it reads must be [empty](Consumer::is_empty), and every
///    ring that it waits for must still [have no capacity](Producer::wait_for_capacity).
/// 3. Only if so, sleep until `wake` is called. A wake that came since the doze counts, so it
///    must not be used up between the look and the sleep.
/// 4. [`end_park`](Self::end_park), whether it slept or not.
///
/// A shard may wake without a reason; it may never sleep through one.
#[derive(Clone)]
pub(crate) struct ShardWaker(Arc<WakerState>);

struct WakerState {
    parks: Padded<AtomicBool>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl ShardWaker {
    /// A waker whose owner is awake. `wake` may be called by any thread and must not block.
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let parks = Padded(AtomicBool::new(false));
        Self(Arc::new(WakerState { parks, wake: Box::new(wake) }))
    }

    /// Owner: announces sleep. It must look at all its rings once more before it does sleep.
    pub(crate) fn announce_park(&self) {
        self.0.parks.store(true, Ordering::Relaxed);
        // Pairs with the fence in `ring`.
        fence(Ordering::SeqCst);
    }

    /// Owner: is awake again.
    pub(crate) fn end_park(&self) {
        self.0.parks.store(false, Ordering::Relaxed);
    }

    /// After something was made visible, by any thread: wakes the owner if it parks. However many
    /// ring, one doze is woken at most once.
    pub(crate) fn wake(&self) {
        // Pairs with the fence in `doze`.
        fence(Ordering::SeqCst);
        // The turn of the flag wakes. Relaxed is enough, as the flag guards no data: a thread that
        // reads it as turned already has its fence before that of the next doze, whose look then
        // sees what it made visible. An exchange and not a swap, so that a ring that comes too late
        // writes nothing that could be taken for an answer to the next doze.
        let (relaxed, parks) = (Ordering::Relaxed, &self.0.parks);
        if parks.load(relaxed) && parks.compare_exchange(true, false, relaxed, relaxed).is_ok() {
            (self.0.wake)();
        }
    }
}

impl fmt::Debug for ShardWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardWaker").finish_non_exhaustive()
    }
}

/// A value alone on its cache lines. Two of them, because x86 prefetches lines in pairs.
#[repr(align(128))]
pub(crate) struct Padded<T>(T);

impl<T> Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
