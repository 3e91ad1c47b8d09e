//! Who is told who is in a room, when, and who is not.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::history::room;
use super::*;
use crate::identity::{Identity, Name};
use crate::limits::Limits;
use crate::memory::OthersMemory;
use crate::mesh::{Answer, Query};

const JOIN: &str = r#"{"event":"cast:join","room":"r"}"#;
const WATCH: &str = r#"{"event":"cast:join","room":"r","data":{"presence":true}}"#;
const LEAVE: &str = r#"{"event":"cast:leave","room":"r"}"#;
const ASK: &str = r#"{"event":"cast:presence","room":"r","id":5}"#;

fn presence_shard(change: impl FnOnce(&mut Config)) -> Shard {
    let mut config = Config { shards: 1, ..Config::default() };
    config.limits.presence_linger = Duration::from_secs(3);
    change(&mut config);
    let mut shard = Shard::new(ShardId::new(0), config);
    at(&mut shard, 1_000);
    shard
}

/// It is so many milliseconds late.
fn at(shard: &mut Shard, millis: u64) -> Vec<Value> {
    shard.on_time(Time::default() + Duration::from_millis(millis));
    told(shard)
}

fn known(name: &str, info: Option<&str>) -> Opening {
    let identity = Identity::new(Some(Name::new(name).unwrap()), None, None);
    let identity = identity.with_info(info.map(Arc::from));
    Opening { identity: Some(Arc::new(identity)), ..Opening::default() }
}

