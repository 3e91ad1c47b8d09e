//! Publishers connect beside each other, and can be interrupted while they do.

use super::support::{Running, load, signal};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use tungstenite::{Message, accept};

/// Reads up to the end of the request, which comes in one piece or several.
fn read_request(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
}

/// A server that answers nobody before so many ask, and then everybody.
fn patient(publishers: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let all = Arc::new(Barrier::new(publishers));
    thread::spawn(move || {
        for (nth, stream) in listener.incoming().enumerate() {
            let (stream, all) = (stream.unwrap(), all.clone());
            thread::spawn(move || {
                if nth < publishers {
                    all.wait();
                }
                let mut socket = accept(stream).unwrap();
                while let Ok(message) = socket.read() {
                    if let Message::Close(_) = message {
                        return;
                    }
                }
            });
        }
    });
    url
}

#[test]
fn publishers_wait_for_no_other() {
    let url = patient(6);
    let args = [&url, "-n1", "-p6", "--hello=SUB {room}", "-d100ms", "--warm-up=0s"];
    let more = ["--drain=100ms", "--connect-timeout=20s", "--lenient", "--json=-"];
    let json = load(&[&args[..], &more].concat()).json();
    assert_eq!(json["connections"]["opened"], 1, "{json}");
    assert!(json["messages"]["published"].as_u64().unwrap() > 0, "{json}");
}

/// Of several, only as many as may be in their handshake at once.
#[test]
fn publishers_in_their_handshake_are_limited() {
    let url = patient(2);
    let args = [&url, "-n1", "-p6", "--opening=2", "--hello=SUB {room}", "-d100ms"];
    let more = ["--warm-up=0s", "--drain=100ms", "--lenient", "--json=-"];
    assert_eq!(load(&[&args[..], &more].concat()).json()["connections"]["opened"], 1);
}

#[test]
fn an_interruption_is_heard_while_publishers_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let run = Running::start(&[&url, "-n1", "-p2", "--connect-timeout=1h", "--json=-"]);
    let (mut publisher, _) = listener.accept().unwrap();
    read_request(&mut publisher);
    signal("INT", &run.pid());
    let run = run.end();
    assert_eq!(run.code, 130, "{run:?}");
    assert_eq!(run.report()["messages"]["published"], 0, "{run:?}");
}

#[test]
fn a_publisher_that_is_not_answered_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let run = load(&[&url, "-n1", "-p2", "--connect-timeout=200ms"]);
    assert_eq!(run.code, 1, "{run:?}");
    let words = "publisher 0 cannot connect: the upgrade was not answered in time";
    assert!(run.errors.contains(words), "{}", run.errors);
}

/// One that has been let go while the other one of its room has not begun to connect.
#[test]
fn a_publisher_that_goes_before_the_others_have_come_is_missed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (nth, stream) in listener.incoming().enumerate() {
            let mut socket = accept(stream.unwrap()).unwrap();
            match nth {
                0 => socket.close(None).and_then(|()| socket.flush()).unwrap(),
                _ => drop(thread::spawn(move || while socket.read().is_ok() {})),
            }
        }
    });
    let args = [&url, "-n2", "--rooms=2", "-p4", "--opening=1", "--hello=SUB {room}", "--json=-"];
    let run = load(&[&args[..], &["-d200ms", "--warm-up=0s", "--drain=100ms"]].concat());
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.errors.contains("1 of the connections of publishers ended early"), "{run:?}");
    assert!(run.report()["messages"]["published"].as_u64().unwrap() > 0, "{run:?}");
}
