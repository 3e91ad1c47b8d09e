//! A stream of Server-Sent Events by hand: every line is looked at (HTML Living Standard section
//! 9.2.6), and so is every chunk that it came in.

use super::raw::parse_head;
use super::{Close, Envelope, Raw, Response};
use std::net::SocketAddr;

pub(crate) struct Events {
    raw: Raw,
    head: Response,
    retry: u64,
}

/// One chunk of a stream.
#[derive(Debug)]
pub(crate) enum Said {
    Event(Event),
    Comment(String),
    Retry(u64),
}

/// One event, as a client sees it.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    /// None is an ordinary message.
    pub(crate) name: Option<String>,
    pub(crate) data: String,
}

/// The request for the events of a room, whose name is encoded, with further header lines if
/// wanted (each ended by `\r\n`).
pub(crate) fn events_head(room: &str, more: &str) -> String {
    format!("GET /v1/rooms/{room}/events HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n{more}\r\n")
}

impl Events {
    /// Asks for the events of a room. The answer says that the stream is one of its members.
    pub(crate) fn join(address: SocketAddr, room: &str) -> Self {
        Self::join_over(Raw::dial(address), room)
    }

    /// The same over a connection with a tiny receive buffer.
    pub(crate) fn join_narrow(address: SocketAddr, room: &str) -> Self {
        Self::join_over(Raw::dial_narrow(address), room)
    }

    fn join_over(mut raw: Raw, room: &str) -> Self {
        raw.write(events_head(room, "").as_bytes());
        Self::begun(raw)
    }

    /// Takes the begin of the answer to a request that was sent.
    pub(crate) fn begun(raw: Raw) -> Self {
        Self::answered(raw).unwrap_or_else(|refusal| panic!("refused with {refusal:?}"))
    }

    /// The same, or the refusal.
    pub(crate) fn answered(mut raw: Raw) -> Result<Self, Response> {
        let head = parse_head(&raw.head());
        if head.status != 200 {
            return Err(raw.complete(head));
        }
        assert_eq!(head.header("content-type"), Some("text/event-stream"), "in {head:?}");
        assert_eq!(head.header("transfer-encoding"), Some("chunked"), "in {head:?}");
        let mut events = Self { raw, head, retry: 0 };
        match events.said() {
            Said::Retry(ms) => events.retry = ms,
            other => panic!("the first chunk says after how long to come back, not {other:?}"),
        }
        Ok(events)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// After how many milliseconds it is to be asked for again.
    pub(crate) fn retry(&self) -> u64 {
        self.retry
    }

    pub(crate) fn raw(&mut self) -> &mut Raw {
        &mut self.raw
    }

    pub(crate) fn into_raw(self) -> Raw {
        self.raw
    }

    /// The id that says where a stream of several rooms is, which comes next.
    pub(crate) fn last_id(&mut self) -> String {
        let chunk = self.raw.chunk().expect("the stream goes on");
        match read(&String::from_utf8(chunk).unwrap()) {
            Said::Event(Event { id: Some(id), name: Some(name), .. }) if name == "cast:at" => id,
            other => panic!("the stream says where it is, and not {other:?}"),
        }
    }

    /// What the next chunk says that is of use to a client which stays.
    pub(crate) fn said(&mut self) -> Said {
        self.said_or_end().expect("the stream goes on")
    }

    fn said_or_end(&mut self) -> Option<Said> {
        loop {
            match read(&String::from_utf8(self.raw.chunk()?).unwrap()) {
                // As for any client, where the stream is counts for its next request alone.
                Said::Event(Event { id, name: Some(name), data }) if name == "cast:at" => {
                    assert!(id.is_some() && data.is_empty(), "{id:?} {data:?}");
                }
                said => return Some(said),
            }
        }
    }

    /// The next event; heartbeats are passed over.
    pub(crate) fn event(&mut self) -> Event {
        self.event_or_close().unwrap_or_else(|reason| panic!("ended with {reason:?}"))
    }

    /// The next message, which is an event without a name, whose id says its offset.
    pub(crate) fn envelope(&mut self) -> Envelope {
        self.event().envelope()
    }

    /// The next event, or the reason for which the stream ends. Nothing follows that.
    pub(crate) fn event_or_close(&mut self) -> Result<Event, String> {
        loop {
            match self.said() {
                Said::Event(event) => return Ok(event),
                Said::Comment(comment) if comment == "ping" => {}
                Said::Comment(reason) => {
                    let last = self.said_or_end();
                    assert!(last.is_none(), "{last:?} follows the reason {reason:?}");
                    self.raw.expect_end();
                    return Err(reason);
                }
                Said::Retry(_) => panic!("the time to come back is said once"),
            }
        }
    }

    /// The stream must end now, for this reason, which invites back.
    pub(crate) fn expect_close(&mut self, variant: &str) {
        match self.event_or_close() {
            Ok(event) => panic!("expected the end, got {event:?}"),
            Err(reason) => assert_retry(reason, variant),
        }
    }
}

/// Checks a reason that invites back.
pub(crate) fn assert_retry(reason: String, variant: &str) {
    Close { code: 0, reason }.assert_retry(0, variant);
}

impl Event {
    /// The message: the same JSON object as a member over a WebSocket receives.
    pub(crate) fn envelope(&self) -> Envelope {
        assert_eq!(self.name, None, "in {self:?}");
        let envelope = Envelope::parse(&self.data);
        assert_eq!(self.position().1, envelope.offset(), "the id is epoch and offset: {self:?}");
        envelope
    }

    /// The epoch and the offset of the event's id.
    pub(crate) fn position(&self) -> (&str, u64) {
        let id = self.id.as_deref().unwrap_or_else(|| panic!("no id in {self:?}"));
        let (epoch, offset) = id.rsplit_once('-').unwrap_or_else(|| panic!("the id is {id}"));
        (epoch, offset.parse().unwrap())
    }

    /// The first and the last offset that a gap announces.
    pub(crate) fn gap(&self, room: &str) -> (u64, u64) {
        assert_eq!(self.name.as_deref(), Some("cast:gap"), "in {self:?}");
        let gap = Envelope::parse(&self.data);
        assert_eq!((gap.event().as_str(), gap.room().as_str()), ("cast:gap", room));
        assert_eq!(gap.data()["reason"], "slow", "in {gap:?}");
        (gap.data_number("from"), gap.data_number("to"))
    }
}

/// Reads one block, which is whole.
fn read(block: &str) -> Said {
    let lines = block.strip_suffix("\n\n").unwrap_or_else(|| panic!("no block: {block:?}"));
    let field = |line: &'_ str| -> (String, String) {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("a line is {line:?}"));
        (name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned())
    };
    let (mut id, mut name, mut data) = (None, None, Vec::new());
    for (known, value) in lines.split('\n').map(field) {
        assert!(!value.contains('\r'), "a carriage return would end a line: {block:?}");
        match known.as_str() {
            "" => return Said::Comment(value),
            "retry" => return Said::Retry(value.parse().unwrap()),
            "id" => assert!(id.replace(value).is_none(), "two ids in {block:?}"),
            "event" => assert!(name.replace(value).is_none(), "two names in {block:?}"),
            "data" => data.push(value),
            _ => panic!("a line of {block:?} is unknown"),
        }
    }
    assert!(!data.is_empty(), "an event without data is none: {block:?}");
    Said::Event(Event { id, name, data: data.join("\n") })
}
