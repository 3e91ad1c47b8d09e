//! One client: what it sends, what its socket holds, and what the harness knows about its end.

use std::collections::VecDeque;
use std::time::Duration;

use corecast_shards::wire::{Opcode, push_client_frame};
use corecast_shards::{CallKind, ConnId, Disconnect, Format, Time, Verdict, Window};

use crate::chance::Chance;
use crate::count::Happened;
use crate::deflate;
use crate::faults::Faults;
use crate::rates::{Kind, Meter, Spoken};
use crate::rights::{Rights, Ruling};
use crate::runs;
use crate::stream::Stream;
use crate::tokens::{Known, Token};
use crate::view::View;

/// How the client's side of the stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HangUp {
    /// What it sent before still arrives.
    EndOfStream,
    /// Sends to it fail.
    Reset,
}

/// Something in its bytes that is counted when it is handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Leave(usize),
    Publish(usize),
    /// From here on the connection may end for this reason, and must.
    End(Disconnect),
}

pub(crate) struct Client {
    pub(crate) conn: ConnId,
    pub(crate) shard: usize,
    pub(crate) descriptor: usize,
    pub(crate) format: Format,
    pub(crate) view: View,
    pub(crate) rights: Rights,
    /// None if it is anonymous.
    pub(crate) known: Option<Known>,
    // Its habits.
    /// Joins the first room and stays there.
    pub(crate) resident: bool,
    pub(crate) silent: bool,
    pub(crate) stubborn: bool,
    // Towards the server.
    pub(crate) out: Vec<u8>,
    /// Bytes ever handed in, and where the marks are, counted alike.
    pub(crate) handed: usize,
    pub(crate) marks: VecDeque<(usize, Mark)>,
    /// The last frame said belongs to a message whose end is not said yet.
    in_fragments: bool,
    /// Where messages end, counted like the marks, and when the one began whose end is not handed
    /// in.
    ends: VecDeque<usize>,
    pub(crate) begun: Option<Time>,
    /// How long of the time since then it was not read.
    pub(crate) unread_for: Duration,
    /// Its shard did not want to read, and has not said that it wants to again.
    pub(crate) paused: bool,
    pub(crate) hung_up: Option<HangUp>,
    /// Its shard knows that it hung up, and may not have read up to that.
    pub(crate) hang_up_told: bool,
    pub(crate) end_told: bool,
    /// It has said its last word.
    pub(crate) doomed: bool,
    pub(crate) next_id: u64,
    /// What the program will be called for, in this order, by its number.
    pub(crate) said: VecDeque<(u64, CallKind)>,
    /// What the program will say to what it is asked, and with which data, in the same order.
    pub(crate) verdicts: VecDeque<(u64, Verdict, Option<Box<str>>)>,
    /// How fast it may speak, what it has said that is not decoded, and what is not read.
    pub(crate) meter: Option<Meter>,
    pub(crate) spoken: VecDeque<Spoken>,
    pub(crate) unread: Option<Spoken>,
    /// What the verifier will say of its tokens, in the same order; none of those that it refuses.
    pub(crate) tokens: VecDeque<Option<Token>>,
    /// When it was heard last, or would have been if it had been read.
    pub(crate) heard: Time,
    /// When it was heard last.
    pub(crate) read_at: Time,
    /// Since when it can be heard again after it could not.
    pub(crate) resumed_at: Option<Time>,
    /// When a stream had something or could have nothing last.
    pub(crate) commented_at: Time,
    /// Since when nothing came of it although it was read.
    pub(crate) silent_since: Time,
    /// When it must have been pinged because of that.
    pub(crate) pinged_by: Option<Time>,
    /// When the engine must have seen that the interval after that ping was silent, too.
    pub(crate) missed_by: Option<Time>,
    /// How many pings it had received when it was heard last.
    pub(crate) pings_when_heard: usize,
    // From the server.
    pub(crate) capacity: usize,
    pub(crate) buffered: usize,
    /// What it is sent is sealed: bytes that are taken cannot be taken back.
    pub(crate) sealed: bool,
    /// What was taken for its socket, and is still to go there before anything else.
    pub(crate) held: Vec<u8>,
    pub(crate) stalled_until: u64,
    /// The shard waits to hear that the socket is writable.
    pub(crate) refusing: bool,
    pub(crate) refused_since: Time,
    /// Since when it has not caught up.
    pub(crate) slow_since: Time,
    /// When it refused bytes last, if it has not been called writable since, and whether messages
    /// were among them.
    pub(crate) blocked_at: Option<Time>,
    pub(crate) misses_messages: bool,
    /// It was owed a history then.
    pub(crate) misses_history: bool,
    /// What it was owed of histories when it was sent some last, and in how many turns it had none since
    /// then though its socket took bytes, and with how many others it waited.
    pub(crate) owed: (usize, usize, usize),
    /// It refused bytes for so long that what waited was skipped, or may have been.
    pub(crate) timed_out: bool,
    pub(crate) dead: bool,
    /// What was queued for it alone, or may have been.
    pub(crate) emits: Vec<usize>,
    // Its end.
    pub(crate) may_end: Vec<Disconnect>,
    /// Why it ends as slow, found when that was decided.
    pub(crate) slow_because: Option<Happened>,
    /// When its end was decided, as far as anybody looked.
    pub(crate) ends_since: Option<Time>,
    /// How long its socket had been blocked then.
    pub(crate) ends_blocked: Option<Duration>,
    pub(crate) parted: Option<Disconnect>,
    pub(crate) parted_at: Option<Time>,
    /// It refused bytes for too long, so that what waited for it was given up.
    pub(crate) given_up: bool,
    /// It was not read when the drain began, so that something it said may wait.
    pub(crate) waits_in_drain: bool,
    /// Its socket failed while bytes were held that the shard had sent.
    pub(crate) lost_held: bool,
    /// When a send to it was under way last, or our side of its socket was shut down.
    pub(crate) sent_to_at: Time,
    pub(crate) shut: bool,
    pub(crate) closed: bool,
}

