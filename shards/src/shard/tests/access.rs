//! What clients may do and for how long, and how fresh tokens change that.

use super::*;
use crate::handler::{CallKind, Credentials, Refresh};
use crate::identity::{Expiry, Identity, Name, Revocable};
use crate::limits::Limits;
use crate::mesh::{Answer, Query};
use crate::name_set::NameSet;
use crate::pattern::Pattern;

/// A shard whose tokens are verified outside.
fn verifying_shard() -> Shard {
    let mut config = Config { shards: 1, ..Config::default() };
    config.hooks.refresh = true;
    Shard::new(ShardId::new(0), config)
}

fn within(patterns: &[&str]) -> Permission {
    let patterns = patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap());
    Permission::Allowed.within(NameSet::new(patterns).unwrap())
}

/// May join rooms with these names, and nothing else.
fn joining(patterns: &[&str]) -> Permissions {
    Permissions { join: within(patterns), ..Permissions::all(Permission::Forbidden) }
}

fn millis(millis: u64) -> Time {
    Time::default() + Duration::from_millis(millis)
}

fn identity(subject: &str, ends: Option<u64>) -> Arc<Identity> {
    let expires = ends.map(|ends| Expiry { at: millis(ends), unix_millis: ends });
    Arc::new(Identity::new(Some(Name::new(subject).unwrap()), None, expires))
}

fn open(shard: &mut Shard, permissions: Permissions, subject: &str, ends: Option<u64>) -> ConnId {
    let identity = Some(identity(subject, ends));
    let conn = shard.open(Opening { identity, ..allowing(permissions) });
    send(shard, None);
    conn
}

