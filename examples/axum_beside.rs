//! An axum application beside a Corecast server, in one process: a POST to the one publishes into a
//! room of the other.
//!
//! Start it with `cargo run --example axum_beside`, join a room with any WebSocket client on
//! ws://127.0.0.1:9004/ws, `{"event":"cast:join","room":"news"}`, and publish into it:
//!
//! ```sh
//! curl --json '{"title": "Hello"}' http://127.0.0.1:9005/rooms/news/article
//! ```
//!
//! Two addresses may be given as arguments, the server's and the application's. Ctrl-C ends both.

use std::env;
use std::error::Error;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use corecast::{Broadcaster, Message, PublishError, Server};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::{signal, task, time};

/// How long a request may wait until its message has a place in its room.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let sockets = arguments.next().unwrap_or("127.0.0.1:9004".to_owned());
    let requests = arguments.next().unwrap_or("127.0.0.1:9005".to_owned());

    let server = Server::builder().listen(sockets).start()?;
    let application = Router::new()
        .route("/rooms/{room}/{event}", post(publish))
        .with_state(server.broadcaster());
    let listener = TcpListener::bind(requests).await?;
    println!("sockets on ws://{}/ws", server.local_addr());
    println!("requests on http://{}/", listener.local_addr()?);
    // The application goes on while the server says goodbye to its clients, and ends after it.
    Ok(axum::serve(listener, application).with_graceful_shutdown(end(server)).await?)
}

async fn publish(
    State(cast): State<Broadcaster>,
    Path((room, event)): Path<(String, String)>,
    Json(data): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let message = match Message::event(&event, data) {
        Ok(message) => message,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match time::timeout(PATIENCE, cast.to_room(&room).publish(message)).await {
        Ok(Ok(receipt)) => {
            let receipt = json!({"offset": receipt.offset, "members": receipt.members});
            (StatusCode::ACCEPTED, Json(receipt))
        }
        // What is wrong with the request itself is 400; what could succeed later, 503.
        Ok(Err(error @ PublishError::Room { .. })) => {
            refuse(StatusCode::BAD_REQUEST, &error.to_string())
        }
        Ok(Err(error)) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the members are too slow; try again"),
    }
}

fn refuse(status: StatusCode, reason: &str) -> (StatusCode, Json<Value>) {
    (status, Json(json!({"error": reason})))
}

/// Waits for Ctrl-C, and then until the server has ended.
async fn end(server: Server) {
    if let Err(error) = signal::ctrl_c().await {
        eprintln!("Ctrl-C cannot be heard ({error}), so this ends at once");
    }
    let shutdown = task::spawn_blocking(move || server.shutdown(Duration::from_secs(5)));
    if let Err(error) = shutdown.await {
        eprintln!("the server did not end well: {error}");
    }
}
