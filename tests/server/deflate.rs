//! Proves permessage-deflate (RFC 7692): which offers are agreed to, that members with and without it
//! read the same messages in the same order, that each message is compressed once, and that nothing
//! which a client compresses costs anybody else anything.

use crate::browser::Browser;
use crate::independent_clients::{Process, clients, installed};
use crate::support::frames::{CONTINUATION, FIN, PING, TEXT, frame};
use crate::support::{Client, Raw, Server, upgrade_head, wait_until};
use serde_json::{Value, json};
use std::process::Command;

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
const RSV1: u8 = 0x40;

/// What the server answers to these header lines about extensions.
fn answer(server: &Server, lines: &str) -> Option<String> {
    let mut raw = Raw::dial(server.address());
    raw.write(upgrade_head(lines).as_bytes());
    let response = raw.expect_upgraded();
    response.header("sec-websocket-extensions").map(str::to_owned)
}

fn open(server: &Server) -> Raw {
    Raw::try_open(server, "/ws", OFFER).expect("it opens")
}

/// Bytes that Python's zlib makes: `z` compresses one message as RFC 7692 section 7.2.1 says.
fn python(expression: &str) -> Vec<u8> {
    let script = format!(
        "import sys, zlib\n\
         def z(message, bits=15, level=9):\n\
         \x20   c = zlib.compressobj(level, wbits=-bits)\n\
         \x20   return (c.compress(message) + c.flush(zlib.Z_SYNC_FLUSH))[:-4]\n\
         sys.stdout.write(({expression}).hex())"
    );
    let output = Command::new(installed("venv/bin/python")).args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let digits = output.stdout.chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// Figures of `deflate` in `/v1/stats`, over all shards.
fn deflate(server: &Server, figure: &str) -> u64 {
    let stats = server.stats();
    let shards = stats["shards"].as_array().unwrap();
    shards.iter().map(|shard| shard["deflate"][figure].as_u64().unwrap()).sum()
}

/// RFC 7692 sections 5.1 and 7.1.
#[test]
fn the_answer_says_what_is_agreed_to_and_nothing_else() {
    let server = Server::start(&[]);
    let always = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let with = |more: &str| Some(format!("{always}{more}"));
    let rows = [
        ("permessage-deflate", with("")),
        ("permessage-deflate; client_max_window_bits", with("")),
        ("permessage-deflate; server_max_window_bits=10", with("; server_max_window_bits=10")),
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", with("")),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; client_max_window_bits=16", None),
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
        ("x-webkit-deflate-frame", None),
    ];
    for (offer, expected) in rows {
        let lines = format!("Sec-WebSocket-Extensions: {offer}\r\n");
        assert_eq!(answer(&server, &lines), expected, "{offer}");
    }
    let two = "Sec-WebSocket-Extensions: permessage-deflate; unknown\r\n\
               sec-websocket-extensions: permessage-deflate\r\n";
    assert_eq!(answer(&server, two), with(""), "fields are one list");
    assert_eq!(answer(&server, ""), None, "what was not offered");
}