/// How many of the clients the program joins and leaves rooms for.
const GUIDED: f64 = 0.2;

impl Client {
    pub(crate) fn new(
        number: usize,
        conn: ConnId,
        rights: Rights,
        descriptor: usize,
        faults: &Faults,
        chance: &mut Chance,
    ) -> Client {
        let narrow = chance.happens(faults.narrow);
        Client {
            conn,
            shard: conn.shard.index(),
            descriptor,
            format: Format::Native,
            view: View::new(number, conn.to_string(), chance.happens(GUIDED)),
            resident: number.is_multiple_of(2) && rights.join.ruling(0) != Ruling::Forbidden,
            rights,
            known: None,
            silent: chance.happens(faults.silent),
            stubborn: chance.happens(faults.stubborn),
            out: Vec::new(),
            handed: 0,
            marks: VecDeque::new(),
            in_fragments: false,
            ends: VecDeque::from([0]),
            begun: None,
            unread_for: Duration::ZERO,
            paused: false,
            hung_up: None,
            hang_up_told: false,
            end_told: false,
            doomed: false,
            next_id: 0,
            said: VecDeque::new(),
            verdicts: VecDeque::new(),
            meter: None,
            spoken: VecDeque::new(),
            unread: None,
            tokens: VecDeque::new(),
            heard: Time::default(),
            read_at: Time::default(),
            resumed_at: None,
            commented_at: Time::default(),
            silent_since: Time::default(),
            pinged_by: None,
            missed_by: None,
            pings_when_heard: 0,
            capacity: if narrow { chance.within(1, 600) } else { 64 << 10 },
            buffered: 0,
            sealed: false,
            held: Vec::new(),
            stalled_until: 0,
            refusing: false,
            refused_since: Time::default(),
            owed: (0, 0, 0),
            slow_since: Time::default(),
            blocked_at: None,
            misses_messages: false,
            misses_history: false,
            timed_out: false,
            dead: false,
            emits: Vec::new(),
            may_end: Vec::new(),
            slow_because: None,
            ends_since: None,
            ends_blocked: None,
            parted: None,
            parted_at: None,
            given_up: false,
            waits_in_drain: false,
            lost_held: false,
            sent_to_at: Time::default(),
            shut: false,
            closed: false,
        }
    }

    /// Whether it can still say something that counts.
    pub(crate) fn talks(&self) -> bool {
        !self.closed && !self.doomed && self.hung_up.is_none() && self.view.closed.is_none()
    }

    /// Whether a drain has waited until it was sent everything.
    pub(crate) fn was_served(&self) -> bool {
        self.parted == Some(Disconnect::Shutdown) && !self.given_up && !self.lost_held
    }

