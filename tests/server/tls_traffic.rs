//! Proves that everything works over TLS as without, that nothing is lost where sockets block in the
//! middle of a record, and how such a connection ends.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::frames::{self, CLOSE};
use crate::support::tls::{Certificates, TlsStream, Tunnel, start};
use crate::support::{
    Client, Crowd, Envelope, Events, LOAD_PATIENCE, Member, Outbox, Raw, Said, Server, heavy, http,
    upgrade_head, wait_until,
};

/// A figure of the shards' threads, summed.
fn total(tunnel: &Tunnel, figure: &str) -> u64 {
    let stats = http(tunnel.address(), "GET", "/v1/stats", &[], "").json();
    let shards = stats["shards"].as_array().unwrap().clone();
    shards.iter().map(|shard| shard["runtime"][figure].as_u64().unwrap()).sum()
}

fn closed(tunnel: &Tunnel, variant: &str) -> u64 {
    let stats = http(tunnel.address(), "GET", "/v1/stats", &[], "").json();
    let shards = stats["shards"].as_array().unwrap().clone();
    shards.iter().map(|shard| shard["closed"][variant].as_u64().unwrap_or(0)).sum()
}

#[test]
fn connections_requests_and_event_streams_are_served() {
    let (server, pair, _files) = start(&[]);
    let tunnel = Tunnel::to(&server, &pair.client());
    let mut member = Client::connect(&tunnel);
    member.join("r");
    let mut stream = Events::join(tunnel.address(), "r");
    let body = r#"{"event":"e","data":[1]}"#;
    let answer = http(tunnel.address(), "POST", "/v1/rooms/r/publish", &[], body);
    assert_eq!((answer.status, answer.json()["offset"].as_u64()), (202, Some(1)));
    member.expect(json!({"event": "e", "data": [1], "room": "r", "offset": 1}));
    let event = loop {
        if let Said::Event(event) = stream.said() {
            break event;
        }
    };
    assert!(event.data.contains(r#""offset":1"#), "{event:?}");
    assert_eq!(member.publish("r", "e", json!(2)), 2);
    // Several requests over one connection, the last of which is a handshake.
    let mut raw = Raw::dial(tunnel.address());
    for _ in 0..3 {
        raw.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(raw.response().status, 200);
    }
    raw.write(upgrade_head("").as_bytes());
    raw.expect_upgraded();
    assert_eq!(raw.envelope().event(), "cast:welcome");
    // An answer of several records, and a request of several.
    let names: Vec<Client> = (0..8)
        .map(|nth| {
            let mut client = Client::connect(&tunnel);
            (0..100).for_each(|n| drop(client.join(&format!("{nth}-{n}-{}", "x".repeat(150)))));
            client
        })
        .collect();
    let rooms = http(tunnel.address(), "GET", "/v1/rooms?limit=1000", &[], "");
    assert_eq!(rooms.json()["rooms"].as_array().unwrap().len(), 100 * names.len() + 1);
    let large = json!({"event": "e", "data": "y".repeat(200_000)}).to_string();
    let answer = http(tunnel.address(), "POST", "/v1/rooms/other/publish", &[], &large);
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// A member that must be sent every message, whole and once.
#[derive(Debug)]
struct Listener {
    next: u64,
}

const MESSAGES: u64 = 60;

/// The data of the message with this offset: from a few bytes up to the size of several records.
fn data(offset: u64) -> String {
    let sizes = [3, 100, 16_300, 1_000, 16_384, 40_000, 7, 66_000];
    let size = sizes[offset as usize % sizes.len()];
    let letter = char::from(b'a' + (offset % 26) as u8);
    letter.to_string().repeat(size)
}

impl Member for Listener {
    fn on_welcome(&mut self, _: &Envelope, out: &mut Outbox) {
        out.send(r#"{"event":"cast:join","room":"r"}"#);
    }

    fn on_message(&mut self, text: &str, _: &mut Outbox) {
        let envelope = Envelope::parse(text);
        if envelope.event() == "cast:joined" {
            assert_eq!(envelope.data_number("offset"), 0);
            return self.next = 1;
        }
        assert_eq!((envelope.event().as_str(), envelope.offset()), ("m", self.next));
        assert!(envelope.data() == json!(data(self.next)), "offset {} is not whole", self.next);
        self.next += 1;
    }

    fn is_done(&self) -> bool {
        self.next > MESSAGES
    }
}

/// Receive buffers of a few kilobytes cut records of every size anywhere.
#[test]
fn clients_that_read_in_small_pieces_get_every_message_whole() {
    const CLIENTS: usize = 300;
    let _heavy = heavy();
    let (server, pair, _files) = start(&["--send-buffer", "8KiB", "--slow-timeout", "60s"]);
    let (narrow, wide) =
        (Tunnel::narrow(&server, &pair.client()), Tunnel::to(&server, &pair.client()));
    let members = (0..CLIENTS).map(|_| Listener { next: 0 });
    let mut crowd = Crowd::connect(narrow.address(), members);
    crowd.run_until(|crowd| crowd.members().all(|member| member.next == 1));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = Client::connect(&wide);
            for offset in 1..=MESSAGES {
                assert_eq!(publisher.publish("r", "m", json!(data(offset))), offset);
            }
        });
        crowd.run();
    });
    assert_eq!(closed(&wide, "slow"), 0);
    wait_until("nothing is kept any more", || total(&wide, "tls_bytes") == 0);
}

