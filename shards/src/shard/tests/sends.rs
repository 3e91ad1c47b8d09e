//! Stories of sends that cannot carry everything.

use std::collections::HashMap;

use super::{publish, say, shard};
use crate::id::ConnId;
use crate::permissions::Permissions;
use crate::room_name::RoomName;
use crate::shard::{SendEnd, Shard};

/// Asserts the shard's invariants, in builds that can.
fn check(shard: &Shard) {
    #[cfg(debug_assertions)]
    shard.check();
    let _ = shard;
}

/// Begins whatever may be begun before it ends the first of them, as a server does with its last
/// batch, until nothing waits; all of it is taken. Returns what each connection was sent.
fn send_in_batches(shard: &mut Shard) -> HashMap<ConnId, String> {
    let mut sent = HashMap::<ConnId, Vec<u8>>::new();
    while shard.has_sends() {
        shard.start_slice();
        let mut begun: Vec<ConnId> = std::iter::from_fn(|| shard.next_room_send()).collect();
        begun.extend(std::iter::from_fn(|| shard.next_own_send()));
        check(shard);
        for conn in begun {
            let sent = sent.entry(conn).or_default();
            let before = sent.len();
            shard.for_each_slice(conn, |slice| sent.extend_from_slice(slice));
            let taken = sent.len() - before;
            shard.end_send(conn, SendEnd::Taken(taken));
            check(shard);
        }
    }
    let text = |sent: Vec<u8>| String::from_utf8_lossy(&sent).into_owned();
    sent.into_iter().map(|(conn, sent)| (conn, text(sent))).collect()
}

/// One member's every second message is not for it: so many runs of memory that one send cannot
/// carry them.
#[test]
fn whoever_has_more_runs_than_a_send_has_slices_keeps_its_place() {
    let mut shard = shard();
    let conn = shard.open(Permissions::default());
    say(&mut shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    super::send(&mut shard, None);
    for _ in 0..300 {
        for echo in [true, false] {
            let data = format!(r#"{{"event":"m","echo":{echo}}}"#);
            let text = format!(r#"{{"event":"cast:publish","room":"r","data":{data}}}"#);
            say(&mut shard, conn, &text);
        }
    }
    let sent = send_in_batches(&mut shard);
    assert_eq!(sent[&conn].matches(r#""event":"m""#).count(), 300);
}

/// The rooms that come first use up the slices, so that a send carries nothing of the room whose
/// pass began it.
#[test]
fn whoever_is_in_more_rooms_than_a_send_has_slices_keeps_its_places() {
    const ROOMS: usize = 300;
    let mut shard = shard();
    shard.config.limits.rooms_per_connection = ROOMS;
    let conn = shard.open(Permissions::default());
    for room in 0..ROOMS {
        say(&mut shard, conn, &format!(r#"{{"event":"cast:join","room":"{room}"}}"#));
    }
    super::send(&mut shard, None);
    for room in (0..ROOMS).rev() {
        publish(&mut shard, &RoomName::new(&room.to_string()).expect("legal"));
    }
    let sent = send_in_batches(&mut shard);
    assert_eq!(sent[&conn].matches(r#""event":"m""#).count(), ROOMS);
}
