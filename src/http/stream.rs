//! A connection that speaks plain HTTP, as hyper wants it.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_lite::future;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::{Backend, Door, EventStream, Head, HttpError, Intake, Prepaid, Transport};
use crate::program::Caller;
use crate::values::RefusalReason;

/// A socket as hyper reads and writes it.
///
/// hyper is handed one request at a time, and the next when the answer to the last has been given
/// to the kernel. So each head is judged as that of a new connection is, and a handshake finds the
/// connection as if it were new: [`Outcome::Upgrade`].
pub(super) struct HttpStream<T: Transport> {
    transport: T,
    intake: Intake,
    exchange: Rc<ExchangeOf<T>>,
    /// Wants to read the next head when the present answer is written.
    reader: Option<Waker>,
    patience: Option<Patience<SleepOf<T>>>,
    /// Bytes that the kernel has taken.
    written: u64,
    outcome: Outcome,
}

type ExchangeOf<T> = Exchange<<<T as Transport>::Shard as Backend>::Answering>;
type SleepOf<T> = <<T as Transport>::Shard as Backend>::Sleep;

/// Why a connection serves no further request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The client has ended its side or been silent for too long, or the last answer says so.
    Ended,
    /// It is dead, or its client reads nothing.
    Lost,
    /// It was idle, and its place was wanted.
    Evicted,
    /// Its next request cannot be served.
    Refused(HttpError),
    /// Its next request is a handshake.
    Upgrade,
    /// Its last request is answered by the shard itself.
    Events(EventStream),
}

/// The request of a connection that is being answered, known to who answers it as well.
pub(super) struct Exchange<A> {
    stage: Cell<Stage>,
    /// Where the request came from.
    caller: Cell<Caller>,
    prepaid: Prepaid,
    /// Holds a shutdown back until the answer is written.
    answering: RefCell<Option<A>>,
    /// What is answered without hyper.
    events: RefCell<Option<EventStream>>,
    /// Bytes of the present request that were handed on, and of its answer. They are held, in one form
    /// or another, until the kernel has the whole answer.
    held: Cell<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Between two requests.
    #[default]
    Idle,
    /// hyper is handed a request, and has not begun to answer it.
    Handed,
    /// A request is being read or answered; the reader of the body looks at the clock.
    Busy,
    /// hyper has the whole answer.
    Answered,
}

/// When what a client does has lasted too long.
struct Patience<S> {
    with: Waiting,
    sleep: S,
    /// Bytes that the client's machine had acknowledged when this began.
    acknowledged: u64,
    /// How long it has lasted when `sleep` ends.
    lasts: Duration,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// The next request.
    Request,
    /// The rest of a head. Its time runs from its first byte, however slowly the others trickle in.
    Head,
    /// The rest of a body. What reads it looks at the clock; this is only about making way.
    Body,
    /// Room in the socket.
    Room,
}

/// How long a client may read nothing of an answer. The window of a slow reader opens in steps of
/// half its buffer, so that this has to be a good deal longer than a moment.
const STALL_MAX: Duration = Duration::from_secs(30);

/// After this part of its time a connection whose body is not there as a whole makes way for a new
/// one.
const SLOW_SHARE: u32 = 10;

/// The time is looked at in steps of this: a shutdown that begins meanwhile waits for no more than
/// one step without progress.
const STALL_STEP: Duration = Duration::from_secs(2);

/// Reads in one turn of what is discarded.
const DISCARDS_PER_TURN: usize = 16;

/// Bytes read at once: requests are small, and a body arrives in several reads.
const READ_BYTES: usize = 4096;

impl<A> Exchange<A> {
    fn new(caller: Caller, prepaid: Prepaid) -> Exchange<A> {
        let (answering, events) = (RefCell::new(None), RefCell::new(None));
        let (stage, held) = (Cell::default(), Cell::default());
        Exchange { stage, caller: Cell::new(caller), prepaid, answering, events, held }
    }

