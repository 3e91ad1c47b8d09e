//! Waves of connections.

use std::sync::atomic::Ordering::AcqRel;
use std::time::Duration;

use super::record::Wave;
use super::run::Run;
use crate::setup::plan::Scenario;
use crate::watch::clock::{nanos, seconds};
use crate::watch::shared::Gone;

impl Run {
    /// Connects everybody, stays, drops everybody, and again.
    pub(crate) fn storm(&mut self) {
        let Scenario::Storm { waves, stay, pause, .. } = self.shared.plan.scenario else { return };
        let first = self.snapshot();
        self.record.series.push(first);
        for number in 1..=waves {
            let wave = self.wave(number, waves);
            self.record.waves.push(wave);
            if !self.has_members() {
                break;
            }
            match wave.opened {
                0 if !self.shared.is_over() => self.shared.end_early(Gone::Wave(number)),
                _ => self.look_for_members(),
            }
            self.linger("staying", stay);
            self.drop_wave();
            if self.shared.is_over() {
                break;
            }
            if number < waves {
                self.linger("pausing", pause);
            }
        }
        self.record.drained = self.snapshot();
    }

    fn wave(&mut self, number: u32, waves: u32) -> Wave {
        // Nobody is connected now: whoever was not let go was dropped.
        let closed = self.shared.sum(|gauges| &gauges.closed);
        self.dropped = self.shared.sum(|gauges| &gauges.ready).saturating_sub(closed);
        let before = self.snapshot();
        let failed_before = self.shared.sum(|gauges| &gauges.failed);
        let title = format!("wave {number}/{waves}");
        self.progress.begin(&title, u64::from(self.shared.plan.members));
        self.shared.wave.fetch_add(1, AcqRel);
        self.wait_for_members(before.opened + failed_before);
        let after = self.snapshot();
        self.record.connected = after.clone();
        self.record.series.push(after.clone());
        Wave {
            opened: after.opened - before.opened,
            failed: self.shared.sum(|gauges| &gauges.failed) - failed_before,
            seconds: seconds(after.at - before.at),
            busy: after.busiest(&before),
        }
    }

    fn linger(&mut self, title: &str, time: Duration) {
        let now = self.shared.clock.now();
        self.measure(now, now + nanos(time), title);
    }

    fn drop_wave(&mut self) {
        let now = self.snapshot();
        self.dropped += now.connected;
        self.shared.wave.fetch_add(1, AcqRel);
        let snapshot = self.snapshot();
        self.record.series.push(snapshot);
    }
}
