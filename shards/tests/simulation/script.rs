//! What clients do.

use corecast_shards::wire::Opcode;
use corecast_shards::{
    AskedCommand, AskedKind, CallKind, CloseCode, Disconnect, Draft, Format, JoinOptions, Message,
    Position, Start, Verdict,
};

use crate::client::{HangUp, Mark};
use crate::count::Happened;
use crate::deflate;
use crate::model::{EVERYBODY, NO_ROOM, Speaker};
use crate::rights::Ruling;
use crate::view::{Awaited, Line};
use crate::world::{World, trace};

/// A message that a client says: what it wrote, and what is published if nothing refuses it.
struct Words {
    refusal: Option<&'static str>,
    written: usize,
    said: usize,
    /// The data of what is published, if the program changes it.
    rewritten: Option<Box<str>>,
}

impl World {
    /// A few clients of the shard do something.
    pub(crate) fn act(&mut self, shard: usize) {
        for _ in 0..self.chance.skewed(4) {
            let Some(client) = self.some_client(Some(shard)) else { return };
            for _ in 0..self.chance.skewed(self.setup.burst) {
                self.act_one(client);
            }
        }
    }

    fn act_one(&mut self, client: usize) {
        self.answer_pings(client);
        self.answer_close(client);
        if !self.clients[client].talks() || self.clients[client].out.len() > self.setup.unsent_max {
            return;
        }
        if self.clients[client].view.stream.is_some() {
            return self.act_on_stream(client);
        }
        let faults = &self.setup.faults;
        let (hang_up, close, sin) = (faults.hang_up, faults.close, faults.sin);
        if self.chance.happens(hang_up) {
            self.hang_up(client);
        } else if self.chance.happens(close) {
            self.close(client);
        } else if self.chance.happens(sin) {
            self.sin(client);
        } else {
            self.command(client);
        }
    }

    pub(crate) fn answer_pings(&mut self, client: usize) {
        let player = &mut self.clients[client];
        let pings = std::mem::take(&mut player.view.pings);
        if player.silent || player.closed || player.hung_up.is_some() || player.doomed {
            return;
        }
        for payload in pings {
            player.frame(Opcode::Pong, true, &payload, &mut self.chance);
        }
    }

    /// After the server's close frame a client ends its side, unless it is stubborn.
    pub(crate) fn answer_close(&mut self, client: usize) {
        let player = &mut self.clients[client];
        if player.view.closed.is_none() || player.hung_up.is_some() || player.closed {
            return;
        }
        if !player.stubborn {
            player.hung_up = Some(HangUp::EndOfStream);
        }
    }

    fn command(&mut self, client: usize) {
        if self.clients[client].format == Format::Verbatim {
            return self.own_format(client);
        }
        if self.asks_presence() {
            let rooms: Vec<usize> = self.clients[client].view.rooms.keys().copied().collect();
            let room = match rooms.is_empty() || self.presence_chance.happens(0.2) {
                true => self.presence_chance.below(self.names.len()),
                false => self.presence_chance.pick(&rooms),
            };
            return self.ask_presence(client, room);
        }
        let home_room = !self.clients[client].view.rooms.contains_key(&0);
        if self.clients[client].resident && home_room && !self.is_asking(client, 0) {
            return self.join(client, 0);
        }
        let room = match self.chance.happens(0.3) {
            true => 0,
            false => self.chance.below(self.names.len()),
        };
        match self.chance.weighted(&[12, 8, 30, 6, 3, 5, 3, 2, 2]) {
            0 => self.join(client, room),
            1 => self.leave(client, room),
            2 => self.publish(client, room),
            3 => self.broadcast(client),
            4 => self.ping(client),
            5 => self.bad_envelope(client, room),
            6 if self.setup.config.hooks.binary && self.chance.happens(0.5) => {
                self.binary(client);
            }
            6 => self.application(client, room),
            7 => self.refresh(client),
            _ => {
                // Impatient: both are on their way before either is answered.
                self.join(client, room);
                self.leave(client, room);
            }
        }
    }

    fn is_asking(&self, client: usize, room: usize) -> bool {
        self.clients[client].view.line(Line::Room(room)).next().is_some()
    }

    pub(crate) fn speak(&mut self, client: usize, json: &str) {
        let fragments = if self.chance.happens(0.1) { self.chance.within(2, 4) } else { 1 };
        let fragments = fragments.min(self.setup.config.limits.frames_per_message);
        self.count.add_if(fragments > 1, Happened::FragmentedMessage);
        trace!(self, "client {client}: says {json:.200}");
        let compressed = self.clients[client].text(json, fragments, &mut self.chance);
        self.count.add_if(compressed, Happened::SentDeflated);
    }

