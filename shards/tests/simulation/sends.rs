//! The kernel's part: what sockets take, and what arrives on them.

use corecast_shards::{ConnId, Disconnect, SendEnd};

use crate::client::{Client, HangUp, Mark};
use crate::count::Happened;
use crate::stream;
use crate::wire;
use crate::world::{World, trace};

/// A send between its begin and its end.
pub(crate) struct Begun {
    pub(crate) client: usize,
    conn: ConnId,
    descriptor: usize,
    bytes: Vec<u8>,
    /// Where the slices lay: the kernel may read them until the send ends.
    places: Vec<(usize, usize)>,
    pub(crate) close_counted: bool,
}

impl World {
    pub(crate) fn send_some(&mut self, shard: usize) {
        match self.chance.below(4) {
            0 => {
                for _ in 0..self.chance.skewed(16) {
                    let Some(conn) = self.shards[shard].next_direct_send() else { break };
                    self.begin(conn);
                    self.maybe_end_some(shard);
                }
            }
            1 | 2 => self.slice(shard),
            _ => {
                for _ in 0..self.chance.skewed(16) {
                    self.end_one(shard);
                }
            }
        }
    }

    /// A slice, or the beginning of one.
    fn slice(&mut self, shard: usize) {
        if !self.slicing[shard] || self.chance.happens(0.5) {
            self.shards[shard].begin_quantum();
            self.slicing[shard] = true;
        }
        let cut = match self.chance.happens(self.setup.faults.cut_slice) {
            true => self.chance.skewed(8),
            false => usize::MAX,
        };
        for _ in 0..cut {
            let Some(conn) = self.shards[shard].next_room_send() else {
                self.slicing[shard] = false;
                let now = self.time_at[shard];
                self.shards[shard].on_quantum_end(now);
                return;
            };
            self.begin(conn);
            self.maybe_end_some(shard);
        }
        self.count.add(Happened::QuantumCutShort);
    }

    fn maybe_end_some(&mut self, shard: usize) {
        while self.chance.happens(0.6) && self.end_one(shard) {}
    }

    pub(crate) fn begin(&mut self, conn: ConnId) {
        let client = *self.by_conn.get(&conn).expect("a send is for a connection");
        let here = self.begun.iter().filter(|send| send.conn.shard == conn.shard).count();
        assert!(self.begun.iter().all(|send| send.conn != conn), "one send at a time");
        assert!(!self.clients[client].closed, "nothing is sent on a closed socket");
        assert!(!self.clients[client].shut, "nothing is sent behind the end of our side");
        assert!(self.clients[client].held.is_empty(), "what is held goes before anything else");
        let (bytes, places) = self.memory(conn);
        assert!(!bytes.is_empty(), "an empty send");
        let slices_max = self.setup.config.tuning.send_iovecs;
        assert!(places.len() <= slices_max, "{} slices", places.len());
        self.count.add_if(here > 0, Happened::SendsOverlap);
        trace!(
            self,
            "client {client}: send begins: {:.3000}",
            String::from_utf8_lossy(&bytes).escape_debug()
        );
        self.check_lingered(client, &bytes);
        let descriptor = self.clients[client].descriptor;
        self.begun.push(Begun { client, conn, descriptor, bytes, places, close_counted: false });
    }

    fn memory(&self, conn: ConnId) -> (Vec<u8>, Vec<(usize, usize)>) {
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        self.shards[conn.shard.index()].for_each_iovec(conn, |slice| {
            bytes.extend_from_slice(slice);
            places.push((slice.as_ptr() as usize, slice.len()));
        });
        (bytes, places)
    }

    /// Ends one of the shard's sends, whichever.
    pub(crate) fn end_one(&mut self, shard: usize) -> bool {
        let of_shard = |send: &Begun| send.conn.shard.index() == shard;
        let places: Vec<usize> =
            (0..self.begun.len()).filter(|place| of_shard(&self.begun[*place])).collect();
        if places.is_empty() {
            return false;
        }
        let place = self.chance.pick(&places);
        let send = self.begun.swap_remove(place);
        assert!(self.memory(send.conn) == (send.bytes.clone(), send.places.clone()), "bytes moved");
        let owner = self.descriptors[send.descriptor];
        assert_eq!(owner, Some(send.client), "the descriptor was released under a send");
        self.end(send);
        true
    }

