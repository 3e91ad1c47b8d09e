//! A connection that publishes at a steady rate, and how long its acks take.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use super::member::room_name;

/// What was published, and how long the acks took.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// The offset of each room's last message.
    pub(super) offsets: Vec<u64>,
    /// From when a message was due to its ack, since the last look.
    latencies: Vec<Duration>,
}

/// Half of the acks took no longer, and ninety-nine of a hundred.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) max: Duration,
}

impl Published {
    pub(super) fn new(rooms: usize) -> Published {
        Published { offsets: vec![0; rooms], latencies: Vec::new() }
    }

    /// How long the acks took since the last call.
    pub(super) fn take_latency(&mut self) -> Option<Latency> {
        let mut all = std::mem::take(&mut self.latencies);
        all.sort_unstable();
        let at = |share: f64| all.get((all.len() as f64 * share) as usize).copied();
        Some(Latency { p50: at(0.5)?, p99: at(0.99)?, max: *all.last()? })
    }
}

/// Publishes to one room after the other until it is to end. A message is late by as much as the ack
/// before it came after it was due: that counts.
pub(super) fn publish(
    address: SocketAddr,
    per_second: f64,
    payload_bytes: usize,
    published: &Mutex<Published>,
    ends: &AtomicBool,
) -> io::Result<()> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let (mut socket, _) = tungstenite::client(format!("ws://{address}/ws"), stream)
        .map_err(|error| io::Error::other(error.to_string()))?;
    let rooms = lock(published).offsets.len();
    let data = "x".repeat(payload_bytes);
    let begin = Instant::now();
    for number in 0_u64.. {
        if ends.load(Ordering::Relaxed) {
            break;
        }
        let due = Duration::from_secs_f64(number as f64 / per_second);
        thread::sleep(due.saturating_sub(begin.elapsed()));
        let room = number as usize % rooms;
        let offset = ack(&mut socket, room, number, &data)?;
        let mut published = lock(published);
        published.offsets[room] = offset;
        published.latencies.push(begin.elapsed().saturating_sub(due));
    }
    Ok(())
}

/// Publishes one message. Returns its offset.
fn ack(socket: &mut WebSocket<TcpStream>, room: usize, id: u64, data: &str) -> io::Result<u64> {
    let broken = |error: tungstenite::Error| io::Error::other(error.to_string());
    let message = json!({"event": "cast:publish", "room": room_name(room), "id": id,
        "data": {"event": "m", "data": data}});
    socket.send(Message::text(message.to_string())).map_err(broken)?;
    loop {
        let Message::Text(text) = socket.read().map_err(broken)? else { continue };
        let said: Value = serde_json::from_str(&text)?;
        match said["event"].as_str() {
            Some("cast:ack") if said["id"] == id => {
                return said["data"]["offset"]
                    .as_u64()
                    .ok_or_else(|| io::Error::other(format!("an ack without offset: {text}")));
            }
            Some("cast:error") => return Err(io::Error::other(text.to_string())),
            _ => {}
        }
    }
}

pub(super) fn lock(published: &Mutex<Published>) -> std::sync::MutexGuard<'_, Published> {
    published.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