/// Everything happens that can without time, and this is what clients are sent of it.
fn told(shard: &mut Shard) -> Vec<Value> {
    let mut sent = String::new();
    while shard.has_loopback() || shard.has_sends() {
        take_loopback(shard);
        shard.begin_quantum();
        while let Some(conn) = shard.next_direct_send().or_else(|| shard.next_room_send()) {
            let mut bytes = Vec::new();
            shard.for_each_iovec(conn, |iovec| bytes.extend_from_slice(iovec));
            shard.end_send(conn, SendEnd::Taken(bytes.len()));
            sent += &String::from_utf8_lossy(&bytes);
        }
        shard.check();
    }
    let texts = sent.split(r#"{"event""#).skip(1);
    let texts = texts.map(|text| {
        let text = format!(r#"{{"event"{text}"#);
        let mut values = serde_json::Deserializer::from_str(&text).into_iter();
        values.next().unwrap().unwrap()
    });
    texts.filter(|said: &Value| said["event"] != "cast:welcome").collect()
}

fn enter(shard: &mut Shard, opening: Opening, json: &str) -> (ConnId, Vec<Value>) {
    let conn = shard.open(opening);
    receive(shard, conn, Opcode::Text, json);
    (conn, told(shard))
}

/// As text: version, count, users with connections and info; `more` where they are not listed.
fn state(data: &Value) -> String {
    let users = data["users"].as_array().unwrap().iter();
    let users = users.map(|user| {
        format!("{}*{}{}", user["user"].as_str().unwrap(), user["connections"], user["info"])
    });
    let users: Vec<String> = users.collect();
    let more = if data["more"] == true { " more" } else { "" };
    format!("{} {} [{}]{more}", data["version"], data["count"], users.join(" "))
}

/// The same of a change.
fn change(said: &Value) -> String {
    assert_eq!(said["event"], "cast:presence_change");
    assert_eq!(said["room"], "r");
    let data = &said["data"];
    let users = |key: &str, sign: &str| -> Vec<String> {
        let users = data[key].as_array().unwrap().iter();
        users.map(|user| format!("{sign}{}", user["user"].as_str().unwrap())).collect()
    };
    let more = if data["more"] == true { " more" } else { "" };
    let users = [users("join", "+"), users("leave", "-")].concat().join(" ");
    format!("{} {} [{users}]{more}", data["version"], data["count"])
}

fn changes(said: &[Value]) -> Vec<String> {
    said.iter().filter(|said| said["event"] == "cast:presence_change").map(change).collect()
}

/// What is there, as a caller is told it.
fn asked(shard: &mut Shard) -> Option<String> {
    shard.query(ShardId::new(0), AnswerToken(7), Query::Presence(room())).expect("there is room");
    told(shard);
    match shard.outputs().next_answer() {
        Some((_, Answer::Presence(presence))) => presence.map(|presence| {
            let users: Value = serde_json::from_str(&presence.users).unwrap();
            let (version, count, more) = (presence.version, presence.count, presence.more);
            let data = serde_json::json!({
                "version": version, "count": count, "users": users, "more": more
            });
            state(&data)
        }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_watches_knows_everybody_and_hears_of_all_who_come_and_go() {
    let mut shard = presence_shard(|_| ());
    let (first, _) = enter(&mut shard, known("ann", Some("[1]")), JOIN);
    enter(&mut shard, known("ann", Some("[2]")), JOIN);
    let (_, said) = enter(&mut shard, known("ben", None), WATCH);
    assert_eq!(said.len(), 1, "nobody else is told anything: {said:?}");
    assert_eq!(said[0]["data"]["members"], 3);
    let state_of = state(&said[0]["data"]["presence"]);
    assert!(
        state_of.starts_with("2 2 [ann*2[") && state_of.ends_with("] ben*1null]"),
        "{state_of}"
    );
    let (third, said) = enter(&mut shard, known("cat", Some("null")), JOIN);
    assert_eq!(said.len(), 1, "it is told later: {said:?}");
    receive(&mut shard, first, Opcode::Text, LEAVE);
    assert!(changes(&told(&mut shard)).is_empty() && changes(&at(&mut shard, 1_400)).is_empty());
    assert_eq!(changes(&at(&mut shard, 1_500)), ["3 3 [+cat]"]);
    receive(&mut shard, third, Opcode::Text, LEAVE);
    told(&mut shard);
    assert_eq!(asked(&mut shard).unwrap().matches("cat*0null").count(), 1, "it may come back");
    assert!(changes(&at(&mut shard, 4_499)).is_empty());
    assert!(changes(&at(&mut shard, 4_500)).is_empty(), "changes are gathered");
    assert_eq!(changes(&at(&mut shard, 5_000)), ["4 2 [-cat]"]);
    assert_eq!(shard.stats().presence_watchers, 1);
}

#[test]
fn a_page_that_is_loaded_again_changes_nothing() {
    let mut shard = presence_shard(|_| ());
    let (ann, _) = enter(&mut shard, known("ann", None), JOIN);
    enter(&mut shard, known("ben", None), WATCH);
    for second in 1..5 {
        shard.close(ann, Disconnect::Kicked);
        told(&mut shard);
        assert!(changes(&at(&mut shard, 1_000 + 2_900 * second)).is_empty());
        let (again, said) = enter(&mut shard, known("ann", None), JOIN);
        assert_eq!(said.iter().filter(|said| said["event"] == "cast:joined").count(), 1);
        shard.close(again, Disconnect::Kicked);
    }
    let (_, said) = enter(&mut shard, known("ann", None), JOIN);
    assert!(changes(&said).is_empty());
    assert!(changes(&at(&mut shard, 60_000)).is_empty(), "nobody has left");
}

#[test]
fn changes_are_gathered_and_who_begins_to_watch_knows_them() {
    let mut shard = presence_shard(|config| config.limits.presence_linger = Duration::ZERO);
    let (_, said) = enter(&mut shard, known("ann", None), WATCH);
    assert_eq!(state(&said[0]["data"]["presence"]), "2 1 [ann*1null]");
    let (ben, _) = enter(&mut shard, known("ben", None), JOIN);
    receive(&mut shard, ben, Opcode::Text, LEAVE);
    enter(&mut shard, known("cat", None), JOIN);
    // Joins that watch are gathered, and wait for no version.
    at(&mut shard, 1_019);
    let (_, said) = enter(&mut shard, known("dan", None), WATCH);
    assert!(said.is_empty(), "{said:?}");
    let said = at(&mut shard, 1_020);
    let now = "2 3 [ann*1null cat*1null dan*1null]";
    assert_eq!((said.len(), state(&said[0]["data"]["presence"])), (1, now.to_owned()));
    // From here on both are sent the same.
    let all = "3 3 [+cat +dan -ben]";
    assert_eq!(changes(&at(&mut shard, 1_500)), [all, all], "dan was given what is to be told");
    enter(&mut shard, known("eve", None), JOIN);
    assert_eq!(changes(&at(&mut shard, 2_000)), ["4 4 [+eve]", "4 4 [+eve]"]);
    let (_, said) = enter(&mut shard, known("fay", None), WATCH);
    assert_eq!(said[0]["data"]["presence"]["version"], 4);
    assert_eq!(changes(&at(&mut shard, 2_500)), ["5 5 [+fay]"; 3]);
}

#[test]
fn a_wave_that_watches_is_let_in_some_in_each_turn() {
    let mut shard = presence_shard(|config| config.tuning.presence_joins = 2);
    enter(&mut shard, known("ann", None), WATCH);
    for user in 0..5 {
        assert!(enter(&mut shard, known(&format!("user-{user}"), None), WATCH).1.is_empty());
    }
    let on_their_way = |shard: &Shard| shard.mesh_counts().0 - shard.mesh_counts().1;
    assert_eq!(on_their_way(&shard), 5, "a drain waits for their answers");
    let joined = [1_019, 1_020, 1_021, 1_022, 1_023].map(|millis| {
        let said = at(&mut shard, millis);
        said.iter().filter(|said| said["event"] == "cast:joined").count()
    });
    assert_eq!(joined, [0, 2, 2, 1, 0]);
    assert_eq!(on_their_way(&shard), 0);
    assert_eq!(changes(&at(&mut shard, 1_520)).len(), 6);
}

#[test]
fn one_that_asked_while_there_were_too_many_leaves_no_ghost() {
    let mut shard = presence_shard(|config| {
        config.limits.presence_linger = Duration::ZERO;
        config.limits.presence_max = 10;
    });
    enter(&mut shard, known("ann", None), WATCH);
    let rest: Vec<ConnId> = (0..9)
        .map(|user| enter(&mut shard, known(&format!("user-{user}"), None), JOIN).0)
        .collect();
    assert_eq!(changes(&at(&mut shard, 1_500)).len(), 1);
    let last = enter(&mut shard, known("zoe", None), JOIN).0;
    assert_eq!(asked(&mut shard).unwrap(), "3 11 [] more");
    for conn in [last, rest[0], rest[1]] {
        shard.close(conn, Disconnect::Kicked);
    }
    let all: Vec<String> = (2..9).map(|user| format!("+user-{user}")).collect();
    let all = format!("4 8 [+ann {} -user-0 -user-1 -zoe]", all.join(" "));
    told(&mut shard);
    assert_eq!(changes(&at(&mut shard, 2_000)), [all]);
}

#[test]
fn one_that_comes_and_goes_where_they_are_nearly_too_many_has_none_named_again() {
    let mut shard = presence_shard(|config| {
        config.limits.presence_linger = Duration::ZERO;
        config.limits.presence_max = 10;
    });
    enter(&mut shard, known("ann", None), WATCH);
    let mut rest: Vec<ConnId> = (0..10)
        .map(|user| enter(&mut shard, known(&format!("user-{user}"), None), JOIN).0)
        .collect();
    assert_eq!(changes(&at(&mut shard, 1_500)), ["3 11 [] more"]);
    for (millis, told_then) in [(2_000, "4 10 [] more"), (2_500, "5 9 [+ann")] {
        shard.close(rest.pop().unwrap(), Disconnect::Kicked);
        told(&mut shard);
        let said = changes(&at(&mut shard, millis));
        assert!(said[0].starts_with(told_then), "{said:?}");
    }
}

#[test]
fn as_many_users_go_in_a_turn_as_may_whatever_the_number_of_rooms() {
    let mut shard = presence_shard(|config| config.tuning.ends_per_turn = 3);
    let (ann, _) = enter(&mut shard, known("ann", None), WATCH);
    receive(&mut shard, ann, Opcode::Text, &WATCH.replace(r#""r""#, r#""s""#));
    told(&mut shard);
    for user in 0..4 {
        let (conn, _) = enter(&mut shard, known(&format!("user-{user}"), None), JOIN);
        receive(&mut shard, conn, Opcode::Text, &JOIN.replace(r#""r""#, r#""s""#));
        told(&mut shard);
        shard.close(conn, Disconnect::Kicked);
        told(&mut shard);
    }
    at(&mut shard, 3_999);
    let left = [4_000, 4_001, 4_002].map(|millis| {
        at(&mut shard, millis);
        shard.stats().presence_users
    });
    assert_eq!(left, [7, 4, 2]);
}

#[test]
fn versions_of_a_home_do_not_come_twice() {
    let mut shard = presence_shard(|_| ());
    enter(&mut shard, known("ann", None), JOIN);
    assert_eq!(asked(&mut shard).unwrap(), "1 1 [ann*1null]");
    at(&mut shard, 11_000);
    assert_eq!(shard.stats().presence_rooms, 0);
    assert_eq!(asked(&mut shard).unwrap(), "2 1 [ann*1null]");
    let forgotten = shard.memory().presence;
    at(&mut shard, 21_000);
    assert!(shard.memory().presence < forgotten);
}

#[test]
fn what_was_shown_in_between_is_told_too() {
    let mut shard = presence_shard(|config| config.limits.presence_linger = Duration::ZERO);
    let (ann, _) = enter(&mut shard, known("ann", None), WATCH);
    let (ben, _) = enter(&mut shard, known("ben", None), JOIN);
    receive(&mut shard, ann, Opcode::Text, ASK);
    let said = told(&mut shard);
    assert_eq!(said[0]["id"], 5);
    assert_eq!(state(&said[0]["data"]), "2 2 [ann*1null ben*1null]");
    receive(&mut shard, ben, Opcode::Text, LEAVE);
    told(&mut shard);
    assert_eq!(changes(&at(&mut shard, 1_500)), ["3 1 [-ben]"]);
}

#[test]
fn changes_name_users_again_when_they_are_a_tenth_fewer_and_a_state_does_so_at_once() {
    let mut shard = presence_shard(|config| {
        config.limits.presence_linger = Duration::ZERO;
        config.limits.presence_max = 10;
    });
    enter(&mut shard, known("ann", None), WATCH);
    let users: Vec<ConnId> =
        (0..10).map(|n| enter(&mut shard, known(&format!("u{n}"), None), JOIN).0).collect();
    assert_eq!(changes(&at(&mut shard, 1_500)), ["3 11 [] more"]);
    assert_eq!(asked(&mut shard).unwrap(), "3 11 [] more");
    shard.close(users[0], Disconnect::Kicked);
    told(&mut shard);
    assert_eq!(changes(&at(&mut shard, 2_000)), ["4 10 [] more"], "one may come back");
    let all = asked(&mut shard).unwrap();
    assert!(all.starts_with("4 10 [ann*1null u1*1null ") && !all.contains("more"), "{all}");
    shard.close(users[1], Disconnect::Kicked);
    told(&mut shard);
    let said = changes(&at(&mut shard, 2_500));
    assert!(said[0].starts_with("5 9 [+ann +u2 +u3 ") && said[0].ends_with(" -u1]"), "{said:?}");
}

#[test]
fn too_many_are_counted_until_they_are_fewer() {
    let mut shard = presence_shard(|config| {
        config.limits.presence_linger = Duration::ZERO;
        config.limits.presence_max = 2;
    });
    enter(&mut shard, known("ann", None), WATCH);
    let (ben, _) = enter(&mut shard, known("ben", None), JOIN);
    assert_eq!(changes(&at(&mut shard, 1_500)), ["3 2 [+ben]"]);
    let (cat, _) = enter(&mut shard, known("cat", None), JOIN);
    assert_eq!(changes(&at(&mut shard, 2_000)), ["4 3 [] more"]);
    assert_eq!(asked(&mut shard).unwrap(), "4 3 [] more");
    let (_, said) = enter(&mut shard, known("dan", None), WATCH);
    assert_eq!(state(&said[0]["data"]["presence"]), "4 4 [] more");
    assert_eq!(changes(&at(&mut shard, 2_500)), ["5 4 [] more"; 2]);
    receive(&mut shard, cat, Opcode::Text, LEAVE);
    told(&mut shard);
    assert_eq!(changes(&at(&mut shard, 3_000)), ["6 3 [] more", "6 3 [] more"]);
    shard.close(ben, Disconnect::Kicked);
    told(&mut shard);
    let all = "7 2 [+ann +dan]";
    assert_eq!(changes(&at(&mut shard, 3_500)), [all, all], "nobody knew who was there");
}

#[test]
fn very_many_that_go_at_once_are_not_named() {
    let mut shard = presence_shard(|config| {
        config.limits.presence_linger = Duration::ZERO;
        config.limits.own_bytes = 4 << 10;
    });
    let (ann, _) = enter(&mut shard, known("ann", None), WATCH);
    let others: Vec<ConnId> = (0..1_001)
        .map(|user| enter(&mut shard, known(&format!("user-{user}"), None), JOIN).0)
        .collect();
    assert_eq!(changes(&at(&mut shard, 1_500)), ["3 1002 [] more"]);
    others.iter().for_each(|conn| assert!(shard.close(*conn, Disconnect::Kicked)));
    told(&mut shard);
    assert_eq!(changes(&at(&mut shard, 2_000)), ["4 1 [+ann]"], "nobody knows of them");
    assert_eq!(shard.close_reason(ann), None);
}

#[test]
fn a_change_that_is_too_long_names_nobody_and_the_next_all() {
    let mut shard = presence_shard(|config| {
        config.limits.presence_linger = Duration::ZERO;
        config.limits.own_bytes = 4 << 10;
    });
    enter(&mut shard, known("ann", None), WATCH);
    let come = |shard: &mut Shard, from: usize| -> Vec<ConnId> {
        let name = |user: usize| known(&format!("user-{user:0100}"), None);
        (from..from + 12).map(|user| enter(shard, name(user), JOIN).0).collect()
    };
    let first = come(&mut shard, 100);
    let said = changes(&at(&mut shard, 1_500));
    assert!(said[0].starts_with("3 13 [+user-0"), "{said:?}");
    come(&mut shard, 200);
    first.iter().for_each(|conn| assert!(shard.close(*conn, Disconnect::Kicked)));
    told(&mut shard);
    assert_eq!(changes(&at(&mut shard, 2_000)), ["4 13 [] more"], "12 names come, and 12 go");
    let said = changes(&at(&mut shard, 2_500));
    assert!(said[0].starts_with("5 13 [+ann +user-0") && !said[0].contains(" -"), "{said:?}");
    assert!(changes(&at(&mut shard, 3_500)).is_empty());
}

/// Changes of many rooms are each much less than what may wait for a connection, and more together.
#[test]
fn who_watches_many_rooms_and_reads_is_not_slow() {
    let mut shard = presence_shard(|config| config.limits.own_bytes = 4 << 10);
    let watcher = shard.open(known("ann", None));
    for room in 0..10 {
        let room_name = format!("r{room}");
        let watch = WATCH.replace("\"r\"", &format!("{room_name:?}"));
        receive(&mut shard, watcher, Opcode::Text, &watch);
        at(&mut shard, 1_100 + 30 * room);
    }
    for room in 0..10 {
        for user in 0..20 {
            let join = JOIN.replace("\"r\"", &format!("\"r{room}\""));
            enter(&mut shard, known(&format!("user-{user:020}"), Some("1234567890")), &join);
        }
    }
    let said = at(&mut shard, 5_000);
    let changes = said.iter().filter(|said| said["event"] == "cast:presence_change");
    assert_eq!(changes.count(), 10);
    assert_eq!(shard.close_reason(watcher), None);
}

#[test]
fn a_list_that_is_too_long_is_none() {
    let mut shard = presence_shard(|config| config.limits.own_bytes = 4 << 10);
    let info = format!("\"{}\"", "x".repeat(900));
    for user in 0..3 {
        enter(&mut shard, known(&format!("user-{user}"), Some(&info)), JOIN);
        assert_eq!(asked(&mut shard).unwrap().contains("more"), user == 2, "2 KiB are the limit");
    }
}

#[test]
fn members_alone_may_ask_and_are_answered_in_order() {
    let mut shard = presence_shard(|_| ());
    let conn = shard.open(Opening::default());
    for json in [ASK, JOIN, ASK, LEAVE, ASK] {
        receive(&mut shard, conn, Opcode::Text, json);
    }
    let said = told(&mut shard);
    let events: Vec<&str> = said.iter().map(|said| said["event"].as_str().unwrap()).collect();
    let error = "cast:error";
    assert_eq!(events, [error, "cast:joined", "cast:presence", "cast:left", error], "{said:?}");
    assert_eq!(said[0]["data"]["code"], "not_a_member");
    assert_eq!(state(&said[2]["data"]), format!("1 1 [{conn}*1null]"));
    assert_eq!(asked(&mut shard), Some(format!("1 1 [{conn}*0null]")), "it may come back");
}

#[test]
fn nobody_that_did_not_ask_costs_anything() {
    let mut shard = presence_shard(|_| ());
    let (_, before) = (0..9).map(|_| enter(&mut shard, known("ann", None), JOIN)).last().unwrap();
    assert_eq!(before.len(), 1);
    assert_eq!((shard.mesh_counts().0, shard.memory().presence), (2 * 9, 0));
    assert_eq!(asked(&mut shard).unwrap(), "1 1 [ann*9null]");
    assert!(shard.memory().presence > 0 && shard.stats().presence_rooms == 1);
    at(&mut shard, 10_999);
    assert_eq!(shard.stats().presence_rooms, 1, "it may be asked again");
    at(&mut shard, 11_000);
    assert_eq!((shard.stats().presence_rooms, shard.stats().presence_users), (0, 0));
    let counters = shard.counters().presence;
    assert_eq!((counters.censuses, counters.states, counters.changes), (1, 1, 0));
}

#[test]
fn a_connection_that_goes_while_it_waits_was_never_there() {
    let mut shard = presence_shard(|_| ());
    enter(&mut shard, known("ann", None), WATCH);
    enter(&mut shard, known("ben", None), JOIN);
    let (cat, said) = enter(&mut shard, known("cat", None), WATCH);
    assert!(said.is_empty(), "joins are gathered");
    shard.close(cat, Disconnect::Kicked);
    told(&mut shard);
    assert_eq!(changes(&at(&mut shard, 1_500)), ["3 2 [+ben]"]);
    let Answer::Room(Some(info)) = shard.answer(Query::Room(room())) else { panic!("it is there") };
    assert_eq!(info.members, 2);
}

#[test]
fn large_changes_are_shared_by_all_that_are_told() {
    let mut shard = presence_shard(|config| config.limits.own_bytes = 1 << 20);
    (0..100)
        .for_each(|user| drop(enter(&mut shard, known(&format!("watcher-{user}"), None), WATCH)));
    at(&mut shard, 60_000);
    let before = shard.stats().presence_watchers;
    assert_eq!(before, 100);
    let info = format!("\"{}\"", "x".repeat(1_000));
    for user in 0..100 {
        enter(&mut shard, known(&format!("user-{user}"), Some(&info)), JOIN);
    }
    shard.on_time(Time::default() + Duration::from_millis(60_500));
    take_loopback(&mut shard);
    shard.begin_quantum();
    let memory = shard.memory();
    assert!(memory.direct < 100 * 1_000, "{memory:?}: 100 frames of 100 KB wait");
    assert!(memory.logs > 100_000, "{memory:?}");
    shard.check();
    assert_eq!(changes(&told(&mut shard)).len(), 100);
    assert!(shard.memory().logs < 100_000);
}

#[test]
fn while_memory_is_short_nobody_finds_out_who_is_there() {
    const LIMIT: usize = 1 << 30;
    let limits = Limits { memory_bytes: LIMIT, ..Limits::default() };
    let mut shard = presence_shard(|config| config.limits = limits);
    let (ann, _) = enter(&mut shard, known("ann", None), JOIN);
    let bytes = LIMIT / 100 * 71;
    shard.on_others_memory(OthersMemory { bytes, ..OthersMemory::default() });
    at(&mut shard, 1_001);
    receive(&mut shard, ann, Opcode::Text, ASK);
    let said = told(&mut shard);
    assert_eq!((&said[0]["data"]["code"], &said[0]["id"]), (&"overloaded".into(), &5.into()));
    let (ben, said) = enter(&mut shard, known("ben", None), WATCH);
    assert_eq!(said[0]["data"]["code"], "overloaded", "{said:?}");
    receive(&mut shard, ben, Opcode::Text, JOIN);
    assert_eq!(told(&mut shard)[0]["event"], "cast:joined");
    shard.on_others_memory(OthersMemory::default());
    at(&mut shard, 1_002);
    receive(&mut shard, ben, Opcode::Text, ASK);
    assert_eq!(state(&told(&mut shard)[0]["data"]), "1 2 [ann*1null ben*1null]");
    assert_eq!(shard.counters().presence.refused, 2);
}
