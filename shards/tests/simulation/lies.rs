//! The harness lies, so that the judge can show that it would notice.

use std::collections::BTreeMap;

use corecast_shards::{Asked, Asker, ConnId, Outcome, Request, RoomName, SendEnd, ShardId};

use crate::world::{World, trace};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    /// Two deliveries of one room change places.
    Swap,
    /// Two publishes of one client to one room change places.
    SwapPublishes,
    Lose,
    Double,
    /// A socket took less than the shard is told.
    TooManyBytes,
    LoseWritable,
    /// The answer to a join is given once more, to the next owner of the slot.
    ReplayJoined,
    /// A home is told of a member that does not exist.
    OneMemberTooMany,
}

/// A lie, and whether it was told: once in a seed.
pub(crate) struct Lying {
    pub(crate) lie: Lie,
    pub(crate) told: bool,
    /// How many occasions are let pass before.
    pub(crate) patience: usize,
    /// What was answered to the former owners of slots: the epoch's carrier is kept whole.
    joined: BTreeMap<(ShardId, u32, RoomName), (ConnId, Outcome)>,
}

impl Lying {
    pub(crate) fn new(lie: Lie, patience: usize) -> Lying {
        Lying { lie, told: false, patience, joined: BTreeMap::new() }
    }

    /// Whether this occasion is the one.
    fn now(&mut self, lie: Lie) -> bool {
        if self.lie != lie || self.told {
            return false;
        }
        if self.patience > 0 {
            self.patience -= 1;
            return false;
        }
        self.told = true;
        true
    }
}

impl World {
    /// Whether somebody on this shard is in the first room and stays.
    fn has_resident(&self, shard: usize) -> bool {
        self.open.iter().any(|client| {
            let client = &self.clients[*client];
            client.shard == shard && client.resident && client.view.rooms.contains_key(&0)
        })
    }

    /// What just went onto this ring may not be what was sent.
    pub(crate) fn lie_about_requests(&mut self, from: usize, to: usize) {
        if self.lying.lie == Lie::None {
            return;
        }
        self.replay_joined(from, to);
        let queue = &mut self.mesh.requests[from][to].queue;
        let len = queue.len();
        let Some(last) = queue.back() else { return };
        let counts = matches!(last, Request::Join { again: false, .. })
            || matches!(last, Request::Leave { asked: Some(_), .. })
            || matches!(
                last,
                Request::Publish { origin: corecast_shards::Origin::Connection { .. }, .. }
            );
        if counts && self.lying.now(Lie::Lose) {
            trace!(self, "LIE: lost {:.100?}", queue.back());
            queue.pop_back();
            return;
        }
        if let Some(double) = double_request(last)
            && self.lying.now(Lie::Double)
        {
            trace!(self, "LIE: doubled {double:.100?}");
            queue.push_back(double);
            return;
        }
        if len >= 2
            && by_one(&queue[len - 2], &queue[len - 1])
            && self.lying.now(Lie::SwapPublishes)
        {
            trace!(self, "LIE: swapped {:.100?}", queue.back());
            queue.swap(len - 2, len - 1);
            return;
        }
        let home = self.shards[to].home(&self.names[0]).index();
        if home == to && self.lying.now(Lie::OneMemberTooMany) {
            let conn = ConnId { shard: ShardId::new(from as u16), slot: 1 << 20, generation: 7 };
            let (asker, since, room) = (Asker::Client(None), None, self.names[0].clone());
            let join = Request::Join { room, conn, attempt: 1, asker, since, again: false };
            trace!(self, "LIE: {join:.100?}");
            self.mesh.requests[from][to].queue.push_back(join);
        }
    }

    pub(crate) fn lie_about_outcomes(&mut self, from: usize, to: usize) {
        if self.lying.lie == Lie::None {
            return;
        }
        let heard = self.has_resident(to);
        let room = self.names[0].clone();
        let queue = &mut self.mesh.outcomes[from][to].queue;
        let len = queue.len();
        let Some(last) = queue.back() else { return };
        if let Outcome::Joined { conn, room, .. } = last {
            let key = (conn.shard, conn.slot, room.clone());
            self.lying.joined.insert(key, (*conn, copy(last).expect("it can be copied")));
        }
        let delivers = |outcome: &Outcome| match outcome {
            Outcome::Deliver { room: other, .. } => {
                heard && (*other == room || other.is_everybody())
            }
            _ => false,
        };
        let counts =
            delivers(last) || !matches!(last, Outcome::Deliver { .. } | Outcome::Pressed { .. });
        if counts && self.lying.now(Lie::Lose) {
            trace!(self, "LIE: lost {:.100?}", queue.back());
            queue.pop_back();
            return;
        }
        let doubles = delivers(last) || matches!(last, Outcome::Reply { .. });
        if doubles && self.lying.now(Lie::Double) {
            let double = copy(last).expect("these can be copied");
            trace!(self, "LIE: doubled {double:.100?}");
            queue.push_back(double);
            return;
        }
        let both =
            len >= 2 && same_room(&queue[len - 2], &queue[len - 1]) && delivers(&queue[len - 1]);
        if both && self.lying.now(Lie::Swap) {
            trace!(self, "LIE: swapped {:.100?}", queue.back());
            queue.swap(len - 2, len - 1);
        }
    }

