//! What a server is told before it starts.

use std::net::{Ipv4Addr, SocketAddr};

use corecast_shards::{Limits, SlowPolicy};

use crate::http::ApiKeys;
use crate::runtime::StartError;

/// All settings of a server, with their defaults.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The first one that this machine has is listened on.
    pub(crate) listen: Vec<SocketAddr>,
    /// None means one per core of the process's affinity mask.
    pub(crate) shards: Option<usize>,
    pub(crate) slow: SlowPolicy,
    pub(crate) limits: Limits,
    /// Bytes that the kernel keeps for one connection that does not read; 0 leaves it to the kernel.
    pub(crate) send_buffer: usize,
    pub(crate) sends: Sends,
    pub(crate) api_keys: ApiKeys,
    /// Whether everybody who can reach the server may do everything.
    pub(crate) open: bool,
}

/// How bytes are handed to sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sends {
    /// Over an io_uring of each shard's own if the kernel gives one, else plainly.
    #[default]
    Auto,
    /// Over an io_uring, several with one system call; without one the server does not start.
    Ring,
    /// One system call for each.
    Plain,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))],
            shards: None,
            slow: SlowPolicy::Disconnect,
            limits: Limits::default(),
            send_buffer: 256 << 10,
            sends: Sends::Auto,
            api_keys: ApiKeys::default(),
            open: false,
        }
    }
}

impl Settings {
    /// Refuses what could not work, in words that say what could.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let exposed = self.listen.iter().find(|address| !address.ip().is_loopback());
        if let (Some(&address), false, true) = (exposed, self.open, self.api_keys.is_empty()) {
            return Err(StartError::Exposed { address });
        }
        let limits = &self.limits;
        let least = [
            ("--max-message", limits.message_bytes, 1),
            ("--max-head", limits.head_bytes, 512),
            ("--max-rooms", limits.rooms_per_connection, 1),
            ("--room-log", limits.room_log_bytes, 4 << 10),
            ("--own-bytes", limits.own_bytes, 4 << 10),
            ("--max-connections", limits.connections, 1),
            ("--mesh-items", limits.mesh_items, 1),
            ("--mesh-bytes", limits.mesh_bytes, 1),
        ];
        if let Some((flag, value, least)) =
            least.into_iter().find(|(_, value, least)| value < least)
        {
            return Err(limit(&format!("{flag} is {value} and must be at least {least}")));
        }
        if limits.handshake_timeout.is_zero() {
            return Err(limit("--handshake-timeout is 0: no client would be fast enough"));
        }
        if limits.ping_timeout.is_zero() && !limits.ping_interval.is_zero() {
            return Err(limit(
                "--ping-timeout is 0: no client would be fast enough; --ping-interval 0 never pings",
            ));
        }
        if limits.head_bytes > HEAD_BYTES_MAX {
            return Err(limit(&format!(
                "--max-head is {} and must be at most {HEAD_BYTES_MAX}",
                limits.head_bytes
            )));
        }
        if limits.rooms_per_connection > ROOMS_MAX {
            return Err(limit(&format!(
                "--max-rooms is {} and must be at most {ROOMS_MAX}",
                limits.rooms_per_connection
            )));
        }
        Ok(())
    }
}

impl Settings {
    /// What works and is probably not meant: limits of which one undoes a part of another.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let limits = &self.limits;
        let (message, log, own) = (limits.message_bytes, limits.room_log_bytes, limits.own_bytes);
        let mut remarks = Vec::new();
        if message > log {
            remarks.push(format!(
                "--max-message is {message} and --room-log {log}: a room keeps 4 messages of any \
                 size, which may take {} bytes on each shard; raise --room-log, or lower \
                 --max-message",
                message.saturating_mul(4)
            ));
        }
        if message > own {
            remarks.push(format!(
                "--max-message is {message} and --own-bytes {own}: what is emitted to one \
                 connection fits only up to --own-bytes; raise it, or lower --max-message"
            ));
        }
        if limits.mesh_bytes > self.mesh_bytes()
            && limits.mesh_bytes != Limits::default().mesh_bytes
        {
            remarks.push(format!(
                "--mesh-bytes is {} and works as {}, an eighth of --room-log; raise --room-log",
                limits.mesh_bytes,
                self.mesh_bytes()
            ));
        }
        remarks
    }

    /// Bytes that a ring of the mesh holds: when a room is pressed at half its log's limit, what is
    /// on its way already comes on top, so no ring holds more than a share of a log.
    pub(crate) fn mesh_bytes(&self) -> usize {
        self.limits.mesh_bytes.min(self.limits.room_log_bytes / MESH_SHARE).max(1)
    }
}

const MESH_SHARE: usize = 8;

/// A head is put together in the shard's read buffer.
pub(crate) const HEAD_BYTES_MAX: usize = 32 << 10;

/// A connection's rooms are searched one by one.
const ROOMS_MAX: usize = 10_000;

fn limit(message: &str) -> StartError {
    StartError::Limit { message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_exposed_by_accident() {
        let mut settings =
            Settings { listen: vec![([0, 0, 0, 0], 80).into()], ..Settings::default() };
        assert!(matches!(settings.check(), Err(StartError::Exposed { .. })));
        settings.open = true;
        assert!(settings.check().is_ok());
        settings.open = false;
        settings.api_keys.add("secret").unwrap();
        assert!(settings.check().is_ok());
    }

    #[test]
    fn limits_that_undo_each_other_are_remarked_upon() {
        assert!(Settings::default().remarks().is_empty(), "the defaults go together");
        let check = |change: fn(&mut Limits), flags: [&str; 2]| {
            let mut settings = Settings::default();
            change(&mut settings.limits);
            let remarks = settings.remarks().join("\n");
            assert!(flags.iter().all(|flag| remarks.contains(flag)), "{flags:?} in {remarks}");
            assert!(settings.check().is_ok(), "they work all the same");
        };
        check(|limits| limits.message_bytes = 5 << 20, ["--max-message", "--room-log"]);
        check(|limits| limits.message_bytes = 1 << 20, ["--max-message", "--own-bytes"]);
        check(|limits| limits.mesh_bytes = 1 << 20, ["--mesh-bytes", "--room-log"]);
    }

    #[test]
    fn nobody_is_fast_enough_for_a_timeout_of_zero() {
        let mut settings = Settings::default();
        settings.limits.ping_timeout = Default::default();
        assert!(settings.check().is_err());
        settings.limits.ping_interval = Default::default();
        assert!(settings.check().is_ok(), "nobody is pinged, so nobody is late");
        settings.limits.handshake_timeout = Default::default();
        assert!(settings.check().is_err());
    }

    #[test]
    fn impossible_limits_are_named() {
        let mut settings = Settings::default();
        settings.limits.message_bytes = 0;
        let refused = settings.check().expect_err("no message would fit").to_string();
        assert!(refused.contains("--max-message"), "{refused}");
    }
}
