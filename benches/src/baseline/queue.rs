//! A connection's outbound queue, in its two variants.

use axum::extract::ws::Utf8Bytes;
use clap::ValueEnum;
use tokio::sync::mpsc;

/// Messages that wait in a bounded queue: several publishers' turns. It takes memory as it fills.
const BOUND: usize = 4096;

/// What a connection's queue does when its client reads too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Queue {
    /// It grows.
    Unbounded,
    /// It holds 4,096 messages; a connection whose queue is full is closed.
    Bounded,
}

/// The end that publishers hold.
#[derive(Debug)]
pub(super) enum Sender {
    Unbounded(mpsc::UnboundedSender<Utf8Bytes>),
    Bounded(mpsc::Sender<Utf8Bytes>),
}

/// The end that the writer task holds.
#[derive(Debug)]
pub(crate) enum Receiver {
    Unbounded(mpsc::UnboundedReceiver<Utf8Bytes>),
    Bounded(mpsc::Receiver<Utf8Bytes>),
}

/// The queue is full: its connection is too slow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

pub(super) fn channel(queue: Queue) -> (Sender, Receiver) {
    match queue {
        Queue::Unbounded => {
            let (sender, receiver) = mpsc::unbounded_channel();
            (Sender::Unbounded(sender), Receiver::Unbounded(receiver))
        }
        Queue::Bounded => {
            let (sender, receiver) = mpsc::channel(BOUND);
            (Sender::Bounded(sender), Receiver::Bounded(receiver))
        }
    }
}

impl Sender {
    /// Queues one message. A queue whose writer has gone takes everything.
    pub(super) fn send(&self, text: Utf8Bytes) -> Result<(), TooSlow> {
        match self {
            Sender::Unbounded(sender) => {
                let _ = sender.send(text);
                Ok(())
            }
            Sender::Bounded(sender) => match sender.try_send(text) {
                Err(mpsc::error::TrySendError::Full(_)) => Err(TooSlow),
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            },
        }
    }
}

impl Receiver {
    /// Waits for messages and takes up to `limit` of them; 0 when there will be none any more.
    pub(super) async fn recv_many(&mut self, batch: &mut Vec<Utf8Bytes>, limit: usize) -> usize {
        match self {
            Receiver::Unbounded(receiver) => receiver.recv_many(batch, limit).await,
            Receiver::Bounded(receiver) => receiver.recv_many(batch, limit).await,
        }
    }

    /// Waits for a message; none when there will be none any more.
    pub(super) async fn recv(&mut self) -> Option<Utf8Bytes> {
        match self {
            Receiver::Unbounded(receiver) => receiver.recv().await,
            Receiver::Bounded(receiver) => receiver.recv().await,
        }
    }

    /// Takes a message if there is one.
    pub(crate) fn try_recv(&mut self) -> Option<Utf8Bytes> {
        match self {
            Receiver::Unbounded(receiver) => receiver.try_recv().ok(),
            Receiver::Bounded(receiver) => receiver.try_recv().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bounded_queue_is_ever_full() {
        let message = Utf8Bytes::from_static("x");
        let (bounded, _receiver) = channel(Queue::Bounded);
        assert!((0..BOUND).all(|_| bounded.send(message.clone()).is_ok()));
        assert_eq!(bounded.send(message.clone()), Err(TooSlow));
        let (unbounded, _receiver) = channel(Queue::Unbounded);
        assert!((0..=BOUND).all(|_| unbounded.send(message.clone()).is_ok()));
    }
}
