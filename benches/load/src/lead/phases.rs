//! What the leading thread does in turn: connect, warm up, measure, drain.

use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use super::run::Run;
use crate::setup::plan::Traffic;
use crate::units::print::count;
use crate::watch::clock::{nanos, seconds};
use crate::watch::sampler::Snapshot;
use crate::watch::shared::{Gone, Phase, Shared};
use crate::watch::ticks::Ticks;

/// How often the leading thread looks.
const LOOK: Duration = Duration::from_millis(20);
/// How often it tells.
const SHOW: Duration = Duration::from_millis(200);
/// Threads get this time to begin before the first message is due.
const HEAD_START: Duration = Duration::from_millis(50);
/// Waiting for the last messages ends here even if some still arrive.
const DRAIN_MAX: Duration = Duration::from_secs(120);

impl Run {
    /// Opens all connections and waits until each is ready or has failed.
    pub(crate) fn connect(&mut self) {
        self.progress.begin("connecting", u64::from(self.shared.plan.members));
        self.wait_for_publishers();
        self.shared.wave.store(1, Release);
        self.wait_for_members(0);
        self.record.connected = self.snapshot();
        self.shared
            .clock
            .sleep_until(self.shared.clock.now() + nanos(self.shared.plan.common.settle));
        if self.process.is_some() {
            // Memory settles a little later than connections do.
            self.record.connected = Snapshot { at: self.record.connected.at, ..self.snapshot() };
        }
    }

