//! Why members are pinned in a log, and how many.

/// Why a member is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    /// Its socket refused bytes and it has not caught up: past the log's limit it loses its place.
    Slow,
    /// Its socket takes bytes, but a send did not carry it to the end: the send was full, or messages
    /// came after it began. The next send goes on from its cursor.
    Held,
}

/// How many members are pinned in a segment, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pins {
    pub(super) slow: u32,
    pub(super) held: u32,
}

impl Pins {
    pub(super) fn count(&mut self, pin: Pin) -> &mut u32 {
        match pin {
            Pin::Slow => &mut self.slow,
            Pin::Held => &mut self.held,
        }
    }
}
