use std::cell::RefCell;
use std::rc::Rc;

use super::history::{keeping, room};
use super::*;
use crate::Query;
use crate::id::ShardId;
use crate::journal::{JournalStore, JournalTag};

/// Counts writes.
#[derive(Clone, Debug, Default)]
struct Writes(Rc<RefCell<Vec<usize>>>);

impl JournalStore for Writes {
    fn write(&mut self, _: u64, bytes: &[u8]) -> bool {
        self.0.borrow_mut().push(bytes.len());
        true
    }

    fn give_up(&mut self) {
        panic!("no write fails here");
    }
}

fn journaled(messages: usize) -> (Shard, Writes) {
    let mut shard = keeping(messages, |_| ());
    let (boot, file) = ([0; 16], [0; 3]);
    let tag = JournalTag { boot, set: 1, shard: 0, shards: 1, file, capacity: 1 << 20 };
    let writes = Writes::default();
    shard.begin_journal(&tag, Box::new(writes.clone()), &[], Time::default());
    writes.0.borrow_mut().clear();
    (shard, writes)
}

fn publish_many(shard: &mut Shard, many: usize) {
    for _ in 0..many {
        let message = RoomMessage::text("text");
        shard.publish(&room(), message, None, None).expect("there is room");
    }
}

#[test]
fn what_is_numbered_together_is_written_at_once_and_before_it_leaves() {
    let (mut shard, writes) = journaled(100);
    let other = ShardId::new(0);
    publish_many(&mut shard, 50);
    assert!(writes.0.borrow().is_empty(), "nothing has its number yet");
    shard.take_loopback(50);
    assert!(writes.0.borrow().is_empty(), "nothing has left");
    assert!(shard.next_from_home(other).is_none(), "it is for this shard itself");
    let bytes = writes.0.borrow().clone();
    assert_eq!((bytes.len(), bytes[1]), (2, 20), "the records, and where they end: {bytes:?}");
    take_loopback(&mut shard);
    assert_eq!(writes.0.borrow().len(), 2, "nothing more");
    shard.check();
}

#[test]
fn what_an_answer_names_is_written_before_it() {
    let (since, epoch) = (None, None);
    let history = Query::History { room: room(), since, epoch, limit: 1 };
    let rooms = Query::Rooms { after: None, limit: 1 };
    for query in [history, Query::Room(room()), rooms] {
        let (mut shard, writes) = journaled(100);
        publish_many(&mut shard, 1);
        shard.take_loopback(1);
        assert!(writes.0.borrow().is_empty(), "nothing has left");
        shard.answer(query);
        assert_eq!(writes.0.borrow().len(), 2, "the record, and where it ends");
    }
}

#[test]
fn rooms_that_keep_nothing_write_nothing() {
    let (mut shard, writes) = journaled(0);
    publish_many(&mut shard, 50);
    take_loopback(&mut shard);
    assert!(writes.0.borrow().is_empty(), "{writes:?}");
    assert_eq!(shard.stats().histories, 0);
}
