//! System calls on borrowed descriptors, each behind a safe function.
//!
//! What is borrowed is open (`AsFd`), and none of these calls blocks. A call that a signal has
//! interrupted is made again here, so that no other file meets `EINTR`.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags, sockopt};
use rustix::thread::{sched_getaffinity, sched_setaffinity};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

use super::kernel::{self, Syscall};

/// Turns the -1 of a system call into its error.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_size(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Makes a call until no signal interrupts it.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// How long the machine has been up, without the time for which it slept: the same clock as that of
/// `Instant`, and the same for each process.
pub(crate) fn time_since_boot() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(tv_sec), u32::try_from(tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

/// Takes the next connection of a listener, non-blocking and closed on exec; and where its other
/// end is.
pub(crate) fn accept(listener: &impl AsFd) -> io::Result<(OwnedFd, SocketAddr)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let listener = listener.as_fd();
    retry(|| {
        kernel::enter(Syscall::Accept, listener.as_raw_fd())?;
        let (fd, address) = rustix::net::acceptfrom_with(listener, flags)?;
        let address = address.and_then(|address| SocketAddr::try_from(address).ok());
        Ok((fd, address.ok_or(io::ErrorKind::ConnectionAborted)?))
    })
}

/// Reads what is there; `WouldBlock` when nothing is, 0 at the end of the stream.
pub(crate) fn receive(fd: &impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let fd = fd.as_fd();
    let len = kernel::shorten(Syscall::Recv, fd.as_raw_fd(), buffer.len());
    retry(|| {
        kernel::enter(Syscall::Recv, fd.as_raw_fd())?;
        let (len, _) = rustix::net::recv(fd, &mut buffer[..len], RecvFlags::DONTWAIT)?;
        Ok(len)
    })
}

/// Hands bytes to a socket; may take fewer. Never blocks and never raises SIGPIPE.
pub(crate) fn send(fd: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let fd = fd.as_fd();
    let len = kernel::shorten(Syscall::Send, fd.as_raw_fd(), bytes.len());
    retry(|| {
        kernel::enter(Syscall::Send, fd.as_raw_fd())?;
        Ok(rustix::net::send(fd, &bytes[..len], SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    })
}

/// Hands pieces of memory to a socket in one call.
///
/// # Safety
///
/// The descriptor must be open, and each piece must be memory that can be read, until the call
/// returns.
pub(super) unsafe fn send_iovecs(fd: RawFd, iovecs: &mut [libc::iovec]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let iovecs = kernel::cut(Syscall::Send, fd, iovecs);
    if let [only] = iovecs {
        return retry(|| {
            kernel::enter(Syscall::Send, fd)?;
            // SAFETY: the caller says that the piece can be read, and the kernel only reads it.
            check_size(unsafe { libc::send(fd, only.iov_base, only.iov_len, flags) })
        });
    }
    // SAFETY: all zero is a valid msghdr: no address, no pieces, no control data (sendmsg(2)).
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = iovecs.as_mut_ptr();
    message.msg_iovlen = iovecs.len();
    retry(|| {
        kernel::enter(Syscall::Send, fd)?;
        // SAFETY: `message` describes `iovecs`, borrowed until the call returns; the caller says
        // that each piece can be read, and the kernel only reads them.
        check_size(unsafe { libc::sendmsg(fd, &message, flags) })
    })
}

/// Bytes that the kernel holds for a peer, sent and not acknowledged or not even sent; 0 when it does
/// not say.
pub(crate) fn unsent(fd: &impl AsFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open while it is borrowed, and the kernel writes one int to `bytes`,
    // borrowed exclusively until the call returns (SIOCOUTQ of tcp(7)).
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 { 0 } else { usize::try_from(bytes).unwrap_or(0) }
}

/// How long nothing has come from a peer, in steps of milliseconds; zero when the kernel does not
/// say. Of a connection that waits in the backlog it is how long it waits, or less.
pub(crate) fn silence(fd: &impl AsFd) -> Duration {
    // SAFETY: all zero is a valid tcp_info, which is plain numbers.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed, and the kernel writes at most `len` bytes
    // to `info`, borrowed exclusively until the call returns (TCP_INFO of tcp(7)).
    let result = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut len,
        )
    };
    let millis = if result < 0 { 0 } else { info.tcpi_last_data_recv };
    Duration::from_millis(millis.into())
}

