//! When which member of a thread leaves and is replaced, who is where, and what became of it. Members
//! are due in turn, whatever the server does.

use hdrhistogram::Histogram;

use super::offsets::Offsets;
use super::stay::{Judged, Stay};
use crate::setup::churn::Churn;
use crate::setup::plan::Plan;
use crate::watch::histogram::{add, histogram};

/// The churn of one thread's members. A place is a member's, among those of the thread, and goes over
/// to who replaces it; a seat is one of the reader's list of connections.
#[derive(Debug)]
pub(crate) struct Churning {
    churn: Churn,
    timetable: Timetable,
    /// When measuring begins and ends.
    times: (u64, u64),
    /// Of the places that are due, in order, the next one.
    next: u64,
    /// The seat of who is at each place, or is about to be.
    places: Vec<Option<usize>>,
    /// Seats that are free.
    free: Vec<usize>,
    /// Those that became free since sockets were last looked for: some may still seem ready.
    freed: Vec<usize>,
    pub(crate) result: ChurnResult,
}

/// When which place of a thread is due.
#[derive(Clone, Copy, Debug)]
struct Timetable {
    /// Which thread of how many this is.
    thread: (u64, u64),
    /// Members of all threads, and of this one.
    members: u64,
    own: u64,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct ChurnResult {
    /// Members that were to leave and be replaced.
    pub(crate) due: u64,
    pub(crate) left: u64,
    /// Members that joined in the place of others.
    pub(crate) came: u64,
    /// Those that could not.
    pub(crate) failed: u64,
    /// Those that were due while who had the place before was still about to join.
    pub(crate) missed: u64,
    /// Members that left, and whose leave was not answered.
    pub(crate) unanswered: u64,
    /// From when a member was to take another's place until it had joined.
    pub(crate) to_joined: Histogram<u64>,
    /// Of each, the most that was our own.
    pub(crate) to_joined_own: Histogram<u64>,
    /// From saying that a member leaves until that was answered.
    pub(crate) to_left: Histogram<u64>,
    pub(crate) offsets: Offsets,
    /// Until they are judged.
    pub(crate) stays: Vec<Stay>,
    pub(crate) judged: Judged,
}

impl Timetable {
    /// The number, among those of all threads, of the nth turn of this one; and whose it is.
    fn turn(self, nth: u64) -> (u64, usize) {
        let (thread, threads) = self.thread;
        let (round, place) = (nth / self.own, nth % self.own);
        (round * self.members + thread + place * threads, place as usize)
    }
}

impl Churning {
    pub(crate) fn new(plan: &Plan, thread: usize) -> Option<Self> {
        let churn = plan.churn?;
        let own = (thread..plan.members as usize).step_by(plan.threads).len();
        let thread = (thread as u64, plan.threads as u64);
        let timetable = Timetable { thread, members: plan.members.into(), own: own as u64 };
        Some(Self::by(churn, timetable))
    }

    fn by(churn: Churn, timetable: Timetable) -> Self {
        Self {
            churn,
            timetable,
            times: (u64::MAX, u64::MAX),
            next: 0,
            places: (0..timetable.own as usize).map(Some).collect(),
            free: Vec::new(),
            freed: Vec::new(),
            result: ChurnResult::new(),
        }
    }

    /// Says when measuring begins and ends.
    pub(crate) fn start(&mut self, mark: u64, end: u64) {
        self.times = (mark, end);
    }

    /// When the next member is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let (mark, end) = self.times;
        let due = mark.checked_add(self.churn.due(self.timetable.turn(self.next).0))?;
        (due < end).then_some(due)
    }

    /// The place that is due by now, and since when.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<(usize, u64)> {
        let due = self.next_due().filter(|&due| due <= now)?;
        let (_, place) = self.timetable.turn(self.next);
        self.next += 1;
        self.result.due += 1;
        Some((place, due))
    }

    /// Nobody is replaced any more: what is due by now was not done.
    pub(crate) fn stop(&mut self, now: u64) {
        while self.take_due(now).is_some() {}
        self.times = (u64::MAX, u64::MAX);
    }

    /// Who is at a place.
    pub(crate) fn at(&self, place: usize) -> Option<usize> {
        self.places[place]
    }

    pub(crate) fn set(&mut self, place: usize, seat: Option<usize>) {
        self.places[place] = seat;
    }

    pub(crate) fn free_seat(&mut self, seat: usize) {
        self.freed.push(seat);
    }

    pub(crate) fn take_seat(&mut self) -> Option<usize> {
        self.free.pop()
    }

    /// Sockets are looked for: none of those that are gone will seem ready any more.
    pub(crate) fn reuse_seats(&mut self) {
        self.free.append(&mut self.freed);
    }
}

impl ChurnResult {
    fn new() -> Self {
        Self {
            due: 0,
            left: 0,
            came: 0,
            failed: 0,
            missed: 0,
            unanswered: 0,
            to_joined: histogram(3),
            to_joined_own: histogram(3),
            to_left: histogram(3),
            offsets: Offsets::default(),
            stays: Vec::new(),
            judged: Judged::default(),
        }
    }

    /// Joins that were due and did not come to be.
    pub(crate) fn not_joined(&self) -> u64 {
        self.failed + self.missed
    }

    /// Adds what another thread found out.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.due += other.due;
        self.left += other.left;
        self.came += other.came;
        self.failed += other.failed;
        self.missed += other.missed;
        self.unanswered += other.unanswered;
        add(&mut self.to_joined, &other.to_joined);
        add(&mut self.to_joined_own, &other.to_joined_own);
        add(&mut self.to_left, &other.to_left);
        self.offsets.merge(other.offsets);
        self.stays.append(&mut other.stays);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn churning(thread: u64, own: usize) -> Churning {
        let churn = Churn { rate: 10.0, says_leave: true };
        let timetable = Timetable { thread: (thread, 2), members: 5, own: own as u64 };
        Churning::by(churn, timetable)
    }

    /// Five members of two threads, of which one is due every 100 ms.
    #[test]
    fn the_members_of_all_threads_are_due_in_turn() {
        const MILLI: u64 = 1_000_000;
        let mut all = Vec::new();
        for (thread, own) in [(0, 3), (1, 2)] {
            let mut churning = churning(thread, own);
            assert_eq!(churning.next_due(), None);
            churning.start(7, 7 + 1_200 * MILLI);
            assert_eq!(churning.take_due(6), None);
            while let Some((place, due)) = churning.take_due(u64::MAX) {
                all.push((due, thread as usize + 2 * place));
            }
            assert_eq!(churning.result.due, [7, 5][thread as usize]);
        }
        all.sort_unstable();
        let expected = (0..12).map(|nth| (7 + nth * 100 * MILLI, nth as usize % 5));
        assert_eq!(all, expected.collect::<Vec<_>>());
    }

    #[test]
    fn what_was_not_done_in_time_was_due() {
        let mut churning = churning(0, 3);
        churning.start(0, 1_000_000_000);
        assert_eq!(churning.take_due(0), Some((0, 0)));
        churning.stop(600_000_000);
        assert_eq!((churning.result.due, churning.next_due()), (4, None), "0, 200, 400 and 500");
    }

    #[test]
    fn a_seat_is_used_again_once_its_socket_cannot_seem_ready() {
        let mut churning = churning(0, 3);
        churning.free_seat(2);
        assert_eq!(churning.take_seat(), None);
        churning.reuse_seats();
        assert_eq!((churning.take_seat(), churning.take_seat()), (Some(2), None));
    }
}
