//! A plain generator to compare `corecast load` with: one thread, one epoll, no options. It publishes
//! to one room at a rate, and records every delivery from when its message was due.
//!
//! `plain ADDRESS MEMBERS RATE SECONDS [PID]`, after a second of warm-up.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use corecast_shards::wire::{Opcode, push_client_frame, server_frame_len};
use hdrhistogram::Histogram;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

type Outcome<T> = Result<T, Box<dyn Error>>;

const PAYLOAD: usize = 128;
/// In front of when a message was due, in sixteen digits.
const MARK: &[u8] = b"~due";
const WARM_UP: Duration = Duration::from_secs(1);
const SETTLE: Duration = Duration::from_millis(300);
const DRAIN: Duration = Duration::from_millis(500);

struct Connection {
    stream: TcpStream,
    partial: Vec<u8>,
}

struct Plain {
    epoll: rustix::fd::OwnedFd,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    began: Instant,
    latencies: Histogram<u64>,
    /// How late each measured message was published.
    lateness: Histogram<u64>,
    /// What was due before does not count.
    mark: u64,
    unsent: Vec<u8>,
    /// Where the mark stood in the last message.
    distance: usize,
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, members, rate, seconds, pid @ ..] = args.as_slice() else {
        return Err("plain ADDRESS MEMBERS RATE SECONDS [PID]".into());
    };
    let (members, rate, seconds): (usize, f64, f64) =
        (members.parse()?, rate.parse()?, seconds.parse()?);
    let mut plain = Plain::connect(address, members)?;
    plain.turn_until(plain.now() + SETTLE.as_nanos() as u64)?;
    let from = plain.now();
    plain.mark = from + WARM_UP.as_nanos() as u64;
    plain.publish(from, plain.mark, rate)?;
    let cpu = pid.first().map(|pid| cpu(pid));
    let end = plain.mark + (seconds * 1e9) as u64;
    plain.publish(plain.mark, end, rate)?;
    let used = pid.first().zip(cpu).map(|(pid, before)| self::cpu(pid) - before);
    plain.turn_until(plain.now() + DRAIN.as_nanos() as u64)?;
    let all = &plain.latencies;
    let at = |share| all.value_at_quantile(share) as f64 / 1e6;
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(at);
    let per_delivery = used.map_or(0, |used| used / all.len().max(1));
    println!(
        "{} deliveries, p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms, max {:.2} ms, \
         CPU per delivery {per_delivery} ns, published late by p99 {:.2} ms",
        all.len(),
        at(1.0),
        plain.lateness.value_at_quantile(0.99) as f64 / 1e6
    );
    Ok(())
}

/// Nanoseconds of CPU that the threads of a process have used.
fn cpu(pid: &str) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = threads.filter_map(|it| std::fs::read_to_string(it.path().join("schedstat")).ok());
    texts.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum()
}

impl Plain {
    /// The publisher first.
    fn connect(address: &str, members: usize) -> Outcome<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for number in 0..=members {
            let mut stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            write!(
                stream,
                "GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Version: 13\r\n\r\n"
            )?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                head.push(byte[0]);
            }
            if number > 0 {
                let join = br#"{"event":"cast:join","room":"plain","id":1}"#;
                stream.write_all(&frame(join))?;
            }
            stream.set_nonblocking(true)?;
            let data = EventData::new_u64(number as u64);
            epoll::add(&epoll, &stream, data, EventFlags::IN)?;
            connections.push(Connection { stream, partial: Vec::new() });
        }
        Ok(Self {
            epoll,
            connections,
            buffer: vec![0; 256 * 1024],
            began: Instant::now(),
            latencies: Histogram::new(3)?,
            lateness: Histogram::new(3)?,
            mark: u64::MAX,
            unsent: Vec::new(),
            distance: 0,
        })
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// Publishes what is due from one time to another.
    fn publish(&mut self, from: u64, to: u64, rate: f64) -> Outcome<()> {
        let mut number = 0_u64;
        loop {
            let due = from + (number as f64 / rate * 1e9) as u64;
            if due >= to {
                return self.turn_until(to);
            }
            if due > self.now() {
                self.flush()?;
                self.turn(due)?;
                continue;
            }
            if due >= self.mark {
                self.lateness.record(self.now() - due)?;
            }
            let filler = "x".repeat(PAYLOAD - MARK.len() - 16);
            let payload = format!("{}{due:016}{filler}", str::from_utf8(MARK)?);
            let text = format!(
                r#"{{"event":"cast:publish","room":"plain","data":{{"event":"load","data":"{payload}"}}}}"#
            );
            self.unsent.extend_from_slice(&frame(text.as_bytes()));
            number += 1;
        }
    }

    fn flush(&mut self) -> Outcome<()> {
        while !self.unsent.is_empty() {
            match self.connections[0].stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn turn_until(&mut self, then: u64) -> Outcome<()> {
        while self.now() < then {
            self.flush()?;
            self.turn(then)?;
        }
        Ok(())
    }

    /// Reads once what is there, or waits for it at most until then.
    fn turn(&mut self, then: u64) -> Outcome<()> {
        let wait = Duration::from_nanos(then.saturating_sub(self.now()));
        let (tv_sec, tv_nsec) = (wait.as_secs() as i64, wait.subsec_nanos().into());
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        let spare = rustix::buffer::spare_capacity(&mut events);
        epoll::wait(&self.epoll, spare, Some(&Timespec { tv_sec, tv_nsec }))?;
        for event in &events {
            let data = event.data;
            self.read(data.u64() as usize)?;
        }
        Ok(())
    }

    fn read(&mut self, nth: usize) -> Outcome<()> {
        let connection = &mut self.connections[nth];
        let kept = connection.partial.len();
        self.buffer[..kept].copy_from_slice(&connection.partial);
        let count = connection.stream.read(&mut self.buffer[kept..])?;
        let now = self.began.elapsed().as_nanos() as u64;
        let mut rest = &self.buffer[..kept + count];
        while let Some(len) = server_frame_len(rest).filter(|&len| len <= rest.len()) {
            let (whole, behind) = rest.split_at(len);
            rest = behind;
            if !whole.get(self.distance..).is_some_and(|part| part.starts_with(MARK)) {
                let found = whole.windows(MARK.len()).position(|part| part == MARK);
                let Some(at) = found else { continue };
                self.distance = at;
            }
            let digits = &whole[self.distance + MARK.len()..][..16];
            let due: u64 = str::from_utf8(digits)?.parse()?;
            if due >= self.mark {
                self.latencies.record(now - due)?;
            }
        }
        connection.partial.clear();
        connection.partial.extend_from_slice(rest);
        Ok(())
    }
}

fn frame(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_client_frame(&mut out, Opcode::Text, true, [1, 2, 3, 4], text);
    out
}
