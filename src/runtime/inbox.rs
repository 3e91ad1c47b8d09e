//! How external threads reach a shard.

use std::sync::Arc;

use corecast_shards::{Answer, Close, ConnId, Name, Query, RoomMessage, RoomName, ShardId};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};
use event_listener::{Event, EventListener, IntoNotification};

use super::held_back::{HeldBack, HeldBackRooms};
use super::oneshot::OneshotSender;
use super::ring::ShardWaker;

/// What an external thread asks of a shard.
#[derive(Debug)]
pub(crate) enum External {
    /// Publish to a room that is at home here, or broadcast.
    Publish {
        /// The room of everybody for a broadcast.
        room: RoomName,
        /// Encoded by the caller, so that the shard is not kept.
        message: RoomMessage,
        /// The connection that does not get it.
        except: Option<ConnId>,
        /// Who wants to know the offset.
        reply: Option<OneshotSender<Answer>>,
    },
    /// A question, or something for one connection of this shard.
    Ask {
        /// What.
        query: Query,
        /// Who wants to know.
        reply: OneshotSender<Answer>,
    },
    /// Queue a frame for one connection of this shard, when there is capacity for it.
    Emit {
        /// Which.
        connection: ConnId,
        /// A whole frame.
        frame: Vec<u8>,
        /// Resolved with `Found` when the frame is queued, or the connection has ended.
        reply: OneshotSender<Answer>,
    },
    /// Queue a frame for the connections of a user that this shard has, but for one. Those for which
    /// too much waits do not get it.
    EmitToUser {
        /// Whose.
        user: Name,
        /// Which does not get it.
        except: Option<ConnId>,
        /// A whole frame.
        frame: Arc<[u8]>,
    },
    /// Close every connection for this reason when it was sent everything that waits for it.
    CloseAll(Close),
    /// Read no more commands.
    StopReading,
    /// End: close what is left, and the thread.
    Stop,
}

/// Publications of external threads that wait for one shard at most, and likewise questions. Then
/// callers are told `Full`.
const INBOX_ITEMS: usize = 1024;

/// The senders' ends of all shards' inboxes. Usable from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Inboxes(Arc<[InboxSender]>);

/// Publications may have to wait for their rooms. Questions wait for nothing, and what concerns the
/// life of the whole server has always room: so each has a way of its own.
#[derive(Debug)]
struct InboxSender {
    publications: Sender<External>,
    questions: Sender<External>,
    orders: Sender<External>,
    held_back: Arc<HeldBackRooms>,
    shard_waker: ShardWaker,
    places: Arc<Places>,
}

/// A shard's end of its inbox.
#[derive(Debug)]
pub(crate) struct Inbox {
    publications: Receiver<External>,
    questions: Receiver<External>,
    orders: Receiver<External>,
    held_back: Arc<HeldBackRooms>,
    places: Arc<Places>,
}

/// Something that was not handed over.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// There is no room; the message is given back, with what it would have to wait for.
    Full(External, Want),
    /// The shard has ended.
    Closed,
}

/// What a caller waits for whose message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// A place among the publications.
    Publication,
    /// A place among the questions.
    Question,
    /// A room that takes messages again.
    RoomResumed,
}

/// Each is told when what it stands for appears.
#[derive(Debug, Default)]
struct Places {
    publication: Event,
    question: Event,
    room_resumed: Event,
}

impl Places {
    fn of(&self, want: Want) -> &Event {
        match want {
            Want::Publication => &self.publication,
            Want::Question => &self.question,
            Want::RoomResumed => &self.room_resumed,
        }
    }
}

impl Inboxes {
    /// One inbox per waker, and the shards' ends of them.
    pub(crate) fn new(shard_wakers: &[ShardWaker]) -> (Inboxes, Vec<Inbox>) {
        let (senders, inboxes): (Vec<_>, _) = shard_wakers.iter().map(ends).unzip();
        (Inboxes(senders.into()), inboxes)
    }

    /// Hands something over without waiting.
    pub(crate) fn try_send(&self, to: ShardId, external: External) -> Result<(), Unsent> {
        self.0[to.index()].try_send(external)
    }