    /// Whether its stream of several rooms has not begun, and is slow until it does.
    pub(crate) fn is_held(&self) -> bool {
        let has_positions = self.view.stream.as_ref().is_some_and(Stream::has_positions);
        has_positions && self.view.welcomed_at.is_none() && self.lives()
    }

    /// Whether it is there and nothing is known to end it.
    pub(crate) fn lives(&self) -> bool {
        self.parted.is_none()
    }

    pub(crate) fn free(&self) -> usize {
        self.capacity.saturating_sub(self.buffered)
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        self.marks.push_back((self.handed + self.out.len(), mark));
    }

    /// The next mark whose bytes are handed in.
    pub(crate) fn next_mark(&mut self) -> Option<Mark> {
        let handed = self.handed;
        self.marks.pop_front_if(|(end, _)| *end <= handed).map(|(_, mark)| mark)
    }

    /// Sends one text message, sometimes in fragments with pings between them. Returns whether it is
    /// compressed.
    pub(crate) fn text(&mut self, json: &str, fragments: usize, chance: &mut Chance) -> bool {
        let window = self.view.deflate.filter(|_| chance.happens(0.5));
        let deflated = window.map(|_| runs::deflated(Window::Full, json.as_bytes()));
        let deflated = deflated.filter(|payload| payload.len() <= json.len());
        let (begin, compressed) = (self.out.len(), deflated.is_some());
        let bytes = deflated.as_deref().unwrap_or(json.as_bytes());
        let mut at = 0;
        for piece in 1..=fragments {
            let last = piece == fragments;
            let end = if last { bytes.len() } else { chance.within(at, bytes.len()) };
            let opcode = if piece == 1 { Opcode::Text } else { Opcode::Continuation };
            self.frame(opcode, last, &bytes[at..end], chance);
            if let Some(spoken) = self.spoken.back_mut().filter(|_| last) {
                spoken.text = json.to_owned();
                spoken.grows = json.len() - bytes.len();
            }
            if !last && chance.happens(0.3) {
                self.frame(Opcode::Ping, true, b"between", chance);
            }
            at = end;
        }
        if compressed {
            self.out[begin] |= deflate::COMPRESSED;
        }
        compressed
    }

    pub(crate) fn frame(&mut self, opcode: Opcode, fin: bool, payload: &[u8], chance: &mut Chance) {
        if opcode == Opcode::Ping {
            self.view.pinged.push_back(payload.to_vec());
        }
        let mask = (chance.next() as u32).to_be_bytes();
        push_client_frame(&mut self.out, opcode, fin, mask, payload);
        if matches!(opcode, Opcode::Text | Opcode::Binary | Opcode::Continuation) {
            self.in_fragments = !fin;
        }
        if !self.in_fragments {
            self.ends.push_back(self.handed + self.out.len());
        }
        if fin {
            self.note_spoken(opcode);
        }
    }

    /// What it said last is for the program.
    pub(crate) fn will_call(&mut self, call: CallKind) {
        self.said.push_back((self.view.serial, call));
    }

    fn note_spoken(&mut self, opcode: Opcode) {
        self.view.serial += 1;
        if self.meter.is_none() {
            return;
        }
        let kind = match opcode {
            Opcode::Text | Opcode::Continuation => Kind::Text,
            Opcode::Binary => Kind::Binary,
            _ => Kind::Control,
        };
        let (serial, end) = (self.view.serial, self.handed + self.out.len());
        self.spoken.push_back(Spoken { serial, end, grows: 0, kind, text: String::new() });
    }

    /// What it said last is never decoded.
    pub(crate) fn note_violation(&mut self) {
        self.spoken.back_mut().into_iter().for_each(|spoken| spoken.kind = Kind::Violation);
    }

    /// Takes note at which time more of its bytes were handed in.
    pub(crate) fn note_begun(&mut self, now: Time) {
        let mut whole = false;
        while let Some(end) = self.ends.pop_front_if(|end| *end <= self.handed) {
            (whole, self.begun) = (end == self.handed, None);
        }
        if !whole && self.begun.is_none() {
            (self.begun, self.unread_for) = (Some(now), Duration::ZERO);
        }
    }

    /// A fresh id, as written: a number or a string.
    pub(crate) fn id(&mut self, chance: &mut Chance) -> String {
        self.next_id += 1;
        match chance.happens(0.5) {
            true => self.next_id.to_string(),
            false => format!("\"i\\u00{:02x}{}\"", 0x61 + self.next_id % 26, self.next_id),
        }
    }
}
