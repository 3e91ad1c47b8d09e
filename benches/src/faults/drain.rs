//! The end of a server that goes on meeting faults.

use std::thread;
use std::time::Instant;

use super::member::join;
use super::round::{ROOMS, World};
use super::socket::{Heard, PATIENCE, Socket};
use crate::process::Server;

/// Members of each room that see the drain.
const WITNESSES: usize = 3;

/// The number of the publisher whose messages they wait for.
const PUBLISHER: u64 = 9;

impl World<'_> {
    /// Publishes to members, tells the server to end, and looks whether they get everything first.
    pub(super) fn drain(&self, server: &Server) {
        thread::scope(|scope| {
            let witnesses: Vec<_> = ROOMS.iter().flat_map(|room| [*room; WITNESSES]).collect();
            let joined: Vec<_> = witnesses
                .into_iter()
                .filter_map(|room| {
                    let mut socket = Socket::connect(self.address, self.ledger)?;
                    let next = join(&mut socket, room)?;
                    Some((room, socket, next))
                })
                .collect();
            if let Some(mut socket) = Socket::connect(self.address, self.ledger) {
                let _ = (1..40).try_for_each(|n| self.publish_once(&mut socket, PUBLISHER, n));
            }
            for (room, socket, next) in joined {
                scope.spawn(move || self.witness(room, socket, next));
            }
            if let Err(error) = server.terminate() {
                self.ledger.fail(format!("it cannot be told to end: {error}"));
            }
        });
    }

    /// Takes everything in order until the close. A connection that is closed politely has got all
    /// that was acknowledged.
    fn witness(&self, room: &str, mut socket: Socket<'_>, mut next: u64) {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            match socket.hear() {
                Heard::Said(said) => {
                    self.take(room, next, &said);
                    next += 1;
                }
                Heard::Nothing => {}
                Heard::Died => return,
                Heard::Closed(code, reason) => {
                    let goal = self.ledger.goal(room);
                    if code != 1001 || next <= goal {
                        let at = format!("{room} at {next} of {goal}");
                        self.ledger.fail(format!("a drain closes with {code} {reason}, {at}"));
                    }
                    return;
                }
            }
        }
        self.ledger.fail(format!("a drain leaves a member of {room} alone"));
    }
}
