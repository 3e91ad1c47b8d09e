//! What a server will be.

mod access;
mod handlers;

use std::net::ToSocketAddrs;
use std::path::PathBuf;

use corecast_shards::{Limits, RoomPolicy, SlowPolicy};

use crate::handles::{Broadcaster, Client, HttpRequest, on_shard};
use crate::http::check_routes;
use crate::program::Program;
use crate::runtime::{Instantiate, Plan, Sends, Settings, StartError, Trial, start};
use crate::server::Server;
use crate::values::Executor;

/// What a server will be: its settings and the program's handlers. Made by
/// [`Server::builder`].
///
/// Each handler is cloned once per shard, and its clones run on their shards' threads. The futures
/// that it returns stay there: they need not be `Send`, and may hold `Rc`s across an await.
///
/// While a handler works on a message of one connection, that connection's next message waits,
/// and no other's. A handler that blocks its thread, on the other hand, stops its whole shard:
/// hand such work to a thread of your own, and wait for its answer.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing listens before start"]
pub struct Builder {
    settings: Settings,
    /// Until another address is listened on.
    bad_address: Option<String>,
    /// The first of the others.
    mistake: Option<Mistake>,
    program: Program<Client, HttpRequest, Broadcaster>,
}

/// Something that cannot be, which is an error of the start.
#[derive(Clone, Debug)]
struct Mistake {
    kind: fn(String) -> StartError,
    reason: String,
}

impl Builder {
    /// Listens on this address, for example `"127.0.0.1:8080"` or `"localhost:8080"`; port 0 lets
    /// the system choose. Of several addresses, as a name may have them, it is the first one that
    /// this machine has. Default: 127.0.0.1:8080. What cannot be an address is an error of
    /// [`Builder::start`].
    pub fn listen(mut self, address: impl ToSocketAddrs) -> Builder {
        match address.to_socket_addrs().map(Iterator::collect::<Vec<_>>) {
            Ok(none) if none.is_empty() => self.bad_address = Some("it has no address".to_owned()),
            Ok(addresses) => (self.settings.listen, self.bad_address) = (addresses, None),
            Err(error) => self.bad_address = Some(error.to_string()),
        }
        self
    }

    /// Runs so many shards. Default: one per core of the process's affinity mask, or as many as its
    /// control group's CPU quota keeps busy, if those are fewer. Shards are pinned as long as there
    /// are as many cores and no quota is smaller.
    pub fn shards(mut self, shards: usize) -> Builder {
        self.settings.shards = Some(shards);
        self
    }

    /// What happens to members that read too slowly. Default: they are disconnected.
    pub fn slow(mut self, policy: SlowPolicy) -> Builder {
        self.settings.slow = policy;
        self
    }

    /// What holds in the rooms whose whole name this pattern stands for, instead of what
    /// [`Builder::slow`] and [`Builder::limits`] say. In the pattern `*` is one or more characters:
    /// `ticker.*`, or `*` for every room. May be called 256 times; in a room holds the first one whose
    /// pattern stands for its name. What cannot be a pattern is an error of [`Builder::start`].
    ///
    /// ```
    /// # use corecast::{RoomPolicy, Server, SlowPolicy};
    /// use std::time::Duration;
    ///
    /// // Clients that come back get what they missed.
    /// let chat = RoomPolicy::default()
    ///     .history(100)
    ///     .history_bytes(256 << 10)
    ///     .history_for(Duration::from_secs(600));
    /// // Each send carries what came within 5 ms.
    /// let ticker = RoomPolicy::default()
    ///     .slow(SlowPolicy::Latest)
    ///     .log_bytes(256 << 10)
    ///     .linger(Duration::from_millis(5));
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .room("ticker.*", ticker)
    ///     .room("chat.*", chat)
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn room(mut self, pattern: impl AsRef<str>, policy: RoomPolicy) -> Builder {
        let added = self.settings.rooms.add(pattern.as_ref(), policy);
        self.judged(added, |reason| StartError::Room { reason })
    }

    /// All limits of the protocol.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.settings.limits = limits;
        self
    }

    /// Keeps the histories of rooms in this directory, too, so that the next server takes them up when
    /// this one has ended, however it did: rooms keep their epochs and offsets, and clients recover what
    /// they missed. Default: histories end with the process.
    ///
    /// It is for the same machine until that is booted again; nothing waits for a disk. The directory is
    /// made if it is not there, belongs to one server at a time, and takes three times
    /// [`Limits::history_memory`], twice that for a moment at the start. On a tmpfs, such as
    /// `$RUNTIME_DIRECTORY`, that is memory.
    ///
    /// ```no_run
    /// # use corecast::{RoomPolicy, Server};
    /// let server = Server::builder()
    ///     .room("chat.*", RoomPolicy::default().history(100))
    ///     .history_dir("/run/chat")
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn history_dir(mut self, path: impl Into<PathBuf>) -> Builder {
        self.settings.history_dir = Some(path.into());
        self
    }

    /// Whether messages of rooms are compressed for clients that offer it (permessage-deflate, RFC 7692).
    /// Default: they are. In rooms of certain names [`RoomPolicy::deflate`] decides.
    ///
    /// A message that has both a secret and what an attacker has chosen is better not compressed: its
    /// length says something about the secret (BREACH).
    pub fn deflate(mut self, is_on: bool) -> Builder {
        self.settings.access.deflate = is_on;
        self
    }

    /// Bytes that the kernel keeps for a connection that does not read (`SO_SNDBUF`); 0 leaves it
    /// to the kernel. Default: 256 KiB.
    pub fn send_buffer(mut self, bytes: usize) -> Builder {
        self.settings.send_buffer = bytes;
        self
    }

    /// How bytes are handed to sockets. Default: [`Sends::Auto`].
    pub fn sends(mut self, sends: Sends) -> Builder {
        self.settings.sends = sends;
        self
    }

    /// What runs the threads of shards. Default: [`Executor::Auto`]. What became of it is
    /// [`Server::executor`].
    pub fn executor(mut self, executor: Executor) -> Builder {
        self.settings.executor = executor;
        self
    }

    /// How [`Executor::Auto`] starts a process that runs [`try_executor`](crate::try_executor), for
    /// programs that can be started for that alone.
    #[doc(hidden)]
    pub fn executor_trial(mut self, trial: Trial) -> Builder {
        self.settings.trial = Some(trial);
        self
    }

    /// Starts one thread per shard, and returns when all of them listen.
    ///
    /// The soft descriptor limit of the process is raised to the hard one.
    ///
    /// # Errors
    ///
    /// [`StartError`] says in words for the operator what is missing and how to get it.
    pub fn start(self) -> Result<Server, StartError> {
        if let Some(reason) = self.bad_address {
            return Err(StartError::Address { reason });
        }
        if let Some(Mistake { kind, reason }) = self.mistake {
            return Err(kind(reason));
        }
        self.settings.check()?;
        check_routes(&self.program.routes).map_err(|message| StartError::Route { message })?;
        for remark in self.settings.remarks() {
            tracing::warn!("{remark}");
        }
        let instantiate = || -> Instantiate {
            let program = self.program.clone();
            Box::new(move |handle| on_shard(program, handle))
        };
        let plan = Plan { needs: self.program.needs(), instantiate: &instantiate };
        start(self.settings, &plan).map(Server::new)
    }

    /// Keeps the first mistake for the start.
    fn judged(mut self, judged: Result<(), String>, kind: fn(String) -> StartError) -> Builder {
        if let Err(reason) = judged {
            self.mistake.get_or_insert(Mistake { kind, reason });
        }
        self
    }
}
