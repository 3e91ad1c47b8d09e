//! The chat works in a browser: two people, rooms, hostile words, and a server that goes away.

use crate::browser::{Browser, Page};
use crate::program::Program;

/// Whether the log shows this text.
fn shows(text: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    format!("document.getElementById('log').innerText.includes({text})")
}

const CONNECTED: &str = "document.getElementById('status').dataset.state === 'connected'";

fn sign_in(browser: &mut Browser, address: &str, name: &str) -> Page {
    let page = browser.open(address);
    browser.wait(&page, "document.readyState === 'complete'");
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
    browser.wait(&nobody, "document.readyState === 'complete'");
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
    browser.wait(&ada, &shows("Bob joined"));
    browser.type_into(&ada, "text", "we are back");
    browser.wait(&bob, &shows("we are back"));
    server.interrupt();
    browser.wait(&ada, "document.getElementById('status').innerText.startsWith('Back in')");
}
