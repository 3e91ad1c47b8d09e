//! How connections end, and whether they may.

use corecast_shards::Disconnect;

use crate::count::Happened;
use crate::world::{World, trace};

impl World {
    /// The connection is out of all rooms.
    pub(crate) fn parted(&mut self, client: usize, reason: Disconnect) {
        trace!(self, "client {client}: parts: {reason:?}");
        let shard = self.clients[client].shard;
        let player = &self.clients[client];
        assert_eq!(player.parted, None, "a connection parts once");
        self.check_left(client);
        assert!(!player.closed, "a connection parts before it is closed");
        self.count_input(client, Some(reason));
        self.check_reason(client, reason);
        let player = &self.clients[client];
        let joining = self.mesh.joining.iter().any(|(conn, _)| *conn == player.conn);
        self.count.add_if(joining, Happened::CloseWhileJoining);
        self.count.add_if(!player.view.partial.is_empty(), Happened::CloseMidFrame);
        self.count.add_if(self.slicing[shard], Happened::CloseMidPass);
        let rooms: Vec<usize> = player.view.rooms.keys().copied().collect();
        for room in rooms {
            self.note_mid_pass(client, room, Happened::FormatLeftMidPass);
        }
        let player = &mut self.clients[client];
        (player.parted, player.parted_at) = (Some(reason), Some(self.time_at[shard]));
        player.given_up = player.timed_out;
    }

    fn check_reason(&mut self, client: usize, reason: Disconnect) {
        let player = &self.clients[client];
        let happened = match reason {
            Disconnect::Slow => {
                let because = player.slow_because;
                because.unwrap_or_else(|| self.judge_slow(client))
            }
            Disconnect::Idle => self.check_ends_idle(client),
            Disconnect::Capacity => self.check_ends_for_capacity(client),
            Disconnect::Expired => self.check_ends_expired(client),
            Disconnect::Rate => {
                assert!(player.meter.is_some(), "client {client} may speak as fast as it can");
                Happened::EndedRate
            }
            Disconnect::Shutdown => {
                assert!(self.draining, "the server stays");
                Happened::EndedShutdown
            }
            _ => {
                let may = player.may_end.contains(&reason);
                assert!(may, "client {client} ends for {reason:?} and not {:?}", player.may_end);
                match reason {
                    Disconnect::Lost => Happened::EndedLost,
                    Disconnect::Protocol => Happened::EndedProtocol,
                    Disconnect::Binary => Happened::EndedBinary,
                    Disconnect::BadUtf8 => Happened::EndedBadUtf8,
                    Disconnect::BadDeflate => Happened::EndedBadDeflate,
                    Disconnect::Kicked => Happened::EndedKicked,
                    Disconnect::TooBig => Happened::EndedTooBig,
                    _ => Happened::EndedNormal,
                }
            }
        };
        self.count.add(happened);
    }

    /// Our side of the socket is shut down.
    pub(crate) fn shut_down(&mut self, client: usize) {
        trace!(self, "client {client}: our side is shut down");
        let player = &mut self.clients[client];
        assert!(player.parted.is_some() && !player.shut && !player.closed, "parted, and open");
        assert!(player.held.is_empty(), "our side ends behind what is held");
        let is_told = player.view.closed.is_some() || player.dead;
        assert!(is_told, "our side ends behind our close frame");
        player.shut = true;
        player.sent_to_at = self.time_at[player.shard];
    }

    /// The descriptor is released, and the next connection may have it.
    pub(crate) fn close_socket(&mut self, client: usize) {
        trace!(self, "client {client}: is closed");
        let busy = self.begun.iter().any(|send| send.client == client);
        assert!(!busy, "the descriptor is released under a send");
        let player = &mut self.clients[client];
        assert!(!player.closed, "a connection is closed once");
        let parted = player.parted.expect("a connection parts before it is closed");
        self.check_cut_in_time(client, parted);
        let player = &mut self.clients[client];
        if let Some((code, reason)) = &player.view.closed {
            let code = player.view.stream.is_none().then_some(*code);
            assert!(code.is_none() || code == parted.close_code(), "the close frame says why");
            let name = parted.name();
            let says_so = match parted.reconnect() {
                true => reason.strip_prefix(name).is_some_and(|rest| rest.starts_with(" retry=")),
                false => reason == name,
            };
            assert!(says_so, "the close frame says {name} and not {reason}");
        }
        player.closed = true;
        player.refusing = false;
        player.held.clear();
        self.descriptors[player.descriptor] = None;
        self.slow[player.shard].remove(&client);
        self.open.retain(|open| *open != client);
    }
}
