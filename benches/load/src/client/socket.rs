//! Sockets to the server.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::setup::plan::Plan;

/// What a slow member's kernel takes in for it: little, so that the server notices soon.
const SLOW_RECEIVE_BUFFER: usize = 4096;

/// Begins to connect; the socket becomes writable when that has ended.
pub(crate) fn connect(plan: &Plan, member: u32) -> io::Result<TcpStream> {
    let socket = new(plan, member)?;
    socket.set_nonblocking(true)?;
    if plan.slow.has(member) {
        socket.set_recv_buffer_size(SLOW_RECEIVE_BUFFER)?;
    }
    match socket.connect(&plan.address.into()) {
        Err(error) if !is_in_progress(&error) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Connects and waits for it.
pub(crate) fn connect_now(plan: &Plan, number: u32) -> io::Result<TcpStream> {
    let socket = new(plan, number)?;
    socket.connect_timeout(&plan.address.into(), plan.common.connect_timeout)?;
    Ok(socket.into())
}

fn new(plan: &Plan, number: u32) -> io::Result<Socket> {
    let domain = Domain::for_address(plan.address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = plan.sources.of(number) {
        // Ports of connections that have just ended may be taken again.
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    Ok(socket)
}

fn is_in_progress(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}

/// Ends a connection as if its machine had died.
pub(crate) fn reset(stream: TcpStream) {
    // If the option cannot be set, the connection ends the ordinary way, which is all we can do.
    let _ = Socket::from(stream).set_linger(Some(Duration::ZERO));
}

/// Writes what the socket takes and keeps the rest; whether everything is gone.
pub(crate) fn write(stream: &mut TcpStream, pending: &mut Vec<u8>) -> io::Result<bool> {
    let mut written = 0;
    while written < pending.len() {
        match stream.write(&pending[written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    pending.drain(..written);
    Ok(pending.is_empty())
}

/// What to count an I/O error as, with advice where there is some.
pub(crate) fn error_kind(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::BrokenPipe => "connection reset".to_owned(),
        io::ErrorKind::TimedOut => "connecting timed out".to_owned(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => {
            "out of ports (give more --sources)".to_owned()
        }
        _ => error.to_string(),
    }
}