    fn end(&mut self, send: Begun) {
        let (client, total) = (send.client, send.bytes.len());
        self.note_slow(client);
        let end = self.what_the_socket_does(client, total);
        trace!(self, "client {client}: send of {total} bytes ends: {end:?}");
        let (taken, sealed) = match end {
            SendEnd::Taken(bytes) => (bytes, bytes),
            SendEnd::Held(bytes) => (self.part_of_sealed(client, bytes), bytes),
            SendEnd::Blocked | SendEnd::Failed => (0, 0),
        };
        let now = self.time_at[send.conn.shard.index()];
        let refuses = taken < total && end != SendEnd::Failed;
        self.clients[client].sent_to_at = now;
        let was_slow = self.slow[send.conn.shard.index()].contains(&client);
        let socket = &mut self.clients[client];
        socket.buffered += taken;
        socket.held = send.bytes[taken..sealed].to_vec();
        if refuses {
            socket.refusing = true;
            socket.blocked_at = Some(now);
            if !was_slow {
                socket.slow_since = now;
            }
            if sealed > 0 || !was_slow {
                socket.refused_since = now;
            }
            self.slow[send.conn.shard.index()].insert(client);
        }
        let reported = self.lie_about_bytes(end, total);
        self.note_progress(client, sealed);
        // A begun send keeps its connection in its rooms; the end of it may not.
        self.note_members(send.conn.shard.index());
        self.shards[send.conn.shard.index()].end_send(send.conn, reported);
        // Commands that waited for this send may have taken the last places, which are free again later.
        self.check_totals(send.conn.shard.index());
        self.note_slow(client);
        let bytes = self.lie_about_frames(client, &send.bytes[..taken]);
        self.deliver(client, &bytes);
        self.lie_about_end(client);
        let Client { view, held, dead, .. } = &self.clients[client];
        if *dead {
            return;
        }
        let begun = [view.partial.as_slice(), held].concat();
        let untaken = &send.bytes[sealed..];
        let misses = match view.stream {
            Some(_) => stream::holds_messages(stream::last_part(&begun), untaken),
            None => wire::holds_messages(wire::last_part(&begun), untaken),
        };
        self.clients[client].misses_messages = misses;
        let shard = send.conn.shard.index();
        self.clients[client].misses_history = self.shards[shard].history_owed(send.conn) > 0;
    }

    /// A client that takes so many bytes while it is sent a history counts as heard, unless its end is
    /// decided.
    fn note_progress(&mut self, client: usize, taken: usize) {
        let player = &mut self.clients[client];
        let shard = &self.shards[player.shard];
        let ends = shard.close_reason(player.conn).is_some();
        if taken > 0 && !ends && shard.history_owed(player.conn) > 0 {
            let now = self.time_at[player.shard];
            (player.heard, player.read_at) = (now, now);
            (player.pings_when_heard, player.pinged_by) = (player.view.pings_seen, None);
        }
    }

    /// How many of so many sealed bytes the socket takes, which are not all.
    fn part_of_sealed(&mut self, client: usize, sealed: usize) -> usize {
        let most = self.clients[client].free().min(sealed - 1);
        self.chance.within(0, most)
    }

    /// The socket takes more of what is held. Returns whether the rest of it is gone.
    fn take_held(&mut self, client: usize) -> bool {
        if self.chance.happens(self.setup.faults.fail) && !self.clients[client].dead {
            self.break_socket(client);
        }
        let short = self.setup.faults.short_write;
        let socket = &self.clients[client];
        if socket.dead {
            // Its next send fails.
            let socket = &mut self.clients[client];
            socket.lost_held |= !std::mem::take(&mut socket.held).is_empty();
            return true;
        }
        let mut taken = socket.free().min(socket.held.len());
        if taken > 1 && self.chance.happens(short) {
            taken = self.chance.within(1, taken);
        }
        let socket = &mut self.clients[client];
        let now = self.time_at[socket.shard];
        let bytes: Vec<u8> = socket.held.drain(..taken).collect();
        socket.buffered += taken;
        socket.sent_to_at = now;
        let (is_over, conn, shard) = (socket.held.is_empty(), socket.conn, socket.shard);
        if !is_over {
            socket.refusing = true;
        }
        if taken > 0 && !is_over {
            socket.refused_since = now;
            socket.blocked_at = Some(now);
            self.count.add(Happened::HeldProgress);
            self.note_progress(client, taken);
            self.shards[shard].on_held_progress(conn);
        }
        self.deliver(client, &bytes);
        self.lie_about_end(client);
        is_over
    }

