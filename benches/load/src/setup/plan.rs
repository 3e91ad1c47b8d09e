//! What will be done: arguments, checked and completed.

use std::net::SocketAddr;
use std::time::Duration;

use super::args::{
    BroadcastArgs, CommonArgs, EXTENSIONS, Goodbye, HoldArgs, LoadArgs, PayloadKind, ScenarioArgs,
    SlowArgs, StormArgs, TrafficArgs, WindowBy, value_of,
};
use super::churn::{Churn, ChurnedRun};
use super::holes::{Place, check_publishers};
use super::payload::{JSON_MIN, PAYLOAD_MIN, PUBLISHERS_MAX, PayloadForm, ROOMS_MAX};
use super::sources::Sources;
use super::stages::Stages;
use super::streams::Streams;
use super::target::Target;
use super::template::{Fill, Hole, MessageTemplate};
use super::trust::Trust;
use super::users::Users;
use crate::units::print::{count, whole};

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) target: Target,
    pub(crate) address: SocketAddr,
    /// None without TLS.
    pub(crate) trust: Option<Trust>,
    pub(crate) sources: Sources,
    pub(crate) connecting: Connecting,
    pub(crate) threads: usize,
    /// Connections that receive.
    pub(crate) members: u32,
    /// Which members read slowly, and how fast.
    pub(crate) slow: SlowShare,
    /// The share of members that receive Server-Sent Events.
    pub(crate) event_streams: f64,
    /// None where members stay.
    pub(crate) churn: Option<Churn>,
    pub(crate) streams: Streams,
    /// Of the address.
    pub(crate) path: MessageTemplate,
    /// Further lines of the request.
    pub(crate) headers: Vec<MessageTemplate>,
    /// What differs between connections.
    pub(crate) users: Users,
    /// What each member says first; empty: nothing.
    pub(crate) hello: Vec<MessageTemplate>,
    /// What says that it was understood; `None`: nothing does.
    pub(crate) ready: Option<Vec<u8>>,
    pub(crate) traffic: Option<Traffic>,
    pub(crate) common: CommonArgs,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scenario {
    Broadcast,
    Hold { duration: Duration },
    Storm { waves: u32, stay: Duration, pause: Duration, goodbye: Goodbye },
    Slow,
}

impl Scenario {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Broadcast => "broadcast",
            Self::Hold { .. } => "hold",
            Self::Storm { .. } => "storm",
            Self::Slow => "slow",
        }
    }
}

/// When members connect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Connecting {
    /// As soon as fewer than so many others are at it.
    AtOnce(usize),
    /// So many per second.
    Rate(f64),
}

/// How a member receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Frames of a WebSocket.
    WebSocket,
    /// Server-Sent Events, in chunks of an HTTP answer.
    Events,
}

/// Members that read slowly.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SlowShare {
    pub(crate) share: f64,
    /// Bytes per second; 0 means that they do not read.
    pub(crate) read_rate: usize,
}

impl SlowShare {
    /// Whether this member is slow.
    pub(crate) fn has(self, member: u32) -> bool {
        is_of_share(self.share, member)
    }
}

/// Whether this member is one of a share of them: those are spread evenly, also over rooms.
fn is_of_share(share: f64, member: u32) -> bool {
    let before = |members: u32| (f64::from(members) * share).floor();
    before(member + 1) > before(member)
}

#[derive(Debug)]
pub(crate) struct Traffic {
    /// With stages their mean rate.
    pub(crate) pace: Pace,
    /// None where the rate stays.
    pub(crate) stages: Option<Stages>,
    pub(crate) form: PayloadForm,
    pub(crate) publish: MessageTemplate,
    pub(crate) hello: Vec<MessageTemplate>,
    pub(crate) ack: Vec<u8>,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    pub(crate) drain: Duration,
    /// A power of two.
    pub(crate) sampled_one_in: u32,
    /// One message in so many is followed to the last of its members; a power of two.
    pub(crate) followed_one_in: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// Messages per second and room.
    Rate(f64),
    /// Messages per room in flight.
    Window(u32, WindowBy),
}

const SIZE: usize = 128;
const JSON_SIZE: usize = 1024;