    /// An id for a command, and how it looks in JSON; sometimes there is none.
    pub(crate) fn id(&mut self, client: usize, probability: f64) -> (Option<String>, String) {
        if !self.chance.happens(probability) {
            return (None, String::new());
        }
        let id = self.clients[client].id(&mut self.chance);
        let json = format!(r#","id":{id}"#);
        (Some(id), json)
    }

    /// How often a join or leave has an id: always where the program joins and leaves, too, whose
    /// answers have none.
    fn asks_for_id(&self, client: usize) -> f64 {
        if self.clients[client].view.guided.is_some() { 1.0 } else { 0.7 }
    }

    /// What comes instead of an answer to a command that is not allowed. What the program will say
    /// where it is asked is drawn when the command is said.
    pub(crate) fn refusal(&mut self, ruling: Ruling) -> Option<&'static str> {
        match (ruling, self.chance.below(5)) {
            (Ruling::Forbidden, _) | (Ruling::Asked, 0) => Some("forbidden"),
            (Ruling::Asked, 1) => Some("handler_failed"),
            _ => None,
        }
    }

    /// Takes note of what the program will be asked, and of what it will say.
    pub(crate) fn will_ask(
        &mut self,
        client: usize,
        ruling: Ruling,
        asked: AskedCommand,
        refusal: Option<&'static str>,
        rewritten: Option<Box<str>>,
    ) {
        let player = &mut self.clients[client];
        if ruling != Ruling::Asked {
            return;
        }
        let verdict = match refusal {
            None => Verdict::Granted,
            Some("forbidden") => Verdict::Forbidden("not \"now\"".into()),
            Some(_) => Verdict::Failed,
        };
        let serial = player.view.serial;
        player.said.push_back((serial, CallKind::Command(asked)));
        player.verdicts.push_back((serial, verdict, rewritten));
    }

    /// Makes up what a client says, and what of it is published: the same; or something else if the
    /// program changes it; or nothing if it is refused.
    fn say(
        &mut self,
        client: usize,
        place: usize,
        excluded: Option<usize>,
        ruling: Ruling,
    ) -> Words {
        let refusal = self.refusal(ruling);
        let asked = ruling == Ruling::Asked && refusal.is_none();
        let rewrites = asked && self.chance.happens(0.3);
        let by = Speaker::Client(client);
        let shown_in = if refusal.is_some() || rewrites { NO_ROOM } else { place };
        let len = self.length();
        let written = self.model.say(shown_in, by, len, excluded, self.step);
        let said = match rewrites {
            true => self.model.say(place, by, len, excluded, self.step),
            false => written,
        };
        let rewritten = rewrites.then(|| (&*self.model.sayings[said].data).into());
        Words { refusal, written, said, rewritten }
    }

