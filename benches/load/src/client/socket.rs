//! Sockets to the server.

use std::io;
use std::net::{SocketAddr, TcpStream};

use rustls::{CertificateError, OtherError};
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

/// How webpki calls an authority's certificate that a server shows.
const CA_AS_SERVER: &str = "CaUsedAsEndEntity";

fn is_in_progress(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
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
        _ => match error.get_ref().and_then(|source| source.downcast_ref()) {
            Some(error) => tls_error_kind(error),
            None => error.to_string(),
        },
    }
}

/// The same of TLS.
fn tls_error_kind(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the server's certificate is not signed by an authority that is known here; give that \
             with --ca, or --insecure"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))
            if inner.to_string().contains(CA_AS_SERVER) =>
        {
            "the server's certificate is an authority's own (CA:TRUE), with which no server may \
             speak; sign one with it, or give --insecure"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(why) => {
            format!("the server's certificate is refused ({why}); --insecure accepts it")
        }
        rustls::Error::InvalidMessage(_) => {
            "the server does not speak TLS; write ws:// instead of wss://".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("the server refused TLS: {alert:?}"),
        error => format!("TLS: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_tls_is_said_with_what_to_do() {
        let certificate = rustls::Error::InvalidCertificate;
        let rows = [
            (certificate(CertificateError::UnknownIssuer), "--ca"),
            (certificate(CertificateError::Expired), "--insecure"),
            (rustls::InvalidMessage::InvalidContentType.into(), "ws://"),
            (rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion), "refused"),
            (rustls::Error::DecryptError, "TLS: "),
        ];
        for (error, advice) in rows {
            let kind = error_kind(&io::Error::new(io::ErrorKind::InvalidData, error));
            assert!(kind.contains(advice), "{kind}");
        }
    }
}