const HELLO: &str = r#"{"event":"cast:join","room":"{room}","id":1}"#;
const JOINED: &str = r#""cast:joined""#;
/// Where `QUOTED` stands, the payload does, as JSON has it.
const PUBLISH: &str =
    r#"{"event":"cast:publish","room":"{room}","data":{"event":"load","data":QUOTED}}"#;
const PUBLISH_WITH_ID: &str =
    r#"{"event":"cast:publish","room":"{room}","id":{id},"data":{"event":"load","data":QUOTED}}"#;

/// More threads than this only share what the kernel does for one.
const THREADS_MAX_BY_DEFAULT: usize = 4;
/// Below so many deliveries a second each latency is recorded: it costs 20 ns then.
const ALL_RECORDED_BELOW: f64 = 100_000.0;
const SAMPLED_ONE_IN: u32 = 16;
/// Below so many deliveries a second all messages are followed: it costs 3 ns for each delivery then,
/// and 1 ns with one message in 8.
const ALL_FOLLOWED_BELOW: f64 = 1e6;
const FOLLOWED_ONE_IN: u32 = 8;

impl Plan {
    pub(crate) fn new(args: LoadArgs) -> Result<Self, String> {
        let scenario = args.scenario.or(args.default.0.map(ScenarioArgs::Broadcast));
        match scenario.ok_or("give the server's address: corecast load ws://127.0.0.1:8080/ws")? {
            ScenarioArgs::Broadcast(args) => {
                Self::with_traffic(Scenario::Broadcast, *args, SlowShare::default())
            }
            ScenarioArgs::Slow(args) => {
                let SlowArgs { broadcast, share, read_rate } = *args;
                Self::with_traffic(Scenario::Slow, broadcast, SlowShare { share, read_rate })
            }
            ScenarioArgs::Hold(args) => Self::hold(*args),
            ScenarioArgs::Storm(args) => Self::storm(*args),
            ScenarioArgs::Capacity(_) | ScenarioArgs::Diff(_) | ScenarioArgs::Merge(_) => {
                Err("this is no scenario of one run".to_owned())
            }
        }
    }

    fn with_traffic(
        scenario: Scenario,
        args: BroadcastArgs,
        slow: SlowShare,
    ) -> Result<Self, String> {
        let BroadcastArgs { url, members, rooms, event_streams, churn, traffic, common } = args;
        let streams = Streams { rooms, publishers: traffic.publishers };
        check_streams(streams, members)?;
        let mut traffic = Traffic::new(traffic, members, common.deflate)?;
        let run = ChurnedRun {
            is_broadcast: scenario == Scenario::Broadcast,
            has_rate: matches!(traffic.pace, Pace::Rate(_)),
            says_leave: common.hello.is_empty(),
            has_ready: common.ready.is_some(),
        };
        let churn = churn.map(|rate| Churn::new(rate, run));
        let churn = churn.transpose()?;
        // Whom a message is for is known when all is over.
        traffic.followed_one_in = traffic.followed_one_in.filter(|_| churn.is_none());
        let left = churn.map_or(0, Churn::ports_in_wait);
        let crowd = Crowd { members, ports: members.saturating_add(left), streams, joins: true };
        let base = Self::base(scenario, url, crowd, common)?;
        let columns = &base.users.columns;
        Place::Publish.check(&mut traffic.publish, columns)?;
        let mut hellos = traffic.hello.iter_mut();
        hellos.try_for_each(|hello| Place::PublisherHello.check(hello, columns))?;
        check_publishers(streams, &base.path, &base.headers)?;
        Ok(Self { traffic: Some(traffic), slow, event_streams, churn, ..base })
    }

    fn hold(args: HoldArgs) -> Result<Self, String> {
        let scenario = Scenario::Hold { duration: args.duration };
        Self::base(scenario, args.url, Crowd::quiet(args.connections, args.rooms), args.common)
    }

    fn storm(args: StormArgs) -> Result<Self, String> {
        let StormArgs { url, connections, rooms, waves, stay, pause, goodbye, common } = args;
        let scenario = Scenario::Storm { waves, stay, pause, goodbye };
        Self::base(scenario, url, Crowd::quiet(connections, rooms), common)
    }

