//! What can be typed.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use corecast::{Anonymous, Executor};
use corecast_load::LoadArgs;
use corecast_load::units::parse::{duration, size, whole};
use corecast_shards::Limit;

use super::address::address;
use super::environment::is_typed;
use super::limit_args::{LimitArgs, help, long_help};
use super::room_flag::{RoomFlag, SlowFlag, room};
use super::token::MakeTokenArgs;
use super::token_args::TokenArgs;

/// A sharded, thread-per-core WebSocket broadcast engine for Linux.
#[derive(Debug, Parser)]
#[command(name = "corecast", version, max_term_width = 100)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the server
    ///
    /// Without any flag it listens on 127.0.0.1:8080, runs one shard per core, and lets everybody
    /// who can reach it do everything. SIGINT or SIGTERM drains it: every message that was
    /// accepted reaches every member, then clients are told when to come back. A second signal
    /// ends it at once.
    Serve(Box<ServeArgs>),

    /// Put load on a WebSocket server and measure what it delivers
    ///
    /// Without a scenario it is `broadcast`: members of a room receive what publishers send, each
    /// message is checked, and latency counts from the moment a message was due.
    Load(Box<LoadArgs>),

    /// Print a token for trying things out: a JWT that says what a client may do
    ///
    /// Give it the secret that the server has (--jwt-secret-file), or the private half of a pair
    /// whose public half it has. Whoever has the token may do what it says until it expires.
    Token(Box<MakeTokenArgs>),

    /// Start glommio and end it again; `serve` runs this to learn whether that works here
    #[command(hide = true)]
    TryExecutor {
        /// Pinned to this core
        core: Option<usize>,
    },
}

#[derive(Debug, clap::Args)]
#[command(next_line_help = true, args_override_self = true)]
pub(super) struct ServeArgs {
    /// Host and port to listen on, or a port of 127.0.0.1; port 0 lets the system choose
    #[arg(long, env = "CORECAST_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: String,