    /// Where the present request came from.
    pub(crate) fn caller(&self) -> Caller {
        self.caller.get()
    }

    /// Whether the TLS handshake of its connection was counted for its client's address.
    pub(crate) fn prepaid(&self) -> &Prepaid {
        &self.prepaid
    }

    /// A request is being answered. False when it is none that was judged.
    pub(crate) fn begin(&self, answering: A) -> bool {
        self.answering.replace(Some(answering));
        self.stage.replace(Stage::Busy) == Stage::Handed
    }

    /// Its answer is on the way into hyper, in one piece of so many bytes.
    pub(crate) fn set_answered(&self, bytes: usize) {
        self.stage.set(Stage::Answered);
        self.hold(bytes);
    }

    fn hold(&self, more: usize) {
        self.held.set(self.held.get() + more);
    }

    /// Its answer comes from the shard: hyper is done with the connection.
    pub(crate) fn leave(&self, events: EventStream) {
        self.events.replace(Some(events));
    }

    pub(crate) fn has_left(&self) -> bool {
        self.events.borrow().is_some()
    }

    /// The kernel has the whole answer. Returns whether there was one.
    fn end(&self) -> bool {
        let ended = self.stage.get() == Stage::Answered;
        if ended {
            self.stage.set(Stage::Idle);
            self.held.set(0);
            self.answering.replace(None);
        }
        ended
    }
}

impl<T: Transport> HttpStream<T> {
    /// Takes a socket over, with what was read from it.
    pub(crate) fn new(transport: T, bytes: Vec<u8>) -> HttpStream<T> {
        let exchange = Rc::new(Exchange::new(transport.caller(), transport.prepaid()));
        let stream = HttpStream {
            transport,
            intake: Intake::new(bytes),
            exchange,
            reader: None,
            patience: None,
            written: 0,
            outcome: Outcome::Ended,
        };
        stream.count_held();
        stream
    }

    fn shard(&self) -> &T::Shard {
        self.transport.shard()
    }

    /// Has what is held for it counted. To be called when that may be more or less.
    fn count_held(&self) {
        self.transport.set_held(self.intake.held() + self.exchange.held.get());
    }

    /// For what answers the requests.
    pub(crate) fn exchange(&self) -> Rc<ExchangeOf<T>> {
        Rc::clone(&self.exchange)
    }

    /// Why it ended, once hyper is done with it.
    pub(crate) fn take_outcome(&mut self) -> Outcome {
        self.exchange.answering.replace(None);
        if let Some(events) = self.exchange.events.take() {
            return Outcome::Events(events);
        }
        std::mem::replace(&mut self.outcome, Outcome::Ended)
    }

    /// Counts it among the connections of the client whose request was the last one; false when
    /// those are as many as they may be.
    pub(crate) fn claim_address(&mut self) -> bool {
        self.transport.claim_address(self.exchange.caller().client_addr)
    }

    /// The socket, and what was read from it.
    pub(crate) fn into_parts(self) -> (T, Vec<u8>) {
        (self.transport, self.intake.into_bytes())
    }

