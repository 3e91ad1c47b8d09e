//! The seam of a build for tests: calls fail, are interrupted and are cut short at random.
//!
//! What happens follows from the seed in `CORECAST_FAULT_SEED`, as far as the order of a thread's
//! calls does; without a seed nothing fails. Only what the kernel may do happens. A call fails
//! before it is made, so that nothing is lost that a kernel would not lose. A socket that says
//! `EAGAIN`, or takes less than it could, is reported ready again by epoll, as edge-triggered
//! readers rely on; the kernel does that for real ones, and [`pay_edges`] for these.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::syscall::Syscall;

/// What a call meets instead of its result, and how often in 10,000 calls.
struct Fault {
    call: Syscall,
    name: &'static str,
    what: What,
    rate: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Fails with this error.
    Errno(i32),
    /// Deals with a part of the bytes, or of the events.
    Short,
}

macro_rules! faults {
    ($($call:ident: $($name:ident $rate:literal),+;)+) => {
        &[$($(Fault {
            call: Syscall::$call, name: stringify!($name), what: faults!(@ $name), rate: $rate,
        }),+),+]
    };
    (@ SHORT) => { What::Short };
    (@ $name:ident) => { What::Errno(libc::$name) };
}

/// A fault that costs no connection happens often; one that does, rarely enough that most
/// connections live long enough to be judged.
const FAULTS: &[Fault] = faults! {
    Accept: EMFILE 300, ENFILE 200, ENOMEM 100, ECONNABORTED 300, EPROTO 100, EINTR 500;
    EpollCtl: ENOSPC 100, ENOMEM 100;
    EpollWait: EINTR 300, SHORT 300;
    Recv: EINTR 300, EAGAIN 300, SHORT 500, ECONNRESET 6, ENOMEM 4;
    Send: EINTR 300, EAGAIN 200, SHORT 300, EPIPE 4, ECONNRESET 4, ENOBUFS 4;
    RingSend: EINTR 100, EAGAIN 100, SHORT 200, EPIPE 3, ECONNRESET 3;
    RingEnter: EINTR 500, EAGAIN 300, ENOMEM 3;
    SetTimer: ENOMEM 500;
    Signal: EINTR 300, EAGAIN 200, ENOMEM 200;
    SetSockOpt: ENOMEM 2000;
    Shutdown: ENOTCONN 200, ENOMEM 200;
    EventFd: EMFILE 3000, ENOMEM 1000;
};

static ARMED: AtomicBool = AtomicBool::new(false);

static INJECTED: [AtomicU64; FAULTS.len()] = [const { AtomicU64::new(0) }; FAULTS.len()];

thread_local! {
    static CHANCE: RefCell<Option<Chance>> = const { RefCell::new(None) };
    /// How this shard watches its descriptors, for [`pay_edges`].
    static WATCHED: RefCell<HashMap<RawFd, (u32, u64)>> = RefCell::default();
    /// Those whose last call was cut short on purpose.
    static OWED: RefCell<Vec<RawFd>> = const { RefCell::new(Vec::new()) };
}

/// Whether the call may be made, or its error.
pub(crate) fn enter(call: Syscall, fd: RawFd) -> io::Result<()> {
    let Some(What::Errno(errno)) = draw(call, |what| what != What::Short) else { return Ok(()) };
    if errno == libc::EAGAIN {
        owe(call, fd);
    }
    Err(io::Error::from_raw_os_error(errno))
}

/// How many of `len` bytes, or events, the call may deal with.
pub(crate) fn shorten(call: Syscall, fd: RawFd, len: usize) -> usize {
    if len < 2 || draw(call, |what| what == What::Short).is_none() {
        return len;
    }
    owe(call, fd);
    // Mostly a few bytes or all but a few, where boundaries are.
    let part = chance(|chance| match chance.below(3) {
        0 => 1 + chance.below(8),
        1 => (len as u64).saturating_sub(1 + chance.below(8)),
        _ => 1 + chance.below(len as u64 - 1),
    });
    usize::try_from(part.unwrap_or(1)).map_or(1, |part| part.clamp(1, len - 1))
}

/// The part of these pieces of memory that the call may deal with.
pub(crate) fn cut(call: Syscall, fd: RawFd, pieces: &mut [libc::iovec]) -> &mut [libc::iovec] {
    let mut left = shorten(call, fd, pieces.iter().map(|piece| piece.iov_len).sum());
    let mut taken = 0;
    // All of them are cut: a call that is made again sends no bytes from behind a gap.
    for piece in &mut *pieces {
        piece.iov_len = piece.iov_len.min(left);
        left -= piece.iov_len;
        taken += usize::from(piece.iov_len > 0);
    }
    &mut pieces[..taken]
}

/// Notes that epoll owes a report of this descriptor, if it is one that waits for it.
fn owe(call: Syscall, fd: RawFd) {
    if matches!(call, Syscall::Recv | Syscall::Send | Syscall::RingSend) {
        OWED.with_borrow_mut(|owed| owed.push(fd));
    }
}

/// Notes how a descriptor is watched.
pub(crate) fn watched(fd: RawFd, events: u32, token: u64) {
    WATCHED.with_borrow_mut(|watched| watched.insert(fd, (events, token)));
}

/// Makes epoll report those sockets once more that are owed a report.
pub(crate) fn pay_edges(epoll: RawFd) {
    for fd in OWED.with_borrow_mut(std::mem::take) {
        let Some((events, token)) = WATCHED.with_borrow(|watched| watched.get(&fd).copied()) else {
            continue;
        };
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: the kernel reads one event, which lives until the call returns. A descriptor that
        // was closed meanwhile is an error here, and one that is another's by now is noted with
        // that one's token.
        let _ = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_MOD, fd, &mut event) };
    }
}

/// Faults may begin: the server has started.
pub(crate) fn arm() {
    ARMED.store(true, Ordering::Relaxed);
}

/// How often each fault has happened, by call and error.
pub fn injected_faults() -> Vec<(String, u64)> {
    let counts = INJECTED.iter().map(|count| count.load(Ordering::Relaxed));
    let names = FAULTS.iter().map(|fault| format!("{} {}", fault.call.name(), fault.name));
    names.zip(counts).collect()
}

/// Draws what happens to a call, among the faults of one sort.
fn draw(call: Syscall, sort: impl Fn(What) -> bool) -> Option<What> {
    if !ARMED.load(Ordering::Relaxed) {
        return None;
    }
    let mut drawn = chance(|chance| chance.below(10_000))?;
    for (fault, injected) in FAULTS.iter().zip(&INJECTED) {
        if fault.call != call || !sort(fault.what) {
            continue;
        }
        if drawn < fault.rate {
            injected.fetch_add(1, Ordering::Relaxed);
            return Some(fault.what);
        }
        drawn -= fault.rate;
    }
    None
}

/// Uses this thread's chance; none when there is no seed.
fn chance<T>(use_it: impl FnOnce(&mut Chance) -> T) -> Option<T> {
    static SEED: OnceLock<Option<u64>> = OnceLock::new();
    static THREADS: AtomicU64 = AtomicU64::new(0);
    let seed = *SEED.get_or_init(|| std::env::var("CORECAST_FAULT_SEED").ok()?.parse().ok());
    let seed = seed?;
    CHANCE.with_borrow_mut(|chance| {
        let new = || Chance(seed.wrapping_mul(1 << 8) + THREADS.fetch_add(1, Ordering::Relaxed));
        Some(use_it(chance.get_or_insert_with(new)))
    })
}

/// A generator of the SplitMix64 kind (Steele, Lea, Flood: Fast splittable pseudorandom number
/// generators, 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