    fn base(
        scenario: Scenario,
        target: Target,
        crowd: Crowd,
        mut common: CommonArgs,
    ) -> Result<Self, String> {
        if crowd.members == 0 {
            return Err("give at least one connection".to_owned());
        }
        check_offer(&common)?;
        let trust = Trust::new(&target, &common)?;
        let address = target.address(common.connect_timeout)?;
        let threads = common.threads.unwrap_or_else(default_threads).max(1);
        let sources = common.sources.take();
        let connecting = Connecting::new(&common)?;
        let hello = std::mem::take(&mut common.hello);
        let (mut hello, ready) = greeting(hello, common.ready.take(), crowd.joins);
        let users = common.csv.as_deref().map(Users::read).transpose()?.unwrap_or_default();
        let mut path = template(&target.path);
        Place::Address.check(&mut path, &users.columns)?;
        let mut headers: Vec<_> = common.header.iter().map(|line| template(line)).collect();
        headers.iter_mut().try_for_each(|line| Place::Header.check(line, &users.columns))?;
        hello.iter_mut().try_for_each(|hello| Place::Hello.check(hello, &users.columns))?;
        if common.place && !crowd.joins {
            return Err("--place needs rooms; give --rooms".to_owned());
        }
        let hello = if common.place { Vec::new() } else { hello };
        Ok(Self {
            scenario,
            address,
            trust,
            sources: sources.unwrap_or_else(|| Sources::enough(crowd.ports, address.ip())),
            connecting,
            target,
            threads: threads.min(crowd.members as usize),
            members: crowd.members,
            slow: SlowShare::default(),
            event_streams: 0.0,
            churn: None,
            streams: crowd.streams,
            path,
            headers,
            users,
            hello,
            ready,
            traffic: None,
            common,
        })
    }

    /// The name of a room by its number.
    pub(crate) fn room_name(&self, room: u32) -> String {
        format!("{}{room}", self.common.room_name)
    }

    /// What is filled in where a connection speaks of this room: publishers' numbers come behind the
    /// members'.
    pub(crate) fn fill<'a>(&'a self, connection: u32, room: &'a str) -> Fill<'a> {
        Fill {
            room,
            payload: &[],
            id: 0,
            member: connection,
            publisher: connection.saturating_sub(self.members),
            row: self.users.row(connection),
        }
    }

    /// How a member receives; each room has the same share of both kinds.
    pub(crate) fn transport(&self, member: u32) -> Transport {
        match is_of_share(self.event_streams, member / self.streams.rooms) {
            true => Transport::Events,
            false => Transport::WebSocket,
        }
    }

    /// How many members receive Server-Sent Events.
    pub(crate) fn event_streams(&self) -> usize {
        (0..self.members).filter(|&member| self.transport(member) == Transport::Events).count()
    }

    /// Whether one thread publishes and receives: two would only wait for each other where there
    /// is one core for both, and what they wait would count as latency.
    pub(crate) fn has_one_thread(&self) -> bool {
        self.traffic.is_some() && self.threads == 1 && cores() == 1
    }

    pub(crate) fn publishers(&self) -> u32 {
        if self.traffic.is_some() { self.streams.publishers } else { 0 }
    }
}

impl Connecting {
    fn new(common: &CommonArgs) -> Result<Self, String> {
        match common.connect_rate {
            None => Ok(Self::AtOnce(common.opening.max(1))),
            Some(rate) if rate > 0.0 && rate.is_finite() => Ok(Self::Rate(rate)),
            Some(_) => Err("--connect-rate is above 0; leave it out to connect without".to_owned()),
        }
    }
}

/// Who connects.
struct Crowd {
    members: u32,
    /// Of members, and of those that have left not long ago.
    ports: u32,
    streams: Streams,
    /// Whether they join a room unless told otherwise.
    joins: bool,
}

impl Crowd {
    fn quiet(members: u32, rooms: u32) -> Self {
        let streams = Streams { rooms: rooms.max(1), publishers: 1 };
        Self { members, ports: members, streams, joins: rooms > 0 }
    }
}

