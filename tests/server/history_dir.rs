//! Proves that rooms go on where they stopped when a server is killed, whatever it was doing; and
//! that files which are not as it left them are refused, and are never believed in part.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};
use tungstenite::Message;

use crate::support::{
    Client, Dice, Events, Folder, Outcome, Raw, Server, events_head, refused, serve, serve_limited,
    wait_until,
};

/// Rooms that keep everything here.
const KEEPS: [&str; 4] =
    ["--room", "chat.*:history=100000,history-bytes=64MiB", "--history-memory", "32MiB"];

/// What the log says of a journal that is not taken up.
const REFUSED: &str = "the rooms in it begin new epochs";

fn start(shards: usize, dir: &str) -> Server {
    Server::start_with_shards(shards, &[&KEEPS[..], &["--history-dir", dir]].concat())
}

fn kill(mut server: Server) {
    server.signal(libc::SIGKILL);
    server.wait();
}

/// What clients were sent of one room: its epoch, its messages, and how far each client got.
#[derive(Clone, Default)]
struct Seen {
    epoch: String,
    messages: BTreeMap<u64, Value>,
}

impl Seen {
    fn last(&self) -> u64 {
        self.messages.last_key_value().map_or(0, |(offset, _)| *offset)
    }

    fn note(&mut self, message: &Value) {
        let offset = message["offset"].as_u64().expect("a message of a room has an offset");
        assert_eq!(offset, self.last() + 1, "no hole and no repeat");
        self.messages.insert(offset, message["data"].clone());
    }
}