    fn wait_for_publishers(&self) {
        let is_needed = self.publisher.is_some();
        while is_needed && !self.shared.publisher.ready.load(Acquire) && !self.has_failed() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until so many more than before have become ready or failed as there are members.
    pub(crate) fn wait_for_members(&mut self, before: u64) {
        let members = u64::from(self.shared.plan.members);
        let step = (members / 50).max(1);
        let mut next = step;
        while !self.shared.is_over() && !self.has_failed() {
            let failed = self.shared.sum(|gauges| &gauges.failed);
            let ready = self.shared.sum(|gauges| &gauges.ready);
            let done = (ready + failed).saturating_sub(before);
            self.progress.show(done, &format!("{ready} connected, {failed} failed"));
            if done >= members {
                return;
            }
            if done >= next {
                next = done + step;
                let snapshot = self.snapshot();
                self.record.climb.push(snapshot);
            }
            std::thread::sleep(LOOK.min(Duration::from_millis(5)));
        }
    }

    pub(crate) fn broadcast(&mut self) {
        let shared = self.shared.clone();
        let Some(traffic) = &shared.plan.traffic else { return };
        let times = &shared.milestones;
        let start = shared.clock.now() + nanos(HEAD_START);
        let mark = start + nanos(traffic.warm_up);
        let end = mark + nanos(traffic.duration);
        times.start.store(start, Release);
        times.mark.store(mark, Release);
        times.end.store(end, Release);
        shared.enter(Phase::Publish);
        self.watch(mark, "warm-up");
        self.measure(mark, end, "measuring");
        self.drain(traffic);
    }

    /// Keeps connections for so long.
    pub(crate) fn keep(&mut self, duration: Duration) {
        let mark = self.shared.clock.now();
        self.measure(mark, mark + nanos(duration), "holding");
        self.record.drained = self.snapshot();
    }

    /// Takes snapshots from the mark to the end.
    pub(crate) fn measure(&mut self, mark: u64, end: u64, title: &str) {
        let ticks = Ticks::new(&self.shared.plan, mark, end);
        let parts = self.shared.parts();
        let mut cuts = parts.cuts().iter().copied().peekable();
        self.progress.begin(title, (end - mark) / 1_000_000);
        let first = self.snapshot();
        self.record.series.push(first);
        let mut next = mark;
        while next < end && !self.shared.is_over() {
            next = ticks.end_of(next);
            while let Some(cut) = cuts.next_if(|&cut| cut <= next) {
                self.end_stage(cut, mark);
            }
            self.show_until(next, mark);
            let snapshot = self.snapshot();
            self.record.series.push(snapshot);
        }
    }

    /// Takes a snapshot between two stages, if it comes to that.
    fn end_stage(&mut self, cut: u64, mark: u64) {
        self.show_until(cut, mark);
        if !self.shared.is_over() {
            let snapshot = self.snapshot();
            self.record.between.push(snapshot);
        }
    }

    /// Shows what goes on until then, or until it is over.
    fn show_until(&mut self, then: u64, mark: u64) {
        let shared = self.shared.clone();
        while let now = shared.clock.now()
            && !shared.is_over()
        {
            let message = speed(&shared, now, self.some_time_ago(now), self.dropped);
            self.progress.show(now.saturating_sub(mark) / 1_000_000, &message);
            if now >= then {
                return;
            }
            self.wait_until(then.min(now + nanos(SHOW)));
        }
    }

    /// The last snapshot that is old enough to tell a rate from.
    fn some_time_ago(&self, now: u64) -> Option<&Snapshot> {
        let series = &self.record.series;
        let is_old = |snapshot: &&Snapshot| now.saturating_sub(snapshot.at) >= nanos(SHOW);
        series.iter().rev().find(is_old).or(series.first())
    }

    fn watch(&mut self, until: u64, title: &str) {
        let now = self.shared.clock.now();
        self.progress.begin(title, 1);
        let seconds = seconds(until.saturating_sub(now));
        self.progress.show(0, &format!("{seconds:.1} s"));
        self.wait_until(until);
    }

    /// Sleeps until then, or until it is over.
    fn wait_until(&self, then: u64) {
        let clock = self.shared.clock;
        while !self.shared.is_over() {
            let now = clock.now();
            if now >= then {
                return;
            }
            clock.sleep_until(then.min(now + nanos(LOOK)));
            self.look_for_members();
        }
    }

    /// With nobody left who reads, what follows is silence. Between the waves of a storm there is
    /// nobody by intention, and members that read slowly may be let go.
    pub(crate) fn look_for_members(&self) {
        let are_wanted = !self.shared.wave.load(Acquire).is_multiple_of(2);
        let have_gone = self.shared.sum(|gauges| &gauges.let_go) > 0;
        // Others take the places of those that were let go.
        let are_replaced = self.shared.plan.churn.is_some();
        if are_wanted && have_gone && !are_replaced && self.shared.readers_left() == 0 {
            self.shared.end_early(Gone::Members);
        }
    }

    /// Waits until everything published has arrived, or nothing has for too long.
    fn drain(&mut self, traffic: &Traffic) {
        self.progress.begin("draining", 1);
        let (clock, plan) = (self.shared.clock, &self.shared.plan);
        // Who is about to come or to go has as long for that as everybody had before.
        let for_churn = plan.churn.map_or(0, |_| nanos(plan.common.connect_timeout));
        let patience = nanos(traffic.drain).max(for_churn);
        let began = clock.now();
        let (mut last, mut quiet_since) = (0, began);
        self.wait_for_publisher(patience);
        self.shared.enter(Phase::Drain);
        loop {
            std::thread::sleep(LOOK);
            let now = clock.now();
            let outstanding = self.shared.sum(|gauges| &gauges.outstanding);
            let received = self.shared.sum(|gauges| &gauges.received);
            if received != last {
                (last, quiet_since) = (received, now);
            }
            // Of those that some thread has not counted yet there is nothing to say.
            if (1..u64::MAX).contains(&outstanding) {
                self.progress.show(0, &format!("{outstanding} messages have not arrived yet"));
            }
            let is_over = now - quiet_since > patience || now - began > nanos(DRAIN_MAX);
            if outstanding == 0 || is_over {
                break;
            }
        }
        self.record.drained = self.snapshot();
    }

    /// Everything due is to be with the kernel first.
    fn wait_for_publisher(&self, patience: u64) {
        let by = self.shared.clock.now() + patience;
        while !self.shared.publisher.done.load(Acquire) && self.shared.clock.now() < by {
            std::thread::sleep(LOOK.min(Duration::from_millis(2)));
        }
    }
}

fn speed(shared: &Shared, now: u64, since: Option<&Snapshot>, dropped: u64) -> String {
    let (before, at) = since.map_or((0, now), |since| (since.received, since.at));
    let received = shared.sum(|gauges| &gauges.received) - before;
    let rate = received as f64 / seconds(now.saturating_sub(at)).max(f64::MIN_POSITIVE);
    let connected = shared.connected(dropped);
    format!("{connected} connections, {} messages/s received", count(rate))
}