#[test]
fn it_can_be_switched_off() {
    let server = Server::start(&["--deflate", "off"]);
    assert_eq!(answer(&server, OFFER), None);
    let mut raw = open(&server);
    raw.write(&frame(FIN | RSV1 | TEXT, &python(r#"z(b'{"event":"cast:ping"}')"#)));
    assert_eq!(raw.expect_close().code, 1002);
}

/// Reads messages up to the event "end", and digests them as the scripts do.
fn read_all(member: &mut Client) -> (usize, Vec<String>) {
    let mut texts = Vec::new();
    loop {
        let message = member.next_message();
        let text = message.into_text().expect("a text").to_string();
        let value: Value = serde_json::from_str(&text).expect("JSON");
        texts.push(text);
        if value["event"] == "end" {
            return (texts.len(), texts);
        }
    }
}

/// JSON of this many bytes that is no mere repetition.
fn rows(bytes: usize) -> Value {
    let row =
        |n: usize| json!({"id": n, "price": n * 7919 % 10_007, "side": (["buy", "sell"][n % 2])});
    let each = row(12_345).to_string().len();
    json!({"rows": (0..bytes / each).map(row).collect::<Vec<_>>()})
}

#[test]
fn members_of_every_kind_read_the_same_messages_in_the_same_order() {
    let server = Server::start_with_shards(2, &[]);
    let url = format!("ws://{}/ws", server.address());
    let mut plain = Client::connect(&server);
    plain.join("compressed");
    let mut python = Process::start(
        Command::new(installed("venv/bin/python"))
            .args([clients("compressed.py").as_os_str(), url.as_ref()]),
    );
    let mut node = Process::start(
        Command::new("node")
            .env("NODE_PATH", installed("node/node_modules/ws").parent().unwrap())
            .args([clients("compressed.mjs").as_os_str(), url.as_ref()]),
    );
    let joined = |process: &mut Process| -> usize {
        let line = process.read_line();
        let count = line.strip_prefix("joined ").unwrap_or_else(|| panic!("{line:?}"));
        count.parse().unwrap()
    };
    let (pythons, nodes) = (joined(&mut python), joined(&mut node));
    let mut publisher = Client::connect(&server);
    publisher.publish("compressed", "go", json!({}));
    for bytes in [0, 100, 250, 300, 500, 520, 1_000, 4_000, 16_000, 20_000, 60_000, 70_000, 200_000]
    {
        publisher.publish("compressed", "chat", rows(bytes));
    }
    wait_until("each has published", || {
        server.total("published") == (1 + 13 + pythons + nodes) as u64
    });
    publisher.publish("compressed", "end", json!({}));
    let (count, texts) = read_all(&mut plain);
    assert_eq!(count, 2 + 13 + pythons + nodes);
    let digest = python_digest(&texts);
    for (process, members) in [(&mut python, pythons), (&mut node, nodes)] {
        for _ in 0..members {
            let line = process.read_line();
            assert!(line.ends_with(&format!(": {count} {digest}")), "{line} and not {digest}");
        }
        process.assert_success("a reader");
    }
    assert!(deflate(&server, "messages") > 0 && deflate(&server, "inflated_messages") > 0);
    let (before, after) = (deflate(&server, "bytes_before"), deflate(&server, "bytes_after"));
    assert!(after < before / 2, "{after} of {before} bytes");
}

/// Chromium offers `client_max_window_bits`, and compresses what it says.
#[test]
fn chromium_reads_and_says_compressed_messages() {
    let server = Server::start(&[]);
    let at = server.address();
    let mut browser = Browser::start();
    let page = browser.open(&format!("http://{at}/healthz"));
    browser.wait(&page, &format!("location.href == 'http://{at}/healthz'"));
    let script = format!(
        "said = []; say = command => socket.send(JSON.stringify(command));
         socket = new WebSocket('ws://{at}/ws');
         socket.onopen = () => say({{event: 'cast:join', room: 'r'}});
         socket.onmessage = message => said.push(message.data); true"
    );
    assert_eq!(browser.evaluate(&page, &script), true);
    browser.wait(&page, "said.some(text => text.includes('cast:joined'))");
    let agreed = browser.evaluate(&page, "socket.extensions");
    assert!(agreed.as_str().unwrap().starts_with("permessage-deflate"), "{agreed}");
    let mut plain = Client::connect(&server);
    plain.join("r");
    let mut publisher = Client::connect(&server);
    for bytes in [100, 1_000, 20_000, 100_000] {
        publisher.publish("r", "m", rows(bytes));
    }
    let command = "say({event: 'cast:publish', room: 'r',
                        data: {event: 'end', data: 'Grüße 🦀 '.repeat(1000)}}); true";
    assert_eq!(browser.evaluate(&page, command), true);
    let (count, texts) = read_all(&mut plain);
    assert_eq!(count, 5);
    browser.wait(&page, "said.some(text => text.includes('\"end\"'))");
    let same = "said.filter(text => text.includes('offset') && !text.includes('cast:'))";
    assert_eq!(browser.evaluate(&page, same), json!(texts));
    assert_eq!((deflate(&server, "messages"), deflate(&server, "inflated_messages")), (3, 2));
}

/// The digest of these texts, one after the other.
fn python_digest(texts: &[String]) -> String {
    use std::io::Write;
    use std::process::Stdio;
    let script = "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())";
    let mut child = Command::new(installed("venv/bin/python"))
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(texts.concat().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_message_is_compressed_once_whatever_the_number_of_members_and_shards() {
    let server = Server::start_with_shards(2, &[]);
    let mut members: Vec<Raw> = (0..20).map(|_| open(&server)).collect();
    for member in &mut members {
        assert_eq!(member.outcome("cast:join", "r"), "cast:joined");
    }
    let mut publisher = Client::connect(&server);
    for n in 1..=10 {
        publisher.publish("r", "m", rows(1_000));
        assert_eq!(deflate(&server, "messages"), n);
    }
    publisher.publish("elsewhere", "m", rows(1_000));
    publisher.broadcast("m", rows(1_000));
    assert_eq!(deflate(&server, "messages"), 10, "where no member needs it, nothing is compressed");
}

/// Where a secret stands beside what an attacker has chosen.
#[test]
fn it_can_be_switched_off_for_rooms() {
    let server = Server::start(&["--room", "secret.*:deflate=off"]);
    let mut member = open(&server);
    for room in ["secret.a", "news"] {
        assert_eq!(member.outcome("cast:join", room), "cast:joined");
    }
    let mut publisher = Client::connect(&server);
    publisher.publish("secret.a", "m", rows(2_000));
    assert_eq!(member.envelope().room(), "secret.a");
    assert_eq!(deflate(&server, "messages"), 0);
    publisher.publish("news", "m", rows(2_000));
    assert_eq!(deflate(&server, "messages"), 1);
}

#[test]
fn the_least_size_can_be_chosen() {
    let server = Server::start(&["--deflate-min", "4KiB"]);
    let mut member = open(&server);
    assert_eq!(member.outcome("cast:join", "r"), "cast:joined");
    let mut publisher = Client::connect(&server);
    publisher.publish("r", "m", rows(2_000));
    assert_eq!(member.envelope().event(), "m", "it comes as it is");
    publisher.publish("r", "m", rows(8_000));
    assert_eq!(deflate(&server, "messages"), 1);
}

/// What does not become smaller leaves a compressor as it was, however much of it there is.
#[test]
fn noise_is_published_as_it_is_for_ever() {
    let server = Server::start(&["--max-message", "1MiB"]);
    let mut member = open(&server);
    assert_eq!(member.outcome("cast:join", "r"), "cast:joined");
    let mut publisher = Client::connect(&server);
    let mut state = 1_u32;
    let mut noise = |len: usize| -> Value {
        let letter = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'0' + (state >> 26) as u8)
        };
        std::iter::repeat_with(letter).take(len).collect::<String>().into()
    };
    for n in 0..100 {
        for len in [300 + 17 * n, 60_000] {
            publisher.publish("r", "m", noise(len));
            assert_eq!(member.envelope().event(), "m");
        }
    }
    assert_eq!((deflate(&server, "messages"), deflate(&server, "not_worth")), (0, 200));
    publisher.publish("r", "m", rows(60_000));
    assert_eq!(deflate(&server, "messages"), 1);
}

/// RFC 7692 sections 6.1 and 7.2.2.
#[test]
fn what_is_compressed_wrongly_ends_its_connection_and_no_other() {
    let server = Server::start(&[]);
    let ping = python(r#"z(b'{"event":"cast:ping","id":1}')"#);
    let cut = &ping[..ping.len() / 2];
    let rows: [(&str, u16, Vec<u8>); 9] = [
        ("RSV1 on a ping", 1002, frame(FIN | RSV1 | PING, b"")),
        ("RSV1 on a continuation", 1002, {
            [frame(RSV1 | TEXT, &ping[..4]), frame(FIN | RSV1 | CONTINUATION, &ping[4..])].concat()
        }),
        ("RSV1 and RSV2", 1002, frame(FIN | 0x60 | TEXT, &ping)),
        ("a block of a type that there is not", 1007, frame(FIN | RSV1 | TEXT, &[0x07; 8])),
        ("a message that is cut", 1007, frame(FIN | RSV1 | TEXT, cut)),
        ("bytes behind the message", 1007, {
            frame(FIN | RSV1 | TEXT, &[&ping[..], b"more"].concat())
        }),
        ("no UTF-8", 1007, frame(FIN | RSV1 | TEXT, &python(r"z(b'{\xff}')"))),
        ("a byte too many", 1009, frame(FIN | RSV1 | TEXT, &python("z(b' ' * 262145)"))),
        ("a thousand bytes for each one", 1009, {
            frame(FIN | RSV1 | TEXT, &python("z(bytes(100 << 20))"))
        }),
    ];
    let mut witness = open(&server);
    for (what, code, bytes) in rows {
        let mut raw = open(&server);
        raw.write(&bytes);
        let close = raw.expect_close();
        assert_eq!(close.code, code, "{what}: {close:?}");
        witness.write(&frame(FIN | RSV1 | TEXT, &ping));
        assert_eq!(witness.envelope().event(), "cast:pong", "{what} hurts no other");
    }
    assert_eq!(deflate(&server, "inflate_refused"), 5);
    assert_eq!(server.closed("bad_deflate"), 3);
}

#[test]
fn the_limit_is_that_of_the_message_and_not_of_its_compressed_bytes() {
    let server = Server::start(&[]);
    let mut raw = open(&server);
    let exact = python(r#"z(b'{"event":"cast:ping","id":1}'.ljust(262144))"#);
    assert!(exact.len() < 1_000);
    raw.write(&frame(FIN | RSV1 | TEXT, &exact));
    assert_eq!(raw.envelope().event(), "cast:pong");
    // In fragments, with the flag in the first one, and a control frame between.
    let (first, second) = exact.split_at(100);
    raw.write(&[frame(RSV1 | TEXT, first), frame(FIN | CONTINUATION, second)].concat());
    assert_eq!(raw.envelope().event(), "cast:pong");
    raw.send_text(r#"{"event":"cast:ping"}"#);
    assert_eq!(raw.envelope().event(), "cast:pong", "and what is not compressed");
    // An empty message (RFC 7692 section 7.2.3.6), and one without any byte at all, are no envelopes.
    for empty in [&[0x00][..], &[]] {
        raw.write(&frame(FIN | RSV1 | TEXT, empty));
        assert_eq!(raw.envelope().data()["code"], "bad_envelope");
    }
}

/// Whitespace that costs its sender 260 bytes and the server a quarter of a megabyte, as fast as it goes.
#[test]
fn small_messages_that_become_large_hold_up_no_other_client_and_no_memory() {
    let server = Server::start_with_shards(1, &["--max-bytes-per-second", "8MiB"]);
    let bomb = python(r#"z(b'{"event":"cast:ping"}'.ljust(262144))"#);
    let mut attacker = open(&server);
    let mut witness = open(&server);
    let before = server.resident_bytes();
    let bytes = frame(FIN | RSV1 | TEXT, &bomb).repeat(1_000);
    attacker.write(&bytes);
    for _ in 0..20 {
        witness.send_text(r#"{"event":"cast:ping","id":1}"#);
        assert_eq!(witness.envelope().event(), "cast:pong");
    }
    wait_until("what it sends counts as what it becomes", || server.closed("rate") == 1);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
}

/// From many connections at once: what is too large, what is just not, and what is long and holds nothing.
#[test]
fn many_bombs_cost_their_senders_and_no_other_client() {
    const EACH: usize = 20;
    let server = Server::start_with_shards(1, &["--memory-limit", "64MiB"]);
    let too_large = frame(FIN | RSV1 | TEXT, &python("z(bytes(100 << 20))"));
    let ping = python(r#"z(b'{"event":"cast:ping"}'.ljust(262144))"#);
    let largest = frame(FIN | RSV1 | TEXT, &ping).repeat(10);
    let empty = frame(FIN | RSV1 | TEXT, &python(r"b'\x03\x00' * 100_000"));
    let mut reader = Client::connect(&server);
    reader.join("r");
    let (mut talker, small) = (open(&server), python(r#"z(b'{"event":"cast:ping"}')"#));
    let before = server.resident_bytes();
    let mut attackers: Vec<Raw> = (0..3 * EACH).map(|_| open(&server)).collect();
    for (attacker, bytes) in attackers.iter_mut().zip([&too_large, &largest, &empty].iter().cycle())
    {
        attacker.write(bytes);
    }
    let mut publisher = Client::connect(&server);
    for n in 1..=20 {
        publisher.publish("r", "m", rows(1_000));
        let text = reader.next_message().into_text().expect("a text").to_string();
        let message: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&message["event"], &message["offset"]), (&json!("m"), &json!(n)));
        talker.write(&frame(FIN | RSV1 | TEXT, &small));
        assert_eq!(talker.envelope().event(), "cast:pong");
    }
    for (n, attacker) in attackers.iter_mut().enumerate() {
        match n % 3 {
            0 | 2 => assert_eq!(attacker.expect_close().code, 1009),
            _ => (0..10).for_each(|_| assert_eq!(attacker.envelope().event(), "cast:pong")),
        }
    }
    assert_eq!(server.closed("too_big"), 2 * EACH as u64);
    assert_eq!(deflate(&server, "inflate_refused"), 2 * EACH as u64);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes more");
}