/// Has the allocator give the kernel back what is free, also between what is used. Where the allocator
/// is not that of glibc nothing happens.
pub(super) fn give_free_memory_back() {
    // SAFETY: it takes no pointer and touches nothing that is allocated; any thread may call it at any
    // time (malloc_trim(3), MT-Safe).
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets the close of a connection drop what its peer has not taken, and tell it by a reset.
pub(crate) fn reset_on_close(fd: &OwnedFd) {
    // It fails only when the peer is gone already.
    let _ = socket2::SockRef::from(fd).set_linger(Some(Duration::ZERO));
}

/// Ends our side of a connection; the other side may still send.
pub(crate) fn shutdown_write(fd: &impl AsFd) {
    shutdown(fd, Shutdown::Write);
}

/// Ends both sides: what was received can still be read, then comes the end.
pub(crate) fn shutdown_both(fd: &impl AsFd) {
    shutdown(fd, Shutdown::Both);
}

fn shutdown(fd: &impl AsFd, how: Shutdown) {
    let fd = fd.as_fd();
    // It fails when the peer is gone already, which is what the caller is about to find out anyway;
    // and there is a timeout for a peer that does not hear of it.
    if kernel::enter(Syscall::Shutdown, fd.as_raw_fd()).is_ok() {
        let _ = rustix::net::shutdown(fd, how);
    }
}

/// A counter that wakes an epoll when it is written to. It is used edge-triggered and never read.
pub(crate) fn event_fd() -> io::Result<OwnedFd> {
    kernel::enter(Syscall::EventFd, -1)?;
    Ok(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)
}

/// Makes an event descriptor ready.
///
/// # Errors
///
/// No shard is woken then: what waits for the descriptor looks at edges.
pub(crate) fn signal(event_fd: &impl AsFd) -> io::Result<()> {
    let fd = event_fd.as_fd();
    retry(|| {
        kernel::enter(Syscall::Signal, fd.as_raw_fd())?;
        rustix::io::write(fd, &1_u64.to_ne_bytes())?;
        Ok(())
    })
}

/// A timer that wakes an epoll. It is used edge-triggered and never read.
pub(crate) fn timer_fd() -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    Ok(timerfd_create(TimerfdClockId::Monotonic, flags)?)
}

/// Sets a timer to fire once, `after` from now; at once when that is zero.
pub(crate) fn set_timer(timer: &impl AsFd, after: Duration) -> io::Result<()> {
    let after = after.max(Duration::from_nanos(1));
    let once = Itimerspec {
        it_interval: Timespec::default(),
        it_value: Timespec {
            tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: after.subsec_nanos().into(),
        },
    };
    kernel::enter(Syscall::SetTimer, timer.as_fd().as_raw_fd())?;
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &once)?;
    Ok(())
}

/// Gives up on a peer that has not acknowledged anything for so long, even after the socket is
/// closed (tcp(7)).
pub(crate) fn set_user_timeout(fd: &impl AsFd, timeout: Duration) -> io::Result<()> {
    kernel::enter(Syscall::SetSockOpt, fd.as_fd().as_raw_fd())?;
    socket2::SockRef::from(fd).set_tcp_user_timeout(Some(timeout))
}

