//! The figures of a run: what is derived from what was counted.

use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::json::{
    ConnectingReport, GeneratorReport, RATE_REACHED_FROM, ServerReport, ThreadReport,
};
use super::latency::Spread;
use crate::lead::record::Figures;
use crate::publish::publisher::StageSent;
use crate::receive::churn::ChurnResult;
use crate::setup::plan::{Connecting, Pace};
use crate::units::print::{percent, time, whole};
use crate::watch::clock::seconds;
use crate::watch::sampler::Snapshot;
use crate::watch::shared::{EarlyEnd, Gone};
use crate::watch::tally::Errors;

/// A thread that is busier than this has nothing left for punctuality.
pub(super) const LIMITED_FROM: f64 = 0.9;
/// Of the latency at p99, what may be the generator's own lateness at p99.
const OWN_SHARE_MAX: f64 = 0.1;
/// A thread that stands still for longer has by itself made the slowest hundredth.
const GAP_SHARE_MAX: f64 = 0.01;
/// Of its time, what a thread that reads may wait for a CPU. How late that makes which message it
/// does not know.
pub(super) const WAITED_MAX: f64 = 0.05;
/// Nanoseconds that threads without work wait for some.
const IDLE: u64 = 10_000_000;
/// Below this share the capacity would be a guess.
const CAPACITY_FROM: f64 = 0.02;
/// Fewer points make no line.
const SLOPE_POINTS_MIN: usize = 3;

impl Figures {
    /// The measured span.
    pub(crate) fn span(&self) -> (&Snapshot, &Snapshot) {
        let series = &self.record.series;
        (
            series.first().unwrap_or(&self.record.before),
            series.last().unwrap_or(&self.record.before),
        )
    }

    pub(crate) fn seconds(&self) -> f64 {
        let (from, to) = self.span();
        seconds(to.at - from.at)
    }

    /// Messages that arrived, each counted once.
    pub(crate) fn delivered(&self) -> u64 {
        self.outcome.tally.received - self.outcome.tally.repeated
    }

    /// A figure of the snapshots, per second of the measured span.
    pub(crate) fn per_second(&self, figure: impl Fn(&Snapshot) -> u64) -> f64 {
        let (from, to) = self.span();
        to.rate(from, figure)
    }

