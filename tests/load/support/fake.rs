//! A WebSocket server that delivers by the book, faults included: what it does wrong depends only
//! on the number of a message, never on time.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use corecast_shards::wire::{Opcode, push_frame};
use serde_json::Value;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::{Message, accept_hdr};

use super::Spoil;

/// What happens to the nth message of a room, for each of its members.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Every so manyth message is not delivered; 0: all are.
    pub(crate) drop_every: u64,
    /// This message is delivered after the next one.
    pub(crate) swap_at: Option<u64>,
    /// This message is delivered twice.
    pub(crate) double_at: Option<u64>,
    /// Every so manyth message is spoilt in this way.
    pub(crate) spoil_every: Option<(u64, Spoil)>,
    /// Instead of this message the connection is closed with 1013.
    pub(crate) close_at: Option<u64>,
    /// Before this message the first member's connection is closed with 1013.
    pub(crate) close_first_at: Option<u64>,
    /// Instead of this message these bytes are sent.
    pub(crate) raw_at: Option<(u64, &'static [u8])>,
    /// With this message the server is gone, as if it were killed.
    pub(crate) die_at: Option<u64>,
    /// Instead of taking this message the server closes the connection that published it.
    pub(crate) close_publisher_at: Option<u64>,
    /// With this connection the server stops to accept for so long.
    pub(crate) accept_late_at: Option<(usize, Duration)>,
    /// With this message the server stops to read and to write for so long.
    pub(crate) stall_at: Option<(u64, Duration)>,
    /// The last member of a room gets each message so much later than the others.
    pub(crate) last_late: Option<Duration>,
    /// What becomes of this one of those that join rooms in which something was published.
    pub(crate) late: Option<(u64, Late)>,
    /// From this connection on none is answered.
    pub(crate) refuse_from: Option<usize>,
    /// Nobody gets an answer to a leave.
    pub(crate) mute_leaves: bool,
    /// The answer to a leave names the message before the last that was sent.
    pub(crate) understate_leaves: bool,
}

/// What is wrong with a member that joins late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// It does not get its first message.
    MissesFirst,
    /// It does not get any.
    MissesAll,
    /// It gets the last one of those before it, too.
    GetsEarlier,
    /// The server ends its connection with its first message.
    IsClosed,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Dialect {
    /// Protocol 1, as far as members and publishers need it.
    Corecast,
    /// The room stands in the path, `/chat/ROOM`, and all that is said goes to all who are there.
    Path,
    /// `SUB room`, answered with `OK`, and `PUB room text`, delivered as the text.
    Plain,
    /// The same, delivered in capital letters.
    Upper,
}

pub(crate) struct Fake {
    address: SocketAddr,
    rooms: Arc<Mutex<Rooms>>,
}

#[derive(Default)]
struct Rooms {
    members: HashMap<String, Vec<Member>>,
    published: HashMap<String, u64>,
    /// The newest message of each room.
    newest: HashMap<String, Vec<u8>>,
    /// Members that joined when something had been published.
    late: u64,
    /// Of all connections there ever were.
    streams: Vec<TcpStream>,
    is_dead: bool,
    /// What connections asked for: the path, and their `X-Token`.
    asked: Vec<String>,
}

struct Member {
    stream: TcpStream,
    late: Option<Late>,
    /// A message that is delivered after the next one.
    held: Option<Vec<u8>>,
}

impl Fake {
    pub(crate) fn start(dialect: Dialect, faults: Faults) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let rooms = Arc::new(Mutex::new(Rooms::default()));
        let fake = Self { address, rooms: rooms.clone() };
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (stream, shared) = (stream.unwrap(), rooms.clone());
                if let Some((_, time)) = faults.accept_late_at.filter(|&(at, _)| at == number) {
                    thread::sleep(time);
                }
                let mut rooms = rooms.lock().unwrap();
                if rooms.is_dead {
                    return;
                }
                if faults.refuse_from.is_some_and(|from| number >= from) {
                    continue;
                }
                rooms.streams.push(stream.try_clone().unwrap());
                thread::spawn(move || serve(stream, dialect, faults, &shared));
            }
        });
        fake
    }

    /// What connections asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut asked = self.rooms.lock().unwrap().asked.clone();
        asked.sort();
        asked
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }
}