    // The texts of shards, drain_timeout and send_buffer are in the table of limits.
    #[arg(
        long,
        env = Limit::SHARDS.variable(),
        help = help(&Limit::SHARDS),
        long_help = long_help(&Limit::SHARDS),
        value_name = "N",
        value_parser = whole::<usize>,
    )]
    shards: Option<usize>,

    /// What happens to members that read too slowly
    #[arg(long, env = "CORECAST_SLOW", value_name = "POLICY", default_value = "disconnect")]
    slow: SlowFlag,

    /// What holds in rooms of certain names, such as ticker.*:slow=latest,log=256KiB; may be given
    /// several times
    ///
    /// A pattern of names, in which * stands for one or more characters; a colon; and keys: slow is
    /// as --slow, log as --room-log, deflate as --deflate; history messages are kept, in
    /// history-bytes and for history-for; messages wait for linger, or until linger-bytes wait, so
    /// that one send carries several. In a room holds the first flag whose pattern stands for its
    /// whole name, and no other; what that leaves open holds there as everywhere. The environment
    /// variable has one per line.
    #[arg(
        long = "room",
        env = "CORECAST_ROOM",
        value_name = "PATTERN:KEY=VALUE,...",
        value_parser = room,
        value_delimiter = '\n'
    )]
    rooms: Vec<RoomFlag>,

    /// Directory in which the histories of rooms outlive the process, such as /run/corecast
    ///
    /// The next start takes them up, however this server ended, kill -9 included: rooms keep their epochs
    /// and offsets, and clients recover what they missed. It is for the same machine until that is booted
    /// again: nothing waits for a disk. It takes three times --history-memory, and twice that for a
    /// moment at the start. One server at a time can use it.
    #[arg(long, env = "CORECAST_HISTORY_DIR", value_name = "PATH")]
    history_dir: Option<PathBuf>,

    /// Whether messages of rooms are compressed for clients that offer it (permessage-deflate)
    ///
    /// Each message is compressed once, whatever the number of members. Not to be done where a message
    /// has both a secret and what an attacker has chosen, since its length says something about the
    /// secret (BREACH): say --room 'PATTERN:deflate=off' for such rooms.
    #[arg(long, env = "CORECAST_DEFLATE", value_name = "WHETHER", default_value = "on")]
    deflate: DeflateFlag,

    /// Without keys, allow everything to whatever reaches the server, on any address; with keys it
    /// has no effect
    #[arg(long, env = "CORECAST_OPEN")]
    open: bool,

    /// Key that /v1 asks for (Authorization: Bearer KEY); may be given several times
    ///
    /// Every user of this machine can read it in the list of processes: better is --api-key-file, or
    /// the environment variable, which may list several keys with commas between and blanks around
    /// these.
    #[arg(long = "api-key", env = "CORECAST_API_KEY", value_name = "KEY", hide_env_values = true)]
    api_keys: Vec<String>,

    /// File with keys that /v1 asks for, one per line; blank lines and # comments are passed over
    ///
    /// Behind a key and a space may stand what it is for, as a list of publish, read, admin; a key
    /// without is for everything. Several are separated by commas, or the flag is given several
    /// times. SIGHUP reads the files again.
    #[arg(
        long = "api-key-file",
        env = "CORECAST_API_KEY_FILE",
        value_name = "PATH",
        value_delimiter = ','
    )]
    api_key_files: Vec<PathBuf>,

    /// What clients of /ws may do that bring neither key nor token: all, none, or a list of join,
    /// publish, broadcast [default: none once there are keys, else all]
    ///
    /// A client that brings an API key (Authorization: Bearer KEY) may do what that is for. One that
    /// brings nothing is connected in any case and hears broadcasts: publish to rooms what is not for
    /// all.
    #[arg(long, env = "CORECAST_ANONYMOUS", value_name = "LIST")]
    anonymous: Option<Anonymous>,

    /// Certificate to speak TLS with, and nothing else: a PEM file, with those up to a root behind it
    ///
    /// Several are separated by commas, or the flag is given several times, each with its --tls-key in
    /// the same order: a client is shown the certificate for the name that it asks for, or the first.
    /// The files are read again when they change, which is looked at every 10 seconds, and on SIGHUP.
    #[arg(
        long = "tls-cert",
        env = "CORECAST_TLS_CERT",
        value_name = "PATH",
        value_delimiter = ',',
        requires = "tls_keys"
    )]
    tls_certs: Vec<PathBuf>,

    /// Private key of the certificate: a PEM file
    #[arg(
        long = "tls-key",
        env = "CORECAST_TLS_KEY",
        value_name = "PATH",
        value_delimiter = ',',
        requires = "tls_certs"
    )]
    tls_keys: Vec<PathBuf>,

    /// Web pages that may connect beside the server's own, such as https://*.example.com
    ///
    /// An origin as browsers send it, in which * stands for one or more characters; * alone allows
    /// every page. Several are separated by commas, or the flag is given several times.
    #[arg(
        long = "allow-origin",
        env = "CORECAST_ALLOW_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    allow_origins: Vec<String>,

    /// Proxies that are believed when they say where a request came from, such as 10.0.0.0/8
    ///
    /// A network, an address, loopback, or private (RFC 1918 and RFC 4193). The client's address is
    /// the first one from the right in X-Forwarded-For or Forwarded (RFC 7239) that is none of them;
    /// the proxy has to remove the field that it does not write. Several are separated by commas, or
    /// the flag is given several times.
    #[arg(
        long = "trusted-proxy",
        env = "CORECAST_TRUSTED_PROXY",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    trusted_proxies: Vec<String>,

    /// Whether each connection begins with a header of the PROXY protocol, version 1 or 2
    ///
    /// Only proxies of --trusted-proxy may connect then, and connections without the header are
    /// refused.
    #[arg(long, env = "CORECAST_PROXY_PROTOCOL", value_name = "WHETHER", default_value = "off")]
    proxy_protocol: ProxyProtocolFlag,

    #[arg(
        long,
        env = Limit::DRAIN_TIMEOUT.variable(),
        help = help(&Limit::DRAIN_TIMEOUT),
        long_help = long_help(&Limit::DRAIN_TIMEOUT),
        value_name = "TIME",
        default_value = Limit::DRAIN_TIMEOUT.preset.to_string(),
        value_parser = duration,
        allow_hyphen_values = true,
    )]
    pub(super) drain_timeout: Duration,

    /// How logs look
    #[arg(long, env = "CORECAST_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(super) log_format: LogFormat,

    #[arg(
        long,
        env = Limit::SEND_BUFFER.variable(),
        help = help(&Limit::SEND_BUFFER),
        long_help = long_help(&Limit::SEND_BUFFER),
        value_name = "SIZE",
        default_value = Limit::SEND_BUFFER.preset.to_string(),
        value_parser = size,
    )]
    send_buffer: usize,

    /// What runs the threads of shards
    #[arg(long, env = "CORECAST_EXECUTOR", value_name = "EXECUTOR", default_value = "auto")]
    executor: ExecutorFlag,

    /// How bytes are handed to sockets
    #[arg(long, env = "CORECAST_SENDS", value_name = "HOW", default_value = "auto")]
    sends: SendsFlag,

    #[command(flatten, next_help_heading = "Tokens")]
    tokens: TokenArgs,

    #[command(flatten, next_help_heading = "Limits")]
    limits: LimitArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProxyProtocolFlag {
    /// Connections begin with a request
    Off,
    /// Connections begin with the header
    On,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DeflateFlag {
    /// Each client that offers it gets them compressed
    On,
    /// No client does, and clients may not compress what they send
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExecutorFlag {
    /// glommio if it starts here, else plain threads; the log says which and why
    Auto,
    /// A glommio executor on each; without io_uring the server does not start
    Glommio,
    /// Nothing else, which needs no io_uring and locks no memory
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SendsFlag {
    /// Over a ring if the kernel gives one, else plainly; plainly on plain threads
    Auto,
    /// Several with one system call over an io_uring; without one the server does not start
    Ring,
    /// One system call for each
    Plain,
}

/// This program, started for nothing but the trial.
fn executor_trial() -> process::Command {
    // Not by its path, where another may be by now.
    let mut command = process::Command::new("/proc/self/exe");
    command.arg("try-executor");
    command
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

impl ServeArgs {
    /// The server that these arguments describe.
    ///
    /// # Errors
    ///
    /// When the host has no address, in words for the operator.
    pub(super) fn builder(&self) -> Result<corecast::Builder, String> {
        let sends = match self.sends {
            SendsFlag::Auto => corecast::Sends::Auto,
            SendsFlag::Ring => corecast::Sends::Ring,
            SendsFlag::Plain => corecast::Sends::Plain,
        };
        let executor = match self.executor {
            ExecutorFlag::Auto => Executor::Auto,
            ExecutorFlag::Glommio => Executor::Glommio,
            ExecutorFlag::Plain => Executor::Plain,
        };
        let mut builder = corecast::Server::builder()
            .executor(executor)
            .executor_trial(executor_trial)
            .listen(self.addresses()?.as_slice())
            .sends(sends)
            .slow(self.slow.policy())
            .deflate(self.deflate == DeflateFlag::On)
            .send_buffer(self.send_buffer)
            .proxy_protocol(self.proxy_protocol == ProxyProtocolFlag::On)
            .limits(self.limits.limits());
        if let Some(shards) = self.shards {
            builder = builder.shards(shards);
        }
        for RoomFlag { pattern, policy } in &self.rooms {
            builder = builder.room(pattern, policy.clone());
        }
        if let Some(path) = &self.history_dir {
            builder = builder.history_dir(path);
        }
        if self.open {
            builder = builder.open();
        }
        if let Some(anonymous) = self.anonymous {
            builder = builder.anonymous(anonymous);
        }
        for origin in &self.allow_origins {
            builder = builder.allow_origin(origin);
        }
        for network in &self.trusted_proxies {
            builder = builder.trusted_proxy(network);
        }
        for path in &self.api_key_files {
            builder = builder.api_key_file(path);
        }
        builder = self.tokens.apply(builder);
        let (certificates, keys) = (self.tls_certs.len(), self.tls_keys.len());
        if certificates != keys {
            return Err(format!(
                "there are {certificates} of --tls-cert and {keys} of --tls-key; give one key for \
                 each certificate, in the same order"
            ));
        }
        for (certificate, key) in self.tls_certs.iter().zip(&self.tls_keys) {
            builder = builder.tls(certificate, key);
        }
        Ok(self.api_keys().iter().fold(builder, |builder, key| builder.api_key(key)))
    }

    /// The keys that were typed, each as it is, commas included; else those that the environment
    /// lists, without the blanks around them.
    fn api_keys(&self) -> Vec<String> {
        match is_typed("--api-key") {
            true => self.api_keys.clone(),
            false => {
                let listed = self.api_keys.iter().flat_map(|list| list.split(','));
                listed.map(|key| key.trim().to_owned()).collect()
            }
        }
    }

    /// What clients connect with.
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls_certs.is_empty() { "ws" } else { "wss" }
    }

    /// Who may do what, in one line.
    pub(super) fn access(&self) -> String {
        let has_api_keys = !self.api_keys().is_empty() || !self.api_key_files.is_empty();
        let has_tokens = self.tokens.have_keys();
        let anonymous = self.anonymous.unwrap_or(Anonymous::none());
        match (has_api_keys, has_tokens) {
            (false, false) => match self.anonymous {
                None => "whoever can reach it may do everything: no key is asked for".to_owned(),
                Some(_) => format!("/v1 asks for no key; clients of /ws may: {anonymous}"),
            },
            (true, false) => {
                format!("/v1 asks for an API key; without one clients of /ws may: {anonymous}")
            }
            (true, true) => format!(
                "/v1 asks for an API key; with neither that nor a token clients of /ws may: \
                 {anonymous}"
            ),
            (false, true) => {
                format!("/v1 is closed; without a token clients of /ws may: {anonymous}")
            }
        }
    }

    fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let found = self.listen.to_socket_addrs().map_err(|error| {
            format!("--listen {} cannot be looked up ({error}); check the host name", self.listen)
        });
        found.map(Iterator::collect)
    }
}