    /// Whether a question would be taken now.
    pub(crate) fn takes_questions(&self, by: ShardId) -> bool {
        !self.0[by.index()].questions.is_full()
    }

    /// Listens for room. A caller that finds none listens first and tries once more, so that room
    /// which appears in between is not missed; and listens anew when something else is wanting then.
    pub(crate) fn capacity(&self, to: ShardId, want: Want) -> EventListener {
        self.0[to.index()].places.of(want).listen()
    }

    /// Wakes everybody who waits for room, because there will be none.
    pub(crate) fn wake_all(&self) {
        for inbox in self.0.iter() {
            for want in [Want::Publication, Want::Question, Want::RoomResumed] {
                inbox.places.of(want).notify(usize::MAX);
            }
        }
    }

    /// Gives every shard the same order, which never waits. A shard that has ended is passed over:
    /// it wants nothing any more.
    pub(crate) fn send_to_all(&self, make: impl Fn() -> External) {
        for inbox in self.0.iter() {
            let _ = inbox.try_send(make());
        }
    }
}

fn ends(shard_waker: &ShardWaker) -> (InboxSender, Inbox) {
    let (publications, publications_in) = bounded(INBOX_ITEMS);
    let (questions, questions_in) = bounded(INBOX_ITEMS);
    let (orders, orders_in) = unbounded();
    let (held_back, places) = (Arc::<HeldBackRooms>::default(), Arc::<Places>::default());
    let inbox = Inbox {
        publications: publications_in,
        questions: questions_in,
        orders: orders_in,
        held_back: Arc::clone(&held_back),
        places: Arc::clone(&places),
    };
    let shard_waker = shard_waker.clone();
    (InboxSender { publications, questions, orders, held_back, shard_waker, places }, inbox)
}

impl InboxSender {
    fn try_send(&self, external: External) -> Result<(), Unsent> {
        let (way, want) = match &external {
            External::Publish { room, .. } if self.held_back.contains(room) => {
                return Err(Unsent::Full(external, Want::RoomResumed));
            }
            External::Publish { .. } => (&self.publications, Want::Publication),
            External::Ask { .. } | External::Emit { .. } | External::EmitToUser { .. } => {
                (&self.questions, Want::Question)
            }
            // An order finds room always.
            _ => (&self.orders, Want::Question),
        };
        way.try_send(external).map_err(|refused| match refused {
            TrySendError::Full(external) => Unsent::Full(external, want),
            TrySendError::Disconnected(_) => Unsent::Closed,
        })?;
        self.shard_waker.wake();
        Ok(())
    }
}

impl Inbox {
    /// A place for publications whose rooms take none; senders are told which rooms those are.
    pub(super) fn held_back<T>(&self) -> HeldBack<T> {
        HeldBack::new(Arc::clone(&self.held_back))
    }

    /// The next publication; a caller that waits for its place is woken.
    pub(crate) fn next_publication(&self) -> Option<External> {
        self.next(&self.publications, Want::Publication)
    }

    /// The next question; a caller that waits for its place is woken.
    pub(crate) fn next_question(&self) -> Option<External> {
        self.next(&self.questions, Want::Question)
    }

    /// The next order.
    pub(crate) fn next_order(&self) -> Option<External> {
        self.orders.try_recv().ok()
    }

    fn next(&self, way: &Receiver<External>, place: Want) -> Option<External> {
        let external = way.try_recv().ok()?;
        // One more for each place: two places that appear before any caller has looked wake two.
        self.places.of(place).notify(1.additional());
        Some(external)
    }

    /// Tells everybody who waits that a room takes messages again: only they know which they want.
    pub(crate) fn notify_room_resumed(&self) {
        self.places.of(Want::RoomResumed).notify(usize::MAX);
    }

    /// Whether something waits that would be taken now.
    pub(crate) fn has_news(&self, takes_publications: bool) -> bool {
        let publications = takes_publications && !self.publications.is_empty();
        publications || !self.questions.is_empty() || !self.orders.is_empty()
    }
}
