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
use corecast::{Broadcaster, PublishError, Server};
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
    let room = cast.to_room(&room);
    match time::timeout(PATIENCE, room.publish(&event, &data)).await {
        Ok(Ok(receipt)) => {
            let receipt = json!({"offset": receipt.offset, "members": receipt.members});
            (StatusCode::ACCEPTED, Json(receipt))
        }
        Ok(Err(error)) => refuse(error),
        Err(_) => refuse(PublishError::Full),
    }
}

/// What could succeed later is 503; what is wrong with the request itself, 400.
fn refuse(error: PublishError) -> (StatusCode, Json<Value>) {
    let status = match error {
        PublishError::Full | PublishError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    (status, Json(json!({"error": error.to_string()})))
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