    fn what_the_socket_does(&mut self, client: usize, total: usize) -> SendEnd {
        let faults = &self.setup.faults;
        if self.chance.happens(faults.fail) && !self.clients[client].dead {
            self.break_socket(client);
        }
        let faults = &self.setup.faults;
        let (refuse, short) = (faults.refuse, faults.short_write);
        if self.clients[client].dead {
            self.count.add(Happened::FailedSend);
            return SendEnd::Failed;
        }
        let free = self.clients[client].free();
        if self.clients[client].sealed {
            let blocks = free < total || self.chance.happens(refuse.max(short));
            return match blocks {
                true => self.hold(total),
                false => SendEnd::Taken(total),
            };
        }
        if free == 0 || self.chance.happens(refuse) {
            self.count.add(Happened::RefusedSend);
            return SendEnd::Blocked;
        }
        let mut taken = free.min(total);
        if taken > 1 && self.chance.happens(short) {
            taken = self.chance.within(1, taken - 1);
        }
        self.count.add_if(taken < total, Happened::ShortWrite);
        SendEnd::Taken(taken)
    }

    /// The socket blocks over bytes that are sealed: all of them, or up to anywhere.
    fn hold(&mut self, total: usize) -> SendEnd {
        if self.chance.happens(0.5) {
            self.count.add(Happened::HeldWhole);
            return SendEnd::Held(total);
        }
        self.count.add(Happened::HeldPart);
        SendEnd::Held(self.chance.within(1, total))
    }

    /// The socket fails; what arrived before can still be read.
    fn break_socket(&mut self, client: usize) {
        let client = &mut self.clients[client];
        client.dead = true;
        client.hung_up = Some(HangUp::Reset);
        client.may_end.push(Disconnect::Lost);
    }

    /// Clients read what their sockets hold, and sockets say that they are writable.
    pub(crate) fn read_some(&mut self, shard: usize) {
        for _ in 0..self.chance.skewed(16) {
            let Some(client) = self.some_client(Some(shard)) else { return };
            if self.chance.happens(self.setup.faults.stall) {
                self.clients[client].stalled_until = self.step + self.chance.skewed(2_000) as u64;
                self.count.add(Happened::StalledReader);
            }
            let socket = &mut self.clients[client];
            if socket.buffered > 0 && socket.stalled_until <= self.step {
                let most = socket.buffered;
                socket.buffered -= self.chance.within(1, most);
            }
            if !self.setup.by_turns && self.chance.happens(0.7) {
                self.tell_writable(client);
            }
            if self.chance.happens(self.setup.faults.spurious) && !self.clients[client].closed {
                self.count.add(Happened::SpuriousWritable);
                self.writable(client);
            }
        }
    }

    /// Reports to the shard that a socket which refused bytes takes them again.
    pub(crate) fn tell_writable(&mut self, client: usize) -> bool {
        let socket = &mut self.clients[client];
        let writable = socket.free() > 0 || socket.dead;
        if !socket.refusing || !writable || socket.closed {
            return false;
        }
        let begun = self.begun.iter().any(|send| send.client == client);
        if begun {
            return false;
        }
        self.count.add(Happened::WritableAgain);
        self.clients[client].refusing = false;
        if !self.lie_about_writable() {
            self.writable(client);
        }
        true
    }

    fn writable(&mut self, client: usize) {
        let (conn, shard) = (self.clients[client].conn, self.clients[client].shard);
        let was_held = !self.clients[client].held.is_empty();
        if was_held && !self.take_held(client) {
            return self.ring(shard);
        }
        trace!(self, "client {client}: writable");
        let ends = self.clients[client].parted.is_some();
        self.count.add_if(ends && was_held, Happened::HeldBeforeTheEnd);
        self.clients[client].blocked_at = None;
        if self.clients[client].view.stream.is_some() {
            self.clients[client].commented_at = self.time_at[shard];
        }
        self.shards[shard].on_writable(conn);
        self.ring(shard);
    }

    /// Bytes of clients arrive, in pieces.
    pub(crate) fn receive_some(&mut self, shard: usize) {
        for _ in 0..self.chance.skewed(12) {
            let Some(client) = self.some_client(Some(shard)) else { return };
            let bytes = match self.chance.happens(self.setup.faults.split) {
                true => self.chance.skewed(64),
                false => usize::MAX,
            };
            self.receive(client, bytes);
            self.maybe_tell_end(client);
        }
        if self.chance.happens(self.setup.faults.stale) {
            self.stale_event();
        }
    }

