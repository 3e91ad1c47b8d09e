//! One connection: a task that reads, a task that writes.

use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use clap::ValueEnum;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};

use super::queue::Receiver;
use super::registry::Registry;
use super::session::Session;

/// How a writer task sends what is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Writer {
    /// All that is there, up to 256 messages, and then one flush: few sends under load.
    Batched,
    /// One message after the other, each with a send of its own, as it is usually written.
    Plain,
}

/// What every connection needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usual {
    pub(super) registry: &'static Registry,
    pub(super) writer: Writer,
}

/// tungstenite allocates its read buffer at once, 128 KiB unless told otherwise: nearly all of
/// the memory that this design is known for. A command has some 200 bytes.
const READ_BUFFER: usize = 4 << 10;

/// Frames are put together up to this size before they are sent.
const WRITE_BUFFER: usize = 64 << 10;

/// Messages that the writer takes at once, and puts into one send if they fit.
const BATCH: usize = 256;

/// Commands that a reader handles before the other tasks get a turn. Without a pause, one
/// publisher's backlog would fill every bounded queue before any writer runs; with a pause after
/// each, no writer would ever find two messages to send at once. On one core, as many as a writer
/// takes at once delivered 4.3–5.0 M messages/s, a quarter of that 2.5–3.2 M, twice that 3.8 M.
const COMMANDS_PER_TURN: usize = BATCH;

pub(super) async fn upgrade(upgrade: WebSocketUpgrade, State(usual): State<Usual>) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .on_upgrade(move |socket| serve(socket, usual))
}

async fn serve(socket: WebSocket, Usual { registry, writer }: Usual) {
    let (mut session, queue) = Session::open(registry);
    let (sink, stream) = socket.split();
    let writer = match writer {
        Writer::Batched => tokio::spawn(write_batches(sink, queue)),
        Writer::Plain => tokio::spawn(write_plainly(sink, queue)),
    };
    read(stream, &mut session).await;
    session.close();
    writer.abort();
}

async fn write_batches(mut sink: SplitSink<WebSocket, Message>, mut queue: Receiver) {
    let mut batch: Vec<Utf8Bytes> = Vec::new();
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        for text in batch.drain(..) {
            if sink.feed(Message::Text(text)).await.is_err() {
                return;
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
}

async fn write_plainly(mut sink: SplitSink<WebSocket, Message>, mut queue: Receiver) {
    while let Some(text) = queue.recv().await {
        if sink.send(Message::Text(text)).await.is_err() {
            return;
        }
    }
}

/// Handles commands until the client goes or is evicted.
async fn read(mut stream: SplitStream<WebSocket>, session: &mut Session<'_>) {
    let connection = session.connection();
    let evicted = connection.evicted.notified();
    tokio::pin!(evicted);
    for count in 1.. {
        let message = tokio::select! {
            biased;
            () = &mut evicted => return,
            message = stream.next() => message,
        };
        match message {
            Some(Ok(Message::Text(text))) => session.handle(&text),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_) | Message::Close(_)) | Err(_)) | None => return,
        }
        if count % COMMANDS_PER_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}
