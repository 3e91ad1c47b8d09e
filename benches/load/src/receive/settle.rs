//! What became of the stays of all threads, once it is known which offset each message has.

use super::member::End;
use super::result::{Account, ReaderResult};
use super::stay::{Epochs, From};
use crate::watch::damage::Damage;
use crate::watch::shared::Shared;

impl ReaderResult {
    /// Judges the stays of all threads.
    pub(crate) fn settle_stays(&mut self, shared: &Shared) {
        let Some(churn) = &mut self.churn else { return };
        let stays = std::mem::take(&mut churn.stays);
        let epochs = Epochs::new(&stays);
        for stay in &stays {
            let known = epochs.is_one(stay.room).then_some(&churn.offsets);
            let mut account = Account {
                skipped: stay.skipped,
                is_cut_off: stay.end == Some(End::Announced),
                is_replacement: stay.from != From::First,
                ..Account::default()
            };
            let (mut undue, mut is_exact) = (0, true);
            let streams = shared.plan.streams.of(stay.room).enumerate();
            for ((nth, stream), verifier) in streams.zip(&stay.verifiers) {
                let published = shared.taken_in(stream);
                let count_to = |offset| known?.count_to(stream, offset, published);
                let due = stay.due(nth, published, count_to);
                is_exact &= due.is_exact;
                undue += verifier.came(&(0..u32::MAX)) - verifier.came(&due.numbers);
                account.owed += u64::from(due.numbers.end - due.numbers.start);
                for missing in verifier.missing_of(&due.numbers) {
                    let count = u64::from(missing.end - missing.start);
                    let is_tail = missing.start >= verifier.next();
                    *(if is_tail { &mut account.tail } else { &mut account.holes }) += count;
                    shared.begins.add(stream, missing, &mut self.missing_at);
                }
            }
            self.balance.add(account);
            self.tally.received -= undue.min(self.tally.received);
            self.tally.damaged.add_many(Damage::Stay, undue);
            churn.judged.all += 1;
            churn.judged.exactly += u64::from(is_exact);
        }
    }
}
