//! How short memory is, and from where to where it is so.

/// How short memory is. Each stage does what the ones before it do, and one thing more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum MemoryStage {
    /// There is enough.
    #[default]
    Plenty,
    /// New rooms and new connections are refused.
    Refusing,
    /// The connections for which most is held are not read, and no joins are accepted.
    Unread,
    /// The slowest members of the largest logs fall under the slow policy, and connections whose
    /// messages do not get on are closed.
    Striking,
    /// Publishers pause.
    Pausing,
}

impl MemoryStage {
    /// Every stage, from the mildest on.
    pub const ALL: [MemoryStage; 5] = [
        MemoryStage::Plenty,
        MemoryStage::Refusing,
        MemoryStage::Unread,
        MemoryStage::Striking,
        MemoryStage::Pausing,
    ];

    /// Its name in figures.
    pub const fn name(self) -> &'static str {
        match self {
            MemoryStage::Plenty => "plenty",
            MemoryStage::Refusing => "refusing",
            MemoryStage::Unread => "unread",
            MemoryStage::Striking => "striking",
            MemoryStage::Pausing => "pausing",
        }
    }

    /// The share of the budget, in percent, from which on it holds.
    pub const fn begins_at(self) -> usize {
        match self {
            MemoryStage::Plenty => 0,
            MemoryStage::Refusing => 70,
            MemoryStage::Unread => 76,
            MemoryStage::Striking => 82,
            MemoryStage::Pausing => 88,
        }
    }

    /// The share of the budget, in percent, below which it ends: less than the one from which on it
    /// holds, so that it does not come and go with each message.
    pub const fn ends_below(self) -> usize {
        self.begins_at().saturating_sub(5)
    }
}

/// What other shards and the process hold, as far as it matters to one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OthersMemory {
    /// All bytes that they hold.
    pub bytes: usize,
    /// Those of them that are messages in room logs.
    pub logs: usize,
    /// How short memory was when a shard judged last, so that all shards agree; none where this one
    /// judges alone.
    pub stage: Option<MemoryStage>,
}

/// The memory of the whole process, as one shard judges it.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    pub(crate) others: OthersMemory,
    stage: MemoryStage,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Budget {
        Budget { limit, others: OthersMemory::default(), stage: MemoryStage::Plenty }
    }

    pub(crate) fn stage(&self) -> MemoryStage {
        self.stage
    }

    /// This shard holds so many bytes now. Returns whether the stage is another one.
    pub(crate) fn judge(&mut self, own: usize) -> bool {
        let percent = self.percent(own);
        let before = self.others.stage.unwrap_or(self.stage);
        let holds = |stage: &MemoryStage| match *stage <= before {
            true => percent >= stage.ends_below(),
            false => percent >= stage.begins_at(),
        };
        let stage = MemoryStage::ALL.into_iter().take_while(holds).last().unwrap_or_default();
        std::mem::replace(&mut self.stage, stage) != stage
    }

    /// By how many bytes more is held than where this stage ends.
    pub(crate) fn excess(&self, stage: MemoryStage, own: usize) -> usize {
        self.excess_over(stage.ends_below(), own)
    }

    /// The same for a share of the budget, in percent.
    pub(crate) fn excess_over(&self, percent: usize, own: usize) -> usize {
        own.saturating_add(self.others.bytes).saturating_sub(self.limit / 100 * percent)
    }

    /// A small part of the budget: what is held for one purpose matters from there on.
    pub(crate) fn small_part(&self) -> usize {
        self.limit / 16
    }

    fn percent(&self, own: usize) -> usize {
        own.saturating_add(self.others.bytes) / (self.limit / 100).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage_at(budget: &mut Budget, percent: usize) -> MemoryStage {
        budget.others.bytes = 10 * percent / 2;
        budget.judge(10 * percent - budget.others.bytes);
        budget.stage()
    }

    #[test]
    fn stages_come_in_the_written_order_and_go_in_the_reverse() {
        let mut budget = Budget::new(1_000);
        let up: Vec<_> = [69, 70, 75, 76, 81, 82, 87, 88, 120]
            .map(|percent| stage_at(&mut budget, percent))
            .into();
        use MemoryStage::{Pausing, Plenty, Refusing, Striking, Unread};
        let expected =
            [Plenty, Refusing, Refusing, Unread, Unread, Striking, Striking, Pausing, Pausing];
        assert_eq!(up, expected);
        let down: Vec<_> = [88, 83, 82, 77, 76, 71, 70, 65, 64]
            .map(|percent| stage_at(&mut budget, percent))
            .into();
        let expected =
            [Pausing, Pausing, Striking, Striking, Unread, Unread, Refusing, Refusing, Plenty];
        assert_eq!(down, expected, "each ends below where it begins");
    }

    #[test]
    fn shards_agree_although_one_was_not_asked_when_a_stage_began() {
        let mut late = Budget::new(1_000);
        late.others.stage = Some(MemoryStage::Refusing);
        assert_eq!(stage_at(&mut late, 66), MemoryStage::Refusing, "it has begun, and not ended");
        late.others.stage = Some(MemoryStage::Plenty);
        assert_eq!(stage_at(&mut late, 66), MemoryStage::Plenty, "it has ended meanwhile");
    }

    #[test]
    fn without_a_limit_there_is_always_plenty() {
        let mut budget = Budget::new(usize::MAX);
        budget.others.bytes = usize::MAX / 2;
        assert!(!budget.judge(1 << 40));
        assert_eq!(budget.stage(), MemoryStage::Plenty);
    }

    #[test]
    fn a_stage_is_reached_at_once_whatever_lies_between() {
        let mut budget = Budget::new(1 << 20);
        assert!(budget.judge(1 << 20) && budget.stage() == MemoryStage::Pausing);
        assert!(budget.excess(MemoryStage::Striking, 1 << 20) > (1 << 20) / 5);
        assert!(budget.judge(0) && budget.stage() == MemoryStage::Plenty);
    }
}
