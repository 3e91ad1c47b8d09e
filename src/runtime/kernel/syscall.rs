//! Which system calls a running shard makes.

/// A system call of a running shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syscall {
    Accept,
    EpollCtl,
    EpollWait,
    Recv,
    Send,
    RingSend,
    RingEnter,
    SetTimer,
    Signal,
    SetSockOpt,
    Shutdown,
    EventFd,
}

impl Syscall {
    /// Those that are counted when they fail. The others' failures are ends of connections, which
    /// are counted as such.
    pub(crate) const COUNTED: [Syscall; 7] = [
        Syscall::Accept,
        Syscall::EpollCtl,
        Syscall::RingEnter,
        Syscall::SetTimer,
        Syscall::Signal,
        Syscall::SetSockOpt,
        Syscall::EventFd,
    ];

    /// What it is called in logs and figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Syscall::Accept => "accept4",
            Syscall::EpollCtl => "epoll_ctl",
            Syscall::EpollWait => "epoll_wait",
            Syscall::Recv => "recv",
            Syscall::Send => "send",
            Syscall::RingSend => "io_uring_send",
            Syscall::RingEnter => "io_uring_enter",
            Syscall::SetTimer => "timerfd_settime",
            Syscall::Signal => "eventfd_write",
            Syscall::SetSockOpt => "setsockopt",
            Syscall::Shutdown => "shutdown",
            Syscall::EventFd => "eventfd",
        }
    }
}
