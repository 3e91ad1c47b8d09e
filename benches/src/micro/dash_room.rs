//! The same room in the baseline's registry.

use crate::baseline::{Queue, Receiver, Registry, Session};

use super::room::{JOIN, LEAVE, Room, publish_text};

/// A room with members, and a connection outside it that publishes, joins and leaves. No task
/// runs: whoever empties a queue does what its writer would do before encoding and sending.
#[derive(Debug)]
pub struct DashRoom {
    outsider: Session<'static>,
    answers: Receiver,
    members: Vec<(Session<'static>, Receiver)>,
    publish: String,
}

impl Room for DashRoom {
    fn new(members: usize, payload_bytes: usize) -> DashRoom {
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

    /// Commands parsed, handled, answered, answers taken.
    fn join_and_leave(&mut self) -> usize {
        self.outsider.handle(JOIN);
        self.outsider.handle(LEAVE);
        drain(&mut self.answers)
    }

    /// Parsed, numbered, encoded, and queued for every member.
    fn publish(&mut self) {
        self.outsider.handle(&self.publish);
    }

    /// Takes what is queued for each member.
    fn flush(&mut self) -> usize {
        self.members.iter_mut().map(|(_, queue)| drain(queue)).sum()
    }
}

fn drain(queue: &mut Receiver) -> usize {
    std::iter::from_fn(|| queue.try_recv()).map(|text| text.as_str().len()).sum()
}