/// Serves one connection until it ends.
fn serve(stream: TcpStream, dialect: Dialect, faults: Faults, rooms: &Mutex<Rooms>) {
    stream.set_nodelay(true).unwrap();
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "it is what is asked for")]
    let note = |request: &Request, response: Response| {
        let token = request.headers().get("x-token").map_or("", |value| value.to_str().unwrap());
        rooms.lock().unwrap().asked.push(format!("{} {token}", request.uri()).trim().to_owned());
        path = request.uri().path().to_owned();
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr(stream, note) else { return };
    let own_room = path.strip_prefix("/chat/").unwrap_or_default().to_owned();
    if let Dialect::Path = dialect {
        let stream = socket.get_ref().try_clone().unwrap();
        let member = Member { stream, late: None, held: None };
        rooms.lock().unwrap().members.entry(own_room.clone()).or_default().push(member);
    }
    while let Ok(message) = socket.read() {
        let Message::Text(text) = message else { continue };
        match understand(dialect, text.as_str(), &own_room) {
            Asked::Join { room, answer } => {
                let stream = socket.get_ref().try_clone().unwrap();
                rooms.lock().unwrap().join(room, stream, &answer, faults);
            }
            Asked::Leave { room } => {
                let address = socket.get_ref().peer_addr().unwrap();
                rooms.lock().unwrap().leave(&room, address, faults);
            }
            Asked::Publish { room, message } => {
                let mut rooms = rooms.lock().unwrap();
                if rooms.happens(&room, faults.close_publisher_at) {
                    // What others publish goes on.
                    *rooms.published.entry(room).or_default() += 1;
                    let mut stream = socket.get_ref().try_clone().unwrap();
                    return close(&mut stream, 1001, "going away");
                }
                if rooms.happens(&room, faults.die_at) {
                    return rooms.die(socket.get_ref().local_addr().unwrap());
                }
                let message = rooms.numbered(&room, message, dialect);
                rooms.publish(room, message.as_bytes(), faults);
            }
        }
    }
}

enum Asked {
    Join { room: String, answer: String },
    Leave { room: String },
    Publish { room: String, message: String },
}

