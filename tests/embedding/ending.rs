//! Proves that a server that has ended has left nothing behind, whatever its clients and its
//! handlers were doing and whatever handles the program keeps: no thread, no descriptor, and the
//! port is free. Each test is a process of its own, because it counts what the process has.

use std::cell::RefCell;
use std::fs::{read_dir, read_link, read_to_string};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use corecast::{Broadcaster, Builder, Client, Event, Message, PublishError, Server, StartError};
use serde_json::json;

use crate::socket::{Gate, PATIENCE, Socket, builder};
use crate::support::wait_until;

/// A bound that only something that waits for ever exceeds.
const TIMEOUT: Duration = Duration::from_secs(2);

const MARK: &str = "CORECAST_TEST_ALONE";

/// Runs the rest of the calling test in a process of its own; says whether this is that process.
fn is_alone(test: &str) -> bool {
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("ending::{test}"), "--nocapture"])
        .env(MARK, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", output.status);
    false
}

/// Descriptors and threads of this process.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    threads: usize,
}

impl Held {
    fn now() -> Held {
        let names = |path| read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        let descriptors = names("/proc/self/fd").filter(|path| !is_kept_by_glommio(path)).count();
        Held { descriptors, threads: names("/proc/self/task").count() }
    }

    /// Waits until the process has no more than this: what the kernel frees behind the last handle
    /// is gone from the list a moment later.
    fn wait_to_be_all(&self) {
        let end = Instant::now() + PATIENCE;
        let is_more = |now: Held| now.descriptors > self.descriptors || now.threads > self.threads;
        while is_more(Held::now()) {
            assert!(Instant::now() < end, "{:?} instead of {self:?}", Held::now());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// glommio 0.9 never drops the header of a task, and with it one event counter per executor that
/// has ended. Unlike ours it is a blocking one.
fn is_kept_by_glommio(descriptor: &Path) -> bool {
    const NONBLOCKING: u32 = 0o4000;
    let is_counter = read_link(descriptor).is_ok_and(|to| to.as_os_str() == "anon_inode:[eventfd]");
    let info = Path::new("/proc/self/fdinfo").join(descriptor.file_name().unwrap());
    let info = read_to_string(info).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    is_counter && flags.is_some_and(|flags| flags & NONBLOCKING == 0)
}

/// Starts a server, lets `occupy` busy it, ends it with `end`, and sees that nothing is left.
fn check<T>(
    builder: impl Fn() -> Builder,
    occupy: impl FnOnce(SocketAddr) -> T,
    end: impl FnOnce(Server),
) {
    // The first start initializes what stays for the process.
    drop(builder().start().unwrap());
    let before = Held::now();
    let server = builder().shards(2).start().unwrap();
    let address = server.local_addr();
    let occupied = occupy(address);
    let begin = Instant::now();
    end(server);
    assert!(begin.elapsed() < 2 * TIMEOUT, "it took {:?}", begin.elapsed());
    let again = builder().listen(address).shards(2).start().unwrap();
    Socket::connect(address).assert_nothing_pending();
    drop(again);
    drop(occupied);
    before.wait_to_be_all();
}

fn shut_down(server: Server) {
    assert_eq!(server.shutdown(TIMEOUT).stuck, 0);
}

fn idle_http(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    stream
}

#[test]
fn an_idle_http_connection_keeps_nothing() {
    if is_alone("an_idle_http_connection_keeps_nothing") {
        check(builder, idle_http, shut_down);
    }
}

#[test]
fn a_dropped_server_stops() {
    if is_alone("a_dropped_server_stops") {
        let occupy = |address| (Socket::connect(address), idle_http(address));
        check(builder, occupy, drop);
    }
}

#[test]
fn a_server_that_ends_on_an_async_runtime_keeps_nothing() {
    if is_alone("a_server_that_ends_on_an_async_runtime_keeps_nothing") {
        check(builder, idle_http, |server| {
            let drained = futures_lite::future::block_on(server.shutdown_async(TIMEOUT));
            assert_eq!(drained.stuck, 0);
        });
    }
}

#[test]
fn a_handler_that_waits_keeps_nothing() {
    if is_alone("a_handler_that_waits_keeps_nothing") {
        let (begun, begins) = channel();
        let waits = move || {
            let begun = begun.clone();
            builder().on("wait", async move |_: Client, _: Event| {
                begun.send(())?;
                std::future::pending().await
            })
        };
        let occupy = |address| {
            let mut socket = Socket::connect(address);
            socket.send(&json!({"event": "wait"}));
            begins.recv_timeout(PATIENCE).unwrap();
            socket
        };
        check(waits, occupy, shut_down);
    }
}

#[test]
fn a_spawned_loop_keeps_nothing() {
    if is_alone("a_spawned_loop_keeps_nothing") {
        let spawns = || {
            builder().on_connect(async |client: Client| {
                let spawned = client.clone();
                client.spawn(async move {
                    loop {
                        Gate::after(Duration::from_millis(1)).await;
                        let _ = spawned.try_publish(Message::text("tick"));
                    }
                });
                Ok(())
            })
        };
        check(spawns, Socket::connect, shut_down);
    }
}

thread_local! {
    static MOVED_OUT: RefCell<Vec<Client>> = const { RefCell::new(Vec::new()) };
}

/// Calls a handle when everything around it has ended.
struct Late(Client);

impl Drop for Late {
    fn drop(&mut self) {
        assert!(!self.0.is_open() && self.0.rooms().is_empty());
        let late = || Message::text("late");
        assert!(matches!(self.0.try_publish(late()), Err(PublishError::Gone(_))));
        assert!(matches!(self.0.to_room("r").try_publish(late()), Err(PublishError::Closed(_))));
        assert!(matches!(self.0.to_all().try_publish(late()), Err(PublishError::Closed(_))));
    }
}

#[test]
fn handles_that_the_program_keeps_keep_nothing() {
    if is_alone("handles_that_the_program_keeps_keep_nothing") {
        let keeps = || {
            builder().shard_state(|| Rc::new(RefCell::new(Vec::<Client>::new()))).on_connect(
                async |client: Client| {
                    client
                        .shard_state::<Rc<RefCell<Vec<Client>>>>()
                        .borrow_mut()
                        .push(client.clone());
                    MOVED_OUT.with_borrow_mut(|clients| clients.push(client.clone()));
                    std::mem::forget(client.clone());
                    let late = Late(client.clone());
                    client.spawn(async move {
                        let _late = late;
                        std::future::pending().await
                    });
                    Ok(())
                },
            )
        };
        let occupy = |address| (0..8).map(|_| Socket::connect(address)).collect::<Vec<_>>();
        check(keeps, occupy, shut_down);
    }
}

#[test]
fn a_broadcaster_that_is_kept_keeps_nothing() {
    if is_alone("a_broadcaster_that_is_kept_keeps_nothing") {
        let mut kept: Option<Broadcaster> = None;
        check(builder, Socket::connect, |server| {
            kept = Some(server.broadcaster());
            shut_down(server);
        });
        assert!(kept.unwrap().try_publish(Message::text("late")).is_err());
    }
}

#[test]
fn a_handler_that_blocks_its_thread_delays_the_end_no_longer_than_agreed() {
    let (begun, begins) = channel();
    let (release, released) = channel::<()>();
    let released = std::sync::Arc::new(std::sync::Mutex::new(released));
    let server = builder()
        .shards(1)
        .on("block", async move |_: Client, _: Event| {
            begun.send(())?;
            Ok(released.lock().unwrap().recv()?)
        })
        .start()
        .unwrap();
    let address = server.local_addr();
    let mut socket = Socket::connect(address);
    socket.send(&json!({"event": "block"}));
    begins.recv_timeout(PATIENCE).unwrap();
    // What threads publish meanwhile waits in front of the shard, and not in front of its end.
    let cast = server.broadcaster();
    while cast.to_room("r").try_publish(Message::text("m")).is_ok() {}
    let begin = Instant::now();
    let drained = server.shutdown(Duration::from_millis(300));
    assert!(begin.elapsed() < PATIENCE, "it returns although the handler does not");
    assert_eq!((drained.cut, drained.stuck), (1, 1));
    let again = builder().listen(address).start().expect("the port is free all the same");
    release.send(()).unwrap();
    drop(again);
}

#[test]
fn a_shard_whose_state_panics_is_an_error_and_the_others_stop() {
    if is_alone("a_shard_whose_state_panics_is_an_error_and_the_others_stop") {
        drop(builder().start().unwrap());
        let before = Held::now();
        let address = Server::builder().listen("127.0.0.1:0").start().unwrap().local_addr();
        for _ in 0..3 {
            let failed = builder()
                .listen(address)
                .shards(3)
                .shard_state(|| match thread::current().name() {
                    Some("corecast-2") => panic!("no state for the third"),
                    _ => Rc::new(()),
                })
                .start();
            let Err(StartError::Program { message }) = failed else { panic!("{failed:?}") };
            assert!(message.contains("no state for the third"), "{message}");
        }
        let server = builder().listen(address).start().unwrap();
        Socket::connect(address).assert_nothing_pending();
        drop(server);
        before.wait_to_be_all();
    }
}

#[test]
fn a_destructor_that_panics_costs_nobody_else_anything() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let server = builder()
        .shards(1)
        .on_connect(async |client: Client| {
            client.set_state(Bad);
            Ok(())
        })
        .on("hold", async |_: Client, _: Event| {
            let _held = Bad;
            Ok(())
        })
        .start()
        .unwrap();
    let mut other = Socket::connect(server.local_addr());
    drop(Socket::connect(server.local_addr()));
    wait_until("it has gone", || server.broadcaster().connection_count() == 1);
    let answer = other.request(json!({"event": "hold"}));
    assert_eq!(answer["data"]["code"], "handler_failed");
    other.assert_nothing_pending();
    assert_eq!(server.shutdown(PATIENCE).stuck, 0);
}

#[test]
fn a_server_that_is_dropped_by_its_own_handler_ends() {
    let slot = std::sync::Arc::new(std::sync::Mutex::new(None::<Server>));
    let own = slot.clone();
    let server = builder()
        .shards(1)
        .on("end", async move |_: Client, _: Event| {
            drop(own.lock().unwrap().take());
            Ok(())
        })
        .start()
        .unwrap();
    let address = server.local_addr();
    *slot.lock().unwrap() = Some(server);
    Socket::connect(address).send(&json!({"event": "end"}));
    wait_until("the port is free", || builder().listen(address).start().is_ok());
}
