//! A chat with names and rooms, and the page that goes with it.
//!
//! Start it with `cargo run --example chat`, then open <http://127.0.0.1:9002/> in two windows. An
//! address may be given as the first argument; Ctrl-C ends it.

use std::env;
use std::error::Error;
use std::time::Duration;

use corecast::{
    Claims, Client, ClientError, Disconnect, Event, HandlerResult, Handshake, HttpRequest,
    HttpResponse, Message, Method, Publication, Refusal, Server,
};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const NAME_MAX: usize = 24;
const TEXT_MAX: usize = 2_000;

/// The room that a client is in. The server knows its rooms too, but not any more when it has gone.
struct Place(String);

fn main() -> Result<(), Box<dyn Error>> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let server = Server::builder()
        .listen(env::args().nth(1).unwrap_or("127.0.0.1:9002".to_owned()))
        .route(Method::GET, "/", async |_| Ok(HttpResponse::html(include_str!("chat/index.html"))))
        .route(Method::GET, "/style.css", async |_| {
            Ok(HttpResponse::new("text/css", include_str!("chat/style.css")))
        })
        .route(Method::GET, "/script.js", async |_| {
            Ok(HttpResponse::new("text/javascript", include_str!("chat/script.js")))
        })
        .route(Method::POST, "/name", explain_name)
        .authorize(async |handshake: Handshake| {
            let name = handshake.query_parameter("name").unwrap_or_default();
            check_name(&name).map_err(|(status, why)| Refusal::new(status, why))?;
            Ok(Claims::for_subject(name.trim()))
        })
        .authorize_join(async |_: Client, _: String| Err(by_event_only()))
        .authorize_publish(sign)
        .authorize_broadcast(async |_: Client, _: Publication| Err(by_event_only()))
        .on("enter", enter)
        .on("chat", chat)
        .on_disconnect(async |client: Client, _: Disconnect| match client.state::<Place>() {
            Some(place) => tell(&client, &place.0, "left").await,
            None => Ok(()),
        })
        .start()?;
    println!("chatting on http://{}/", server.local_addr());
    signals.forever().next();
    server.shutdown(Duration::from_secs(5));
    Ok(())
}

/// Why nobody may have this name: a status, and words for the person who chose it.
fn check_name(name: &str) -> Result<(), (u16, &'static str)> {
    let name = name.trim();
    if name.is_empty() {
        return Err((401, "Please tell us your name."));
    }
    if name.chars().count() > NAME_MAX {
        return Err((400, "That name is too long: 24 characters are the most."));
    }
    if name.chars().any(char::is_control) {
        return Err((400, "That name has characters in it that nobody could see."));
    }
    Ok(())
}

/// Tells a page what it could not read in a refused handshake: browsers hide its answer.
async fn explain_name(request: HttpRequest) -> Result<HttpResponse, Box<dyn Error>> {
    Ok(match check_name(str::from_utf8(request.body())?) {
        Ok(()) => HttpResponse::json("welcome")?,
        Err((status, why)) => HttpResponse::error(status, "bad_name", why),
    })
}

/// Moves a client into a room, out of the one before.
async fn enter(client: Client, event: Event) -> HandlerResult {
    let room: String = event.parse()?;
    let before = client.state::<Place>();
    if before.as_ref().is_some_and(|before| before.0 == room) {
        return Ok(());
    }
    client.join(&room).await?;
    if let Some(before) = before {
        client.leave(&before.0).await?;
        tell(&client, &before.0, "left").await?;
    }
    tell(&client, &room, "joined").await?;
    client.set_state(Place(room));
    Ok(())
}

/// Publishes what a client says to everybody in its room. It hears itself, too, so that all of them
/// see one order.
async fn chat(client: Client, event: Event) -> HandlerResult {
    let text: String = event.parse()?;
    let place = client.state::<Place>().ok_or(ClientError::new("Enter a room first."))?;
    let said = Message::event("chat", said(&client, &text)?)?;
    client.to_room(&place.0).publish(said).await?;
    Ok(())
}

/// The same for a client that publishes by itself: what it says is said in its own room and under
/// its own name, whatever it has written there.
async fn sign(client: Client, publication: Publication) -> HandlerResult<Publication> {
    let place = client.state::<Place>();
    if place.is_none_or(|place| publication.room() != Some(&place.0)) {
        return Err(ClientError::new("Enter this room first.").into());
    }
    let data: Value = publication.parse()?;
    let said = said(&client, data["text"].as_str().unwrap_or_default())?;
    Ok(publication.with("chat", said)?)
}

/// A message with its true author.
fn said(client: &Client, text: &str) -> Result<Value, ClientError> {
    if text.trim().is_empty() || text.chars().count() > TEXT_MAX {
        return Err(ClientError::new("A message has 1 to 2,000 characters."));
    }
    let (from, name) = (client.id().to_string(), client.claims().subject());
    Ok(json!({"from": from, "name": name, "text": text}))
}

/// Rooms are entered, and left, by an event of the chat's own, so that the others are told.
fn by_event_only() -> Box<dyn Error> {
    ClientError::new("Enter a room, and speak to those who are there.").into()
}

/// Tells the others in a room what a client did.
async fn tell(client: &Client, room: &str, event: &str) -> HandlerResult {
    let message = Message::event(event, json!({"name": client.claims().subject()}))?;
    client.to_room(room).except(client.id()).publish(message).await?;
    Ok(())
}
