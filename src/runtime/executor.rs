//! The executor of a shard's thread, and the memory that it locks.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};

use super::executor_yield::SPIN_BEFORE_PARK;
use super::start_error::StartError;

/// The size of the executor's three rings. They carry what futures of the program wait for and
/// nothing of the server's own, so that they are small: the kernel counts 16 KiB for each (at
/// 4,096 entries it was 410 KiB).
const RING_DEPTH: usize = 128;

/// The smallest that the executor accepts: no file is read here. It is locked once for each of the
/// three rings.
const IO_MEMORY: usize = 64 << 10;

/// What the kernel counts as locked memory for one shard, rounded up: three rings and their
/// registered memory, and the ring for sends. On Linux 6.18 an ordinary user with 8 MiB starts 32.
pub(super) const LOCKED_PER_SHARD: u64 = 256 << 10;

/// The executor's default, and not less: the hub comes back to it by itself, and the shorter this
/// is, the more often glommio 0.9 parks by mistake (see [`yield_to_executor`](super::executor_yield::yield_to_executor)). Of 8 executors on
/// two cores that were visited all the time, 7 hung within 8 s at 1 ms, none at 100 ms.
const PREEMPT_TIMER: Duration = Duration::from_millis(100);

/// The kernel gives locked memory of a process that has ended back a little late, up to some
/// seconds. A restart near the limit waits for it, up to here.
const MEMORY_PATIENCE: Duration = Duration::from_secs(8);

/// How often it is tried: each try that fails takes a part and gives it back late, too.
const MEMORY_RETRY: Duration = Duration::from_millis(250);

/// Makes the executor of the calling thread, on this core if one is given.
pub(super) fn executor(core: Option<usize>) -> Result<LocalExecutor, StartError> {
    let deadline = Instant::now() + MEMORY_PATIENCE;
    loop {
        let error = match make(core) {
            Ok(executor) => return Ok(executor),
            Err(GlommioError::IoError(error)) if is_out_of_memory(&error) => error,
            Err(error) => return Err(StartError::Executor(error.to_string())),
        };
        if Instant::now() >= deadline {
            return Err(StartError::IoUring(error));
        }
        thread::sleep(MEMORY_RETRY);
    }
}

fn is_out_of_memory(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOMEM)
}

fn make(core: Option<usize>) -> Result<LocalExecutor, GlommioError<()>> {
    LocalExecutorBuilder::new(core.map_or(Placement::Unbound, Placement::Fixed))
        .ring_depth(RING_DEPTH)
        .io_memory(IO_MEMORY)
        .preempt_timer(PREEMPT_TIMER)
        .spin_before_park(SPIN_BEFORE_PARK)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .make()
}
