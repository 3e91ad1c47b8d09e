//! What can be typed after `corecast load`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, FromArgMatches, Subcommand, ValueEnum};

use super::assertion::Assertion;
use super::capacity::CapacityArgs;
use super::churn::per_second;
use super::merge::MergeArgs;
use super::sources::Sources;
use super::stages::Stage;
use super::target::Target;
use super::template::MessageTemplate;
use crate::units::parse::{duration, number, size, whole};

/// The arguments of `corecast load`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(next_line_help = true)]
pub struct LoadArgs {
    #[command(subcommand)]
    pub(crate) scenario: Option<ScenarioArgs>,

    #[command(flatten)]
    pub(crate) default: DefaultScenario,
}

/// `broadcast`, when no scenario was named: then, and only then, there is a URL here.
///
/// By hand, because an optional `flatten` does not notice arguments of structs that flatten others.
#[derive(Debug)]
pub(crate) struct DefaultScenario(pub(crate) Option<Box<BroadcastArgs>>);

impl clap::Args for DefaultScenario {
    fn augment_args(command: clap::Command) -> clap::Command {
        BroadcastArgs::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        BroadcastArgs::augment_args_for_update(command)
    }
}

impl FromArgMatches for DefaultScenario {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let has_url = matches.contains_id("url");
        let args = has_url.then(|| BroadcastArgs::from_arg_matches(matches)).transpose()?;
        Ok(Self(args.map(Box::new)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScenarioArgs {
    /// Members of rooms receive what publishers send
    Broadcast(Box<BroadcastArgs>),
    /// Open connections and keep them
    Hold(Box<HoldArgs>),
    /// Connect and drop in waves
    Storm(Box<StormArgs>),
    /// As broadcast, with a share of members that read slowly or not at all
    Slow(Box<SlowArgs>),
    /// Search for the greatest rate that holds what is asserted
    Capacity(Box<CapacityArgs>),
    /// Compare what two runs wrote for --json
    Diff(DiffArgs),
    /// Make one report of several, such as those of generators on several machines
    Merge(MergeArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// The report to compare with
    #[arg(value_name = "A.json")]
    pub(crate) before: PathBuf,

    /// The report that is compared
    #[arg(value_name = "B.json")]
    pub(crate) after: PathBuf,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_line_help = true)]
pub(crate) struct BroadcastArgs {
    /// Where the server listens: ws://HOST:PORT/PATH, or wss:// for TLS; PATH may name {room} or
    /// {member}
    pub(crate) url: Target,

    /// Connections that receive
    #[arg(
        long,
        short = 'n',
        visible_alias = "subscribers",
        value_name = "N",
        default_value_t = 1000,
        value_parser = whole::<u32>
    )]
    pub(crate) members: u32,

    /// Rooms; members are spread over them evenly, each in one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u32>)]
    pub(crate) rooms: u32,

    /// Share of the members that receive Server-Sent Events, in percent
    ///
    /// They ask for /v1/rooms/{room}/events at the same host and port, instead of saying hello.
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent)]
    pub(crate) event_streams: f64,

    /// Members per second that leave and are replaced while messages are measured, such as 5/s
    ///
    /// In turn, whatever the server does (open loop): when a member is due to leave, it says so and
    /// closes its connection, and another one with its number begins to connect to its room at once.
    /// The time to joined counts from then. Each message is due to whoever is joined: from behind the
    /// offset in cast:joined up to that in cast:left. What an event stream has not got when it is
    /// ended is due to nobody, since no answer says where that is; and with --hello a member closes
    /// without cast:leave, so that where there are no offsets it is owed what was published after
    /// --ready, up to the last message that it got. Messages are not followed to the last member.
    #[arg(long, value_name = "N/s", value_parser = per_second)]
    pub(crate) churn: Option<f64>,

    #[command(flatten)]
    pub(crate) traffic: TrafficArgs,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// Defaults of its own: enough bytes to fill the buffers of a socket and the log of a room, and long
/// enough for a server that waits ten seconds before it calls a member slow.
#[derive(Debug, clap::Args)]
#[command(next_line_help = true)]
#[command(mut_arg("size", |arg| arg.default_value("4KiB").help("Size of {payload}")))]
#[command(mut_arg("duration", |arg| arg.default_value("20s")))]
pub(crate) struct SlowArgs {
    #[command(flatten)]
    pub(crate) broadcast: BroadcastArgs,

