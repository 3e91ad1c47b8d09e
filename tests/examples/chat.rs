//! The chat works in a browser: two people, rooms, hostile words, and a server that goes away.

use corecast_testkit::Client;
use serde_json::{Value, json};

use crate::browser::{Browser, Page};
use crate::member::connect;
use crate::program::Program;

/// Whether the log shows this text.
fn shows(text: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    format!("document.getElementById('log').innerText.includes({text})")
}

const CONNECTED: &str = "document.getElementById('status').dataset.state === 'connected'";

fn sign_in(browser: &mut Browser, address: &str, name: &str) -> Page {
    let page = browser.open(address);
    browser.type_into(&page, "name", name);
    browser.wait(&page, CONNECTED);
    page
}

#[test]
fn two_people_talk_in_a_browser() {
    let server = Program::start("chat", &["127.0.0.1:0"]);
    let address = server.address("chatting on ");
    let mut browser = Browser::start();

    let nobody = browser.open(&address);
    browser.type_into(&nobody, "name", " ");
    browser.wait(&nobody, "document.getElementById('refusal').innerText.includes('your name')");
    browser.type_into(&nobody, "name", &"x".repeat(25));
    browser.wait(&nobody, "document.getElementById('refusal').innerText.includes('too long')");

    let ada = sign_in(&mut browser, &address, "Ada");
    let bob = sign_in(&mut browser, &address, "Bob");
    browser.wait(&ada, &shows("Bob joined"));
    browser.type_into(&ada, "text", "hello Bob");
    browser.type_into(&bob, "text", "hello Ada");
    for page in [&ada, &bob] {
        browser.wait(page, &shows("hello Bob"));
        browser.wait(page, &shows("hello Ada"));
    }

    let hostile = "<img src=x onerror=\"document.title='broken'\">";
    browser.type_into(&ada, "text", hostile);
    browser.wait(&bob, &shows(hostile));
    assert_eq!(browser.evaluate(&bob, "document.querySelectorAll('#log img').length"), 0);
    assert_ne!(browser.evaluate(&bob, "document.title"), "broken");

    browser.type_into(&bob, "room", "attic");
    browser.wait(&bob, &shows("You are in attic"));
    browser.wait(&ada, &shows("Bob left"));
    browser.type_into(&ada, "text", "are you still here?");
    browser.wait(&ada, &shows("are you still here?"));
    browser.type_into(&bob, "text", "nobody hears me");
    browser.wait(&bob, &shows("nobody hears me"));
    assert_eq!(browser.evaluate(&bob, &shows("are you still here?")), false);
    assert_eq!(browser.evaluate(&ada, &shows("nobody hears me")), false);

    drop(server);
    browser.wait(&ada, &format!("!({CONNECTED})"));
    let host = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let server = Program::start("chat", &[&host]);
    server.address("chatting on ");
    browser.wait(&ada, CONNECTED);
    browser.wait(&bob, CONNECTED);
    browser.type_into(&bob, "room", "lobby");
    // Ada's page shows from before that Bob joined.
    browser.wait(&bob, &shows("You are in lobby"));
    browser.type_into(&ada, "text", "we are back");
    browser.wait(&bob, &shows("we are back"));
    server.interrupt();
    browser.wait(&ada, "document.getElementById('status').innerText.startsWith('Back in')");
}

/// Signs in without a browser, and enters a room.
fn enter(address: &str, name: &str, room: &str) -> Client {
    let host = address.trim_start_matches("http://").trim_end_matches('/');
    let mut socket = connect(&format!("ws://{host}/ws?name={name}"));
    socket.send(&json!({"event": "enter", "data": room}));
    assert_eq!(socket.recv()["event"], "cast:joined");
    socket
}

#[test]
fn nobody_speaks_under_another_name() {
    let server = Program::start("chat", &["127.0.0.1:0"]);
    let address = server.address("chatting on ");
    let mut bob = enter(&address, "Bob", "lobby");
    let mut eve = enter(&address, "Eve", "lobby");
    assert_eq!(bob.recv()["data"]["name"], "Eve", "she joined");

    let forged = json!({"event": "chat", "data": {"from": "x", "name": "Ada", "text": "hi"}});
    let forged_event = json!({"event": "joined", "data": {"name": "Ada", "text": "hi"}});
    for data in [forged.clone(), forged_event.clone()] {
        eve.send(&json!({"event": "cast:publish", "room": "lobby", "data": data}));
        let seen = bob.recv();
        let shown = (&seen["event"], &seen["data"]["name"], &seen["data"]["text"]);
        assert_eq!(shown, (&json!("chat"), &json!("Eve"), &json!("hi")));
        assert_ne!(seen["data"]["from"], "x");
        assert_eq!(eve.recv(), seen);
    }
    let refused: [(Value, &str); 4] = [
        (json!({"event": "cast:publish", "room": "attic", "data": forged}), "attic"),
        (json!({"event": "cast:broadcast", "data": forged}), ""),
        (json!({"event": "cast:broadcast", "data": forged_event}), ""),
        (json!({"event": "cast:join", "room": "attic"}), "attic"),
    ];
    for (mut command, room) in refused {
        command["id"] = json!(7);
        eve.send(&command);
        let error = eve.recv();
        assert_eq!((&error["id"], &error["data"]["code"]), (&json!(7), &json!("forbidden")));
        assert_eq!(error["room"].as_str().unwrap_or_default(), room, "{error}");
    }
    // What reaches Bob next is what Eve says now: nothing of all that came before.
    eve.send(&json!({"event": "chat", "data": "it is me"}));
    let seen = bob.recv();
    assert_eq!((&seen["data"]["name"], &seen["data"]["text"]), (&json!("Eve"), &json!("it is me")));
}
