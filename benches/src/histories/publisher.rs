//! A connection that publishes as fast as it is acked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use corecast_shards::wire::server_frame_len;

use crate::text_frame::push_text;

/// In which order rooms are published to in each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// One after the other, in the same order each time.
    Turn,
    /// In another order each time.
    Chance,
}

/// Publishes that are under way at once.
const WINDOW: usize = 256;

const READ_BYTES: usize = 64 << 10;

/// How long an ack may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection, and what has come of a frame that is not whole.
#[derive(Debug)]
pub(super) struct Publisher {
    stream: TcpStream,
    came: Vec<u8>,
    frames: Vec<u8>,
    /// Of the order at random.
    chance: u64,
}

impl Publisher {
    pub(super) fn connect(address: SocketAddr, seed: u64) -> io::Result<Publisher> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let (came, frames, chance) = (Vec::new(), Vec::new(), seed.wrapping_mul(2) + 1);
        let mut publisher = Publisher { stream, came, frames, chance };
        publisher.upgrade()?;
        Ok(publisher)
    }

    fn upgrade(&mut self) -> io::Result<()> {
        loop {
            if let Some(end) = self.came.windows(4).position(|four| four == b"\r\n\r\n") {
                if !self.came.starts_with(b"HTTP/1.1 101 ") {
                    let head = String::from_utf8_lossy(&self.came[..end]);
                    return Err(io::Error::other(format!("a handshake was refused: {head}")));
                }
                self.came.drain(..end + 4);
                return Ok(());
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let before = self.came.len();
        self.came.resize(before + READ_BYTES, 0);
        let len = self.stream.read(&mut self.came[before..])?;
        self.came.truncate(before + len);
        match len {
            0 => Err(io::Error::other("the server has closed a publisher")),
            _ => Ok(()),
        }
    }

    /// Publishes one message to each of these rooms.
    pub(super) fn round(
        &mut self,
        rooms: &mut [usize],
        order: Order,
        data: &str,
    ) -> io::Result<()> {
        match order {
            Order::Turn => rooms.sort_unstable(),
            Order::Chance => self.shuffle(rooms),
        }
        for some in rooms.chunks(WINDOW) {
            self.frames.clear();
            for room in some {
                let room = room_name(*room);
                let text = format!(
                    r#"{{"event":"cast:publish","room":"{room}","id":1,"data":{{"event":"m","data":"{data}"}}}}"#
                );
                push_text(&mut self.frames, &text);
            }
            self.stream.write_all(&self.frames)?;
            self.wait_for_acks(some.len())?;
        }
        Ok(())
    }

    fn wait_for_acks(&mut self, mut acks: usize) -> io::Result<()> {
        while acks > 0 {
            self.read()?;
            let mut at = 0;
            while let Some(len) = server_frame_len(&self.came[at..])
                && at + len <= self.came.len()
            {
                acks -= usize::from(is_ack(&self.came[at..at + len])?);
                at += len;
            }
            self.came.drain(..at);
        }
        Ok(())
    }

    /// Every order is as likely as any other (Fisher and Yates).
    fn shuffle(&mut self, rooms: &mut [usize]) {
        for last in (1..rooms.len()).rev() {
            self.chance ^= self.chance << 13;
            self.chance ^= self.chance >> 7;
            self.chance ^= self.chance << 17;
            rooms.swap(last, (self.chance % (last as u64 + 1)) as usize);
        }
    }
}

fn is_ack(frame: &[u8]) -> io::Result<bool> {
    let text = String::from_utf8_lossy(frame);
    match text.contains(r#""event":"cast:error""#) {
        true => Err(io::Error::other(format!("a publish was refused: {text}"))),
        false => Ok(text.contains(r#""event":"cast:ack""#)),
    }
}

/// The name of a room.
pub(super) fn room_name(room: usize) -> String {
    format!("room-{room}")
}