impl Traffic {
    fn new(mut args: TrafficArgs, members: u32, is_compressed: bool) -> Result<Self, String> {
        let stages = Stages::new(std::mem::take(&mut args.stage))?;
        if let Some(stages) = &stages {
            (args.rate, args.duration) = (stages.mean(), stages.duration());
        }
        let form = payload_form(&args, is_compressed)?;
        if args.duration.is_zero() {
            return Err("--duration is above 0: else nothing would be measured".to_owned());
        }
        if let Some(stages) = &stages {
            check_stages(stages, args.warm_up)?;
        }
        let pace = match args.window {
            Some(0) => return Err("--window is at least 1".to_owned()),
            Some(window) => Pace::Window(window, args.window_by),
            None if args.rate > 0.0 && args.rate.is_finite() => Pace::Rate(args.rate),
            None => return Err("--rate is above 0; --window publishes without a rate".to_owned()),
        };
        if stages.is_none() {
            check_numbers(pace, args.duration.max(args.warm_up))?;
        }
        let greatest = stages.as_ref().map_or(pace, |stages| Pace::Rate(stages.greatest()));
        Ok(Self {
            pace,
            form,
            publish: publish_template(args.publish, pace, form)?,
            hello: args.publisher_hello,
            ack: args.ack.into_bytes(),
            warm_up: args.warm_up,
            duration: args.duration,
            drain: args.drain,
            sampled_one_in: sampled_one_in(args.sample, greatest, members),
            followed_one_in: (!args.no_last_member).then(|| followed_one_in(greatest, members)),
            stages,
        })
    }
}

fn check_streams(streams: Streams, members: u32) -> Result<(), String> {
    if members == 0 {
        return Err("give at least one member".to_owned());
    }
    if streams.publishers == 0 || streams.rooms == 0 {
        return Err("there is at least one publisher and one room".to_owned());
    }
    if streams.rooms > ROOMS_MAX {
        return Err(format!("--rooms is at most {ROOMS_MAX}"));
    }
    if streams.publishers.div_ceil(streams.rooms) > PUBLISHERS_MAX {
        return Err(format!("one room has at most {PUBLISHERS_MAX} publishers; give more --rooms"));
    }
    if streams.rooms > members {
        return Err(format!(
            "{} rooms need as many members; give --members {0} or fewer --rooms",
            streams.rooms
        ));
    }
    Ok(())
}

/// Whether the numbers of messages suffice, of which each stream has 2^32.
fn check_numbers(pace: Pace, time: Duration) -> Result<(), String> {
    let rate = match pace {
        Pace::Rate(rate) => rate,
        Pace::Window(..) => FASTEST,
    };
    match rate * time.as_secs_f64() < f64::from(u32::MAX) {
        true => Ok(()),
        false => Err(format!(
            "so many messages cannot be told apart; give a --duration of at most {:.0}s",
            f64::from(u32::MAX) / rate
        )),
    }
}

/// The same of stages.
fn check_stages(stages: &Stages, warm_up: Duration) -> Result<(), String> {
    let measured = (stages.messages(), "--stage", "shorter stages or lower rates");
    let before = (stages.first() * warm_up.as_secs_f64(), "--warm-up", "a shorter one");
    let too_many = [measured, before].into_iter().find(|(all, ..)| *all >= f64::from(u32::MAX));
    match too_many {
        None => Ok(()),
        Some((all, name, advice)) => Err(format!(
            "so many messages cannot be told apart: {name} asks for {} per room, which are to be \
             fewer than {}; use {advice}",
            count(all),
            whole(u32::MAX.into())
        )),
    }
}

/// Messages per second that no publisher exceeds.
const FASTEST: f64 = 1e6;

/// What a payload is unless it was said: what is compressed shall be worth it, in a message that is
/// made for it.
fn payload_form(args: &TrafficArgs, is_compressed: bool) -> Result<PayloadForm, String> {
    let kind = args.payload.unwrap_or(match is_compressed && args.publish.is_none() {
        true => PayloadKind::Json,
        false => PayloadKind::Text,
    });
    let (form, least) = match kind {
        PayloadKind::Text => (PayloadForm::text(args.size.unwrap_or(SIZE)), PAYLOAD_MIN),
        PayloadKind::Json => (PayloadForm::json(args.size.unwrap_or(JSON_SIZE)), JSON_MIN),
    };
    match (form.size < least, kind) {
        (false, _) => Ok(form),
        (true, PayloadKind::Text) => {
            Err(format!("--size is at least {least}: sequence and time stand in it"))
        }
        (true, PayloadKind::Json) => Err(format!(
            "--size is at least {least} where the payload is JSON; --payload text takes less"
        )),
    }
}

