//! One new client.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// After so long a server counts as dead.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Connects and returns how long it took until the welcome was there.
pub(super) fn welcome(address: SocketAddr) -> io::Result<Duration> {
    let begin = Instant::now();
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let url = format!("ws://{address}/ws");
    let (mut socket, _) = tungstenite::client(url, stream).map_err(io::Error::other)?;
    let message = socket.read().map_err(io::Error::other)?;
    if !message.to_text().is_ok_and(|text| text.contains("cast:welcome")) {
        return Err(io::Error::other(format!("no welcome: {message}")));
    }
    Ok(begin.elapsed())
}