fn understand(dialect: Dialect, text: &str, own_room: &str) -> Asked {
    match dialect {
        Dialect::Path => Asked::Publish { room: own_room.to_owned(), message: text.to_owned() },
        Dialect::Corecast => {
            let envelope: Value = serde_json::from_str(text).unwrap();
            let room = envelope["room"].as_str().unwrap().to_owned();
            if envelope["event"] == "cast:join" {
                let answer = format!(
                    r#"{{"event":"cast:joined","room":"{room}","data":{{"epoch":"e","offset":OFFSET}}}}"#
                );
                return Asked::Join { room, answer };
            }
            if envelope["event"] == "cast:leave" {
                return Asked::Leave { room };
            }
            let data = &envelope["data"]["data"];
            let message = format!(r#"{{"event":"load","data":{data},"room":"{room}"}}"#);
            Asked::Publish { room, message }
        }
        Dialect::Plain | Dialect::Upper => {
            let words: Vec<&str> = text.splitn(3, ' ').collect();
            match *words.as_slice() {
                ["SUB", room] => Asked::Join { room: room.to_owned(), answer: "OK".to_owned() },
                ["PUB", room, message] => {
                    let message = match dialect {
                        Dialect::Upper => message.to_uppercase(),
                        _ => message.to_owned(),
                    };
                    Asked::Publish { room: room.to_owned(), message }
                }
                _ => panic!("not understood: {text}"),
            }
        }
    }
}

impl Rooms {
    /// Whether the next message of this room is the one with which something happens.
    fn happens(&self, room: &str, at: Option<u64>) -> bool {
        at.is_some_and(|at| self.published.get(room).copied().unwrap_or_default() == at)
    }

    /// As a corecast of one publisher counts them.
    fn numbered(&self, room: &str, message: String, dialect: Dialect) -> String {
        let offset = self.published.get(room).copied().unwrap_or_default() + 1;
        match (dialect, message.strip_suffix('}')) {
            (Dialect::Corecast, Some(open)) => format!(r#"{open},"offset":{offset}}}"#),
            _ => message,
        }
    }

    fn join(&mut self, room: String, mut stream: TcpStream, answer: &str, faults: Faults) {
        let offset = self.published.get(&room).copied().unwrap_or_default();
        send(&mut stream, answer.replace("OFFSET", &offset.to_string()).as_bytes());
        let late = faults.late.filter(|&(at, _)| offset > 0 && at == self.late);
        self.late += u64::from(offset > 0);
        let late = late.map(|(_, late)| late);
        if late == Some(Late::GetsEarlier) {
            send(&mut stream, &self.newest[&room]);
        }
        let member = Member { stream, late, held: None };
        self.members.entry(room).or_default().push(member);
    }

    fn leave(&mut self, room: &str, address: SocketAddr, faults: Faults) {
        let published = self.published.get(room).copied().unwrap_or_default();
        let offset = published - u64::from(faults.understate_leaves);
        let members = self.members.entry(room.to_owned()).or_default();
        let is_it = |member: &Member| member.stream.peer_addr().is_ok_and(|it| it == address);
        let nth = members.iter().position(is_it).expect("it has joined");
        let mut member = members.remove(nth);
        let answer = format!(
            r#"{{"event":"cast:left","room":"{room}","id":2,"data":{{"offset":{offset}}}}}"#
        );
        if !faults.mute_leaves {
            send(&mut member.stream, answer.as_bytes());
        }
    }

    /// Ends everything; nobody answers at this address any more.
    fn die(&mut self, address: SocketAddr) {
        self.is_dead = true;
        for stream in &self.streams {
            // Some have ended before.
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Whoever listens finds out with one more connection.
        let _ = TcpStream::connect(address);
    }

    fn publish(&mut self, room: String, message: &[u8], faults: Faults) {
        if let Some((at, time)) = faults.stall_at
            && self.happens(&room, Some(at))
        {
            // Whoever else has something to do waits for the lock.
            thread::sleep(time);
        }
        let lets_go = self.happens(&room, faults.close_first_at);
        self.newest.insert(room.clone(), message.to_vec());
        let number = self.published.entry(room.clone()).or_default();
        let members = self.members.entry(room).or_default();
        if let Some(first) = members.first_mut().filter(|_| lets_go) {
            close(&mut first.stream, 1013, "slow retry=100");
        }
        let last = members.len().saturating_sub(1);
        for (nth, member) in members.iter_mut().enumerate() {
            if let Some(time) = faults.last_late.filter(|_| nth == last) {
                thread::sleep(time);
            }
            member.deliver(*number, message, faults);
        }
        *number += 1;
    }
}

impl Member {
    fn deliver(&mut self, number: u64, message: &[u8], faults: Faults) {
        if faults.drop_every > 0 && (number + 1).is_multiple_of(faults.drop_every) {
            return;
        }
        match self.late {
            None | Some(Late::GetsEarlier) => {}
            Some(Late::MissesAll) => return,
            Some(Late::MissesFirst) => {
                self.late = None;
                return;
            }
            Some(Late::IsClosed) => {
                self.late = Some(Late::MissesAll);
                return close(&mut self.stream, 1013, "slow retry=100");
            }
        }
        if faults.swap_at == Some(number) {
            self.held = Some(message.to_vec());
            return;
        }
        if faults.close_at == Some(number) {
            return close(&mut self.stream, 1013, "slow retry=100");
        }
        if let Some((_, bytes)) = faults.raw_at.filter(|&(at, _)| at == number) {
            let _ = self.stream.write_all(bytes);
            return;
        }
        let spoil = faults.spoil_every.filter(|&(every, _)| (number + 1).is_multiple_of(every));
        match spoil {
            Some((_, spoil)) => {
                spoil.apply(message).iter().for_each(|message| send(&mut self.stream, message));
            }
            None => send(&mut self.stream, message),
        }
        if faults.double_at == Some(number) {
            send(&mut self.stream, message);
        }
        if let Some(held) = self.held.take() {
            send(&mut self.stream, &held);
        }
    }
}

/// A client that has gone gets nothing.
fn send(stream: &mut TcpStream, message: &[u8]) {
    let mut frame = Vec::new();
    push_frame(&mut frame, Opcode::Text, message);
    let _ = stream.write_all(&frame);
}

fn close(stream: &mut TcpStream, code: u16, reason: &str) {
    let mut frame = Vec::new();
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    push_frame(&mut frame, Opcode::Close, &payload);
    let _ = stream.write_all(&frame);
}