/// Whether the offer of compression can be made.
fn check_offer(common: &CommonArgs) -> Result<(), String> {
    match common.deflate && value_of(&common.header, EXTENSIONS).is_some() {
        true => Err(format!("--deflate says {EXTENSIONS} by itself; leave out that --header")),
        false => Ok(()),
    }
}

fn publish_template(
    given: Option<MessageTemplate>,
    pace: Pace,
    form: PayloadForm,
) -> Result<MessageTemplate, String> {
    let by_acks = matches!(pace, Pace::Window(_, WindowBy::Acks));
    let Some(template) = given else {
        let template = if by_acks { PUBLISH_WITH_ID } else { PUBLISH };
        let payload = if form.is_json { "{payload}" } else { "\"{payload}\"" };
        return Ok(self::template(&template.replace("QUOTED", payload)));
    };
    if !template.has(&Hole::Payload) {
        return Err("--publish needs {payload}: messages are recognised by it".to_owned());
    }
    if by_acks && !template.has(&Hole::Id) {
        return Err("--window-by acks needs {id} in --publish, so that it is answered".to_owned());
    }
    Ok(template)
}

/// What members say and wait for: what was given, or what corecast understands.
fn greeting(
    hello: Vec<MessageTemplate>,
    ready: Option<String>,
    joins: bool,
) -> (Vec<MessageTemplate>, Option<Vec<u8>>) {
    let ready = ready.map(String::into_bytes);
    match (hello.is_empty(), joins) {
        (false, _) => (hello.into_iter().filter(|hello| !hello.is_empty()).collect(), ready),
        (true, true) => (vec![template(HELLO)], ready.or_else(|| Some(JOINED.into()))),
        (true, false) => (hello, ready),
    }
}

fn template(text: &str) -> MessageTemplate {
    let Ok(template) = text.parse();
    template
}

fn sampled_one_in(asked: Option<u32>, pace: Pace, members: u32) -> u32 {
    let one_in = match (asked, pace) {
        (Some(one_in), _) => one_in.max(1),
        (None, Pace::Rate(rate)) if rate * f64::from(members) < ALL_RECORDED_BELOW => 1,
        (None, _) => SAMPLED_ONE_IN,
    };
    one_in.checked_next_power_of_two().unwrap_or(1 << 31)
}

fn followed_one_in(pace: Pace, members: u32) -> u32 {
    match pace {
        Pace::Rate(rate) if rate * f64::from(members) < ALL_FOLLOWED_BELOW => 1,
        _ => FOLLOWED_ONE_IN,
    }
}

/// That this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn default_threads() -> usize {
    cores().saturating_sub(1).clamp(1, THREADS_MAX_BY_DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_members_are_spread_evenly() {
        let slow = |share, members| {
            (0..members).filter(|&member| SlowShare { share, read_rate: 0 }.has(member)).count()
        };
        assert_eq!((slow(0.1, 1000), slow(0.0, 10), slow(1.0, 10)), (100, 0, 10));
        assert_eq!((slow(0.5, 3), slow(0.1, 9)), (1, 0));
    }

    #[test]
    fn messages_are_all_followed_where_that_costs_nothing() {
        let followed = [Pace::Rate(100.0), Pace::Rate(2_000.0), Pace::Window(8, WindowBy::Acks)];
        assert_eq!(followed.map(|pace| followed_one_in(pace, 1_000)), [1, 8, 8]);
    }

    #[test]
    fn one_delivery_in_a_power_of_two_is_recorded() {
        assert_eq!(sampled_one_in(None, Pace::Rate(10.0), 100), 1);
        assert_eq!(sampled_one_in(None, Pace::Rate(1000.0), 1000), 16);
        assert_eq!(sampled_one_in(Some(100), Pace::Rate(10.0), 100), 128);
        assert_eq!(sampled_one_in(None, Pace::Window(1, WindowBy::Acks), 1), 16);
    }
}
