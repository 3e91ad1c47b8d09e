//! The loop: read what there is, then send.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};

use super::client::Client;
use super::message::{self, FloorCommand};
use super::room::{FloorCounters, FloorRoom, FloorSender};

/// Where the listener stands among the tokens; clients count from 1.
const LISTENER: u64 = 0;

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// Bytes read from a socket at once.
const READ_BYTES: usize = 64 << 10;

/// Everything that the one thread owns.
#[derive(Debug)]
pub(super) struct FloorServer {
    listener: TcpListener,
    epoll: OwnedFd,
    sender: FloorSender,
    coalesce: usize,
    counters: FloorCounters,
    clients: HashMap<u64, Client>,
    next_token: u64,
    rooms: Vec<FloorRoom>,
    by_name: HashMap<Box<str>, usize>,
    buffer: Vec<u8>,
}

impl FloorServer {
    pub(super) fn new(
        listener: TcpListener,
        sender: FloorSender,
        coalesce: usize,
    ) -> io::Result<FloorServer> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        Ok(FloorServer {
            listener,
            epoll,
            sender,
            coalesce,
            counters: FloorCounters::default(),
            clients: HashMap::new(),
            next_token: LISTENER + 1,
            rooms: Vec::new(),
            by_name: HashMap::new(),
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Serves until an error ends it.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            // Whoever has messages waiting looks without sleeping, and sends when nothing more
            // is there to be read.
            let waiting = self.rooms.iter().any(|room| room.waiting > 0);
            let timeout = waiting.then(Timespec::default);
            epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            )?;
            if events.is_empty() {
                self.send_all()?;
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    token => self.read(token)?,
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let token = self.next_token;
            self.next_token += 1;
            epoll::add(&self.epoll, &stream, EventData::new_u64(token), EventFlags::IN)?;
            self.clients.insert(token, Client::new(stream)?);
        }
    }

    fn read(&mut self, token: u64) -> io::Result<()> {
        // It stands outside while its commands change everything else.
        let Some(mut client) = self.clients.remove(&token) else { return Ok(()) };
        let mut buffer = std::mem::take(&mut self.buffer);
        let stream = Arc::clone(&client.stream);
        let counters = self.counters;
        let mut result = Ok(());
        let alive = client.read(&mut buffer, counters, |command, replies| {
            if result.is_ok() {
                result = self.handle(token, &stream, command, replies);
            }
        });
        self.buffer = buffer;
        if alive && client.reply() {
            self.clients.insert(token, client);
        } else {
            self.rooms.iter_mut().for_each(|room| room.part(token));
        }
        result
    }

    fn handle(
        &mut self,
        token: u64,
        stream: &Arc<std::net::TcpStream>,
        command: FloorCommand<'_>,
        replies: &mut Vec<u8>,
    ) -> io::Result<()> {
        match command {
            FloorCommand::Other => {}
            FloorCommand::Join { room: name, id } => {
                let room = self.room(name);
                let room = &mut self.rooms[room];
                room.send(&mut self.sender, &mut self.counters)?;
                let members = room.join(token, stream);
                message::push_joined(replies, name, id, (room.offset, members));
            }
            FloorCommand::Publish { room, id, event, data } => {
                let room = self.room(room);
                let room = &mut self.rooms[room];
                let offset = room.push(event, data);
                if let Some(id) = id {
                    message::push_ack(replies, id, offset);
                }
                if room.waiting >= self.coalesce {
                    room.send(&mut self.sender, &mut self.counters)?;
                }
            }
        }
        Ok(())
    }

    fn room(&mut self, name: &str) -> usize {
        if let Some(room) = self.by_name.get(name) {
            return *room;
        }
        self.rooms.push(FloorRoom::new(name));
        self.by_name.insert(name.into(), self.rooms.len() - 1);
        self.rooms.len() - 1
    }

    fn send_all(&mut self) -> io::Result<()> {
        self.rooms.iter_mut().try_for_each(|room| room.send(&mut self.sender, &mut self.counters))
    }
}
