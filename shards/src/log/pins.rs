//! Why members are pinned in a log, and how many.

/// Why a member is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    /// Its socket refused bytes and it has not caught up: past the log's limit it loses its place.
    Slow,
    /// Its socket takes bytes, but a send did not carry it to the end: the send was full, or messages
    /// came after it began. The next send goes on from its cursor.
    Held,
    /// Its socket takes bytes, but it is to be sent a history of the room before, for which it waits in a
    /// queue. The log keeps its messages, and publishers pause when these are too many.
    Replay,
}

/// How many members are pinned in a segment, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pins {
    pub(super) slow: u32,
    pub(super) held: u32,
    pub(super) replay: u32,
}

impl Pins {
    pub(super) fn count(&mut self, pin: Pin) -> &mut u32 {
        match pin {
            Pin::Slow => &mut self.slow,
            Pin::Held => &mut self.held,
            Pin::Replay => &mut self.replay,
        }
    }

    /// These members have their cursors here, too.
    pub(super) fn add(&mut self, others: Pins) {
        self.slow += others.slow;
        self.held += others.held;
        self.replay += others.replay;
    }

    /// Whether a member is pinned that must not lose its place.
    pub(super) fn keep_places(self) -> bool {
        self.held > 0 || self.replay > 0
    }
}