    /// The latencies of all deliveries that were due to members that read as fast as they can.
    pub(crate) fn latencies(&self) -> Spread<'_> {
        let balance = &self.outcome.balance;
        Spread {
            histogram: self.outcome.recorder.whole(),
            longest: self.outcome.recorder.longest(),
            messages: self.sent.published + self.sent.unsent,
            arrived: balance.readers_expected.saturating_sub(balance.readers_missing),
            missing: balance.readers_missing + self.for_readers(self.sent.unsent),
            patience: self.shared.plan.traffic.as_ref().map_or(Duration::ZERO, |it| it.drain),
        }
    }

    /// The deliveries of so many messages to members that read as fast as they can: members are
    /// spread evenly over rooms.
    pub(crate) fn for_readers(&self, messages: u64) -> u64 {
        let rooms = u64::from(self.shared.plan.streams.rooms);
        (messages * self.outcome.balance.readers).div_ceil(rooms)
    }

    /// Of what was due in the open loop, the share that was published meanwhile.
    pub(crate) fn published_share(&self) -> Option<f64> {
        (self.sent.due > 0).then(|| self.sent.in_time as f64 / self.sent.due as f64)
    }

    /// Messages that were due per second in all rooms, in the open loop: in stages that is of the
    /// time until the run was over, since the mean of all of them may never have come to be.
    pub(crate) fn offered_per_second(&self) -> Option<f64> {
        let plan = &self.shared.plan;
        let traffic = plan.traffic.as_ref()?;
        match traffic.pace {
            Pace::Rate(_) if traffic.stages.is_some() => {
                Some(ratio(self.sent.due as f64 * 1e9, self.sent.measured).unwrap_or_default())
            }
            Pace::Rate(rate) => Some(rate * f64::from(plan.streams.rooms)),
            Pace::Window(..) => None,
        }
    }

    /// Whether of what was due nearly all was published in time, in each stage, too.
    fn is_rate_reached(&self) -> bool {
        let stages = self.sent.stages.iter().map(StageSent::share_in_time);
        std::iter::once(self.published_share()).chain(stages).all(is_rate_reached)
    }

    pub(crate) fn connect_seconds(&self) -> f64 {
        match self.record.waves.as_slice() {
            [] => seconds(self.record.connected.at - self.record.before.at),
            waves => waves.iter().map(|wave| wave.seconds).sum(),
        }
    }

    pub(crate) fn connects_per_second(&self) -> f64 {
        let seconds = self.connect_seconds();
        if seconds > 0.0 { self.outcome.counts.ready as f64 / seconds } else { 0.0 }
    }

    /// What went wrong, of members and publishers.
    pub(crate) fn errors(&self) -> Errors {
        let mut errors = self.outcome.tally.errors.clone();
        for (kind, count) in &self.sent.tally.errors.kinds {
            errors.add_many(kind, *count);
        }
        errors
    }

    /// Whether every message was published in time and came once, whole and in order, and nothing
    /// else went wrong.
    pub(crate) fn is_clean(&self) -> bool {
        let is_reached = self.is_rate_reached();
        let churned = self.outcome.churn.as_ref().filter(|churn| churn.due > 0);
        let churned = churned.map(|churn| churn.left as f64 / churn.due as f64);
        let has_churned = is_rate_reached(churned);
        let is_sent = self.sent.unsent == 0 && is_reached && has_churned;
        is_sent && self.wrongs().is_empty() && self.errors().total() == 0
    }

    /// What the server did to messages, publishers and members that read, as parts of a sentence.
    pub(crate) fn wrongs(&self) -> Vec<String> {
        let (tally, balance) = (&self.outcome.tally, &self.outcome.balance);
        let [not_joined, not_left] = self.churn_faults();
        wrongs(&[
            (balance.lost, "deliveries were lost"),
            (tally.repeated, "were repeated"),
            (tally.disordered, "came out of order"),
            (tally.damaged.total(), "were damaged"),
            (self.outcome.counts.let_go, "of the connections of members ended early"),
            (self.sent.let_go, "of the connections of publishers ended early"),
            (not_joined, "members could not take the place of others"),
            (not_left, "leaves of members were not answered"),
        ])
    }

    /// Members that were to take the place of others and could not, and leaves that were not
    /// answered.
    fn churn_faults(&self) -> [u64; 2] {
        self.outcome.churn.as_ref().map_or([0; 2], |churn| [churn.failed, churn.unanswered])
    }

    /// Why the run ended before its time though nobody interrupted it, as a sentence.
    pub(crate) fn early_end(&self) -> Option<String> {
        let EarlyEnd { gone, at } = self.shared.early_end()?;
        let what = match gone {
            Gone::Members if self.outcome.balance.slow.members > 0 => {
                "the server ended the connections of all members that were not slow".to_owned()
            }
            Gone::Members => "the server ended the connections of all members".to_owned(),
            Gone::Publisher(room) => {
                let room = self.shared.plan.room_name(room);
                format!("the server ended the connection of the last publisher of {room}")
            }
            Gone::Wave(number) => format!("nobody could connect in wave {number}"),
        };
        let mark = self.span().0.at;
        Some(match at > mark {
            true => format!(
                "{what} after {:.1} s: the rates are of the time until then",
                seconds(at - mark)
            ),
            false => format!("{what} before anything was measured"),
        })
    }

    /// What the exit code says of a run that went to its end, as a sentence.
    pub(crate) fn fault(&self) -> Option<String> {
        let common = &self.shared.plan.common;
        if let Some(why) = self.early_end() {
            return Some(why);
        }
        if common.strict && !self.is_clean() {
            let what = "something went wrong with the messages or connections (--strict)";
            return Some(what.to_owned());
        }
        let wrongs = self.wrongs();
        (!wrongs.is_empty() && !common.lenient)
            .then(|| format!("{} (--lenient takes that for success)", wrongs.join(", ")))
    }

    pub(crate) fn server(&self) -> Option<ServerReport> {
        let (from, to) = self.span();
        let (first, last) = (from.server?, to.server?);
        let (before, connected) = (self.record.before.server?, self.record.connected.server?);
        let cpu = last.cpu - first.cpu;
        let end = self.record.drained.server.unwrap_or(last);
        let opened = self.outcome.counts.ready;
        let connecting = if self.record.waves.is_empty() { connected.cpu } else { end.cpu };
        let in_wave = self.record.waves.last().map_or(opened, |wave| wave.opened);
        let residents = self.record.series.iter().filter_map(|snapshot| snapshot.server);
        let growth = connected.resident as f64 - before.resident as f64;
        Some(ServerReport {
            pids: self.pids.clone()?,
            cpu_seconds: seconds(cpu),
            cpu_share: to.server_cores(from)?,
            cpu_per_delivery_ns: ratio(cpu as f64, to.received - from.received),
            cpu_per_connect_ns: ratio((connecting - before.cpu) as f64, opened),
            rss_before_bytes: before.resident,
            rss_connected_bytes: connected.resident,
            rss_end_bytes: end.resident,
            rss_max_bytes: residents.map(|cost| cost.resident).max().unwrap_or(end.resident),
            rss_per_connection_bytes: ratio(growth, in_wave),
            rss_slope_bytes: self.resident_slope(),
        })
    }

    /// Of several waves, the one that was the most work.
    fn connecting(&self) -> ConnectingReport {
        let busy = match self.record.waves.as_slice() {
            [] => self.record.connected.busiest(&self.record.before),
            waves => waves.iter().map(|wave| wave.busy).fold(0.0, f64::max),
        };
        ConnectingReport { busy, limited: busy > LIMITED_FROM }
    }

    fn resident_slope(&self) -> Option<f64> {
        let points = self.record.climb.iter().filter_map(|snapshot| {
            Some((snapshot.connected as f64, snapshot.server?.resident as f64))
        });
        slope(&points.collect::<Vec<_>>())
    }

    /// Receiving threads first, then the publishing one.
    fn thread_name(&self, nth: usize) -> String {
        match nth < self.shared.plan.threads {
            true if self.shared.plan.has_one_thread() => "publisher and reader".to_owned(),
            true => format!("reader {nth}"),
            false => "publisher".to_owned(),
        }
    }

    /// Of one thread, the longest time between two turns.
    fn longest_gap(&self, thread: usize) -> u64 {
        let reader = self.shared.readers.get(thread).map(|gauges| &gauges.longest_gap);
        reader.unwrap_or(&self.shared.publisher.longest_gap).load(Acquire)
    }

    fn limited_intervals(&self) -> usize {
        let series = &self.record.series;
        let pairs = series.iter().zip(series.iter().skip(1));
        pairs.filter(|(from, to)| to.busiest(from) > LIMITED_FROM).count()
    }

    /// Why the latencies may be the generator's and not the server's, as sentences; none if they
    /// are not.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let all = self.latencies();
        if all.is_empty() {
            return doubts;
        }
        let p99 = all.value(0.99);
        match self.sent.stages.is_empty() {
            true => {
                let lateness = &self.outcome.lateness;
                doubts.extend(late("the generator itself was late: by", &self.sent.own, p99));
                doubts.extend(late("the generator itself read late: by up to", lateness, p99));
            }
            false => doubts.extend(self.stage_doubts()),
        }
        let gap = (0..=self.shared.plan.threads).map(|nth| self.longest_gap(nth)).max();
        let gap = gap.unwrap_or_default().saturating_sub(IDLE) as f64;
        if gap > self.seconds() * 1e9 * GAP_SHARE_MAX && gap > p99 * OWN_SHARE_MAX {
            doubts.push(format!(
                "a thread of the generator did not come round for {}: latencies of that time are its own",
                time(gap)
            ));
        }
        doubts.extend(self.waits_for_cpu());
        let (limited, intervals) =
            (self.limited_intervals(), self.record.series.len().saturating_sub(1));
        if limited > 0 {
            doubts.push(format!(
                "limited by the generator in {limited} of {intervals} intervals: one of its threads \
                 was more than 90 % busy; use more --threads or cores, or a lower rate"
            ));
        }
        doubts
    }

    /// A sentence for each thread that reads and did not get the CPU that it wanted.
    fn waits_for_cpu(&self) -> Vec<String> {
        let (from, to) = self.span();
        let waits = (0..self.shared.plan.threads).map(|nth| (nth, to.busy(from, nth).1));
        let waits = waits.filter(|(_, waited)| *waited > WAITED_MAX);
        let words = "of the time: what came to it then was read late";
        waits
            .map(|(nth, waited)| {
                let (name, waited) = (self.thread_name(nth), percent(waited));
                format!("{name} waited for a CPU for {waited} {words}")
            })
            .collect()
    }

    /// The same of handshakes in the open loop. In the closed one the generator waits for itself.
    pub(crate) fn connecting_doubt(&self) -> Option<String> {
        let Connecting::Rate(_) = self.shared.plan.connecting else { return None };
        let p99 = Spread::whole(&self.outcome.handshakes).value(0.99);
        let what = "of handshakes the generator itself was late: by up to";
        late(what, &self.outcome.handshakes_own, p99)
    }

    /// How long it took to join in the place of others, what never came to be included.
    pub(crate) fn churn_joins<'a>(&self, churn: &'a ChurnResult) -> Spread<'a> {
        let missing = churn.not_joined();
        let patience = self.shared.plan.common.connect_timeout;
        Spread { missing, patience, ..Spread::whole(&churn.to_joined) }
    }

    /// The same of members that join in the place of others.
    pub(crate) fn churn_doubt(&self) -> Option<String> {
        let churn = self.outcome.churn.as_ref()?;
        let p99 = self.churn_joins(churn).value(0.99);
        let what = "of joining in the place of others the generator itself was late: by up to";
        late(what, &churn.to_joined_own, p99)
    }

    pub(crate) fn generator(&self) -> GeneratorReport {
        let (from, to) = self.span();
        let readers = self.shared.plan.threads;
        let threads: Vec<_> = (0..to.threads.len())
            .map(|nth| {
                let (busy, waited) = to.busy(from, nth);
                let longest_gap_us = self.longest_gap(nth) as f64 / 1e3;
                ThreadReport { name: self.thread_name(nth), busy, waited, longest_gap_us }
            })
            .collect();
        let received = to.received - from.received;
        let busiest = to.busiest(from);
        let reading: f64 = threads.iter().take(readers).map(|thread| thread.busy).sum();
        let verified_per_second = self.per_second(|snapshot| snapshot.received);
        // A thread that publishes, too, does not say what of its time was for reading.
        let reading = (!self.shared.plan.has_one_thread()).then_some(reading);
        let spare = reading.filter(|share| *share > CAPACITY_FROM);
        let spare = spare.map(|share| verified_per_second / share);
        GeneratorReport {
            busy: busiest,
            limited: busiest > LIMITED_FROM,
            limited_intervals: self.limited_intervals(),
            connecting: self.connecting(),
            verified_per_second,
            ns_per_message: reading.and_then(|share| ratio(share * self.seconds() * 1e9, received)),
            reading_ns_per_message: ratio((to.reading - from.reading) as f64, received),
            messages_per_read: ratio(received as f64, to.reads - from.reads),
            capacity_per_second: spare.filter(|_| received > 0).map(|one| one * readers as f64),
            threads,
        }
    }
}