    /// Hands in at most so many of a client's bytes.
    pub(crate) fn receive(&mut self, client: usize, bytes_max: usize) -> bool {
        let sender = &mut self.clients[client];
        let shard = &mut self.shards[sender.shard];
        if sender.closed || sender.out.is_empty() {
            return false;
        }
        let excused = !shard.wants_read(sender.conn) && !sender.refusing;
        sender.paused |= !shard.wants_read(sender.conn);
        if sender.paused {
            if excused && shard.close_reason(sender.conn).is_none() {
                self.excused.push((client, self.time_at[sender.shard]));
            }
            return false;
        }
        self.count_input(client, None);
        let sender = &mut self.clients[client];
        let shard = &mut self.shards[sender.shard];
        let read_max = shard.read_max(sender.conn).min(self.setup.read_bytes);
        let bytes = bytes_max.min(sender.out.len()).min(read_max);
        let mut piece: Vec<u8> = sender.out.drain(..bytes).collect();
        sender.handed += bytes;
        if shard.close_reason(sender.conn).is_none() {
            let now = self.time_at[sender.shard];
            (sender.heard, sender.read_at) = (now, now);
            sender.note_begun(now);
            sender.pings_when_heard = sender.view.pings_seen;
            sender.pinged_by = None;
        }
        self.count.add_if(!sender.out.is_empty(), Happened::SplitMidFrame);
        while let Some(mark) = self.clients[client].next_mark() {
            self.note_mark(client, mark);
        }
        self.hand_in(client, &mut piece);
        true
    }

    fn note_mark(&mut self, client: usize, mark: Mark) {
        match mark {
            Mark::End(reason) => self.clients[client].may_end.push(reason),
            Mark::Publish(room) => self.note_publish(client, room),
            Mark::Leave(room) => {
                let joining = (self.clients[client].conn, self.names[room].clone());
                let joining = self.mesh.joining.contains(&joining);
                self.count.add_if(joining, Happened::LeaveWhileJoining);
            }
        }
    }

    fn hand_in(&mut self, client: usize, piece: &mut [u8]) {
        let (conn, shard) = (self.clients[client].conn, self.clients[client].shard);
        trace!(self, "client {client}: {} bytes arrive", piece.len());
        self.shards[shard].receive(conn, piece);
        self.check_totals(shard);
        self.count_input(client, None);
        let paused = !self.shards[shard].wants_read(conn);
        self.clients[client].paused |= paused;
        self.count.add_if(paused, Happened::Paused);
        self.note_close_with_begun_send(client);
    }

    /// The end of a client's stream, once everything before it was handed in.
    fn maybe_tell_end(&mut self, client: usize) {
        let sender = &self.clients[client];
        let is_over = sender.end_told || sender.closed || !sender.out.is_empty();
        if sender.hung_up.is_some() && !is_over && self.chance.happens(0.5) {
            self.tell_end(client);
        }
    }

    pub(crate) fn tell_end(&mut self, client: usize) {
        let sender = &mut self.clients[client];
        let (conn, shard, streams) = (sender.conn, sender.shard, sender.view.stream.is_some());
        trace!(self, "client {client}: end of stream");
        if streams && !sender.hang_up_told && self.chance.happens(0.5) {
            sender.hang_up_told = true;
            self.shards[shard].on_hang_up(conn);
        } else {
            sender.end_told = true;
            self.shards[shard].on_end(conn);
        }
        if streams {
            let joining = self.mesh.joining.iter().any(|(joining, _)| *joining == conn);
            self.count.add_if(joining, Happened::StreamGoneWhileJoining);
            self.check_ends_with_client(client);
        }
        self.note_close_with_begun_send(client);
    }

    pub(crate) fn note_close_with_begun_send(&mut self, client: usize) {
        let (conn, shard) = (self.clients[client].conn, self.clients[client].shard);
        let ends = self.shards[shard].close_reason(conn).is_some() && self.clients[client].lives();
        let send = self.begun.iter_mut().find(|send| send.client == client);
        if let Some(send) = send.filter(|send| ends && !send.close_counted) {
            send.close_counted = true;
            self.count.add(Happened::CloseWithBegunSend);
        }
    }

    /// An event is reported for a connection that has ended.
    pub(crate) fn stale_event(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let client = self.chance.below(self.clients.len());
        let (conn, shard) = (self.clients[client].conn, self.clients[client].shard);
        if !self.clients[client].closed {
            return;
        }
        self.count.add(Happened::StaleEvent);
        let shard = &mut self.shards[shard];
        match self.chance.below(5) {
            0 => shard.on_writable(conn),
            1 => shard.on_end(conn),
            2 => shard.receive(conn, &mut [0x81, 0x00]),
            3 => shard.end_call(conn),
            _ => assert!(!shard.close(conn, Disconnect::Kicked), "it is gone"),
        }
        assert!(!shard.wants_read(conn), "it is gone");
    }
}
