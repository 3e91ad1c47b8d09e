//! A member of a room.

use std::net::SocketAddr;

use corecast_testkit::Client;

/// Connects, and takes the welcome.
pub(crate) fn connect(url: &str) -> Client {
    let place = url.strip_prefix("ws://").expect("a URL of a WebSocket");
    let (address, target) = place.split_at(place.find('/').expect("a path"));
    Client::connect_to(address.parse::<SocketAddr>().unwrap(), target)
}

/// Connects, and joins a room.
pub(crate) fn join(url: &str, room: &str) -> Client {
    let mut client = connect(url);
    client.join(room);
    client
}