    fn join(&mut self, client: usize, room: usize) {
        let ruling = self.clients[client].rights.join.ruling(room);
        let refusal = self.refusal(ruling);
        let (id, id_json) = self.id(client, self.asks_for_id(client));
        let since = self.since(client, room);
        // Where messages come without offset, none would say how many of them there are.
        let keeps = self.keeps.iter().any(Option::is_some);
        let asks = since.is_none() && keeps && !self.setup.verbatim;
        let last = asks && self.chance.happens(0.2);
        let last = last.then(|| self.chance.skewed(20) as u64);
        let watches =
            self.setup.presence > 0.0 && self.presence_chance.happens(self.setup.presence);
        let start = match (&since, last) {
            (Some((epoch, offset)), _) => {
                Some(format!(r#""since":{{"epoch":"{epoch}","offset":{offset}}}"#))
            }
            (None, Some(last)) => Some(format!(r#""last":{last}"#)),
            (None, None) => None,
        };
        let watched = watches.then(|| r#""presence":true"#.to_owned());
        let data: Vec<String> = start.into_iter().chain(watched).collect();
        let data = match data.is_empty() {
            true => String::new(),
            false => format!(r#","data":{{{}}}"#, data.join(",")),
        };
        let (may_refuse, must_refuse) = self.is_one_too_many(client, room);
        let name = &self.written[room];
        let json = format!(r#"{{"event":"cast:join","room":{name}{data}{id_json}}}"#);
        self.speak(client, &json);
        let start = match (since.clone(), last) {
            (Some((epoch, offset)), _) => Start::Since(Position { epoch: epoch.into(), offset }),
            (None, Some(last)) => Start::Last(last as u32),
            (None, None) => Start::Live,
        };
        let asked_at = self.now;
        let mut options = JoinOptions::from(start);
        options.presence = watches;
        let kind = AskedKind::Join(options);
        let presence = watches.then(|| self.time_at[self.homes[room]]);
        let asked = AskedCommand {
            kind,
            room: Some(self.names[room].clone()),
            id: id.as_deref().map(Into::into),
        };
        self.will_ask(client, ruling, asked, refusal, None);
        let answer = match refusal {
            Some(code) => Awaited::Error(code),
            None => Awaited::Joined {
                since,
                last,
                asked: asked_at,
                presence,
                may_refuse,
                must_refuse,
                said_at: self.step,
            },
        };
        self.clients[client].view.expect(Line::Room(room), id, answer);
    }

    /// Where the client stopped reading, or something that never was.
    fn since(&mut self, client: usize, room: usize) -> Option<(String, u64)> {
        if self.chance.happens(0.6) {
            return None;
        }
        let left = self.clients[client].view.left.get(&room).cloned();
        let (epoch, offset) = left.map_or(("none".into(), 3), |(e, o)| (e.to_string(), o));
        match self.chance.below(8) {
            0 => Some((epoch, offset + 1_000)),
            1 => Some(("0".into(), offset)),
            2 => Some((epoch, offset)),
            3 | 4 if self.keeps.iter().any(Option::is_some) => {
                let missed = self.chance.skewed(30) as u64;
                let present = self.model.present(room).unwrap_or((epoch, offset));
                Some((present.0, present.1.saturating_sub(missed)))
            }
            // Where everybody is now, as if it had been away only for a moment.
            _ => self.model.present(room).or(Some((epoch, offset))),
        }
    }

    /// Whether joining this room may, and whether it must, be refused.
    pub(crate) fn is_one_too_many(&self, client: usize, room: usize) -> (bool, bool) {
        let view = &self.clients[client].view;
        if view.guided.is_some() {
            return (true, false);
        }
        let rooms_max = self.setup.config.limits.rooms_per_connection;
        let asks = |room: usize, leave: bool| {
            view.line(Line::Room(room)).any(|expected| match expected.answer {
                Awaited::Left | Awaited::Evicted => leave,
                Awaited::Joined { .. } => !leave,
                _ => false,
            })
        };
        let surely = |room: usize| view.rooms.contains_key(&room) && !asks(room, true);
        let perhaps = |room: usize| view.rooms.contains_key(&room) || asks(room, false);
        let others = || (0..self.names.len()).filter(|other| *other != room);
        let may = others().filter(|room| perhaps(*room)).count() >= rooms_max && !surely(room);
        let must = others().filter(|room| surely(*room)).count() >= rooms_max && !perhaps(room);
        (may, must)
    }

    fn leave(&mut self, client: usize, room: usize) {
        if room == 0 && self.clients[client].resident {
            return;
        }
        let (id, id_json) = self.id(client, self.asks_for_id(client));
        let json = format!(r#"{{"event":"cast:leave","room":{}{id_json}}}"#, self.written[room]);
        self.speak(client, &json);
        self.clients[client].mark(Mark::Leave(room));
        self.clients[client].view.expect(Line::Room(room), id, Awaited::Left);
    }

    /// Most messages are small, some fill a log, a few are too large to be copied.
    pub(crate) fn length(&mut self) -> usize {
        match self.chance.happens(self.setup.faults.large) {
            true => self.chance.within(16 << 10, 40 << 10),
            false if self.chance.happens(0.1) => self.chance.within(500, 3_000),
            false => self.chance.skewed(200),
        }
    }

    fn publish(&mut self, client: usize, room: usize) {
        let echo = self.chance.happens(0.7);
        // Where messages come without offset, it must know which of them it does not get.
        let must_ask = self.setup.verbatim && !echo;
        let (id, id_json) = self.id(client, if must_ask { 1.0 } else { 0.7 });
        let excluded = (!echo).then_some(client);
        let ruling = self.clients[client].rights.publish.ruling(room);
        let words = self.say(client, room, excluded, ruling);
        let echo_json = match (echo, self.chance.happens(0.5)) {
            (false, _) => r#","echo":false"#,
            (true, true) => r#","echo":true"#,
            (true, false) => "",
        };
        // An ack without a message would not say which of them it does not get.
        let key = if must_ask { None } else { self.some_key(words.said, room) };
        let key_json = key.as_ref().map_or(String::new(), |key| {
            format!(r#","key":{}"#, serde_json::Value::from(key.as_str()))
        });
        let data = self.model.sayings[words.written].data.clone();
        let name = &self.written[room];
        let json = format!(
            r#"{{"event":"cast:publish","room":{name}{id_json},"data":{{"event":"m","data":{data}{echo_json}{key_json}}}}}"#
        );
        self.speak(client, &json);
        let draft = Draft { event: "m".into(), data: (&*data).into(), echo, key };
        let kind = AskedKind::Publish(draft);
        let asked = AskedCommand {
            kind,
            room: Some(self.names[room].clone()),
            id: id.as_deref().map(Into::into),
        };
        let Words { refusal, said, rewritten, .. } = words;
        self.will_ask(client, ruling, asked, refusal, rewritten);
        let player = &mut self.clients[client];
        if let Some(code) = refusal {
            return player.view.expect(Line::Room(room), id, Awaited::Error(code));
        }
        self.count.add_if(!echo, Happened::EchoFalsePublish);
        player.mark(Mark::Publish(room));
        match id {
            Some(_) => player.view.expect(Line::Room(room), id, Awaited::Ack(said)),
            None if !echo => *player.view.unasked.entry(room).or_default() += 1,
            None => {}
        }
    }

    fn broadcast(&mut self, client: usize) {
        let (id, id_json) = self.id(client, 0.7);
        let ruling = self.clients[client].rights.broadcast.ruling(EVERYBODY);
        let words = self.say(client, EVERYBODY, None, ruling);
        let data = self.model.sayings[words.written].data.clone();
        let json = format!(
            r#"{{"event":"cast:broadcast"{id_json},"data":{{"event":"b","data":{data},"echo":false}}}}"#
        );
        self.speak(client, &json);
        let data = (&*data).into();
        let draft = Draft { event: "b".into(), data, echo: false, key: None };
        let kind = AskedKind::Broadcast(draft);
        let asked = AskedCommand { kind, room: None, id: id.as_deref().map(Into::into) };
        let Words { refusal, said, rewritten, .. } = words;
        self.will_ask(client, ruling, asked, refusal, rewritten);
        let view = &mut self.clients[client].view;
        match refusal {
            Some(code) => view.expect(Line::Errors, id, Awaited::Error(code)),
            None if id.is_some() => view.expect(Line::Everybody, id, Awaited::Ack(said)),
            None => {}
        }
    }

    fn ping(&mut self, client: usize) {
        let (id, id_json) = self.id(client, 0.7);
        self.speak(client, &format!(r#"{{"event":"cast:ping"{id_json}}}"#));
        self.clients[client].view.expect(Line::Pings, id, Awaited::Pong);
        self.clients[client].frame(Opcode::Ping, true, b"ws", &mut self.chance);
    }

    fn bad_envelope(&mut self, client: usize, room: usize) {
        let (id, id_json) = self.id(client, 0.7);
        let name = &self.written[room];
        let in_room = Line::Room(room);
        let (line, id, code, json) = match self.chance.below(7) {
            6 => {
                let json = format!(
                    r#"{{"event":"cast:broadcast"{id_json},"data":{{"event":"b","key":"k"}}}}"#
                );
                (Line::Errors, id, "bad_envelope", json)
            }
            0 => (Line::Errors, None, "bad_envelope", "[\"cast:join\"]".to_owned()),
            1 => {
                let json = format!(r#"{{"event":7{id_json}}}"#);
                (Line::Errors, id, "bad_envelope", json)
            }
            2 => {
                let json = format!(r#"{{"event":{{}},"room":{name}{id_json}}}"#);
                (in_room, id, "bad_envelope", json)
            }
            3 => {
                let json = format!(
                    r#"{{"event":"cast:publish","room":{name}{id_json},"data":{{"event":"cast:m"}}}}"#
                );
                (in_room, id, "bad_envelope", json)
            }
            4 => {
                let json = format!(r#"{{"event":"cast:rooms","room":{name}{id_json}}}"#);
                (in_room, id, "unknown_event", json)
            }
            _ => {
                let json = format!(r#"{{"event":"nobody"{id_json}}}"#);
                (Line::Errors, id, "unknown_event", json)
            }
        };
        self.speak(client, &json);
        self.clients[client].view.expect(line, id, Awaited::Error(code));
    }

    fn application(&mut self, client: usize, room: usize) {
        let data = format!("[{} ]", self.chance.next());
        let name = &self.written[room];
        let json = format!(r#"{{"event":"app","data":{data},"room":{name},"id":"app"}}"#);
        self.speak(client, &json);
        let room = self.names[room].clone();
        let (event, id) = ("app".into(), Some("\"app\"".into()));
        let message = Message { event, data: data.into(), room: Some(room), id };
        self.clients[client].will_call(CallKind::Event(message));
    }

    /// What a client says where the program has a format of its own.
    fn own_format(&mut self, client: usize) {
        let text = format!("{{ not JSON, ü {}", self.chance.next());
        if self.chance.happens(0.2) {
            return self.clients[client].frame(Opcode::Ping, true, b"ws", &mut self.chance);
        }
        self.speak(client, &text);
        self.clients[client].will_call(CallKind::Text(text));
    }

    /// A binary message: for the program, or a sin.
    fn binary(&mut self, client: usize) {
        let payload = self.chance.next().to_be_bytes();
        self.clients[client].frame(Opcode::Binary, true, &payload, &mut self.chance);
        self.clients[client].will_call(CallKind::Binary(payload.to_vec()));
    }

    /// Goes away without a word.
    pub(crate) fn hang_up(&mut self, client: usize) {
        let player = &mut self.clients[client];
        player.may_end.push(Disconnect::Lost);
        if self.chance.happens(0.5) {
            player.hung_up = Some(HangUp::EndOfStream);
            self.count.add(Happened::EndOfStream);
        } else {
            player.hung_up = Some(HangUp::Reset);
            player.dead = true;
            self.count.add(Happened::Reset);
            if self.chance.happens(0.5) {
                let kept = self.chance.within(0, player.out.len());
                player.out.truncate(kept);
                player.marks.retain(|(end, _)| *end <= player.handed + kept);
            }
        }
        trace!(self, "client {client}: {:?}", self.clients[client].hung_up);
    }

    /// Closes in order; its connection must end with the code that it gave.
    fn close(&mut self, client: usize) {
        let code: Option<u16> = self.chance.pick(&[None, Some(1000), Some(1001), Some(4999)]);
        let payload = code.map_or(Vec::new(), |code| [&code.to_be_bytes()[..], b"bye"].concat());
        trace!(self, "client {client}: closes with {code:?}");
        let player = &mut self.clients[client];
        player.frame(Opcode::Close, true, &payload, &mut self.chance);
        player.mark(Mark::End(Disconnect::Normal(
            CloseCode::new(code.unwrap_or(1000)).expect("a legal code"),
        )));
        player.doomed = true;
    }

    /// One frame more than a message may have, which is noticed when its header has come.
    fn say_in_too_many_frames(&mut self, client: usize, frames_max: usize) {
        self.count.add(Happened::TooManyFrames);
        let player = &mut self.clients[client];
        for frame in 0..=frames_max {
            if frame == frames_max {
                let begin = player.handed + player.out.len();
                player.marks.push_back((begin + 1, Mark::End(Disconnect::TooBig)));
            }
            let opcode = if frame == 0 { Opcode::Text } else { Opcode::Continuation };
            player.frame(opcode, frame == frames_max, b"x", &mut self.chance);
        }
        player.note_violation();
        player.doomed = true;
    }

    /// Does what it is closed for.
    fn sin(&mut self, client: usize) {
        let takes_binary = self.setup.config.hooks.binary;
        let frames_max = self.setup.config.limits.frames_per_message;
        if frames_max < 4 && self.chance.happens(0.5) {
            return self.say_in_too_many_frames(client, frames_max);
        }
        let player = &mut self.clients[client];
        let begin = player.handed + player.out.len();
        let kinds = if player.view.deflate.is_some() { 11 } else { 6 };
        let reason = match self.chance.below(kinds) {
            kind @ 6.. => {
                let (payload, reason) = deflate::sin(kind);
                player.frame(Opcode::Text, true, &payload, &mut self.chance);
                player.out[begin - player.handed] |= deflate::COMPRESSED;
                player.note_violation();
                reason
            }
            0 => {
                player.out.extend_from_slice(b"\x81\x02hi");
                Disconnect::Protocol
            }
            1 => {
                player.out.extend_from_slice(&[0xf1, 0x80, 0, 0, 0, 0]);
                Disconnect::Protocol
            }
            2 => {
                player.frame(Opcode::Text, true, b"\xff\xfe", &mut self.chance);
                player.note_violation();
                Disconnect::BadUtf8
            }
            3 => {
                player.out.extend_from_slice(&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 9, 9, 9, 9]);
                Disconnect::TooBig
            }
            _ if takes_binary => {
                player.frame(Opcode::Continuation, true, b"of nothing", &mut self.chance);
                player.note_violation();
                Disconnect::Protocol
            }
            _ => {
                player.frame(Opcode::Binary, true, b"binary", &mut self.chance);
                Disconnect::Binary
            }
        };
        // It may be noticed at its first byte.
        player.marks.push_back((begin + 1, Mark::End(reason)));
        player.doomed = true;
        trace!(self, "client {client}: sins: {reason:?}");
    }
}
