//! What a server is told before it starts.

use std::net::{Ipv4Addr, SocketAddr};

use corecast_shards::{Limits, SlowPolicy};

use crate::anonymous::Anonymous;
use crate::http::{AccessRules, ApiAccess};
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
    pub(crate) access: AccessRules,
    /// Whether everybody who can reach the server may do everything.
    pub(crate) open: bool,
    /// What connections may do that are not known; none means that it depends on keys.
    pub(crate) anonymous: Option<Anonymous>,
}

/// What is open to everybody.
struct Exposure {
    http_api: bool,
    connections: bool,
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
            access: AccessRules::default(),
            open: false,
            anonymous: None,
        }
    }
}

impl Settings {
    /// Refuses what could not work, in words that say what could.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let exposed = self.listen.iter().find(|address| !address.ip().is_loopback());
        if let (Some(&address), false) = (exposed, self.open) {
            let Exposure { http_api, connections } = self.exposure();
            if http_api || connections {
                return Err(StartError::Exposed { address, http_api, connections });
            }
        }
        let limits = &self.limits;
        let least = [
            ("--max-message", limits.message_bytes, 1),
            ("--max-head", limits.head_bytes, 512),
            ("--max-rooms", limits.rooms_per_connection, 1),
            ("--room-log", limits.room_log_bytes, 4 << 10),
            ("--own-bytes", limits.own_bytes, 4 << 10),
            ("--max-connections", limits.connections, 1),
            ("--max-http-connections", limits.http_connections, 1),
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
        if limits.mesh_items > MESH_ITEMS_MAX {
            return Err(limit(&format!(
                "--mesh-items is {} and must be at most {MESH_ITEMS_MAX}",
                limits.mesh_items
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

impl Settings {
    /// Who may do what on the address that is listened on.
    pub(crate) fn rules(&self, address: SocketAddr) -> AccessRules {
        let loopback_only = address.ip().is_loopback() && !self.open && self.access.keys.is_empty();
        let anonymous = self.anonymous.unwrap_or_else(|| self.anonymous_by_default());
        AccessRules { loopback_only, anonymous, ..self.access.clone() }
    }

    /// A server with keys is closed for those who bring none, unless the program looks at each.
    fn anonymous_by_default(&self) -> Anonymous {
        match self.access.keys.is_empty() || self.access.program_authorizes {
            true => Anonymous::all(),
            false => Anonymous::none(),
        }
    }

    /// What everybody may do who reaches the server, and that nobody has decided.
    fn exposure(&self) -> Exposure {
        let access = &self.access;
        Exposure {
            http_api: access.keys.is_empty() && access.api == ApiAccess::Keys,
            connections: access.keys.is_empty()
                && self.anonymous.is_none()
                && !access.program_authorizes,
        }
    }
}

/// A head is put together in the shard's read buffer.
pub(crate) const HEAD_BYTES_MAX: usize = 32 << 10;

/// Each of the rings between shards has places for so many messages from the start.
const MESH_ITEMS_MAX: usize = 1 << 16;

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
        settings.access.keys.add("secret").unwrap();
        assert!(settings.check().is_ok());
        assert_eq!(settings.rules(settings.listen[0]).anonymous, Anonymous::none());

        settings.access = AccessRules { program_authorizes: true, ..AccessRules::default() };
        let refused = settings.check().expect_err("everybody may use /v1").to_string();
        assert!(
            refused.contains("http_api") && !refused.contains("Builder::authorize"),
            "{refused}"
        );
        settings.access.api = ApiAccess::Off;
        assert!(settings.check().is_ok());
        settings.access.program_authorizes = false;
        let refused = settings.check().expect_err("everybody may connect").to_string();
        assert!(
            refused.contains("Builder::authorize") && !refused.contains("http_api"),
            "{refused}"
        );
        settings.anonymous = Some(Anonymous::all());
        assert!(settings.check().is_ok(), "it was decided");
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
