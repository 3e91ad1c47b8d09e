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
    /// The latency that it is late beside.
    p99: f64,
}

/// A sentence about one thing that a stage may be doubted for, if it may.
type Kind<'a> = fn(&OwnPart<'a>) -> Option<String>;

impl Figures {
    /// Sentences, each of which names its stages.
    pub(super) fn stage_doubts(&self) -> Vec<String> {
        let stages = self.stages();
        // Where nothing was due there are no latencies to doubt.
        let some = (1..).zip(&stages).filter(|(_, stage)| stage.offered() > 0);
        let parts = some.map(|(number, stage)| {
            let all = stage.spread(self);
            OwnPart {
                number,
                sent: stage.sent.map(|sent| &sent.own),
                read: stage.read_late,
                busy: stage.snapshots.map(|(from, to)| to.busiest(from)),
                // Without a record of any there is nothing to be late beside.
                p99: if all.is_empty() { f64::INFINITY } else { all.value(0.99) },
            }
        });
        doubts(&parts.collect::<Vec<_>>())
    }
}

/// One of each kind, however many stages there are: with the figures of the first.
fn doubts<'a>(parts: &[OwnPart<'a>]) -> Vec<String> {
    let kinds: [Kind<'a>; 3] = [OwnPart::late, OwnPart::read_late, OwnPart::limited];
    let of = |kind: Kind<'a>| {
        let mut all = parts.iter().filter_map(|part| Some((part.number, kind(part)?)));
        let (_, first) = all.next()?;
        let others: Vec<_> = all.map(|(number, _)| number.to_string()).collect();
        Some(match others.as_slice() {
            [] => first,
            [other] => format!("{first}; so, too, in stage {other}"),
            others => format!("{first}; so, too, in stages {}", others.join(", ")),
        })
    };
    kinds.into_iter().filter_map(of).collect()
}

impl OwnPart<'_> {
    fn late(&self) -> Option<String> {
        let what = format!("in stage {} the generator itself was late: by", self.number);
        late(&what, self.sent?, self.p99)
    }

    fn read_late(&self) -> Option<String> {
        let what = format!("in stage {} the generator itself read late: by up to", self.number);
        late(&what, self.read?, self.p99)
    }

    fn limited(&self) -> Option<String> {
        self.busy.filter(|busy| *busy > LIMITED_FROM).map(|_| {
            format!(
                "limited by the generator in stage {}: one of its threads was more than 90 % busy; \
                 use more --threads or cores, or a lower rate",
                self.number
            )
        })
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
        let (sent, read, busy) = (Some(&own), Some(&own), Some(0.5));
        let part = |number, p99| OwnPart { number, sent, read, busy, p99 };
        assert_eq!(doubts(&[part(1, 20e6), part(2, f64::INFINITY)]), [""; 0]);
        let end = "1.00 ms at p99, where the latency is 5.00 ms";
        let words = ["was late: by", "read late: by up to"]
            .map(|what| format!("in stage 3 the generator itself {what} {end}"));
        assert_eq!(doubts(&[part(2, 20e6), part(3, 5e6)]), words);
        let parts = [part(1, 20e6), part(3, 5e6), part(4, 2e6), part(5, 20e6), part(6, 2e6)];
        assert_eq!(doubts(&parts), words.map(|words| words + "; so, too, in stages 4, 6"));
    }

    /// A stage may be shorter than an interval.
    #[test]
    fn a_generator_without_time_is_told_of_each_stage() {
        let part = |number, busy| {
            let busy = Some(busy);
            OwnPart { number, sent: None, read: None, busy, p99: 20e6 }
        };
        let said = doubts(&[part(1, 0.9), part(2, 0.95), part(3, 1.0)]);
        assert!(said.len() == 1 && said[0].starts_with("limited by the generator in stage 2: "));
        assert!(said[0].ends_with("; so, too, in stage 3"), "{said:?}");
        assert_eq!(doubts(&[part(1, 0.9)]), [""; 0]);
    }
}
