//! A moment for the executor.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use glommio::timer::Timer;

/// While a future of the program is pending, the loop yields at least this often: for something of
/// glommio's, which only its own loop can complete.
pub(super) const YIELD_INTERVAL: Duration = Duration::from_millis(1);

/// How long the executor looks for something to do before it parks. Longer than a yield, so that a
/// yield costs no sleep.
pub(super) const SPIN_BEFORE_PARK: Duration = Duration::from_micros(100);

/// When the yielding task is called back: at once, and in case that goes wrong, later.
///
/// glommio 0.9 takes "preempted before the first task ran" for "no task wants to run" and parks,
/// with tasks in its queue (`run_task_queues`, glommio 0.9.0 src/executor/mod.rs:1323). It happens
/// when the thread loses its core for as long as the preemption timer between setting that timer
/// and looking at it. A timer that is still to come ends such a sleep.
const CALLBACKS: [Duration; 5] = [
    Duration::from_micros(5),
    Duration::from_millis(1),
    Duration::from_millis(8),
    Duration::from_millis(64),
    Duration::from_millis(512),
];

/// Lets glommio look at its rings and timers and run its other tasks, then comes back.
pub(super) async fn yield_to_executor() {
    let mut callbacks = CALLBACKS.map(Timer::new);
    poll_fn(|cx| {
        let called = callbacks.iter_mut().any(|callback| Pin::new(callback).poll(cx).is_ready());
        if called { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use futures_lite::{AsyncReadExt, AsyncWriteExt};
    use serde_json::{Value, json};

    use super::*;
    use crate::{Client, Event, Message, Server};

    /// A handler that waits for a timer, a task and a socket of glommio's, as programs that know
    /// glommio expect to.
    async fn visit_glommio(client: Client, event: Event) -> crate::HandlerResult {
        let port: u16 = event.parse()?;
        glommio::timer::sleep(Duration::from_millis(3)).await;
        let doubled = glommio::spawn_local(async move {
            glommio::timer::sleep(Duration::from_millis(3)).await;
            u32::from(port) * 2
        });
        let mut stream = glommio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"ping").await?;
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).await?;
        assert_eq!(&reply, b"pong");
        Ok(client.try_publish(Message::event("done", doubled.await)?)?)
    }

    #[test]
    fn handlers_wait_for_timers_tasks_and_sockets_of_glommio() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut ping) = (stream.unwrap(), [0; 4]);
                stream.read_exact(&mut ping).unwrap();
                stream.write_all(b"pong").unwrap();
            }
        });
        let server = Server::builder()
            .listen("127.0.0.1:0")
            .shards(1)
            .on("visit", visit_glommio)
            .start()
            .unwrap();
        let url = format!("ws://{}/ws", server.local_addr());
        let (mut socket, _) = tungstenite::connect(url).unwrap();
        let _welcome = socket.read().unwrap();
        for _ in 0..20 {
            let visit = json!({"event": "visit", "data": port}).to_string();
            socket.send(tungstenite::Message::text(visit)).unwrap();
            let reply: Value =
                serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap();
            assert_eq!(reply, json!({"event": "done", "data": u32::from(port) * 2}));
        }
        server.shutdown(Duration::from_secs(1));
    }
}
