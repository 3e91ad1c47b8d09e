//! How publishers connect: so many at once, each until it is open; all of them have to be.

use std::io;
use std::time::Duration;

use super::connection::PublisherConnection;
use super::publisher::{IDLE, Publisher};
use crate::client::handshake::ClientHandshake;
use crate::client::poller::{Interest, Ready};
use crate::watch::clock::nanos;

impl Publisher {
    /// Connects all publishers, unless it is interrupted.
    pub(crate) fn connect(&mut self, handshake: &ClientHandshake) -> Result<(), String> {
        let failed = |number: usize, why: &str| format!("publisher {number} cannot connect: {why}");
        let count = self.shared.plan.streams.publishers as usize;
        let at_once = self.shared.plan.common.opening.max(1);
        let (mut opened, mut late) = (0, 0);
        while opened < count && !self.shared.is_interrupted() {
            while self.connections.len() < count.min(opened + at_once) {
                let number = self.connections.len();
                self.begin(number as u32).map_err(|why| failed(number, &why))?;
            }
            for event in 0..self.poller.wait(IDLE).map_err(|error| error.to_string())? {
                let ready = self.poller.ready(event);
                let number = ready.token as usize;
                opened += usize::from(
                    self.advance(ready, handshake).map_err(|why| failed(number, &why))?,
                );
            }
            // They began one after the other.
            while self.connections.get(late).is_some_and(PublisherConnection::is_open) {
                late += 1;
            }
            self.expire(late).map_err(|why| failed(late, why))?;
        }
        self.leave_out(count);
        Ok(())
    }

    fn begin(&mut self, number: u32) -> Result<(), String> {
        let now = self.shared.clock.now();
        let connection = PublisherConnection::begin(&self.shared.plan, number, now)?;
        if let Some(link) = &connection.link {
            let added = self.poller.add(link, number.into(), Interest::Write);
            added.map_err(|error| error.to_string())?;
        }
        self.connections.push(connection);
        Ok(())
    }

    /// Goes on with a connection that is ready for it; whether it is open now and was not.
    fn advance(&mut self, ready: Ready, handshake: &ClientHandshake) -> Result<bool, String> {
        let nth = ready.token as usize;
        let shared = self.shared.clone();
        let connection = &mut self.connections[nth];
        if connection.is_open() {
            self.on_ready(ready).map_err(|error| error.to_string())?;
            return Ok(false);
        }
        connection.advance(ready, &shared.plan, handshake)?;
        let is_open = connection.is_open();
        let blocked = !connection.flush()?;
        self.watch(nth, blocked).map_err(|error: io::Error| error.to_string())?;
        Ok(is_open)
    }

    fn expire(&self, first: usize) -> Result<(), &'static str> {
        let Some(connection) = self.connections.get(first) else { return Ok(()) };
        let waited = self.shared.clock.now().saturating_sub(connection.began);
        let timeout: Duration = self.shared.plan.common.connect_timeout;
        if waited > nanos(timeout) { Err(connection.lateness()) } else { Ok(()) }
    }

    /// Those that an interruption has kept from connecting take part like such that have ended.
    fn leave_out(&mut self, count: usize) {
        for connection in self.connections.iter_mut().filter(|it| !it.is_open()) {
            connection.end();
        }
        let rest = self.connections.len()..count;
        self.connections.extend(rest.map(|number| PublisherConnection::absent(number as u32)));
    }
}