#[test]
fn a_client_that_reads_nothing_is_closed_as_slow_and_costs_no_other_anything() {
    let flags = ["--send-buffer", "8KiB", "--slow-timeout", "2s", "--ping-timeout", "60s"];
    let (server, pair, _files) = start(&flags);
    let tunnel = Tunnel::to(&server, &pair.client());
    let mut stalled = TlsStream::connect(server.address(), "localhost", &pair.client()).unwrap();
    let join = frames::text(r#"{"event":"cast:join","room":"r"}"#);
    stalled.stream().write_all(&[upgrade_head("").as_bytes(), &join].concat()).unwrap();
    let mut healthy = Client::connect(&tunnel);
    healthy.join("r");
    wait_until("both are members", || {
        let room = http(tunnel.address(), "GET", "/v1/rooms/r", &[], "");
        room.json()["members"] == 2
    });
    let large = "z".repeat(100_000);
    let begin = Instant::now();
    while closed(&tunnel, "slow") == 0 {
        assert!(begin.elapsed() < LOAD_PATIENCE, "it is never closed");
        let inner = json!({"event": "m", "data": large, "echo": true});
        healthy.request(json!({"event": "cast:publish", "room": "r", "data": inner}));
        healthy.recv_event("m");
    }
    healthy.assert_alive();
    let reset = stalled.read_to_end();
    assert!(reset.is_err() || reset.is_ok(), "whatever it reads, it ends");
    wait_until("nothing is kept any more", || total(&tunnel, "tls_bytes") == 0);
}

/// Reads frames up to the close frame, and then the end, which must have been said.
fn goodbye(stream: &mut TlsStream) -> u16 {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.stream().read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => bytes.extend_from_slice(&buffer[..len]),
            Err(error) => panic!("the end was not said: {error}"),
        }
    }
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    bytes.drain(..head);
    while let Some(frame) = frames::decode(&bytes) {
        if frame.opcode == CLOSE {
            let payload = &bytes[frame.payload.clone()];
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
        bytes.drain(..frame.payload.end);
    }
    panic!("no close frame");
}

#[test]
fn the_server_says_that_it_ends_and_behind_its_close_frame() {
    let (mut server, pair, _files) = start(&[]);
    let open = |server: &Server| {
        let mut stream = TlsStream::connect(server.address(), "localhost", &pair.client()).unwrap();
        stream.stream().write_all(upgrade_head("").as_bytes()).unwrap();
        stream
    };
    let mut closing = open(&server);
    closing.stream().write_all(&frames::close(1000, "")).unwrap();
    assert_eq!(goodbye(&mut closing), 1000);
    let mut binary = open(&server);
    binary.stream().write_all(&frames::frame(frames::FIN | frames::BINARY, b"x")).unwrap();
    assert_eq!(goodbye(&mut binary), 1003);
    let mut drained = open(&server);
    let mut first = [0; 12];
    drained.stream().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 101");
    assert!(server.terminate().success());
    assert_eq!(goodbye(&mut drained), 1001);
}

