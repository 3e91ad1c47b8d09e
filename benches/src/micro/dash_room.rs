//! The same room in the baseline's registry.

use crate::baseline::{Queue, Receiver, Registry, Session};

use super::{JOIN, LEAVE, publish_text};

/// A room with members, and a connection outside it that publishes, joins and leaves. No task
/// runs: whoever empties a queue does what its writer would do before encoding and sending.
#[derive(Debug)]
pub struct DashRoom {
    outsider: Session<'static>,
    answers: Receiver,
    members: Vec<(Session<'static>, Receiver)>,
    publish: String,
}

impl DashRoom {
    /// A room with so many members, to which messages of so many bytes are published.
    pub fn new(members: usize, payload_bytes: usize) -> DashRoom {
        // A few maps per benchmark, which end with the process.
        let registry: &'static Registry = Box::leak(Box::new(Registry::new(Queue::Bounded)));
        let member = |_| {
            let (mut session, mut queue) = Session::open(registry);
            session.handle(JOIN);
            drain(&mut queue);
            (session, queue)
        };
        let members = (0..members).map(member).collect();
        let (outsider, mut answers) = Session::open(registry);
        drain(&mut answers);
        DashRoom { outsider, answers, members, publish: publish_text(payload_bytes) }
    }

    /// One join and one leave: commands parsed, handled, answered, answers taken. Returns the
    /// bytes of the answers.
    pub fn join_and_leave(&mut self) -> usize {
        self.outsider.handle(JOIN);
        self.outsider.handle(LEAVE);
        drain(&mut self.answers)
    }

    /// One publish: parsed, numbered, encoded, and queued for every member.
    pub fn publish(&mut self) {
        self.outsider.handle(&self.publish);
    }

    /// Takes what is queued for each member. Returns the bytes.
    pub fn flush(&mut self) -> usize {
        self.members.iter_mut().map(|(_, queue)| drain(queue)).sum()
    }
}

fn drain(queue: &mut Receiver) -> usize {
    std::iter::from_fn(|| queue.try_recv()).map(|text| text.as_str().len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_sent_every_message() {
        let mut room = DashRoom::new(100, 128);
        room.publish();
        let one = room.flush();
        assert!(one > 100 * 128 && one.is_multiple_of(100), "{one} bytes");
        room.publish();
        room.publish();
        assert_eq!(room.flush(), 2 * one);
        assert_eq!(room.flush(), 0);
    }

    #[test]
    fn joins_and_leaves_are_answered_every_time() {
        let mut room = DashRoom::new(1, 128);
        let first = room.join_and_leave();
        assert!(first > 100, "{first} bytes are no two answers");
        assert_eq!(room.join_and_leave(), first);
    }
}