    /// Whoever has the slot now, and asks for the room, is given its predecessor's answer.
    fn replay_joined(&mut self, from: usize, to: usize) {
        let last = self.mesh.requests[from][to].queue.back();
        let Some(Request::Join { room, conn, attempt, again: false, .. }) = last else { return };
        let key = (conn.shard, conn.slot, room.clone());
        let Some((before, answer)) = self.lying.joined.get(&key) else { return };
        let Outcome::Joined { joined, .. } = answer else { return };
        let place = self.names.iter().position(|name| name == room).expect("a room");
        let newest = self.model.newest(place, &joined.epoch.to_string().into());
        // Who has gone already is told nothing, true or not.
        let talks = self.by_conn.get(conn).is_some_and(|client| self.clients[*client].talks());
        if before == conn || newest <= joined.offset || !talks {
            return;
        }
        let mut replay = copy(answer).expect("it can be copied");
        if let Outcome::Joined { conn: to, attempt: which, .. } = &mut replay {
            (*to, *which) = (*conn, *attempt);
        }
        if self.lying.now(Lie::ReplayJoined) {
            trace!(self, "LIE: {replay:.100?}");
            self.mesh.outcomes[to][from].queue.push_back(replay);
        }
    }

    pub(crate) fn lie_about_bytes(&mut self, end: SendEnd, total: usize) -> SendEnd {
        match end {
            SendEnd::Taken(taken) if taken < total && self.lying.now(Lie::TooManyBytes) => {
                let more = self.chance.within(1, total - taken);
                trace!(self, "LIE: {more} bytes more");
                SendEnd::Taken(taken + more)
            }
            end => end,
        }
    }

    /// Whether the shard does not hear of this.
    pub(crate) fn lie_about_writable(&mut self) -> bool {
        let lies = self.lying.now(Lie::LoseWritable);
        if lies {
            trace!(self, "LIE: not writable");
        }
        lies
    }
}

/// Whether one connection published both to one room and wants to know where they stand.
fn by_one(first: &Request, second: &Request) -> bool {
    use corecast_shards::Origin;
    let publisher = |request: &Request| match request {
        Request::Publish { room, origin: Origin::Connection { conn, .. }, .. } => {
            Some((room.clone(), *conn))
        }
        _ => None,
    };
    publisher(first).is_some() && publisher(first) == publisher(second)
}

fn same_room(first: &Outcome, second: &Outcome) -> bool {
    match (first, second) {
        (Outcome::Deliver { room, .. }, Outcome::Deliver { room: other, .. }) => room == other,
        _ => false,
    }
}

fn double_request(request: &Request) -> Option<Request> {
    match request {
        Request::Join { room, conn, attempt, asker, again: false, .. } => Some(Request::Join {
            room: room.clone(),
            conn: *conn,
            attempt: *attempt,
            asker: asker.clone(),
            since: None,
            again: false,
        }),
        Request::Leave { room, conn, asked: Some(asked) } => Some(Request::Leave {
            room: room.clone(),
            conn: *conn,
            asked: Some(Asked { attempt: asked.attempt, asker: asked.asker.clone() }),
        }),
        _ => None,
    }
}

fn copy(outcome: &Outcome) -> Option<Outcome> {
    Some(match outcome {
        Outcome::Deliver { room, offset, frame, exclude, accepted } => Outcome::Deliver {
            accepted: *accepted,
            room: room.clone(),
            offset: *offset,
            frame: frame.clone(),
            exclude: *exclude,
        },
        Outcome::Joined { room, conn, attempt, asker, joined } => Outcome::Joined {
            room: room.clone(),
            conn: *conn,
            attempt: *attempt,
            asker: asker.clone(),
            joined: *joined,
        },
        Outcome::Reply { conn, frame } => Outcome::Reply { conn: *conn, frame: frame.clone() },
        _ => return None,
    })
}