    /// Share of the members that is slow, in percent
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = percent)]
    pub(crate) share: f64,

    /// What a slow member reads per second; 0 means that it does not read
    ///
    /// When nothing more is published, slow members read what is left at full speed, so that what
    /// became of them can be told.
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size)]
    pub(crate) read_rate: usize,
}

#[derive(Debug, clap::Args)]
#[command(next_line_help = true)]
pub(crate) struct HoldArgs {
    /// Where the server listens: ws://HOST:PORT/PATH, or wss:// for TLS; PATH may name {room} or
    /// {member}
    pub(crate) url: Target,

    /// Connections to open and keep
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10_000, value_parser = whole::<u32>)]
    pub(crate) connections: u32,

    /// Rooms to join, one per connection; 0 joins none
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<u32>)]
    pub(crate) rooms: u32,

    /// How long to keep them
    #[arg(long, short = 'd', value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) duration: Duration,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_line_help = true)]
pub(crate) struct StormArgs {
    /// Where the server listens: ws://HOST:PORT/PATH, or wss:// for TLS; PATH may name {room} or
    /// {member}
    pub(crate) url: Target,

    /// Connections of one wave
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1000, value_parser = whole::<u32>)]
    pub(crate) connections: u32,

    /// Rooms to join, one per connection; 0 joins none
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<u32>)]
    pub(crate) rooms: u32,

    /// Waves
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = whole::<u32>)]
    pub(crate) waves: u32,

    /// How long a wave stays once it is connected
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) stay: Duration,

    /// Time between two waves
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) pause: Duration,

    /// How connections go
    #[arg(long, value_name = "HOW", default_value = "reset")]
    pub(crate) goodbye: Goodbye,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Goodbye {
    /// As if the machine died: TCP reset
    Reset,
    /// With a close frame
    Close,
}

/// What is published, and when.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Traffic")]
pub(crate) struct TrafficArgs {
    /// Connections that publish; each serves its rooms, several share one
    #[arg(long, short = 'p', value_name = "N", default_value_t = 1, value_parser = whole::<u32>)]
    pub(crate) publishers: u32,

    /// Messages per second and room, whatever the server does (open loop)
    #[arg(long, short = 'r', value_name = "N", default_value_t = 100.0, conflicts_with = "window", value_parser = number)]
    pub(crate) rate: f64,

