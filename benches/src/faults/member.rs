//! A member of a room, which comes and goes.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::ledger::Name;
use super::round::World;
use super::socket::{Heard, PATIENCE, Socket};

/// How long a client waits after its connection has died.
pub(super) const RETRY: Duration = Duration::from_millis(20);

impl World<'_> {
    /// Is a member of `room` until everything is over; again and again after its connection has
    /// died, or after it has heard `visit` messages.
    pub(super) fn stay(&self, room: &str, visit: u64) {
        let begin = Instant::now();
        while begin.elapsed() < 10 * PATIENCE {
            match self.visit(room, visit) {
                Some(()) => drop(self.lived.fetch_add(1, Ordering::Relaxed)),
                None => {
                    self.died.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(RETRY);
                }
            }
            if self.is_over() {
                return;
            }
        }
        self.ledger.fail(format!("a member of {room} found no end"));
    }

    /// One connection; none when it has died.
    fn visit(&self, room: &str, most: u64) -> Option<()> {
        let mut socket = Socket::connect(self.address, self.ledger)?;
        let first = join(&mut socket, room)?;
        for next in first..first + most {
            match self.hear_next(&mut socket, room, next)? {
                Some(said) => self.take(room, next, &said),
                None => return Some(()),
            }
        }
        if most.is_multiple_of(2) {
            socket.close();
        }
        Some(())
    }

    /// The next message; none when there will be none, nothing when the connection has died.
    #[allow(clippy::option_option, reason = "the outer one is for `?`")]
    fn hear_next(&self, socket: &mut Socket<'_>, room: &str, next: u64) -> Option<Option<Value>> {
        let begin = Instant::now();
        loop {
            if self.is_over() && next > self.ledger.goal(room) {
                return Some(None);
            }
            match socket.hear() {
                Heard::Said(said) => return Some(Some(said)),
                Heard::Nothing if begin.elapsed() > PATIENCE => {
                    let goal = self.ledger.goal(room);
                    self.ledger.fail(format!("{room}: {next} of {goal} is missing, all is alive"));
                    return None;
                }
                Heard::Nothing => {}
                Heard::Died => return None,
                Heard::Closed(code, reason) => {
                    self.ledger.fail(format!("{room} before {next}: closed with {code} {reason}"));
                    return None;
                }
            }
        }
    }

    pub(super) fn take(&self, room: &str, next: u64, said: &Value) {
        match (said["offset"].as_u64(), name(&said["data"])) {
            (Some(offset), Some(name)) if offset == next && said["room"] == room => {
                self.ledger.receive(room, offset, name);
            }
            _ => self.ledger.fail(format!("{room}: instead of {next} came {said}")),
        }
    }
}

/// Joins a room; returns the offset of the first message that is to come.
pub(super) fn join(socket: &mut Socket<'_>, room: &str) -> Option<u64> {
    if !socket.say(format!(r#"{{"event":"cast:join","room":"{room}","id":1}}"#)) {
        return None;
    }
    let joined = socket.answer("cast:joined", |said| said["event"] == "cast:joined")?;
    Some(joined["data"]["offset"].as_u64()? + 1)
}

/// The name of a message, from its data.
fn name(data: &Value) -> Option<Name> {
    Some((data["by"].as_u64()?, data["n"].as_u64()?))
}
