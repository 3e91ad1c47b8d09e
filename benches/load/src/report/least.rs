//! What of a latency is the server's in any case, and not the generator's.

use hdrhistogram::Histogram;

use super::figures::WAITED_MAX;
use super::hdr::decode;
use super::json::Report;

/// Shares of the deliveries that are given up, so that the lateness of the others is less.
const SHARES: [f64; 9] = [0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];
/// What a quotient of whole numbers may be beside them.
const ROUNDING: f64 = 1e-12;

impl Report {
    /// The least that this percentile of the latency would be, in microseconds, had the generator
    /// always been punctual: zero where nothing is known. Open loop.
    ///
    /// A delivery's latency is the server's time, how late its message was sent, and at most how
    /// late it was read. Which lateness fell on which delivery the histograms do not say, and the
    /// percentile of a sum is not the sum of percentiles: it may be more. But where all but a share
    /// `a` of the messages were sent no later than `s`, and all but a share `b` of the deliveries
    /// read no later than `r`, the server's time is less than `latency − s − r` for `a + b` of the
    /// deliveries at most. So its percentile `q` is no less than that of the latency at `q − a − b`,
    /// less `s` and `r`, whatever `a` and `b` are; the largest of these is the answer. With `a` and
    /// `b` of zero it is the percentile less the longest lateness of each kind.
    ///
    /// That holds if all messages are delivered to as many members. Not in it is what the server
    /// does in another way because of a late generator: sends that meet, and those that wait for
    /// room in a socket. Nor is the time between a thread's wake-up and its turn on the CPU: where a
    /// thread waited like that, its share of the time is given up as a share of the deliveries, too,
    /// and where it is more than a twentieth, nothing is known. What a hypervisor takes nobody sees.
    pub fn latency_at_least(&self, percentile: f64) -> f64 {
        let waited = self.generator.threads.iter().map(|thread| thread.waited);
        let waited = waited.fold(0.0, f64::max);
        let times = if waited > WAITED_MAX { None } else { Times::of(self) };
        times.map_or(0.0, |times| times.least(percentile - waited) / 1e3)
    }
}

/// In nanoseconds.
struct Times {
    latencies: Histogram<u64>,
    sent_late: Histogram<u64>,
    /// Also of what came before measuring began.
    read_late: Histogram<u64>,
    due: f64,
    arrived: f64,
}

impl Times {
    fn of(report: &Report) -> Option<Self> {
        let all = report.histograms.as_ref()?;
        let [latencies, sent_late, read_late] =
            [&all.deliveries, &all.own_lateness, &all.reader_lateness]
                .map(|text| text.as_deref().and_then(decode));
        let (due, missing) = (report.latency_us.due, report.latency_us.missing);
        Some(Self {
            latencies: latencies?,
            sent_late: sent_late?,
            read_late: read_late?,
            due: due as f64,
            arrived: due.saturating_sub(missing) as f64,
        })
    }

    fn least(&self, percentile: f64) -> f64 {
        let sent = SHARES.map(|share| (share, exceeded(&self.sent_late, share)));
        let of_read = self.due / self.read_late.len() as f64;
        let read = SHARES.map(|share| (share, exceeded(&self.read_late, share * of_read)));
        let pairs = sent.iter().flat_map(|sent| read.iter().map(move |read| (sent, read)));
        let each = pairs
            .map(|(sent, read)| self.took(percentile - sent.0 - read.0) - (sent.1 + read.1) as f64);
        each.fold(0.0, f64::max)
    }

    /// What all but this share of the deliveries took longer than. Whatever is missing took no less
    /// than what came.
    fn took(&self, share: f64) -> f64 {
        if share <= 0.0 || self.arrived == 0.0 {
            return 0.0;
        }
        let rank = (share * self.due / self.arrived - ROUNDING).min(1.0);
        let took = self.latencies.value_at_quantile(rank);
        self.latencies.lowest_equivalent(took) as f64
    }
}

