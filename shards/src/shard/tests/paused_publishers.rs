//! A thousand publishers with large messages for a room that takes none for a while: together they have
//! more to say than there is memory, and none of them pays for it.

use std::time::Duration;

use super::{close_steps, say, send, take_loopback};
use crate::config::Config;
use crate::id::{ConnId, ShardId};
use crate::limits::Limits;
use crate::memory::MemoryStage;
use crate::shard::{Opening, Shard};
use crate::time::Time;
use crate::wire::{Opcode, push_client_frame};

const PUBLISHERS: usize = 1_000;
const MESSAGE_BYTES: usize = 60_000;

/// About half of what all publishers have to say.
const LIMIT: usize = (32 << 20) + (64 << 10);

/// What a thread reads of a socket at once.
const READ_BYTES: usize = 16 << 10;

struct Publisher {
    conn: ConnId,
    sent: usize,
}

struct Crowd {
    shard: Shard,
    publishers: Vec<Publisher>,
    frame: Vec<u8>,
    millis: u64,
}

impl Crowd {
    fn new() -> Crowd {
        let limits = Limits {
            memory_bytes: LIMIT,
            message_bytes: 64 << 10,
            room_log_bytes: 512 << 10,
            ..Limits::default()
        };
        let config = Config { shards: 1, limits, ..Config::default() };
        let mut shard = Shard::new(ShardId::new(0), config);
        let publishers = (0..PUBLISHERS)
            .map(|_| Publisher { conn: shard.open(Opening::default()), sent: 0 })
            .collect();
        send(&mut shard, None);
        let data = "x".repeat(MESSAGE_BYTES);
        let json = format!(
            r#"{{"event":"cast:publish","room":"r","data":{{"event":"m","data":"{data}"}}}}"#
        );
        let mut frame = Vec::new();
        push_client_frame(&mut frame, Opcode::Text, true, [1, 2, 3, 4], json.as_bytes());
        Crowd { shard, publishers, frame, millis: 0 }
    }

    /// What a thread does in so many milliseconds: each socket is read as far as the shard reads it.
    /// Returns whether anything was.
    fn read_for(&mut self, millis: u64) -> bool {
        let mut has_read = false;
        for _ in 0..millis {
            self.millis += 1;
            self.shard.on_time(Time::default() + Duration::from_millis(self.millis));
            self.check_memory();
            // A turn reads so many of them.
            const SOCKETS: usize = 64;
            let begin = self.millis as usize * SOCKETS;
            for nth in begin..begin + SOCKETS {
                has_read |= self.read(nth % PUBLISHERS);
            }
            take_loopback(&mut self.shard);
        }
        has_read
    }

    fn read(&mut self, nth: usize) -> bool {
        let Publisher { conn, sent } = &mut self.publishers[nth];
        if *sent == self.frame.len() || !self.shard.wants_read(*conn) {
            return false;
        }
        let len = self.shard.read_max(*conn).min(READ_BYTES).min(self.frame.len() - *sent);
        let mut bytes = self.frame[*sent..][..len].to_vec();
        *sent += len;
        self.shard.receive(*conn, &mut bytes);
        true
    }

    fn check_memory(&mut self) {
        let (stage, held) = (self.shard.memory_stage(), self.shard.memory());
        assert!(stage < MemoryStage::Striking, "{stage:?} at {} ms: {held:?}", self.millis);
        assert_eq!(close_steps(&mut self.shard), [], "at {} ms", self.millis);
    }

    fn count_whole(&self) -> usize {
        self.publishers.iter().filter(|publisher| publisher.sent == self.frame.len()).count()
    }
}

#[test]
fn a_thousand_publishers_of_a_paused_room_never_get_the_memory_short() {
    let mut crowd = Crowd::new();
    let member = crowd.shard.open(Opening::default());
    say(&mut crowd.shard, member, r#"{"event":"cast:join","room":"r"}"#);
    send(&mut crowd.shard, None);
    // The member's thread does not get to it, so that the room pauses.
    crowd.read_for(2_000);
    let whole = crowd.count_whole();
    assert!(whole < PUBLISHERS / 2, "{whole} messages have arrived, and are held");
    assert_eq!(crowd.shard.memory_stage(), MemoryStage::Unread);
    say(
        &mut crowd.shard,
        member,
        r#"{"event":"cast:publish","room":"other","id":7,"data":{"event":"m"}}"#,
    );

    let (mut heard, mut acked) = (0, false);
    while heard < PUBLISHERS {
        let sent = send(&mut crowd.shard, None);
        acked |= sent.contains(r#""id":7"#);
        for message in sent.split(r#","room":"r","offset":"#).skip(1) {
            let digits = message.split(|char: char| !char.is_ascii_digit()).next();
            let offset = digits.and_then(|digits| digits.parse().ok());
            assert_eq!(offset, Some(heard + 1), "all come, in their order");
            heard += 1;
        }
        crowd.read_for(10);
        assert!(crowd.millis < 60_000, "{heard} messages were heard");
    }
    assert!(acked, "a member of another room is served meanwhile");
    assert_eq!(crowd.count_whole(), PUBLISHERS);
    crowd.read_for(1_000);
    assert_eq!(crowd.shard.memory_stage(), MemoryStage::Plenty);
}
