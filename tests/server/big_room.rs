//! Proves that 5,000 members on four shards all get every message once, and in the same order.

use crate::support::{Client, Crowd, Envelope, Member, Outbox, Server, heavy};
use serde_json::json;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const MEMBERS: usize = 5000;
const SHARDS: usize = 4;
const PUBLISHERS: u64 = 8;
const MESSAGES: u64 = 1000;

#[test]
fn every_member_gets_every_offset_once_and_in_one_order() {
    let _heavy = heavy();
    let server = Server::start_with_shards(SHARDS, &[]);
    let story = Story::new(MESSAGES);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let members = (0..MEMBERS / 2).map(|_| Listener::new(&story));
                Crowd::connect(server.address(), members).run();
            });
        }
        story.wait_for_listeners(MEMBERS);
        for publisher in 0..PUBLISHERS {
            let server = &server;
            scope.spawn(move || publish_share(server, publisher));
        }
    });
    assert_eq!(server.closed("slow"), 0);
    assert_eq!(server.total("published"), MESSAGES);
}

/// Publishes this publisher's part of the messages, each when the one before was acknowledged.
pub(crate) fn publish_share(server: &Server, publisher: u64) {
    let mut client = Client::connect_on(server, publisher % SHARDS as u64);
    let mut last = 0;
    for n in 0..MESSAGES / PUBLISHERS {
        let offset = client.publish("r", "chat", json!([publisher, n]));
        assert!(offset > last, "the acks of one publisher ascend");
        last = offset;
    }
}

/// What the room said, as whoever heard an offset first understood it; all others must agree.
pub(crate) struct Story {
    told: Vec<OnceLock<String>>,
    listening: AtomicUsize,
}

impl Story {
    pub(crate) fn new(messages: u64) -> Self {
        let told = (0..=messages).map(|_| OnceLock::new()).collect();
        Self { told, listening: AtomicUsize::new(0) }
    }

    pub(crate) fn last_offset(&self) -> u64 {
        self.told.len() as u64 - 1
    }

    pub(crate) fn begin_listening(&self) {
        self.listening.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn wait_for_listeners(&self, count: usize) {
        crate::support::wait_until("all are members", || {
            self.listening.load(Ordering::SeqCst) == count
        });
    }

    /// Whether this is the message of that offset, bytes and all. Five million comparisons are
    /// quick; five million parsed messages would make the test slower than the server.
    pub(crate) fn is_told(&self, offset: u64, text: &str) -> bool {
        let told = self.told.get(offset as usize).and_then(OnceLock::get);
        told.is_some_and(|first| first == text)
    }

    /// Checks a message against what the first one who heard it understood.
    pub(crate) fn tell(&self, message: &Envelope, text: &str) {
        let offset = message.offset();
        assert!(offset <= self.last_offset(), "more was said than published: {message:?}");
        let first = self.told[offset as usize].get_or_init(|| text.to_owned());
        let first = Envelope::parse(first);
        assert_eq!(first.data(), message.data(), "offset {offset} is one message for all");
        assert_eq!((message.event(), message.room()), ("chat".to_owned(), "r".to_owned()));
    }
}

/// Joins, hears everything, leaves, and is done when the answer says that this was everything.
pub(crate) struct Listener<'a> {
    story: &'a Story,
    next: u64,
    has_left: bool,
}

impl<'a> Listener<'a> {
    pub(crate) fn new(story: &'a Story) -> Self {
        Self { story, next: 0, has_left: false }
    }

    fn on_other(&mut self, text: &str) {
        let envelope = Envelope::parse(text);
        match envelope.event().as_str() {
            "cast:joined" => {
                assert_eq!(envelope.data_number("offset"), 0, "nothing is published yet");
                self.next = 1;
                self.story.begin_listening();
            }
            "cast:left" => {
                assert_eq!(envelope.data_number("offset"), self.story.last_offset());
                self.has_left = true;
            }
            _ => {
                assert_eq!(envelope.offset(), self.next, "no hole, no repeat: {self:?}");
                self.story.tell(&envelope, text);
                self.next += 1;
            }
        }
    }
}

impl Member for Listener<'_> {
    fn on_welcome(&mut self, _: &Envelope, out: &mut Outbox) {
        out.send(r#"{"event":"cast:join","room":"r"}"#);
    }

    fn on_message(&mut self, text: &str, out: &mut Outbox) {
        if self.story.is_told(self.next, text) {
            self.next += 1;
        } else {
            self.on_other(text);
        }
        if self.next > self.story.last_offset() && !self.has_left {
            out.send(r#"{"event":"cast:leave","room":"r"}"#);
        }
    }

    fn is_done(&self) -> bool {
        self.has_left
    }
}

impl fmt::Debug for Listener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a listener that waits for offset {} of {}", self.next, self.story.last_offset())
    }
}
