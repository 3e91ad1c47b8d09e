//! The files and functions that one publish runs through, counted by the compiler's own coverage.
//!
//! The server is built with `-C instrument-coverage` and counters that are mapped into a file, so
//! that they can be read while it runs. The publisher, the room's home and the only member are on
//! three different shards. What counted between a moment before the message and a moment after it
//! is the walk; closures belong to the functions that hold them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::code::Package;
use crate::fallible::Fallible;

/// The functions that ran, by file, each with its lines.
pub(crate) type Walk = BTreeMap<PathBuf, Vec<(String, usize)>>;

/// How long the server is left alone around the message.
const PAUSE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections and rooms that are tried until they are where they have to be.
const TRIES: usize = 200;

/// Lets one message pass from socket to socket and says what ran.
pub(crate) fn measure(
    root: &Path,
    packages: &[Package],
    server: &Path,
    tools: &Path,
) -> Fallible<Walk> {
    let folder = std::env::temp_dir().join(format!("corecast-figures-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = Server::start(server, &folder).and_then(|server| server.publish(&folder));
    let hit = measured.and_then(|()| {
        let before = counts(&folder, "before", server, tools)?;
        let after = counts(&folder, "after", server, tools)?;
        let ran = after.into_iter().filter(|(key, count)| before.get(key) < Some(count));
        Ok(ran.map(|((place, _), _)| place).collect())
    });
    let found = hit.and_then(|places| name(root, packages, places));
    fs::remove_dir_all(&folder)?;
    found
}

/// A server of three shards that counts what it runs.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(program: &Path, folder: &Path) -> Fallible<Self> {
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--shards", "3"])
            .env("LLVM_PROFILE_FILE", folder.join("running%c.profraw"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().ok_or("the server has no output")?;
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        let address = line.trim().strip_prefix("listening on ").map(str::parse);
        match (read, address) {
            (Ok(_), Some(Ok(address))) => Ok(Self { child, address }),
            _ => {
                child.kill()?;
                Err(format!("the server did not start: {line}").into())
            }
        }
    }

    /// Publishes one message from one shard over another one to a member on the third.
    fn publish(&self, folder: &Path) -> Fallible<()> {
        let (mut publisher, from) = self.connect(None)?;
        let (mut member, to) = self.connect(Some(from))?;
        let room = self.room_elsewhere(&mut publisher, &mut member, [from, to])?;
        sleep(PAUSE);
        self.copy(folder, "before")?;
        send(&mut publisher, publication(&room))?;
        expect(&mut member, "figures")?;
        expect(&mut publisher, "cast:ack")?;
        sleep(PAUSE);
        self.copy(folder, "after")
    }

    /// A connection that is not on the given shard.
    fn connect(&self, unlike: Option<u64>) -> Fallible<(Socket, u64)> {
        for _ in 0..TRIES {
            let stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            let url = format!("ws://{}/ws", self.address);
            let (mut socket, _) = tungstenite::client(url, stream).map_err(|e| e.to_string())?;
            let shard = expect(&mut socket, "cast:welcome")?["data"]["shard"].as_u64();
            if let Some(shard) = shard.filter(|&shard| Some(shard) != unlike) {
                return Ok((socket, shard));
            }
        }
        Err("all connections came to one shard".into())
    }

    /// A room that `member` is in, whose home is none of the given shards. One message has been
    /// published to it.
    fn room_elsewhere(
        &self,
        publisher: &mut Socket,
        member: &mut Socket,
        unlike: [u64; 2],
    ) -> Fallible<String> {
        for attempt in 0..TRIES {
            let room = format!("room-{attempt}");
            send(member, json!({"event": "cast:join", "room": room, "id": 1}))?;
            expect(member, "cast:joined")?;
            let before = self.published()?;
            send(publisher, publication(&room))?;
            expect(publisher, "cast:ack")?;
            expect(member, "figures")?;
            let after = self.published()?;
            let home = after.iter().find(|(shard, count)| before.get(shard) != Some(count));
            if home.is_some_and(|(shard, _)| !unlike.contains(shard)) {
                return Ok(room);
            }
            send(member, json!({"event": "cast:leave", "room": room, "id": 2}))?;
            expect(member, "cast:left")?;
        }
        Err("no room has its home on the third shard".into())
    }

    /// How many messages each shard has numbered, by shard.
    fn published(&self) -> Fallible<HashMap<u64, u64>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let host = self.address;
        write!(stream, "GET /v1/stats HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let body = answer.split_once("\r\n\r\n").ok_or("no statistics")?.1;
        let stats: Value = serde_json::from_str(body)?;
        let shards = stats["shards"].as_array().ok_or("no shards in the statistics")?;
        let number = |shard: &Value, name: &str| shard[name].as_u64().ok_or(name.to_owned());
        shards.iter().map(|of| Ok((number(of, "shard")?, number(of, "published")?))).collect()
    }

    /// Keeps what was counted so far.
    fn copy(&self, folder: &Path, name: &str) -> Fallible<()> {
        fs::copy(folder.join("running.profraw"), folder.join(name).with_extension("profraw"))?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Socket = WebSocket<TcpStream>;

fn publication(room: &str) -> Value {
    json!({"event": "cast:publish", "room": room, "id": 3, "data": {"event": "figures", "data": 1}})
}

fn send(socket: &mut Socket, value: Value) -> Fallible<()> {
    Ok(socket.send(Message::text(value.to_string()))?)
}

/// The next message of the given event.
fn expect(socket: &mut Socket, event: &str) -> Fallible<Value> {
    loop {
        if let Message::Text(text) = socket.read()? {
            let message: Value = serde_json::from_str(text.as_str())?;
            if message["event"] == event {
                return Ok(message);
            }
        }
    }
}

/// A place in the code: file and line.
type Place = (PathBuf, usize);

/// How often each function ran, by where it begins.
fn counts(
    folder: &Path,
    name: &str,
    server: &Path,
    tools: &Path,
) -> Fallible<HashMap<(Place, String), u64>> {
    let raw = folder.join(name).with_extension("profraw");
    let data = folder.join(name).with_extension("profdata");
    let merge = Command::new(tools.join("llvm-profdata"))
        .args(["merge", "-sparse"])
        .arg(raw)
        .arg("-o")
        .arg(&data)
        .status()?;
    let export = Command::new(tools.join("llvm-cov"))
        .args(["export", "-format=text", "-instr-profile"])
        .arg(data)
        .arg(server)
        .output()?;
    if !merge.success() || !export.status.success() {
        return Err(String::from_utf8_lossy(&export.stderr).into_owned().into());
    }
    let exported: Value = serde_json::from_slice(&export.stdout)?;
    let functions = exported["data"][0]["functions"].as_array().ok_or("no coverage")?;
    Ok(functions.iter().filter_map(count_of).collect())
}

fn count_of(function: &Value) -> Option<((Place, String), u64)> {
    let file = PathBuf::from(function["filenames"][0].as_str()?);
    let line = usize::try_from(function["regions"][0][0].as_u64()?).ok()?;
    Some((((file, line), function["name"].as_str()?.to_owned()), function["count"].as_u64()?))
}

/// The functions that hold these places, as far as they are the checkout's.
fn name(root: &Path, packages: &[Package], places: BTreeSet<Place>) -> Fallible<Walk> {
    let root = root.canonicalize()?;
    let mut found: BTreeMap<PathBuf, BTreeSet<(usize, usize, &str)>> = BTreeMap::new();
    for (path, line) in places {
        let Ok(path) = path.strip_prefix(&root) else { continue };
        let holds = |package: &Package, file: usize| package.files[file].path == path;
        for package in packages {
            let inside = package.functions.iter().filter(|function| {
                holds(package, function.file) && (function.first..=function.last).contains(&line)
            });
            // Of functions within functions, the outer one.
            if let Some(function) = inside.min_by_key(|function| function.first) {
                let names = found.entry(path.to_owned()).or_default();
                names.insert((function.first, function.last, &function.name));
            }
        }
    }
    let names = |set: BTreeSet<(usize, usize, &str)>| -> Vec<(String, usize)> {
        set.into_iter().map(|(first, last, name)| (name.to_owned(), last + 1 - first)).collect()
    };
    Ok(found.into_iter().map(|(path, set)| (path, names(set))).collect())
}
