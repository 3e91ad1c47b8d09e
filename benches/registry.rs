//! What the operations of a registry cost their caller: through the crate's interface, and in a
//! `DashMap` registry. `cargo bench -p corecast-benches --bench registry`.

#![allow(missing_docs, reason = "criterion's macros make functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::hint::black_box;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use corecast::{Client, Event, HandlerResult, Message, Server};
use corecast_benches::micro::PlainRegistry;
use corecast_testkit::Client as Socket;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use serde_json::json;

/// Members of the room that is sent to.
const MEMBERS: [usize; 2] = [10, 1_000];

/// Operations of one call. What they queue for the caller stays far below its limit.
const CHUNK: u64 = 64;

/// 128 bytes of payload.
const PAYLOAD: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
                       0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Does an operation so often, and says how long it took.
async fn measure(client: Client, event: Event) -> HandlerResult {
    let (operation, count): (String, u64) = event.parse()?;
    let cast = client.broadcaster();
    let begin = Instant::now();
    for _ in 0..count {
        match &*operation {
            "connection_count" => {
                black_box(cast.connection_count());
            }
            "join_and_leave" => {
                client.join("bench").await?;
                client.leave("bench").await?;
            }
            "send" => client.try_publish(Message::event("m", PAYLOAD)?)?,
            "send_to_room" => client.to_room("crowd").try_publish(Message::event("m", PAYLOAD)?)?,
            other => return Err(format!("there is no operation {other}").into()),
        }
    }
    let nanos = u64::try_from(begin.elapsed().as_nanos())?;
    Ok(client.try_publish(Message::event("measured", nanos)?)?)
}

/// A server in this process, and the connection whose handler measures.
struct Engine {
    /// Ends when it is dropped.
    _server: Server,
    socket: Socket,
    /// Read by a thread of its own, each until the end.
    _members: Vec<TcpStream>,
}

impl Engine {
    /// With so many members of the room, the measuring connection among them.
    fn new(members: usize) -> Engine {
        let server = Server::builder().listen("127.0.0.1:0").shards(1).on("measure", measure);
        let server = server.start().unwrap();
        let address = server.local_addr();
        let join = || {
            let mut socket = Socket::connect(address);
            socket.join("crowd");
            socket
        };
        let others = (1..members).map(|_| drain(join().stream())).collect();
        Engine { _server: server, socket: join(), _members: others }
    }

    /// Measures so many operations, a chunk at a time.
    fn measure(&mut self, operation: &str, count: u64) -> Duration {
        let mut nanos = 0;
        let chunks = (0..count).step_by(CHUNK as usize);
        for done in chunks {
            let data = json!([operation, CHUNK.min(count - done)]);
            self.socket.send(&json!({"event": "measure", "data": data}));
            nanos += self.answer();
        }
        Duration::from_nanos(nanos)
    }

    fn answer(&mut self) -> u64 {
        loop {
            let message = self.socket.recv();
            match message["event"].as_str() {
                Some("measured") => return message["data"].as_u64().unwrap(),
                Some("cast:error") => panic!("{message}"),
                _ => {}
            }
        }
    }
}

/// Reads a socket until its end, in a thread of its own.
fn drain(stream: &TcpStream) -> TcpStream {
    let mut reading = stream.try_clone().unwrap();
    let small = std::thread::Builder::new().stack_size(64 << 10);
    let reader = small.spawn(move || {
        let mut buffer = [0; 16 << 10];
        while matches!(reading.read(&mut buffer), Ok(1..)) {}
    });
    drop(reader.unwrap());
    stream.try_clone().unwrap()
}

/// The same operations on a registry of as many connections, whose queues are emptied untimed.
struct Dash {
    registry: PlainRegistry,
    queues: Vec<tokio::sync::mpsc::UnboundedReceiver<std::sync::Arc<str>>>,
}

impl Dash {
    fn new(members: usize) -> Dash {
        let registry = PlainRegistry::default();
        let queues = (0..members).map(|_| {
            let (id, queue) = registry.register();
            registry.join_room(id, "crowd");
            queue
        });
        let queues = queues.collect();
        Dash { registry, queues }
    }

    fn measure(&mut self, operation: &str, count: u64) -> Duration {
        let mut total = Duration::ZERO;
        for done in (0..count).step_by(CHUNK as usize) {
            let begin = Instant::now();
            (0..CHUNK.min(count - done)).for_each(|_| self.operate(operation));
            total += begin.elapsed();
            self.queues.iter_mut().for_each(|queue| while queue.try_recv().is_ok() {});
        }
        total
    }

    fn operate(&self, operation: &str) {
        let registry = &self.registry;
        let envelope = || json!({"event": "m", "data": PAYLOAD}).to_string();
        match operation {
            "connection_count" => {
                black_box(registry.connection_count());
            }
            "join_and_leave" => {
                registry.join_room(0, "bench");
                registry.leave_room(0, "bench");
            }
            "send" => registry.send_text(0, envelope().into()),
            _ => registry.broadcast_room_text("crowd", &envelope()),
        }
    }
}

fn registry(c: &mut Criterion) {
    for operation in ["connection_count", "join_and_leave", "send", "send_to_room"] {
        let mut group = c.benchmark_group(operation);
        for members in MEMBERS {
            let mut engine = Engine::new(members);
            group.bench_function(BenchmarkId::new("corecast", members), |b| {
                b.iter_custom(|count| engine.measure(operation, count));
            });
            let mut dash = Dash::new(members);
            group.bench_function(BenchmarkId::new("DashMap", members), |b| {
                b.iter_custom(|count| dash.measure(operation, count));
            });
        }
    }
}

criterion_group!(benches, registry);
criterion_main!(benches);
