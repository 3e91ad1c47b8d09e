//! Rooms that handshakes name: as if the clients had asked to join them before anything else.

use corecast_shards::wire::Opcode;
use corecast_shards::{AskedCommand, AskedKind, Format, JoinOptions};

use crate::count::Happened;
use crate::view::{Awaited, Line};
use crate::world::{World, trace};

/// Rooms that one handshake names at most.
const ROOMS_MAX: usize = 6;

/// In a third of the worlds, many handshakes name rooms.
pub(crate) fn drawn(seed: u128) -> f64 {
    [0.0, 0.0, 0.6][(seed >> 112) as usize % 3]
}

impl World {
    /// The rooms that the handshake of a new connection names.
    pub(crate) fn named_rooms(&mut self, format: Format) -> Vec<usize> {
        let part = self.setup.named;
        if format != Format::Native || part == 0.0 || !self.named_chance.happens(part) {
            return Vec::new();
        }
        let count = self.named_chance.within(1, ROOMS_MAX);
        (0..count).map(|_| self.named_chance.below(self.names.len())).collect()
    }

    /// The shard has a new client join a room that its handshake named. The client has said so much of
    /// what it will be judged by.
    pub(crate) fn note_named(&mut self, client: usize, room: usize) {
        let (may_refuse, must_refuse) = self.is_one_too_many(client, room);
        let json = format!(r#"{{"event":"cast:join","room":{}}}"#, self.written[room]);
        trace!(self, "client {client}: its handshake says {json}");
        self.count.add(Happened::NamedRoom);
        let player = &mut self.clients[client];
        player.frame(Opcode::Text, true, json.as_bytes(), &mut self.named_chance);
        player.spoken.back_mut().into_iter().for_each(|spoken| json.clone_into(&mut spoken.text));
        player.handed += player.out.len();
        player.out.clear();
        player.note_begun(self.time_at[player.shard]);
        let ruling = player.rights.join.ruling(room);
        let refusal = self.refusal(ruling);
        let room_name = Some(self.names[room].clone());
        let kind = AskedKind::Join(JoinOptions::default());
        self.will_ask(
            client,
            ruling,
            AskedCommand { kind, room: room_name, id: None },
            refusal,
            None,
        );
        let answer = match refusal {
            Some(code) => Awaited::Error(code),
            None => Awaited::Joined {
                since: None,
                last: None,
                asked: self.now,
                presence: None,
                may_refuse,
                must_refuse,
                said_at: self.step,
            },
        };
        self.clients[client].view.expect(Line::Room(room), None, answer);
    }
}
