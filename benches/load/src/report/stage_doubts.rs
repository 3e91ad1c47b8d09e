//! Why the latencies of a stage may be the generator's and not the server's: what is late in one
//! stage may be nothing beside the latencies of the others.

use hdrhistogram::Histogram;

use super::figures::{LIMITED_FROM, late};
use crate::lead::record::Figures;

/// What the generator itself did in one stage.
struct OwnPart<'a> {
    /// From 1 on.
    number: usize,
    /// How late it published.
    sent: Option<&'a Histogram<u64>>,
    /// How late it read.
    read: Option<&'a Histogram<u64>>,
    /// The share of its time that the busiest thread was on a CPU.
    busy: Option<f64>,
}

impl Figures {
    /// Sentences, each of which names its stage.
    pub(super) fn stage_doubts(&self) -> Vec<String> {
        let stages = self.stages();
        let doubts = (1..).zip(&stages).flat_map(|(number, stage)| {
            let all = stage.spread(self);
            let own = OwnPart {
                number,
                sent: stage.sent.map(|sent| &sent.own),
                read: stage.read_late,
                busy: stage.snapshots.map(|(from, to)| to.busiest(from)),
            };
            // Without a record of any there is nothing to be late beside.
            let p99 = if all.is_empty() { f64::INFINITY } else { all.value(0.99) };
            // Where nothing was due there are no latencies to doubt.
            if stage.offered() > 0 { own.doubts(p99) } else { Vec::new() }
        });
        doubts.collect()
    }
}

impl OwnPart<'_> {
    fn doubts(&self, p99: f64) -> Vec<String> {
        let number = self.number;
        let rows = [(self.sent, "was late: by"), (self.read, "read late: by up to")];
        let late = rows.into_iter().filter_map(|(own, what)| {
            late(&format!("in stage {number} the generator itself {what}"), own?, p99)
        });
        let limited = self.busy.filter(|busy| *busy > LIMITED_FROM).map(|_| {
            format!(
                "limited by the generator in stage {number}: one of its threads was more than 90 % \
                 busy; use more --threads or cores, or a lower rate"
            )
        });
        late.chain(limited).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::histogram::histogram;

    #[test]
    fn a_stage_is_judged_by_its_own_latencies() {
        let mut own = histogram(3);
        own.record_n(1_000_000, 20).unwrap();
        let part = |busy| OwnPart { number: 3, sent: Some(&own), read: Some(&own), busy };
        assert_eq!(part(Some(0.5)).doubts(20e6), [""; 0]);
        assert_eq!(part(None).doubts(f64::INFINITY), [""; 0]);
        let said = part(Some(0.5)).doubts(5e6);
        let end = "1.00 ms at p99, where the latency is 5.00 ms";
        let words = ["was late: by", "read late: by up to"]
            .map(|what| format!("in stage 3 the generator itself {what} {end}"));
        assert_eq!(said, words);
    }

    /// A stage may be shorter than an interval.
    #[test]
    fn a_generator_without_time_is_told_of_each_stage() {
        let part = |busy| OwnPart { number: 2, sent: None, read: None, busy: Some(busy) };
        let said = part(0.95).doubts(20e6);
        assert!(said.len() == 1 && said[0].starts_with("limited by the generator in stage 2: "));
        assert_eq!(part(0.9).doubts(20e6), [""; 0]);
    }
}