/// What at most this share of the values is more than.
fn exceeded(histogram: &Histogram<u64>, share: f64) -> u64 {
    histogram.value_at_quantile((1.0 - share + ROUNDING).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::histograms::text;
    use crate::report::{DeliveryReport, HistogramsReport, ThreadReport};
    use crate::watch::histogram::histogram;

    /// Of deliveries that the server had for so many nanoseconds each.
    fn report(server: &[u64], sent_late: &[u64], read_late: &[u64]) -> Report {
        let of = |values: &mut dyn Iterator<Item = u64>| {
            let mut all = histogram(3);
            values.for_each(|value| all.record(value).unwrap());
            text(&all)
        };
        let late = sent_late.iter().zip(read_late).map(|(sent, read)| sent + read);
        let histograms = HistogramsReport {
            deliveries: of(&mut server.iter().zip(late).map(|(took, late)| took + late)),
            own_lateness: of(&mut sent_late.iter().copied()),
            reader_lateness: of(&mut read_late.iter().copied()),
            ..HistogramsReport::default()
        };
        let latency_us = DeliveryReport { due: server.len() as u64, ..DeliveryReport::default() };
        Report { latency_us, histograms: Some(histograms), ..Report::default() }
    }

    fn percentile(values: &[u64], share: f64) -> f64 {
        let mut values = values.to_vec();
        values.sort_unstable();
        values[(share * values.len() as f64).ceil() as usize - 1] as f64 / 1e3
    }

    fn is_near(one: f64, other: f64) -> bool {
        (one / other - 1.0).abs() < 0.003
    }

    /// From one microsecond on.
    fn rising() -> Vec<u64> {
        (1..=1_000).map(|micros| micros * 1_000).collect()
    }

    const PUNCTUAL: [u64; 1_000] = [0; 1_000];

    #[test]
    fn all_of_a_latency_is_the_servers_where_nobody_was_late() {
        let report = report(&rising(), &PUNCTUAL, &PUNCTUAL);
        for share in [0.5, 0.9, 0.99] {
            let least = report.latency_at_least(share);
            assert!(is_near(least, 1e3 * share) && least <= 1e3 * share, "{share}: {least}");
        }
    }

    #[test]
    fn what_is_late_always_is_taken_off_and_what_is_late_once_hardly_matters() {
        let always = report(&[8_500_000; 1_000], &[500_000; 1_000], &[1_000_000; 1_000]);
        assert!(is_near(always.latency_at_least(0.99), 8_500.0));
        let mut once = PUNCTUAL;
        once[7] = 50_000_000;
        let once = report(&rising(), &PUNCTUAL, &once);
        assert!(is_near(once.latency_at_least(0.99), 989.0), "{}", once.latency_at_least(0.99));
        assert!(is_near(once.latency_at_least(0.5), 499.0));
    }

    /// Lateness that falls on the fastest, on the slowest, or on any.
    #[test]
    fn it_is_never_more_than_the_servers_own_time() {
        let late = |nth: u64| if nth < 30 { 900_000 - 20_000 * nth } else { 10 * nth };
        for step in [1, 7, 373, 999] {
            let shuffled = |from: u64| (0..1_000).map(move |nth| late((nth * step + from) % 1_000));
            let (sent, read): (Vec<_>, Vec<_>) = (shuffled(0).collect(), shuffled(500).collect());
            let report = report(&rising(), &sent, &read);
            for share in [0.5, 0.9, 0.99] {
                let (least, true_one) =
                    (report.latency_at_least(share), percentile(&rising(), share));
                assert!(least <= true_one && least > 0.0, "{step}, {share}: {least}");
            }
        }
    }

    #[test]
    fn what_a_thread_waited_for_a_cpu_is_given_up() {
        let mut report = report(&rising(), &PUNCTUAL, &PUNCTUAL);
        report.generator.threads = vec![ThreadReport { waited: 0.04, ..ThreadReport::default() }];
        assert!(is_near(report.latency_at_least(0.99), 950.0), "{}", report.latency_at_least(0.99));
        report.generator.threads[0].waited = 0.06;
        assert_eq!(report.latency_at_least(0.99), 0.0);
    }

    #[test]
    fn what_was_read_before_measuring_hides_no_lateness() {
        let all_late = report(&[8_000_000; 1_000], &PUNCTUAL, &[2_000_000; 1_000]);
        let mut with_more = all_late.clone();
        let mut read = histogram(3);
        read.record_n(2_000_000, 1_000).unwrap();
        read.record_n(100, 9_000).unwrap();
        with_more.histograms.as_mut().unwrap().reader_lateness = text(&read);
        assert!(is_near(with_more.latency_at_least(0.5), 8_000.0));
        assert!(is_near(all_late.latency_at_least(0.5), 8_000.0));
    }

    #[test]
    fn what_is_missing_took_no_less_than_what_came() {
        let mut report = report(&rising(), &PUNCTUAL, &PUNCTUAL);
        (report.latency_us.due, report.latency_us.missing) = (1_250, 250);
        assert!(is_near(report.latency_at_least(0.4), 500.0));
        assert!(is_near(report.latency_at_least(0.99), 1_000.0));
    }

    #[test]
    fn nothing_is_known_of_a_thread_that_waits_for_a_cpu() {
        let mut report = report(&rising(), &PUNCTUAL, &PUNCTUAL);
        let thread = |waited| vec![ThreadReport { waited, ..ThreadReport::default() }];
        report.generator.threads = thread(WAITED_MAX);
        assert!(report.latency_at_least(0.5) > 0.0);
        report.generator.threads = thread(WAITED_MAX + 0.01);
        assert_eq!(report.latency_at_least(0.5), 0.0);
        report.generator.threads.clear();
        report.histograms.as_mut().unwrap().reader_lateness = None;
        assert_eq!(report.latency_at_least(0.5), 0.0);
    }
}