/// Publishes numbers as fast as it can until the server is gone. Returns the offset of each that was
/// acked.
fn publish_until_the_end(
    server: &Server,
    room: String,
    acks: Arc<AtomicU64>,
) -> thread::JoinHandle<BTreeMap<u64, u64>> {
    let mut client = Client::connect(server);
    thread::spawn(move || {
        let (mut number, mut acked) = (0_u64, BTreeMap::new());
        loop {
            while number < acked.len() as u64 + 50 {
                let inner = json!({"event": "chat", "data": number});
                client.try_send(
                    &json!({"event": "cast:publish", "room": room, "id": number, "data": inner}),
                );
                number += 1;
            }
            let Ok(Message::Text(text)) = client.read() else { return acked };
            let reply: Value = serde_json::from_str(&text).expect("JSON");
            if reply["event"] == "cast:ack" {
                let offset = reply["data"]["offset"].as_u64().expect("an ack has an offset");
                acked.insert(reply["id"].as_u64().expect("its own"), offset);
                acks.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
}

/// Recovers what was missed, and reads until the server is gone. Returns what was seen.
fn read_until_the_end(server: &Server, room: String, mut seen: Seen) -> thread::JoinHandle<Seen> {
    let mut client = Client::connect(server);
    if seen.epoch.is_empty() {
        seen.epoch = client.join(&room).epoch;
    } else {
        let joined = client.join_since(&room, &seen.epoch, seen.last());
        assert_eq!((joined.recovered, &joined.reason), (Some(true), &None), "{room}");
        assert!(joined.offset >= seen.last(), "{room} goes on");
    }
    thread::spawn(move || {
        while let Ok(message) = client.read() {
            if let Message::Text(text) = message {
                let message: Value = serde_json::from_str(&text).expect("JSON");
                if message["event"] == "chat" {
                    seen.note(&message);
                }
            }
        }
        seen
    })
}

/// All messages of a room, by a client that saw none.
fn all_of(server: &Server, room: &str, epoch: &str) -> Seen {
    let mut client = Client::connect(server);
    let joined = client.join_since(room, epoch, 0);
    assert_eq!(joined.recovered, Some(true), "{room}: {:?}", joined.reason);
    let mut seen = Seen { epoch: epoch.to_owned(), ..Seen::default() };
    for _ in 0..joined.offset {
        let message = client.recv_event("chat");
        seen.note(&json!({"offset": message.offset(), "data": message.data()}));
    }
    seen
}

#[test]
fn what_was_acked_or_seen_is_recovered_after_a_kill_under_load_however_many_shards_come_next() {
    let folder = Folder::new();
    let rooms: Vec<String> = (0..4).map(|n| format!("chat.{n}")).collect();
    let mut members: Vec<(String, Seen)> =
        rooms.iter().flat_map(|room| [0, 1].map(|_| (room.clone(), Seen::default()))).collect();
    let mut dice = Dice::new(7);
    for shards in [2, 2, 3, 1, 2] {
        let server = start(shards, &folder.path("histories"));
        let acks = Arc::new(AtomicU64::new(0));
        let readers: Vec<_> = members
            .into_iter()
            .map(|(room, seen)| (room.clone(), read_until_the_end(&server, room, seen)))
            .collect();
        let publish = |room: &String| {
            (room.clone(), publish_until_the_end(&server, room.clone(), Arc::clone(&acks)))
        };
        let publishers: Vec<_> = rooms.iter().map(publish).collect();
        let enough = 200 + dice.roll(2_000);
        wait_until("enough was acked", || acks.load(Ordering::Relaxed) >= enough);
        kill(server);
        members =
            readers.into_iter().map(|(room, reader)| (room, reader.join().unwrap())).collect();
        let acked: Vec<_> =
            publishers.into_iter().map(|(room, it)| (room, it.join().unwrap())).collect();

        // Another server for those that look, so that the next round begins after a kill, too.
        let server = start(shards, &folder.path("histories"));
        for (room, acked) in acked {
            let of_room = || members.iter().filter(|(name, _)| *name == room);
            let epoch = &of_room().next().expect("each room has members").1.epoch;
            let all = all_of(&server, &room, epoch);
            for (number, offset) in acked {
                assert_eq!(all.messages.get(&offset), Some(&json!(number)), "acked in {room}");
            }
            for (_, seen) in of_room() {
                assert!(seen.last() <= all.last(), "{room} goes on");
                let same = seen.messages.iter().all(|(at, data)| all.messages[at] == *data);
                assert!(same, "{room} has what was seen");
            }
        }
        kill(server);
    }
}

/// Two rooms with five messages each, whose server was killed, and their epochs.
fn killed(dir: &str) -> [(String, String); 2] {
    let server = start(2, dir);
    let mut client = Client::connect(&server);
    let epochs = ["chat.a", "chat.b"].map(|room| {
        let epoch = client.join(room).epoch;
        (1..=5).for_each(|n| assert_eq!(client.publish(room, "chat", json!(n)), n));
        (room.to_owned(), epoch)
    });
    kill(server);
    epochs
}

/// Which rooms go on, each completely. Those that do not have begun another epoch.
fn going_on(server: &Server, rooms: &[(String, String)]) -> Vec<bool> {
    let goes_on = |(room, epoch): &(String, String)| {
        let mut client = Client::connect(server);
        let joined = client.join_since(room, epoch, 2);
        if joined.epoch != *epoch {
            assert_eq!((joined.recovered, joined.offset), (Some(false), 0), "{room}");
            assert_eq!(joined.reason.as_deref(), Some("epoch"), "{room}");
            assert_eq!(client.publish(room, "chat", json!("new")), 1);
            return false;
        }
        assert_eq!((joined.recovered, joined.offset), (Some(true), 5), "{room}");
        (3..=5).for_each(|n| {
            let message = client.recv_event("chat");
            assert_eq!((message.offset(), message.data()), (n, json!(n)), "{room}");
        });
        assert_eq!(client.publish(room, "chat", json!("new")), 6);
        true
    };
    rooms.iter().map(goes_on).collect()
}

fn journals(dir: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_journal = |path: &PathBuf| path.extension().is_some_and(|it| it == "journal");
    let mut journals: Vec<_> = entries.filter(is_journal).collect();
    journals.sort();
    journals
}

#[test]
fn a_server_that_was_drained_or_killed_goes_on_with_its_rooms() {
    let folder = Folder::new();
    let dir = folder.path("histories");
    let rooms = killed(&dir);
    let mut server = start(2, &dir);
    assert_eq!(server.stats()["shards"][0]["history"]["journal"]["failed"], 0);
    let room = server.get("/v1/rooms/chat.a").json();
    assert_eq!((&room["epoch"], &room["offset"]), (&json!(rooms[0].1), &json!(5)));
    assert_eq!(going_on(&server, &rooms), [true, true]);
    let terminated = server.terminate();
    assert!(terminated.success());
    let server = start(2, &dir);
    let all = all_of(&server, "chat.a", &rooms[0].1);
    assert_eq!((all.last(), &all.messages[&6]), (6, &json!("new")));
    let id = format!("Last-Event-ID: {}-4\r\n", rooms[0].1);
    let mut raw = Raw::dial((&server).into());
    raw.write(events_head("chat.a", &id).as_bytes());
    let mut events = Events::begun(raw);
    assert_eq!([events.envelope().offset(), events.envelope().offset()], [5, 6]);
}

#[test]
fn files_belong_to_the_server_alone_and_only_its_own_are_deleted() {
    let folder = Folder::new();
    let dir = folder.path("histories");
    fs::create_dir(&dir).unwrap();
    let foreign = ["notes.txt", "a.journal", "0000000000000000-x.journal"];
    foreign.iter().for_each(|name| drop(folder.write(&format!("histories/{name}"), "mine")));
    fs::write(Path::new(&dir).join("00000000000000ab-0.journal"), "left by a start").unwrap();
    let rooms = killed(&dir);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(journals(&dir).len(), 2 + 2, "one for each shard, and those of others");
    assert_eq!(mode(&Path::new(&dir).join("current")), 0o600);
    let own = |path: &&PathBuf| !foreign.iter().any(|name| path.ends_with(name));
    journals(&dir).iter().filter(own).for_each(|path| assert_eq!(mode(path), 0o600, "{path:?}"));
    let server = start(2, &dir);
    assert_eq!(going_on(&server, &rooms), [true, true]);
    for name in foreign {
        assert_eq!(fs::read(Path::new(&dir).join(name)).unwrap(), b"mine", "{name}");
    }
}

/// Damages one file of a killed server, starts the next and looks at the rooms. Those of the file must
/// not go on in part.
fn after_damage(damage: impl FnOnce(&[PathBuf])) -> (Vec<bool>, String) {
    let folder = Folder::new();
    let dir = folder.path("histories");
    let rooms = killed(&dir);
    damage(&journals(&dir));
    let server = start(2, &dir);
    let going_on = going_on(&server, &rooms);
    (going_on, server.log())
}

/// Where the records of a journal end.
fn end_of_records(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("it is not empty");
    last as u64 + 1
}

#[test]
fn a_file_that_was_cut_anywhere_is_refused() {
    let mut dice = Dice::new(3);
    for round in 0..8 {
        let (going_on, log) = after_damage(|journals| {
            for path in journals {
                let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                let (end, len) = (end_of_records(path), file.metadata().unwrap().len());
                let at = [dice.roll(end), dice.roll(len), 0, len - 1][round % 4];
                file.set_len(at).unwrap();
                if round >= 4 {
                    // As long as before, but with nothing in it from there on.
                    file.set_len(len).unwrap();
                }
            }
        });
        // What was cut behind the last record and is as long as before has lost nothing.
        assert!(round >= 4 || going_on == [false, false], "round {round}");
        assert_eq!(log.contains(REFUSED), going_on != [true, true], "{log}");
    }
}

#[test]
fn a_file_with_a_changed_byte_is_refused_or_had_nothing_there() {
    let mut dice = Dice::new(5);
    let mut refused = 0;
    for _ in 0..12 {
        let (going_on, log) = after_damage(|journals| {
            for path in journals {
                let mut bytes = fs::read(path).unwrap();
                let end = end_of_records(path);
                let place = dice.roll(end) as usize;
                // Most of the page before the records says nothing.
                let place = if dice.roll(2) == 0 { place } else { place % 80 };
                bytes[place] ^= 1 << dice.roll(8);
                // The same file, not another one in its place.
                fs::write(path, bytes).unwrap();
            }
        });
        let warned = log.matches(REFUSED).count();
        assert!(warned > 0 || going_on == [true, true], "{log}");
        refused += warned;
    }
    assert!(refused > 5, "{refused} files were refused");
}

#[test]
fn files_of_another_server_or_in_another_place_are_refused() {
    let (going_on, log) = after_damage(|journals| {
        let swapped = journals[0].with_extension("swapped");
        fs::rename(&journals[0], &swapped).unwrap();
        fs::rename(&journals[1], &journals[0]).unwrap();
        fs::rename(&swapped, &journals[1]).unwrap();
    });
    assert_eq!(going_on, [false, false], "of another shard");
    assert!(log.contains("another server's or shard's"), "{log}");
    let (going_on, log) = after_damage(|journals| {
        for path in journals {
            let bytes = fs::read(path).unwrap();
            fs::remove_file(path).unwrap();
            fs::write(path, bytes).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    });
    assert_eq!(going_on, [false, false], "copies");
    assert!(log.contains("it is a copy"), "{log}");
    let (going_on, log) = after_damage(|journals| {
        let folder = Folder::new();
        killed(&folder.path("other"));
        for (path, other) in journals.iter().zip(self::journals(&folder.path("other"))) {
            fs::rename(other, path).unwrap();
        }
    });
    assert_eq!(going_on, [false, false], "of another server");
    assert!(log.contains("another server's"), "{log}");
    let (going_on, log) = after_damage(|journals| {
        for path in journals {
            let real = path.with_extension("real");
            fs::rename(path, &real).unwrap();
            symlink(&real, path).unwrap();
        }
    });
    assert_eq!(going_on, [false, false], "links");
    assert!(log.contains("symbolic link"), "{log}");
    let (going_on, _) = after_damage(|journals| {
        fs::remove_file(&journals[0]).unwrap();
        let current = journals[0].with_file_name("current");
        fs::write(&current, fs::read_to_string(&current).unwrap().replace(' ', "  ")).unwrap();
    });
    assert_eq!(going_on, [false, false], "what names them was changed");
}

#[test]
fn a_file_that_is_cut_under_a_running_server_ends_nothing() {
    let folder = Folder::new();
    let dir = folder.path("histories");
    let server = start(2, &dir);
    let mut client = Client::connect(&server);
    let epoch = client.join("chat.a").epoch;
    (1..=5).for_each(|n| assert_eq!(client.publish("chat.a", "chat", json!(n)), n));
    for path in journals(&dir) {
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    }
    (6..=9).for_each(|n| assert_eq!(client.publish("chat.a", "chat", json!(n)), n));
    assert_eq!(all_of(&server, "chat.a", &epoch).last(), 9);
    kill(server);
    let server = start(2, &dir);
    assert_eq!(Client::connect(&server).join_since("chat.a", &epoch, 5).offset, 0);
    assert!(server.log().contains(REFUSED), "{}", server.log());
}

#[test]
fn rooms_go_on_with_what_their_policy_keeps_by_now() {
    let folder = Folder::new();
    let dir = folder.path("histories");
    let rooms = killed(&dir);
    let flags = ["--room", "chat.a:history=2", "--history-dir", &dir];
    let server = Server::start(&flags);
    let mut client = Client::connect(&server);
    let joined = client.join_since("chat.a", &rooms[0].1, 2);
    assert_eq!((joined.reason.as_deref(), joined.offset), (Some("too_old"), 5));
    assert_eq!(Client::connect(&server).join_since("chat.a", &rooms[0].1, 3).recovered, Some(true));
    let joined = client.join_since("chat.b", &rooms[1].1, 2);
    assert_eq!((joined.reason.as_deref(), joined.offset), (Some("epoch"), 0), "it keeps nothing");
}

#[test]
fn no_two_servers_share_a_directory() {
    let folder = Folder::new();
    let dir = folder.path("histories");
    let server = start(1, &dir);
    let second = || {
        let flags = ["--listen", "127.0.0.1:0", "--history-dir", &dir];
        refused(serve(&flags))
    };
    let words = ["--history-dir", "another server", "directory of its own"];
    second().assert_readable(&words);
    for entry in fs::read_dir(&dir).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    second().assert_readable(&words);
    kill(server);
    drop(start(1, &dir));
}

#[test]
fn a_start_that_fails_deletes_nothing_of_what_it_could_not_read() {
    let folder = Folder::new();
    let dir = folder.path("histories");
    let rooms = killed(&dir);
    let current = Path::new(&dir).join("current");
    let set_mode = |mode| fs::set_permissions(&current, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o660);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(serve(&["--listen", &address, "--history-dir", &dir])).assert_readable(&[&address]);
    set_mode(0o600);
    assert_eq!(going_on(&start(2, &dir), &rooms), [true, true]);
}

/// What the log says before journals go that nothing names.
const UNNAMED: &str = "no `current` file";

#[test]
fn journals_that_no_file_names_are_deleted_and_the_log_says_so() {
    let folder = Folder::new();
    let dir = folder.path("histories");
    // A start that fails takes its own files along.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(serve(&["--listen", &address, "--history-dir", &dir])).assert_readable(&[&address]);
    let first = start(2, &dir);
    assert!(!first.log().contains(UNNAMED), "{}", first.log());
    kill(first);
    let rooms = killed(&dir);
    let before = journals(&dir);
    fs::remove_file(Path::new(&dir).join("current")).unwrap();
    let server = start(2, &dir);
    assert_eq!(going_on(&server, &rooms), [false, false]);
    let log = server.log();
    assert_eq!(log.matches(UNNAMED).count(), 1, "{log}");
    let line = log.lines().find(|line| line.contains(UNNAMED)).unwrap();
    let words = [dir.as_str(), "(2)", "deleted", "their rooms begin new epochs"];
    words.iter().for_each(|word| assert!(line.contains(word), "{word} in {line}"));
    assert!(before.iter().all(|path| !path.exists()), "{before:?}");
}

/// How a start with this directory was refused.
fn refused_in(dir: &str) -> Outcome {
    refused(serve(&["--listen", "127.0.0.1:0", "--history-dir", dir]))
}

#[test]
fn a_directory_that_others_could_change_is_refused() {
    let folder = Folder::new();
    let dir = folder.path("shared");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o770)).unwrap();
    refused_in(&dir).assert_readable(&["--history-dir", "chmod go-w"]);
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let link = folder.path("link");
    symlink(&dir, &link).unwrap();
    refused_in(&link).assert_readable(&["--history-dir", "symbolic link"]);
    refused_in(&format!("{link}/")).assert_readable(&["--history-dir", "symbolic link"]);
    refused_in(&folder.write("file", "")).assert_readable(&["--history-dir", "no directory"]);
    refused_in(&folder.path("no/where")).assert_readable(&["--history-dir", "cannot be made"]);
    // Only the superuser can give files away.
    if fs::metadata(&dir).unwrap().uid() == 0 {
        chown(&dir, Some(65_534), None).unwrap();
        refused_in(&dir).assert_readable(&["--history-dir", "belongs to user 65534"]);
    }
}

#[test]
fn a_start_without_space_says_how_much_is_needed_and_keeps_what_was_there() {
    let folder = Folder::new();
    let dir = folder.path("histories");
    let rooms = killed(&dir);
    let much = ["--listen", "127.0.0.1:0", "--history-dir", &dir, "--history-memory", "1000000GiB"];
    refused(serve(&much)).assert_readable(&["no place", "--history-memory"]);
    let some = ["--listen", "127.0.0.1:0", "--history-dir", &dir, "--history-memory", "64MiB"];
    let limited = serve_limited(&some, libc::RLIMIT_FSIZE, 1 << 20, 1 << 20);
    refused(limited).assert_readable(&["no place", "ulimit -f"]);
    assert_eq!(journals(&dir).len(), 2, "those of the server before");
    let server = start(2, &dir);
    assert_eq!(going_on(&server, &rooms), [true, true]);
}