    /// Writes a last answer.
    pub(crate) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = future::poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, bytes)).await?;
            bytes = &bytes[written..];
        }
        future::poll_fn(|cx| Pin::new(&mut *self).poll_flush(cx)).await
    }

    /// Ends our side, and discards what the peer still sends until its end, so that our last
    /// answer is not torn away by a reset; for as long as the peer takes bytes of it.
    pub(crate) async fn linger(self, timeout: Duration) {
        self.transport.shutdown_write();
        let shard = self.shard().clone();
        loop {
            let acknowledged = self.acknowledged();
            let ended = shard.within(timeout, self.discard()).await;
            if ended.is_some() || self.acknowledged() == acknowledged {
                return;
            }
        }
    }

    /// Discards what arrives until the peer's end. A peer that sends as fast as it can costs each
    /// turn a few reads.
    async fn discard(&self) {
        let mut buffer = [0; READ_BYTES];
        loop {
            for _ in 0..DISCARDS_PER_TURN {
                let receive = |cx: &mut Context<'_>| self.transport.poll_receive(cx, &mut buffer);
                let received = future::poll_fn(receive).await;
                if !matches!(received, Ok(1..)) {
                    return;
                }
            }
            self.shard().next_turn().await;
        }
    }

    /// Ends a connection whose client takes nothing: what is still in the kernel for it goes, too.
    pub(crate) fn reset(self) {
        self.transport.reset_on_close();
    }

    /// Reads more into the intake; false at the end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut buffer = [0; READ_BYTES];
        let received = self.transport.poll_receive(cx, &mut buffer);
        received.map_ok(|len| {
            self.intake.push(&buffer[..len]);
            self.count_held();
            len > 0
        })
    }

    /// Waits for the next request, whose head is then in the intake; false when there is none.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.transport.set_idle(false);
        loop {
            if let Some(head) = self.judge_head() {
                return Poll::Ready(head);
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(false),
                Poll::Ready(Err(_)) => {
                    self.outcome = Outcome::Lost;
                    return Poll::Ready(false);
                }
                Poll::Pending => {
                    let is_idle = self.intake.head().is_empty();
                    if self.transport.is_evicted() {
                        self.outcome = Outcome::Evicted;
                        return Poll::Ready(false);
                    }
                    // Half a head is missed no more than none.
                    self.transport.set_idle(true);
                    let waiting = if is_idle { Waiting::Request } else { Waiting::Head };
                    std::task::ready!(self.poll_patience(cx, waiting));
                    if is_idle {
                        self.shard().rules().refusals.count(RefusalReason::KeepAlive);
                    } else {
                        self.shard().rules().refusals.count(RefusalReason::Head);
                        self.outcome = Outcome::Refused(HttpError::head_timeout());
                    }
                    return Poll::Ready(false);
                }
            }
        }
    }

    /// Looks at what has arrived of the next head. Whether it begins a request for hyper; none
    /// while that is open.
    fn judge_head(&mut self) -> Option<bool> {
        if self.intake.head().is_empty() {
            return None;
        }
        let limit = self.shard().limits().head_bytes;
        let (rules, caller) = (self.shard().rules(), self.transport.caller());
        // A handshake is judged again where it is answered.
        let door = Door { verifies: false, ..Door::open(caller.client_addr) };
        self.outcome = match Head::parse(self.intake.head(), limit, rules, door) {
            Head::Partial => return None,
            Head::Request { len, body, client_addr } => {
                self.intake.begin(len, body);
                self.exchange.caller.set(Caller { client_addr, ..caller });
                self.exchange.stage.set(Stage::Handed);
                self.patience = None;
                return Some(true);
            }
            Head::Upgrade(_) => Outcome::Upgrade,
            Head::Refused(error) => Outcome::Refused(error),
        };
        Some(false)
    }

    /// Waits for the rest of a body. After a while the connection may be ended for another's sake,
    /// but not while its answer is written.
    fn poll_slow_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.exchange.stage.get() == Stage::Answered {
            self.transport.set_idle(false);
            return Poll::Pending;
        }
        if self.transport.is_evicted() {
            self.outcome = Outcome::Evicted;
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if self.poll_patience(cx, Waiting::Body).is_ready() {
            self.patience = None;
            self.transport.set_idle(true);
        }
        Poll::Pending
    }

    /// Is ready when a client has taken too long: nothing came, and no byte of ours went.
    fn poll_patience(&mut self, cx: &mut Context<'_>, waiting: Waiting) -> Poll<()> {
        loop {
            if self.patience.as_ref().is_none_or(|patience| patience.with != waiting) {
                self.patience = Some(self.begin_waiting(waiting));
            }
            let Some(patience) = &mut self.patience else { return Poll::Pending };
            if Pin::new(&mut patience.sleep).poll(cx).is_pending() {
                return Poll::Pending;
            }
            let (before, lasted) = (patience.acknowledged, patience.lasts);
            let may_progress = matches!(waiting, Waiting::Request | Waiting::Room);
            let progress = may_progress && self.acknowledged() > before;
            if !progress && self.is_too_long(waiting, lasted) {
                return Poll::Ready(());
            }
            self.patience = (!progress).then(|| self.wait_on(waiting, lasted));
        }
    }

    fn begin_waiting(&self, with: Waiting) -> Patience<SleepOf<T>> {
        self.wait_on(with, Duration::ZERO)
    }

    fn wait_on(&self, with: Waiting, lasted: Duration) -> Patience<SleepOf<T>> {
        let time = match with {
            Waiting::Request => self.shard().limits().keep_alive_timeout,
            Waiting::Head => self.shard().limits().handshake_timeout,
            Waiting::Body => self.shard().limits().body_timeout / SLOW_SHARE,
            Waiting::Room => STALL_STEP,
        };
        let acknowledged = self.acknowledged();
        Patience { with, sleep: self.shard().sleep(time), acknowledged, lasts: lasted + time }
    }

    fn is_too_long(&self, waiting: Waiting, lasted: Duration) -> bool {
        waiting != Waiting::Room || lasted >= STALL_MAX || self.shard().is_draining()
    }

    /// The socket takes nothing now, or never again; a client that lets it wait for too long is lost.
    fn poll_room<R>(
        &mut self,
        cx: &mut Context<'_>,
        blocked: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let error = match blocked {
            Poll::Ready(Err(error)) => error,
            blocked => {
                if self.poll_patience(cx, Waiting::Room).is_pending() {
                    return blocked;
                }
                io::ErrorKind::TimedOut.into()
            }
        };
        self.outcome = Outcome::Lost;
        Poll::Ready(Err(error))
    }

    /// Bytes that have reached the client's machine.
    fn acknowledged(&self) -> u64 {
        self.written.saturating_sub(self.transport.unsent() as u64)
    }
}

