//! What holds in rooms of certain names, as the judge knows it.

use corecast_shards::{RoomPolicies, RoomPolicy, SlowPolicy};

use crate::chance::Chance;
use crate::history::Keeps;
use crate::linger::Lingers;

/// Rooms by their names, of which most are `room-` and a number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named {
    Every,
    /// Those with a number.
    Numbered,
    /// Those from 10 to 19.
    Tens,
    /// One of those with a number.
    One(usize),
}

/// A pattern, and what holds in its rooms.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    named: Named,
    slow: Option<SlowPolicy>,
    log_bytes: Option<usize>,
    deflate: Option<bool>,
    keeps: Option<Keeps>,
    pub(crate) lingers: Option<Lingers>,
}

impl Named {
    fn pattern(self) -> String {
        match self {
            Named::Every => "*".to_owned(),
            Named::Numbered => "r*m-*".to_owned(),
            Named::Tens => "room-1*".to_owned(),
            Named::One(number) => format!("room-{number}"),
        }
    }

    fn stands_for(self, room: usize) -> bool {
        match self {
            Named::Every => true,
            Named::Numbered => !(1..=2).contains(&room),
            Named::Tens => (10..=19).contains(&room),
            Named::One(number) => room == number,
        }
    }
}

impl Rule {
    pub(crate) fn drawn(chance: &mut Chance) -> Rule {
        let one = Named::One(chance.pick(&[0, 3, 4, 5]));
        let policies = [SlowPolicy::Disconnect, SlowPolicy::Skip, SlowPolicy::Latest];
        let slow = chance.happens(0.8).then(|| chance.pick(&policies));
        let log_bytes = chance.happens(0.5).then(|| chance.pick(&[4 << 10, 12 << 10, 200 << 10]));
        let named = chance.pick(&[Named::Every, Named::Numbered, Named::Tens, one, one, one]);
        let deflate = chance.happens(0.3).then_some(false);
        let keeps = chance.happens(0.5).then(|| Keeps::drawn(chance));
        Rule { named, slow, log_bytes, deflate, keeps, lingers: None }
    }

    /// Every room keeps so much.
    pub(crate) fn keeping(keeps: Keeps) -> Rule {
        Rule { keeps: Some(keeps), ..Rule::every() }
    }

    /// Messages of every room linger so.
    pub(crate) fn lingering(lingers: Lingers) -> Rule {
        Rule { lingers: Some(lingers), ..Rule::every() }
    }

    fn every() -> Rule {
        let (slow, log_bytes, deflate, keeps) = (None, None, None, None);
        Rule { named: Named::Every, slow, log_bytes, deflate, keeps, lingers: None }
    }
}

/// These rules, for the shards.
pub(crate) fn of_config(rules: &[Rule]) -> RoomPolicies {
    let mut policies = RoomPolicies::default();
    for rule in rules {
        let mut policy = RoomPolicy::default();
        (policy.slow, policy.log_bytes) = (rule.slow, rule.log_bytes);
        policy.deflate = rule.deflate;
        let policy = rule.keeps.map_or(policy.clone(), |keeps| keeps.policy(policy));
        let policy = rule.lingers.map_or(policy.clone(), |lingers| lingers.policy(policy));
        policies.add(&rule.named.pattern(), policy).expect("legal");
    }
    policies
}

/// These rules, with more bytes that linger.
pub(crate) fn with_more_bytes(rules: &[Rule]) -> Vec<Rule> {
    let more = |lingers: Lingers| Lingers { bytes: 2 * lingers.bytes, ..lingers };
    let rule = |rule: &Rule| Rule { lingers: rule.lingers.map(more), ..rule.clone() };
    rules.iter().map(rule).collect()
}

/// Whether messages of a room are compressed.
pub(crate) fn deflates(rules: &[Rule], room: usize) -> bool {
    let rule = rules.iter().find(|rule| rule.named.stands_for(room));
    rule.and_then(|rule| rule.deflate).unwrap_or(true)
}

/// What a room keeps, if it keeps anything.
pub(crate) fn keeps(rules: &[Rule], room: usize) -> Option<Keeps> {
    rules.iter().find(|rule| rule.named.stands_for(room))?.keeps
}

/// How long messages of a room linger, if they do.
pub(crate) fn lingers(rules: &[Rule], room: usize) -> Option<Lingers> {
    rules.iter().find(|rule| rule.named.stands_for(room))?.lingers
}

/// What happens to slow members of a room, and the bytes of its log.
pub(crate) fn of_room(
    rules: &[Rule],
    room: usize,
    otherwise: (SlowPolicy, usize),
) -> (SlowPolicy, usize) {
    let rule = rules.iter().find(|rule| rule.named.stands_for(room));
    let slow = rule.and_then(|rule| rule.slow).unwrap_or(otherwise.0);
    (slow, rule.and_then(|rule| rule.log_bytes).unwrap_or(otherwise.1))
}
