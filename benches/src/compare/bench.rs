//! Takes the measurements, in turn.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use corecast_load::report::Report;

use super::failure::Failure;
use super::metric::Metric;
use super::plan::{Cores, Plan, RoomPlan};
use super::system::{Counters, System};
use super::table::{Column, Table};
use crate::load::{Broadcast, Crowd, Load, Pace, fault, fault_of_messages, is_rate_reached};
use crate::process::Server;

/// Everything that a comparison needs while it runs.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    plan: &'a Plan,
    /// Where the load generator leaves its reports.
    folder: PathBuf,
    failures: Vec<Failure>,
}

/// What is measured now.
#[derive(Clone, Copy, Debug)]
struct Turn<'a> {
    system: System,
    subject: &'a str,
    round: usize,
}

/// Where servers and load run, and what starts the load.
#[derive(Debug)]
struct Place {
    cores: Cores,
    load: Load,
}

/// What is to be known of a table of large messages.
const FULL_SENDS: &str = "One message fills a send: the floor sends each as it comes, and figures \
                          compare however many messages a send carries.";

/// How long idle connections are held.
const HOLD: Duration = Duration::from_millis(300);

impl<'a> Bench<'a> {
    pub(super) fn new(plan: &'a Plan, folder: &Path) -> io::Result<Bench<'a>> {
        fs::create_dir_all(folder)?;
        let folder = folder.to_owned();
        Ok(Bench { plan, folder, failures: Vec::new() })
    }

    pub(super) fn into_failures(self) -> Vec<Failure> {
        self.failures
    }

    /// One table per load, then one of connections, for each number of shards.
    pub(super) fn run(&mut self) -> io::Result<Vec<Table>> {
        let mut tables = Vec::new();
        let plan = self.plan;
        for &shards in &plan.shards {
            let cores = Cores::split(&Cores::available(), shards);
            let load = Load::new("load", cores.load.clone(), &self.folder)?;
            let place = Place { cores, load };
            let suffix = format!("{shards} {}", if shards == 1 { "shard" } else { "shards" });
            for room in &plan.broadcasts {
                let title = format!("{}, {suffix}", room.title());
                let mut table = self.table(title, shards, &place, |bench, turn, column| {
                    bench.broadcast(turn, column, &place, room)
                })?;
                if room.fills_sends() {
                    table.fills_sends = true;
                    table.notes.push(FULL_SENDS.to_owned());
                }
                tables.push(table);
            }
            let title = format!("connections, {suffix}");
            tables.push(self.table(title, shards, &place, |bench, turn, column| {
                bench.connections(turn, column, &place)
            })?);
        }
        Ok(tables)
    }

    /// Every system once per round, each round beginning with another one: whatever else the
    /// machine does then meets them all alike.
    fn table(
        &mut self,
        title: String,
        shards: usize,
        place: &Place,
        measure: impl Fn(&mut Self, Turn<'_>, &mut Column) -> io::Result<()>,
    ) -> io::Result<Table> {
        let systems = self.plan.systems(shards);
        let mut table = Table::new(title.clone(), systems.iter().map(|system| system.name()));
        table.notes.push(place.cores.describe());
        for round in 0..self.plan.rounds {
            for place in 0..systems.len() {
                let index = (place + round) % systems.len();
                let turn = Turn { system: systems[index], subject: &title, round: round + 1 };
                let column = &mut table.systems[index];
                eprintln!(
                    "{title}: round {} of {}: {}",
                    turn.round, self.plan.rounds, column.system
                );
                if let Err(error) = measure(self, turn, column) {
                    self.fail(turn, column, error.to_string());
                }
            }
        }
        table.notes.extend(table.who_met_a_limited_generator());
        Ok(table)
    }

    fn start(&self, system: System, place: &Place, flags: &[&str]) -> io::Result<Server> {
        let program = system.program()?;
        let mut command = system.command(&program, &place.cores.server);
        command.args(flags);
        Server::start(command)
    }

    /// As fast as the window allows, then at each of the rates that it can keep.
    fn broadcast(
        &mut self,
        turn: Turn<'_>,
        column: &mut Column,
        place: &Place,
        room: &RoomPlan,
    ) -> io::Result<()> {
        let flags: &[&str] = match (turn.system, room.fills_sends()) {
            (System::Floor { .. }, true) => &["--coalesce", "1"],
            _ => &[],
        };
        let server = self.start(turn.system, place, flags)?;
        let most = match room.window {
            None => f64::INFINITY,
            Some(window) => self.saturate(turn, column, (place, &server), (room, window))?,
        };
        for &rate in room.rates {
            let metrics = [Metric::CpuAt(rate), Metric::MedianAt(rate), Metric::P99At(rate)];
            // Of each room's messages, a member of it gets all.
            let per_room = f64::from(rate) / room.rooms as f64;
            if per_room * room.members as f64 > most {
                column.beyond.extend(metrics);
                continue;
            }
            let run = self.load(place, &server, room, Pace::Rate(per_room))?;
            if is_beyond(&run) {
                column.beyond.extend(metrics);
                continue;
            }
            let latency = &run.latency_us.latency;
            let [p50, p99] = [latency.p50, latency.p99].map(|micros| micros.map(from_micros));
            let figures = [cpu_per_delivery(&run), p50, p99];
            let figures: Vec<_> = metrics.into_iter().zip(figures).collect();
            self.note(turn, column, &run, &figures);
            for (metric, share) in [(metrics[1], 0.5), (metrics[2], 0.99)] {
                column.push_least(metric, turn.round, from_micros(run.latency_at_least(share)));
            }
        }
        Ok(())
    }

    /// Deliveries per second with so many messages of each room under way.
    fn saturate(
        &mut self,
        turn: Turn<'_>,
        column: &mut Column,
        (place, server): (&Place, &Server),
        (room, window): (&RoomPlan, usize),
    ) -> io::Result<f64> {
        let before = Counters::read(turn.system, server.address())?;
        let run = self.load(place, server, room, Pace::Window(turn.system.window(window)))?;
        let after = Counters::read(turn.system, server.address())?;
        let per_send =
            before.zip(after).and_then(|(before, after)| after.messages_per_send_since(before));
        let most = run.messages.deliveries_per_second;
        let figures = [
            (Metric::DeliveriesPerSecond, Some(most)),
            (Metric::CpuAtSaturation, cpu_per_delivery(&run)),
            (Metric::MessagesPerSend, per_send),
        ];
        self.note(turn, column, &run, &figures);
        column.limited += usize::from(run.generator.limited);
        Ok(most)
    }

    fn load(
        &self,
        place: &Place,
        server: &Server,
        room: &RoomPlan,
        pace: Pace,
    ) -> io::Result<Report> {
        let RoomPlan { members, rooms, payload_bytes, .. } = *room;
        let Plan { warm_up, duration, .. } = *self.plan;
        let broadcast = Broadcast {
            members,
            rooms,
            event_streams: 0.0,
            publishers: rooms,
            place: false,
            payload_bytes,
            is_json: false,
            pace,
            warm_up,
            duration,
        };
        place.load.broadcast(server, &broadcast)
    }

    /// Few idle connections, then many, on a new server each: what the server is besides its
    /// connections falls out of the difference.
    fn connections(
        &mut self,
        turn: Turn<'_>,
        column: &mut Column,
        place: &Place,
    ) -> io::Result<()> {
        let counts = self.plan.connections;
        let hold = |bench: &Self, count| {
            let server = bench.start(turn.system, place, &[])?;
            place.load.hold(&server, Crowd { connections: count, rooms: 0 }, HOLD)
        };
        let few = hold(self, counts.few)?;
        let many = hold(self, counts.many)?;
        let bytes =
            |run: &Report| run.server.as_ref().map(|server| server.rss_connected_bytes as f64);
        let slope = bytes(&many)
            .zip(bytes(&few))
            .map(|(many, few)| (many - few) / (counts.many - counts.few) as f64);
        let cpu = many.server.as_ref().and_then(|server| server.cpu_per_connect_ns);
        self.note(turn, column, &few, &[]);
        self.note(
            turn,
            column,
            &many,
            &[(Metric::MemoryPerConnection, slope), (Metric::CpuPerConnect, cpu.map(from_nanos))],
        );
        Ok(())
    }

    /// Keeps the figures of a run in which every message arrived; of another one it keeps the
    /// fault.
    fn note(
        &mut self,
        turn: Turn<'_>,
        column: &mut Column,
        run: &Report,
        figures: &[(Metric, Option<f64>)],
    ) {
        if let Some(fault) = fault(run) {
            return self.fail(turn, column, fault);
        }
        for &(metric, value) in figures {
            column.push(metric, turn.round, value);
            if let Some(value) = value {
                eprintln!("    {}: {}", metric.title(), metric.format(value));
            }
        }
    }

    fn fail(&mut self, turn: Turn<'_>, column: &mut Column, what: String) {
        eprintln!("    FAILED: {what}");
        column.failed = true;
        let (system, subject) = (column.system.clone(), turn.subject.to_owned());
        self.failures.push(Failure { system, subject, round: turn.round, what });
    }
}

impl Cores {
    fn describe(&self) -> String {
        let list =
            |cores: &[usize]| cores.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let (server, load) = (list(&self.server), list(&self.load));
        match self.are_shared() {
            true => format!("server and load share cores {server}: read ratios only"),
            false => format!("server on core {server}, load on core {load}"),
        }
    }
}

/// Whether the rate is more than a server delivers, which excuses no fault of what it took.
fn is_beyond(run: &Report) -> bool {
    let is_reached = run.messages.unsent == 0 && is_rate_reached(run);
    !is_reached && fault_of_messages(run).is_none()
}

fn cpu_per_delivery(run: &Report) -> Option<f64> {
    run.server.as_ref()?.cpu_per_delivery_ns.map(from_nanos)
}

fn from_micros(micros: f64) -> f64 {
    micros / 1e6
}

fn from_nanos(nanos: f64) -> f64 {
    nanos / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Size;
    use crate::load::report_of_lost;

    #[test]
    fn a_lost_message_is_a_fault_at_any_rate() {
        let overloaded = |lost| {
            let mut run = Report { seconds: 2.0, ..report_of_lost(lost) };
            (run.messages.unsent, run.messages.published_share) = (7, Some(0.4));
            run
        };
        assert!(is_beyond(&overloaded(0)) && !is_beyond(&overloaded(1)));
        assert!(!is_beyond(&report_of_lost(0)));
    }

    #[test]
    fn a_run_with_a_lost_message_gives_no_figure() {
        let plan = Plan::new(Size::Quick);
        let folder = PathBuf::new();
        let mut bench = Bench { plan: &plan, folder, failures: Vec::new() };
        let system = System::Engine { shards: 1 };
        let mut column = Column { system: system.name(), ..Column::default() };
        let figures = [(Metric::CpuAt(50), Some(1.0))];
        for (round, lost) in [(1, 0), (2, 1), (3, 0)] {
            let turn = Turn { system, subject: "load", round };
            bench.note(turn, &mut column, &report_of_lost(lost), &figures);
        }
        assert_eq!(column.figures[&Metric::CpuAt(50)], [Some(1.0), None, Some(1.0)]);
        let failures = bench.into_failures();
        assert!(column.failed && failures.len() == 1, "{failures:?}");
        assert_eq!((failures[0].round, failures[0].what.as_str()), (2, "lost: 1"));
    }
}