/// A sentence, if the generator's own part is more than a small one of what takes so long at p99.
pub(super) fn late(what: &str, own: &Histogram<u64>, p99: f64) -> Option<String> {
    let own = Spread::whole(own);
    let late = own.value(0.99);
    let matters = !own.is_empty() && late > p99 * OWN_SHARE_MAX;
    matters.then(|| format!("{what} {} at p99, where the latency is {}", time(late), time(p99)))
}

pub(super) fn wrongs(counts: &[(u64, &str)]) -> Vec<String> {
    let some = counts.iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!("{} {what}", whole(*count))).collect()
}

/// In the closed loop there is none to reach.
pub(crate) fn is_rate_reached(published_share: Option<f64>) -> bool {
    published_share.is_none_or(|share| share >= RATE_REACHED_FROM)
}

fn ratio(sum: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}

/// Of the line that is nearest to the points, by least squares.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < SLOPE_POINTS_MIN {
        return None;
    }
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let products: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let squares: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    (squares > 0.0).then(|| products / squares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::histogram::histogram;

    /// Two of a hundred are late by a millisecond.
    #[test]
    fn lateness_matters_beside_what_it_is_late_for() {
        let mut own = histogram(3);
        own.record_n(100, 98).unwrap();
        own.record_n(1_000_000, 2).unwrap();
        let said = late("late: by", &own, 5e6).unwrap();
        assert_eq!(said, "late: by 1.00 ms at p99, where the latency is 5.00 ms");
        assert_eq!(late("late: by", &own, 20e6), None);
        assert_eq!(late("late: by", &own, f64::INFINITY), None, "what never comes is later");
        assert_eq!(late("late: by", &histogram(3), 0.0), None);
    }

    #[test]
    fn whatever_is_wrong_is_said() {
        let counts = [(12, "deliveries were lost"), (0, "were damaged"), (5, "were repeated")];
        assert_eq!(wrongs(&counts), ["12 deliveries were lost", "5 were repeated"]);
        assert!(wrongs(&[(0, "were damaged")]).is_empty());
    }

    #[test]
    fn a_rate_is_reached_when_nearly_all_was_published_in_time() {
        for (share, is_reached) in [(None, true), (Some(0.99), true), (Some(0.98), false)] {
            assert_eq!(is_rate_reached(share), is_reached, "{share:?}");
        }
    }

    #[test]
    fn a_line_has_its_slope() {
        assert_eq!(slope(&[(0.0, 5.0), (10.0, 25.0), (20.0, 45.0)]), Some(2.0));
        assert_eq!(slope(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
        assert_eq!(slope(&[(0.0, 0.0), (1.0, 1.0)]), None);
    }
}
