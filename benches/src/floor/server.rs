//! The loop: read what there is, then send.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};

use super::SendsAfter;
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
    sends_after: SendsAfter,
    coalesce: usize,
    counters: FloorCounters,
    /// Each at its token, less one.
    clients: Vec<Option<Client>>,
    rooms: Vec<FloorRoom>,
    /// Rooms that have messages waiting, and perhaps some that had.
    waiting: Vec<usize>,
    by_name: HashMap<Box<str>, usize>,
    buffer: Vec<u8>,
}

impl FloorServer {
    pub(super) fn new(
        listener: TcpListener,
        sender: FloorSender,
        sends_after: SendsAfter,
        coalesce: usize,
    ) -> io::Result<FloorServer> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        Ok(FloorServer {
            listener,
            epoll,
            sender,
            sends_after,
            coalesce,
            counters: FloorCounters::default(),
            clients: Vec::new(),
            rooms: Vec::new(),
            waiting: Vec::new(),
            by_name: HashMap::new(),
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Serves until an error ends it.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            // Whoever has messages waiting looks without sleeping.
            let timeout = (!self.waiting.is_empty()).then(Timespec::default);
            epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            )?;
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    token => self.read(token)?,
                }
            }
            if events.is_empty() || self.sends_after == SendsAfter::Turn {
                self.send_all()?;
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
            let token = self.clients.len() as u64 + LISTENER + 1;
            epoll::add(&self.epoll, &stream, EventData::new_u64(token), EventFlags::IN)?;
            self.clients.push(Some(Client::new(stream)?));
        }
    }

    fn read(&mut self, token: u64) -> io::Result<()> {
        // It stands outside while its commands change everything else.
        let place = (token - LISTENER - 1) as usize;
        let Some(mut client) = self.clients[place].take() else { return Ok(()) };
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
            self.clients[place] = Some(client);
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
                let nth = self.room(room);
                let room = &mut self.rooms[nth];
                if room.waiting == 0 {
                    self.waiting.push(nth);
                }
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
        for nth in self.waiting.drain(..) {
            self.rooms[nth].send(&mut self.sender, &mut self.counters)?;
        }
        Ok(())
    }
}