/// A listener of its own on an address that others of this server listen on, too
/// (`SO_REUSEPORT`): the kernel spreads new connections over all of them.
pub(crate) fn shared_listener(address: SocketAddr, send_buffer: usize) -> io::Result<TcpListener> {
    let socket = stream_socket(address, send_buffer)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A listener that shares its address with no other: it fails when another socket listens there,
/// even one that shares.
///
/// Of several that ask at the same moment exactly one gets it. The kernel lets all of them bind,
/// since connections that linger must not hold up a restart (`SO_REUSEADDR`), and looks once more
/// when they listen. There two may meet and both be refused, so that each tries again after a
/// moment of its own. To bind is refused only while another listens or is about to.
pub(crate) fn sole_listener(address: SocketAddr, send_buffer: usize) -> io::Result<TcpListener> {
    for _ in 1..SOLE_TRIES {
        let socket = stream_socket(address, send_buffer)?;
        socket.bind(&address.into())?;
        match socket.listen(BACKLOG) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => std::thread::sleep(moment()),
            listens => return listens.map(|()| socket.into()),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// How often two or more may meet, where each waits for up to 16 ms in between.
const SOLE_TRIES: u32 = 64;

/// Up to 16 ms, different for each who asks.
fn moment() -> Duration {
    let mut byte = [0];
    // Without chance it is the same for all, and they meet again, up to the last try.
    let _ = getrandom::fill(&mut byte);
    Duration::from_micros(64 * u64::from(byte[0]))
}

/// Lets [`shared_listener`]s listen on this one's address from now on.
pub(crate) fn share(listener: &TcpListener) -> io::Result<()> {
    socket2::SockRef::from(listener).set_reuse_port(true)
}

/// The kernel caps this at `net.core.somaxconn`, 4,096 by default.
const BACKLOG: i32 = 65_535;

/// A socket to listen with. What is set here is inherited by every accepted socket, which saves
/// system calls per connection.
fn stream_socket(address: SocketAddr, send_buffer: usize) -> io::Result<socket2::Socket> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if send_buffer > 0 {
        set_send_buffer(&socket, send_buffer)?;
    }
    Ok(socket)
}

/// Limits what the kernel keeps for one slow reader. Root may go beyond `net.core.wmem_max`.
fn set_send_buffer(socket: &socket2::Socket, bytes: usize) -> io::Result<()> {
    let most = i32::MAX as usize;
    match sockopt::set_socket_send_buffer_size_force(socket, bytes.min(most)) {
        Ok(()) => Ok(()),
        Err(_) => socket.set_send_buffer_size(bytes),
    }
}

/// A soft and a hard resource limit.
pub(crate) fn resource_limit(resource: libc::__rlimit_resource_t) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, which is borrowed exclusively.
    check(unsafe { libc::getrlimit(resource, &mut limit) })?;
    Ok(limit)
}

/// Raises a soft limit to the hard one and returns it.
pub(crate) fn raise_limit(resource: libc::__rlimit_resource_t) -> io::Result<u64> {
    let mut limit = resource_limit(resource)?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads one rlimit, which lives until the call returns.
    check(unsafe { libc::setrlimit(resource, &limit) })?;
    Ok(limit.rlim_cur)
}

/// Whether this process may lock memory beyond its limit (`CAP_IPC_LOCK`), as far as it can know:
/// in a container with users of its own the kernel may see it otherwise.
pub(crate) fn locks_without_limit() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    effective.is_some_and(|bits| bits & 1 << CAP_IPC_LOCK != 0)
}

/// Gives the calling thread the affinity that it has already, to learn whether it may.
pub(crate) fn keep_affinity() -> io::Result<()> {
    sched_setaffinity(None, &sched_getaffinity(None)?)?;
    Ok(())
}

/// Waits for the end of a thread, also for one that a filter of system calls kills, of which the
/// standard library would panic.
pub(crate) fn join(thread: JoinHandle<()>) {
    let thread = thread.into_pthread_t();
    // SAFETY: the thread can be joined, and only here, since its handle has been given up for this; a
    // null pointer asks for no value of it (pthread_join(3)).
    let joined = unsafe { libc::pthread_join(thread, std::ptr::null_mut()) };
    debug_assert_eq!(joined, 0, "a thread that was never joined can be");
}