impl<T: Transport> Read for HttpStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &mut *self;
        loop {
            // A request that is answered although the intake has not seen its end is the last: what
            // follows could not be judged. To hyper either is a client that has ended its side.
            if stream.exchange.stage.get() == Stage::Idle
                && !(stream.intake.is_between_requests()
                    && std::task::ready!(stream.poll_request(cx)))
            {
                return Poll::Ready(Ok(()));
            }
            let taken = stream.intake.take(cursor.remaining());
            if !taken.is_empty() {
                if !stream.intake.wants_more() {
                    stream.transport.set_idle(false);
                }
                stream.exchange.hold(taken.len());
                stream.count_held();
                cursor.put_slice(&taken);
                return Poll::Ready(Ok(()));
            }
            if !stream.intake.wants_more() {
                if stream.exchange.stage.get() == Stage::Handed {
                    // hyper sees another end of this request, or of the last. It is told that there
                    // is no more, since nothing would wake it.
                    return Poll::Ready(Ok(()));
                }
                stream.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            // To look again when the present answer is written.
            stream.reader = Some(cx.waker().clone());
            match stream.poll_more(cx) {
                Poll::Ready(more) => {
                    if !more? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Pending => return stream.poll_slow_body(cx),
            }
        }
    }
}

impl<T: Transport> Write for HttpStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.transport.poll_send(cx, bytes) {
            Poll::Ready(Ok(written)) => {
                self.written += written as u64;
                self.patience = None;
                self.count_held();
                Poll::Ready(Ok(written))
            }
            blocked => self.poll_room(cx, blocked),
        }
    }

    /// hyper asks for this when it has written all that it holds.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.transport.poll_flush(cx) {
            Poll::Ready(Ok(())) => {}
            blocked => return self.poll_room(cx, blocked),
        }
        if self.exchange.end() {
            self.count_held();
            self.reader.take().into_iter().for_each(Waker::wake);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.shutdown_write();
        Poll::Ready(Ok(()))
    }
}