#[test]
fn a_client_ends_by_saying_so_or_by_going() {
    let (server, pair, _files) = start(&[]);
    let tunnel = Tunnel::to(&server, &pair.client());
    for says_so in [true, false] {
        let before = closed(&tunnel, "lost");
        let mut stream = TlsStream::connect(server.address(), "localhost", &pair.client()).unwrap();
        stream.stream().write_all(upgrade_head("").as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.stream().read_exact(&mut first).unwrap();
        if says_so {
            stream.tls.send_close_notify();
            stream.stream().flush().unwrap();
        } else {
            stream.socket.shutdown(Shutdown::Write).unwrap();
        }
        let mut rest = Vec::new();
        let end = stream.stream().read_to_end(&mut rest);
        assert!(end.is_ok(), "the server says its end: {end:?}");
        wait_until("it counts as lost", || closed(&tunnel, "lost") == before + 1);
    }
}

/// Sends a frame, and reads until something has come back.
fn is_answered(stream: &mut TlsStream, nth: u64) -> bool {
    let ping = frames::text(&format!(r#"{{"event":"cast:ping","id":{nth}}}"#));
    stream.stream().write_all(&ping).is_ok() && comes(stream, &format!(r#""id":{nth}"#))
}

/// Reads until this has come, or the end.
fn comes(stream: &mut TlsStream, words: &str) -> bool {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(words) {
        match stream.stream().read(&mut buffer) {
            Ok(0) => return false,
            Ok(len) => text += &String::from_utf8_lossy(&buffer[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no answer"),
            Err(_) => return false,
        }
    }
    true
}

#[test]
fn keys_are_updated_as_often_as_a_client_needs_but_not_in_a_row_for_ever() {
    let (server, pair, _files) = start(&[]);
    let open = || {
        let mut stream = TlsStream::connect(server.address(), "localhost", &pair.client()).unwrap();
        stream.stream().write_all(upgrade_head("").as_bytes()).unwrap();
        stream
    };
    let mut stream = open();
    for nth in 0..30 {
        stream.tls.refresh_traffic_keys().unwrap();
        assert!(is_answered(&mut stream, nth), "after {nth} updates");
    }
    let mut greedy = open();
    let begin = Instant::now();
    let mut updates = 0_u64;
    while greedy.tls.refresh_traffic_keys().is_ok() && is_answered(&mut greedy, updates) {
        updates += 1;
        assert!(updates < 32 + 2 * begin.elapsed().as_secs() + 20, "it may update for ever");
    }
    assert!(updates >= 32, "{updates}");
    assert!(is_answered(&mut stream, 31), "the others go on");
    // A second later there is one more.
    std::thread::sleep(Duration::from_millis(1_100));
    stream.tls.refresh_traffic_keys().unwrap();
    assert!(is_answered(&mut stream, 32));
}

/// Records that bring one byte each cost far more than their bytes. However many have come from
/// however many clients, a turn opens some thousand of them.
#[test]
fn a_turn_opens_no_more_records_than_it_has_time_for() {
    const CLIENTS: usize = 64;
    // Of what a turn may take in bytes, to which a record adds; and how far its last read goes.
    const TURN_MAX: usize = (64 << 10) + (32 << 10) / RECORD * COST;
    const RECORD: usize = 23;
    const COST: usize = RECORD + 64;
    let files = Certificates::new();
    let pair = files.pair("server", &["localhost"]);
    let mut server = Server::start_with_shards(1, &pair.flags());
    let tunnel = Tunnel::to(&server, &pair.client());
    let mut clients: Vec<TlsStream> = (0..CLIENTS)
        .map(|nth| {
            let address = server.address();
            let mut stream = TlsStream::connect(address, "localhost", &pair.client()).unwrap();
            stream.stream().write_all(upgrade_head("").as_bytes()).unwrap();
            assert!(is_answered(&mut stream, nth as u64));
            stream
        })
        .collect();
    let before = total(&tunnel, "turns");
    let text = format!(r#"{{"event":"cast:ping","id":777,"data":"{}"}}"#, "x".repeat(1900));
    let frame = frames::text(&text);
    server.signal(libc::SIGSTOP);
    let mut records = 0;
    for client in &mut clients {
        let mut sealed = Vec::new();
        for byte in &frame {
            client.tls.writer().write_all(&[*byte]).unwrap();
            client.tls.write_tls(&mut sealed).unwrap();
            records += 1;
        }
        assert!(sealed.len() >= frame.len() * RECORD);
        client.socket.write_all(&sealed).unwrap();
    }
    server.signal(libc::SIGCONT);
    for client in &mut clients {
        assert!(comes(client, r#""id":777"#));
    }
    let turns = (total(&tunnel, "turns") - before) as usize;
    assert!(turns >= records * COST / TURN_MAX, "{turns} turns for {records} records");
}