/// The refresh that a client asks for with this token.
fn ask(shard: &mut Shard, conn: ConnId) -> Refresh {
    say(shard, conn, r#"{"event":"cast:refresh","id":6,"data":{"token":"t\u0031"}}"#);
    match shard.outputs().next_call().expect("the token is to be verified").kind {
        CallKind::Refresh(refresh) => refresh,
        other => panic!("a refresh, and not {other:?}"),
    }
}

/// What is sent when a client's fresh token says this.
fn refreshed(
    shard: &mut Shard,
    conn: ConnId,
    permissions: Permissions,
    identity: Arc<Identity>,
) -> String {
    let refresh = ask(shard, conn);
    let permissions = Arc::new(permissions);
    shard.end_refresh(conn, refresh, Ok(Credentials { permissions, identity }));
    take_loopback(shard);
    send(shard, None)
}

#[test]
fn a_connection_may_do_what_its_patterns_name() {
    let mut shard = shard();
    let permissions = Permissions {
        publish: within(&["chat.*"]),
        broadcast: within(&["*"]),
        ..joining(&["news.*", "lobby"])
    };
    let conn = open(&mut shard, permissions, "ann", None);
    for (command, room, allowed) in [
        ("join", "news.uk", true),
        ("join", "lobby", true),
        ("join", "news.", false),
        ("join", "chat.a", false),
        ("publish", "chat.a", true),
        ("publish", "news.uk", false),
    ] {
        let json = format!(
            r#"{{"event":"cast:{command}","room":"{room}","id":1,"data":{{"event":"m"}}}}"#
        );
        say(&mut shard, conn, &json);
        let sent = send(&mut shard, None);
        assert_eq!(sent.contains("forbidden"), !allowed, "{command} {room}: {sent}");
    }
    say(&mut shard, conn, r#"{"event":"cast:broadcast","id":1,"data":{"event":"m"}}"#);
    assert!(send(&mut shard, None).contains("forbidden"), "no pattern names all connections");
}

#[test]
fn a_connection_is_closed_when_its_time_is_over_and_not_before() {
    let mut shard = shard();
    let conn = open(&mut shard, Permissions::default(), "ann", Some(5_020));
    let other = open(&mut shard, Permissions::default(), "ann", Some(9_000_000));
    assert!(shard.next_deadline().unwrap() <= millis(5_050));
    shard.on_time(millis(5_019));
    assert!(shard.is_open(conn));
    shard.on_time(millis(5_050));
    assert!(!shard.is_open(conn) && shard.is_open(other));
    assert!(send(&mut shard, None).ends_with("\x03\u{fffd}expired"), "1008 expired");
    assert_eq!(shard.counters().closed[Disconnect::Expired.index()], 1);
}

#[test]
fn a_connection_whose_time_was_over_before_it_came_does_nothing() {
    let mut shard = shard();
    shard.on_time(millis(1_000));
    for ends in [0, 1_000] {
        let identity = Some(identity("ann", Some(ends)));
        let conn = shard.open(Opening { identity, ..Opening::default() });
        say(&mut shard, conn, r#"{"event":"cast:join","room":"r","id":1}"#);
        let sent = send(&mut shard, None);
        assert!(sent.ends_with("expired") && !sent.contains("joined"), "{sent}");
        assert!(!shard.is_open(conn));
    }
    assert_eq!(shard.host.clients.expiries.next_deadline(), None);
}

#[test]
fn an_end_that_no_clock_reaches_is_none() {
    let mut shard = shard();
    let at = Time::from_nanos(u64::MAX);
    let expires = Some(Expiry { at, unix_millis: u64::MAX });
    let identity = Some(Arc::new(Identity::new(None, None, expires)));
    let conn = shard.open(Opening { identity, ..Opening::default() });
    shard.on_time(millis(1_000));
    assert!(shard.is_open(conn));
    shard.on_hang_up(conn);
    shard.on_end(conn);
    assert_eq!(shard.host.clients.expiries.next_deadline(), None, "it ends with its connection");
}

#[test]
fn a_fresh_token_takes_effect_at_once() {
    let mut shard = verifying_shard();
    let conn = open(&mut shard, joining(&["a*"]), "ann", Some(5_000));
    for room in ["a1", "a2"] {
        say(&mut shard, conn, &format!(r#"{{"event":"cast:join","room":"{room}"}}"#));
    }
    send(&mut shard, None);
    publish(&mut shard, &RoomName::new("a1").unwrap());
    send(&mut shard, None);
    let sent = refreshed(&mut shard, conn, joining(&["*2", "b"]), identity("ann", Some(60_000)));
    let expected = [
        r#"{"event":"cast:refreshed","id":6,"data":{"expires":60}}"#,
        r#"{"event":"cast:left","room":"a1","data":{"offset":1,"reason":"forbidden"}}"#,
    ];
    let places = expected.map(|text| sent.find(text));
    assert!(places[0].is_some() && places[0] < places[1], "{sent}");
    assert!(!sent.contains(r#""room":"a2""#), "{sent}");
    assert_eq!(shard.rooms_of(conn), [RoomName::new("a2").unwrap()]);
    say(&mut shard, conn, r#"{"event":"cast:join","room":"a1","id":1}"#);
    say(&mut shard, conn, r#"{"event":"cast:join","room":"b","id":2}"#);
    let sent = send(&mut shard, None);
    assert!(sent.contains("forbidden") && sent.contains(r#""cast:joined","room":"b""#), "{sent}");
    shard.on_time(millis(6_000));
    assert!(shard.is_open(conn), "its former end does not count");
    shard.on_time(millis(60_050));
    assert!(!shard.is_open(conn));
}

#[test]
fn a_room_that_is_being_joined_is_left_after_that() {
    let mut shard = verifying_shard();
    let conn = open(&mut shard, joining(&["a"]), "ann", None);
    receive(&mut shard, conn, Opcode::Text, r#"{"event":"cast:join","room":"a","id":1}"#);
    let token = r#"{"event":"cast:refresh","data":{"token":"t"}}"#;
    receive(&mut shard, conn, Opcode::Text, token);
    let Some(CallKind::Refresh(refresh)) = shard.outputs().next_call().map(|call| call.kind) else {
        panic!("the token is to be verified")
    };
    let permissions = Arc::new(Permissions::all(Permission::Forbidden));
    let identity = identity("ann", None);
    shard.end_refresh(conn, refresh, Ok(Credentials { permissions, identity }));
    assert!(!shard.wants_read(conn), "what follows waits until the room is left");
    take_loopback(&mut shard);
    let sent = send(&mut shard, None);
    let order = ["cast:refreshed", "cast:joined", r#""reason":"forbidden""#];
    let places = order.map(|text| sent.find(text).unwrap_or_else(|| panic!("{text} in {sent}")));
    assert!(places.is_sorted(), "{sent}");
    assert!(shard.wants_read(conn) && shard.rooms_of(conn).is_empty());
}

#[test]
fn a_token_that_is_refused_changes_nothing() {
    let mut shard = verifying_shard();
    shard.on_time(millis(1_000));
    let conn = open(&mut shard, joining(&["a"]), "ann", Some(5_000));
    say(&mut shard, conn, r#"{"event":"cast:join","room":"a"}"#);
    send(&mut shard, None);
    let nothing = || Permissions::all(Permission::Forbidden);
    let nameless = || Arc::new(Identity::default());
    for identity in [identity("bob", None), nameless(), identity("ann", Some(1_000))] {
        let sent = refreshed(&mut shard, conn, nothing(), identity);
        let expected = r#"{"event":"cast:error","id":6,"data":{"code":"bad_token","#;
        assert!(sent.contains(expected) && !sent.contains("refreshed"), "{sent}");
    }
    let refresh = ask(&mut shard, conn);
    shard.end_refresh(conn, refresh, Err("its \"signature\" is wrong".to_owned()));
    let sent = send(&mut shard, None);
    assert!(sent.contains(r#""bad_token","message":"its \"signature\" is wrong""#), "{sent}");
    assert_eq!(shard.rooms_of(conn).len(), 1);
    assert_eq!(shard.counters().refreshed, 0);
    shard.on_time(millis(5_050));
    assert!(!shard.is_open(conn), "its end is the old one");
}

#[test]
fn what_cannot_be_a_fresh_token_is_not_verified() {
    let limits = Limits { head_bytes: 512, ..Limits::default() };
    let long = format!(r#"{{"event":"cast:refresh","data":{{"token":"{}"}}}}"#, "t".repeat(513));
    let short = r#"{"event":"cast:refresh","data":{"token":"t"}}"#;
    for (verifies, is_known, json, words) in [
        (false, true, short, "verifies no tokens"),
        (true, false, short, "anonymous"),
        (true, true, &*long, "at most 512 bytes"),
    ] {
        let mut config = Config { shards: 1, limits: limits.clone(), ..Config::default() };
        config.hooks.refresh = verifies;
        let mut shard = Shard::new(ShardId::new(0), config);
        let identity = is_known.then(|| identity("ann", None));
        let conn = shard.open(Opening { identity, ..Opening::default() });
        send(&mut shard, None);
        say(&mut shard, conn, json);
        assert_eq!(shard.outputs().next_call(), None);
        let sent = send(&mut shard, None);
        assert!(sent.contains("bad_token") && sent.contains(words), "{sent}");
    }
}

#[test]
fn a_connection_that_closes_while_its_token_is_verified_stays_closed() {
    let mut shard = verifying_shard();
    let conn = open(&mut shard, joining(&["a"]), "ann", Some(5_000));
    let refresh = ask(&mut shard, conn);
    shard.on_time(millis(5_050));
    assert!(send(&mut shard, None).ends_with("expired"), "its time is over before the verdict");
    let permissions = Arc::default();
    let identity = identity("ann", None);
    shard.end_refresh(conn, refresh, Ok(Credentials { permissions, identity }));
    assert_eq!(send(&mut shard, None), "");
    assert_eq!(
        (shard.counters().refreshed, shard.host.clients.expiries.next_deadline()),
        (0, None)
    );
}

#[test]
fn however_often_a_token_is_refreshed_one_end_is_kept() {
    let mut shard = verifying_shard();
    let conn = open(&mut shard, Permissions::default(), "ann", Some(9_000_000));
    for n in 0..1_000 {
        let ends = 9_000_000 - 1_000 * (n % 7);
        refreshed(&mut shard, conn, Permissions::default(), identity("ann", Some(ends)));
    }
    assert_eq!(shard.host.clients.expiries.iter().count(), 1);
}

#[test]
fn a_room_that_the_program_chose_in_spite_of_the_permissions_is_kept() {
    let mut shard = verifying_shard();
    let conn = open(&mut shard, joining(&["a"]), "ann", None);
    let room = RoomName::new("vip").unwrap();
    shard.join(conn, &room, JoinOptions::default(), AnswerToken(1)).unwrap();
    say(&mut shard, conn, r#"{"event":"cast:join","room":"a"}"#);
    send(&mut shard, None);
    let sent = refreshed(&mut shard, conn, joining(&["b"]), identity("ann", None));
    assert_eq!(sent.matches("forbidden").count(), 1, "{sent}");
    assert_eq!(shard.rooms_of(conn), [room]);
}

#[test]
fn the_text_of_a_token_is_not_shown() {
    let mut shard = verifying_shard();
    let conn = open(&mut shard, Permissions::default(), "ann", None);
    let refresh = ask(&mut shard, conn);
    assert_eq!(refresh.token.as_str(), "t1");
    assert!(!format!("{refresh:?}").contains("t1"), "{refresh:?}");
}

fn revoke(shard: &mut Shard, revoked: Revocable, until: u64) -> Answer {
    shard.answer(Query::Revoke { revoked, until: millis(until) })
}

fn subject(name: &str) -> Revocable {
    Revocable::Subject(Name::new(name).unwrap())
}

#[test]
fn a_revocation_closes_who_is_there_and_who_opens_in_spite_of_it() {
    let mut shard = shard();
    let conns = [(); 2].map(|()| open(&mut shard, Permissions::default(), "ann", None));
    let bob = open(&mut shard, Permissions::default(), "bob", None);
    let answer = revoke(&mut shard, subject("ann"), 5_000);
    assert!(matches!(answer, Answer::Closed(2)), "{answer:?}");
    assert_eq!(send(&mut shard, None).matches("expired").count(), 2);
    assert!(conns.iter().all(|conn| !shard.is_open(*conn)) && shard.is_open(bob));
    // Its handshake was answered before the revocation came.
    let late = shard.open(Opening { identity: Some(identity("ann", None)), ..Opening::default() });
    say(&mut shard, late, r#"{"event":"cast:join","room":"r"}"#);
    assert!(send(&mut shard, None).ends_with("expired") && !shard.is_open(late));
    assert!(shard.refuses(&identity("ann", None)) && !shard.refuses(&identity("bob", None)));
    assert_eq!(shard.counters().refused_as_revoked, 2);
    assert_eq!(shard.stats().revocations, 1);
    shard.on_time(millis(5_000));
    assert_eq!(shard.stats().revocations, 0);
    let conn = open(&mut shard, Permissions::default(), "ann", None);
    assert!(shard.is_open(conn));
}

#[test]
fn a_revocation_that_is_over_closes_nothing() {
    let mut shard = shard();
    shard.on_time(millis(10));
    revoke(&mut shard, subject("ann"), 5_000);
    for _ in 0..2 {
        let answer = revoke(&mut shard, subject("ann"), 10);
        assert!(matches!(answer, Answer::Closed(0)), "{answer:?}");
        let conn = open(&mut shard, Permissions::default(), "ann", None);
        assert!(shard.is_open(conn));
        assert_eq!(shard.stats().revocations, 0);
    }
}

#[test]
fn event_streams_are_connections_of_their_user_without_a_name() {
    let mut shard = shard();
    let conn = open(&mut shard, Permissions::default(), "ann", None);
    let room = RoomName::new("r").unwrap();
    let stream = shard.open_event_stream(&room, b"", Some(identity("ann", None)));
    let user = Name::new("ann").unwrap();
    let Answer::User { count, connections } = shard.answer(Query::User(user.clone())) else {
        panic!("a user")
    };
    assert_eq!((count, connections), (2, vec![conn]));
    let answer = shard.answer(Query::CloseUser(user, Disconnect::Kicked.into()));
    assert!(matches!(answer, Answer::Closed(2)), "{answer:?}");
    assert!(!shard.is_open(conn) && !shard.is_open(stream));
}

#[test]
fn a_user_is_revoked_while_its_fresh_token_is_verified() {
    let mut shard = verifying_shard();
    let conn = open(&mut shard, Permissions::default(), "ann", None);
    let refresh = ask(&mut shard, conn);
    let fresh =
        Identity::new(Some(Name::new("ann").unwrap()), Some(Name::new("t2").unwrap()), None);
    revoke(&mut shard, Revocable::Token(Name::new("t2").unwrap()), 5_000);
    let credentials = Credentials { permissions: Arc::default(), identity: Arc::new(fresh) };
    shard.end_refresh(conn, refresh, Ok(credentials));
    let sent = send(&mut shard, None);
    assert!(sent.contains("bad_token") && sent.contains("revoked"), "{sent}");
    assert!(shard.is_open(conn), "by its former token");
}

#[test]
fn a_frame_for_a_user_is_queued_some_at_a_time_and_passes_over_who_does_not_read() {
    const CONNECTIONS: usize = 600;
    let limits = Limits { own_bytes: 4 << 10, ..Limits::default() };
    let config = Config { shards: 1, limits, ..Config::default() };
    let mut shard = Shard::new(ShardId::new(0), config);
    let conns: Vec<ConnId> =
        (0..CONNECTIONS).map(|_| open(&mut shard, Permissions::default(), "ann", None)).collect();
    open(&mut shard, Permissions::default(), "bob", None);
    while shard.emit(conns[7], &[0; 1_000]).is_ok() {}
    let (mut after, mut turns, mut all) = (None, 0, 0);
    let user = Name::new("ann").unwrap();
    loop {
        let (frame, except) = ([0; 1_000][..].into(), Some(conns[3]));
        let query = Query::EmitToUser { user: user.clone(), after, except, frame };
        let Answer::UserSent { sent, full, next } = shard.answer(query) else { panic!("sent") };
        assert!(sent <= 256);
        assert!(full.iter().all(|conn| *conn == conns[7]));
        (after, turns, all) = (next, turns + 1, all + sent as usize + full.len());
        if next.is_none() {
            break;
        }
    }
    assert_eq!((turns, all), (3, CONNECTIONS - 1));
    let Answer::User { count, connections } = shard.answer(Query::User(user)) else {
        panic!("a user")
    };
    assert_eq!((count, connections.len()), (CONNECTIONS as u64, CONNECTIONS));
}