    /// A time with a rate of its own, such as 10s:500, or 30s:500..2000 where the rate goes evenly
    /// from one to another, instead of --rate and --duration; several follow each other (open loop)
    ///
    /// A time, and messages per second and room, from 0 to 1,000,000,000. Stages take commas, or
    /// --stage several times; there are at most 100. Within one that rises or falls, as many
    /// messages are due by a time as its rate adds up to until then. The report says of each stage
    /// what became of the messages that were due in it, whenever they came; --assert is of all
    /// stages together, and --strict asks of each that it had its rate. The warm-up has the rate
    /// that the first stage begins with, and the highest rate of all decides whether latencies are
    /// sampled (--sample).
    #[arg(
        long,
        value_name = "TIME:N",
        value_delimiter = ',',
        conflicts_with_all = ["rate", "window", "duration"]
    )]
    pub(crate) stage: Vec<Stage>,

    /// As fast as so many messages per room in flight allow (closed loop)
    ///
    /// Latency then counts from the moment of sending.
    #[arg(long, short = 'w', value_name = "N", value_parser = whole::<u32>)]
    pub(crate) window: Option<u32>,

    /// What takes a message out of the window
    #[arg(long, value_name = "WHAT", default_value = "deliveries", requires = "window")]
    pub(crate) window_by: WindowBy,

    /// Size of {payload} [default: 128, or 1KiB of JSON]
    #[arg(long, short = 's', value_name = "SIZE", value_parser = size)]
    pub(crate) size: Option<usize>,

    /// What {payload} is [default: text, or json with --deflate and without --publish]
    #[arg(long, value_name = "WHAT")]
    pub(crate) payload: Option<PayloadKind>,

    /// How long to measure
    ///
    /// A percentile is marked in the report if fewer than ten messages lie beyond it, since a delay of
    /// one message is one, however many members wait for it: 99 % takes 1,000 messages, 99.9 % takes
    /// 10,000.
    #[arg(long, short = 'd', value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,

    /// How long to publish before that
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) warm_up: Duration,

    /// Silence after which what has not arrived is lost
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) drain: Duration,

    /// Record the latency of one delivery in N [default: all, or one in 16 from 100,000/s on]
    ///
    /// The longest one counts in any case.
    #[arg(long, value_name = "N", value_parser = whole::<u32>)]
    pub(crate) sample: Option<u32>,

    /// Do not follow messages to the last of the members that they are for
    ///
    /// It costs up to 3 ns per delivery. In the closed loop and from 1,000,000 deliveries/s on one
    /// message in 8 is followed, and of more than 65,536 one in 2, 4, 8 …; the report names that.
    #[arg(long)]
    pub(crate) no_last_member: bool,

    /// What a publisher sends; {room}, {payload}, {id}, {publisher} and {member} are filled in
    ///
    /// {payload} is text without quotes, or a JSON object with --payload json; {id} is a number that
    /// counts from 1 on each connection; {publisher} counts publishers, and {member} all connections:
    /// publishers come behind the members. Columns of --csv are filled in, too.
    #[arg(long, value_name = "TEXT")]
    pub(crate) publish: Option<MessageTemplate>,

    /// What a publisher sends first, as --hello does for members; may be given several times
    ///
    /// What names the {room} is said once for each room that the publisher speaks in.
    #[arg(long, value_name = "TEXT")]
    pub(crate) publisher_hello: Vec<MessageTemplate>,

    /// What the answer to a publish contains, for --window-by acks
    #[arg(long, value_name = "TEXT", default_value = "\"cast:ack\"")]
    pub(crate) ack: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PayloadKind {
    /// The alphabet again and again, without quotes
    Text,
    /// An object of records such as quotes, measurements or lines of a chat, which differ from
    /// message to message and are the same in each run
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WindowBy {
    /// Its delivery to all members
    Deliveries,
    /// The answer to the publisher
    Acks,
}

/// What all scenarios share.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connections and reports")]
pub(crate) struct CommonArgs {
    /// Threads that receive [default: one less than cores, at most 4]; one more publishes
    ///
    /// Where this process may use one core only, one thread does both.
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    pub(crate) threads: Option<usize>,

    /// Addresses to connect from, such as 127.0.0.1-8 [default: one per 4,000 connections]
    ///
    /// One address has about 28,000 ports. Lists take commas: 127.0.0.1,127.0.0.2.
    #[arg(long, value_name = "ADDRESSES")]
    pub(crate) sources: Option<Sources>,

    /// Connections that may be in their handshake at once (closed loop)
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = whole::<usize>)]
    pub(crate) opening: usize,

    /// Connections that begin per second, whatever the server does (open loop)
    ///
    /// The time of a handshake then counts from when the connection was due. Without it a server that
    /// stands still is asked for nothing more meanwhile, and nearly no connection feels it.
    #[arg(long, value_name = "N", conflicts_with = "opening", value_parser = number)]
    pub(crate) connect_rate: Option<f64>,

    /// How long a handshake may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) connect_timeout: Duration,

    /// What a connection sends first; may be given several times; {room}, {member}, {id} and columns
    /// of --csv are filled in
    ///
    /// With '' it sends nothing.
    #[arg(long, value_name = "TEXT")]
    pub(crate) hello: Vec<MessageTemplate>,

    /// Table of what differs between connections, such as their tokens: its first line names the
    /// columns, and {column} is filled in with the value in the row of the connection
    ///
    /// In the address, --header, --hello, --publisher-hello and --publish. Members have the first rows,
    /// publishers those behind them; where there are too few, they begin again.
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,

    /// Name each connection's room in its handshake, as ?room=, instead of joining it by a message
    ///
    /// Corecast then has the connection live on the shard that is home to the room. Publishers name
    /// the first room that they publish to, and leave it at once.
    #[arg(long, conflicts_with = "hello")]
    pub(crate) place: bool,

    /// What the frame contains that says that hello was understood
    ///
    /// Without --hello it is "cast:joined"; with --hello a connection counts at once.
    #[arg(long, value_name = "TEXT")]
    pub(crate) ready: Option<String>,

    /// Time between the last hello and the first publish
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = duration)]
    pub(crate) settle: Duration,

    /// Room names begin with this; a number follows
    #[arg(long, value_name = "TEXT", default_value = "load-")]
    pub(crate) room_name: String,

    /// Further line of the upgrade request, such as 'Authorization: Bearer KEY'
    ///
    /// A line that is there by itself, such as Host, is replaced. Here and in the address {room},
    /// {member} and columns of --csv are filled in.
    #[arg(long, value_name = "LINE", value_parser = header_line)]
    pub(crate) header: Vec<String>,

    /// Authorities that sign the server's certificate, as PEM [default: those of this machine]
    ///
    /// For wss://. A certificate that signs itself is its own authority.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,

    /// Accept any certificate of a wss:// server
    #[arg(long)]
    pub(crate) insecure: bool,

    /// Offer compression (permessage-deflate), and inflate what members receive
    ///
    /// A server that does not compress, or keeps its context from one message to the next, is
    /// refused. Payloads of the same bytes are inflated once per thread and compared after that, so
    /// that a server that compresses a message once for all members is not waiting for its readers.
    /// With --publish say --payload json or --size, too: few servers compress 128 B of text.
    /// What publishers send is not compressed. The report says how many bytes were saved.
    #[arg(long)]
    pub(crate) deflate: bool,

    /// Send binary frames instead of text
    #[arg(long)]
    pub(crate) binary: bool,

    /// Process id of the server on this machine, to measure its CPU and memory; several take commas
    ///
    /// Processes that it starts are not counted: name them, too.
    #[arg(long, value_name = "PID", value_delimiter = ',', value_parser = whole::<u32>)]
    pub(crate) pid: Vec<u32>,

    /// Write all figures as JSON; `-` writes them to standard output instead of the table
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write a page with charts
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,

    /// Show no progress
    #[arg(long, short = 'q')]
    pub(crate) quiet: bool,

    /// Exit with 0 although messages were lost, repeated, out of order or damaged, or publishers or
    /// members were let go, if the run went to its end
    ///
    /// Without it each of these makes the exit code 1. Lost is a message that neither arrived nor
    /// was announced as skipped, and is not behind a close frame. Slow members may be let go.
    #[arg(long, conflicts_with = "strict")]
    pub(crate) lenient: bool,

    /// Exit with 1 if anything was lost, repeated, changed, out of order or went wrong, or if less
    /// than 99 % of what was due was published in time
    ///
    /// Of payloads above 1 KiB the content of one message in several is compared, so that comparing
    /// does not become what is measured; with this flag it is compared more often, and always up to
    /// 4 KiB. The report says how much was.
    #[arg(long)]
    pub(crate) strict: bool,

    /// Exit with 1 unless this holds, such as 'p99<10ms', 'lost==0' or 'published>=99%'; may be given
    /// several times
    ///
    /// Of deliveries there are mean, p50, p90, p99, p99.9 and max; as handshake.p99 those of
    /// handshakes, as joined.p99 the times from hello to its answer, as churn.p99 those from when a
    /// member was due to replace another until it had joined, as last.p99 those of messages to the
    /// last of their members, as skew.p99 those from the first member to the last. Counted are
    /// published, unsent, delivered, lost, repeated, disordered, damaged, skipped, cut_off, opened,
    /// failed, closed and errors; with % they are shares of what was due, expected or wanted, and
    /// `published` is the share that was published in time. A percentile that falls on what never
    /// came is below no bound.
    #[arg(long, value_name = "FIGURE<VALUE")]
    pub(crate) assert: Vec<Assertion>,
}

/// The header that [`CommonArgs::deflate`] is about.
pub(crate) const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// The value of the first header line of that name.
pub(crate) fn value_of<'a>(lines: &'a [String], name: &str) -> Option<&'a str> {
    let mut fields = lines.iter().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(field, _)| field.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim())
}

/// The words of the command line, for people: what is no UTF-8 is shown as well as it can be.
pub(crate) fn command_line() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("a share looks like 10%, between 0 and 100".to_owned()),
    }
}

fn header_line(text: &str) -> Result<String, String> {
    let named = text.split_once(':').is_some_and(|(name, _)| !name.trim().is_empty());
    if !named || text.contains(['\r', '\n']) {
        return Err("a header looks like 'Name: value' and is one line".to_owned());
    }
    Ok(text.to_owned())
}
