//! WebSocket messages for the clients of a program with a text format of its own.

use super::fact::Fact;
use super::native;

/// Such a client gets no welcome: its program says what comes first. All else is as in `native`; its
/// text messages go to the program in `shard/command.rs`.
pub(super) fn push_reply(fact: &Fact<'_>, out: &mut Vec<u8>) {
    match fact {
        Fact::Welcome(_) => {}
        _ => native::push_reply(fact, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::fact::Welcome;
    use crate::id::{ConnId, ShardId};

    #[test]
    fn there_is_no_welcome_and_everything_else_is_as_ever() {
        let (shard, mut out) = (ShardId::new(0), Vec::new());
        let connection = ConnId { shard, slot: 0, generation: 0 };
        let welcome = Welcome { connection, shard, shards: 1, ping_interval_secs: 25.0 };
        push_reply(&Fact::Welcome(welcome), &mut out);
        assert_eq!(out, b"");
        push_reply(&Fact::Ping, &mut out);
        assert_eq!(out, b"\x89\x00");
    }
}
