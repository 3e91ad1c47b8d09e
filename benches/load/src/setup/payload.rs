//! The text that every message carries, from which it is recognised and judged.
//!
//! ```text
//! ~c1f09a3 00000000 0000002a 00000000075bcd15 1f4ac3e8 abcd…xyz .
//! marker   stream   sequence due (ns)         sum      padding  end       (without the spaces)
//! ```
//!
//! Everything has a fixed width, so that a receiver finds it without parsing. The marker differs
//! between runs; what another generator publishes into the same room is not ours.
//!
//! The sum is that of what stands in front of it, which a receiver cannot know. The padding it knows,
//! and compares: that takes less time than a sum over it, and misses nothing.
//!
//! Of JSON, the head is the string of the first member, and what follows it stands for the padding.

use super::records::{OPENING, Records};

/// The fixed part, in front of the padding.
pub(crate) const HEAD: usize = SUM + 8;
/// Where the sum stands, and how much it is over.
const SUM: usize = 40;
/// The smallest payload: head and end.
pub(crate) const PAYLOAD_MIN: usize = HEAD + 1;
/// Rooms that a stamp can name.
pub(crate) const ROOMS_MAX: u32 = 1 << 19;
/// Publishers of one room that a stamp can name.
pub(crate) const PUBLISHERS_MAX: u32 = 1 << NTH_BITS;

const NTH_BITS: u32 = 12;
const WARM_UP: u32 = 1 << 31;

/// Bytes that the texts of a run of JSON may have together, to stay in a cache, and how many texts
/// there are: for more the bytes of each would have to differ in more than the numbers.
const TEXTS_BYTES: usize = 256 * 1024;
const TEXTS_MIN: usize = 8;
const TEXTS_MAX: usize = 256;

/// The smallest payload of JSON: without it there is no room for a record.
pub(crate) const JSON_MIN: usize = 256;

/// Eight bytes that no other text begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marker {
    bytes: [u8; 8],
}

impl Marker {
    /// The marker of a run.
    pub(crate) fn new(run: u32) -> Self {
        let mut bytes = *b"~c000000";
        bytes[2..].copy_from_slice(&hex16(u64::from(run))[10..]);
        Self { bytes }
    }

    /// Where the first marker stands.
    pub(crate) fn find(self, text: &[u8]) -> Option<usize> {
        let mut from = 0;
        loop {
            from += text.get(from..)?.iter().position(|&byte| byte == self.bytes[0])?;
            match text[from..].starts_with(&self.bytes) {
                true => return Some(from),
                false => from += 1,
            }
        }
    }
}

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// See [`stream_code`].
    pub(crate) stream: u32,
    /// Counted from 0 in each stream, for the warm-up apart.
    pub(crate) sequence: u32,
}

/// Room, number among its publishers, and whether this is the warm-up, in 32 bits.
pub(crate) fn stream_code(room: u32, nth: u32, warm_up: bool) -> u32 {
    debug_assert!(room < ROOMS_MAX && nth < PUBLISHERS_MAX);
    (room << NTH_BITS) | nth | if warm_up { WARM_UP } else { 0 }
}

impl Stamp {
    /// Reads what stands at the beginning; `None` unless it begins with the marker.
    #[inline]
    pub(crate) fn read(text: &[u8], marker: Marker) -> Option<Self> {
        let head: &[u8; HEAD] = text.first_chunk()?;
        let (mark, rest) = head.split_first_chunk::<8>()?;
        if *mark != marker.bytes {
            return None;
        }
        let (stream, rest) = rest.split_first_chunk()?;
        let sequence = rest.first_chunk()?;
        Some(Self { stream: unhex(*stream), sequence: unhex(*sequence) })
    }

    pub(crate) fn is_warm_up(self) -> bool {
        self.stream & WARM_UP != 0
    }

    #[inline]
    pub(crate) fn room(self) -> u32 {
        self.stream >> NTH_BITS
    }

    #[inline]
    pub(crate) fn nth(self) -> u32 {
        self.stream & (PUBLISHERS_MAX - 1)
    }
}

/// When the message that begins here was due.
#[inline]
pub(crate) fn due(text: &[u8]) -> u64 {
    let half = |at: usize| {
        text.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |hex| u64::from(unhex(*hex)))
    };
    half(24) << 32 | half(32)
}

/// What payloads look like, and their size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PayloadForm {
    pub(crate) size: usize,
    pub(crate) is_json: bool,
}

impl PayloadForm {
    /// The alphabet, again and again.
    pub(crate) const fn text(size: usize) -> Self {
        Self { size, is_json: false }
    }

    /// An object of [`Records`], another one in each message.
    pub(crate) const fn json(size: usize) -> Self {
        Self { size, is_json: true }
    }

    /// Bytes in front of the head.
    const fn opening(self) -> usize {
        if self.is_json { OPENING.len() } else { 0 }
    }

    /// Bytes from the head on, which is where receivers find it.
    pub(crate) const fn size_from_head(self) -> usize {
        self.size - self.opening()
    }

    const fn end(self) -> u8 {
        if self.is_json { b'}' } else { b'.' }
    }

    /// Whether the payload whose head begins here has its end.
    #[inline]
    pub(crate) fn is_whole(self, text: &[u8]) -> bool {
        text.get(self.size_from_head() - 1) == Some(&self.end())
    }

    /// How many texts take turns; a power of two.
    fn texts(self) -> usize {
        match self.is_json {
            true => {
                let fitting = (TEXTS_BYTES / self.size).clamp(TEXTS_MIN, TEXTS_MAX);
                1 << fitting.ilog2()
            }
            false => 1,
        }
    }

    /// What follows the head in the nth text, the end included.
    fn padding(self, nth: usize) -> Vec<u8> {
        let size = self.size_from_head() - HEAD;
        if self.is_json {
            return Records::new(nth).text(size).into_bytes();
        }
        let mut padding: Vec<u8> = (b'a'..=b'z').cycle().skip(HEAD % 26).take(size).collect();
        padding[size - 1] = self.end();
        padding
    }

    /// Which text the message of this stamp has: no two publishers begin with the same.
    #[inline]
    fn nth_text(self, stamp: Stamp) -> usize {
        let nth = stamp.sequence.wrapping_add((stamp.stream & !WARM_UP).wrapping_mul(31));
        nth as usize & (self.texts() - 1)
    }
}

/// What payloads hold, to be compared with what arrives.
#[derive(Debug)]
pub(crate) struct PayloadContent {
    pub(crate) form: PayloadForm,
    /// From the head to the end, of each text.
    paddings: Vec<Vec<u8>>,
    one_in: u32,
}

/// Bytes that are compared of a message on the average: about 15 ns, half of what the rest of
/// receiving it takes.
const COMPARED_BYTES: usize = 1024;
/// The same in strict runs.
const COMPARED_BYTES_STRICT: usize = 4096;

impl PayloadContent {
    pub(crate) fn new(form: PayloadForm, is_strict: bool) -> Self {
        let paddings = (0..form.texts()).map(|nth| form.padding(nth)).collect();
        Self { form, paddings, one_in: compared_one_in(form.size, is_strict) }
    }

    /// Whether it is this message's turn; the members take turns, too.
    #[inline]
    pub(crate) fn has_turn(&self, stamp: Stamp, member: u32) -> bool {
        stamp.sequence.wrapping_add(member) & (self.one_in - 1) == 0
    }

    /// Whether the payload that begins here is, byte for byte, what was published.
    #[inline]
    pub(crate) fn is_in(&self, text: &[u8], stamp: Stamp) -> bool {
        let padding = &self.paddings[self.form.nth_text(stamp)];
        let Some((head, rest)) = text.split_first_chunk::<HEAD>() else { return false };
        rest.starts_with(padding) && head[SUM..] == sum(head)
    }
}

/// The sum of a head, as it stands in it.
#[inline]
fn sum(head: &[u8; HEAD]) -> [u8; 8] {
    hex8(crc32c::crc32c(&head[..SUM]))
}

/// Of how many messages of this size the content of one is compared; a power of two.
fn compared_one_in(size: usize, is_strict: bool) -> u32 {
    let bytes = if is_strict { COMPARED_BYTES_STRICT } else { COMPARED_BYTES };
    u32::try_from(size.div_ceil(bytes).next_power_of_two()).unwrap_or(1 << 31)
}

/// Payloads of which the head is rewritten for every message.
#[derive(Debug)]
pub(crate) struct TestPayload {
    form: PayloadForm,
    texts: Vec<Vec<u8>>,
}

impl TestPayload {
    pub(crate) fn new(form: PayloadForm, marker: Marker) -> Self {
        assert!(form.size >= PAYLOAD_MIN, "checked when arguments were");
        let text = |nth| {
            let opening = &OPENING.as_bytes()[..form.opening()];
            [opening, &marker.bytes, &[b'0'; HEAD - 8], &form.padding(nth)].concat()
        };
        Self { form, texts: (0..form.texts()).map(text).collect() }
    }

    pub(crate) fn stamp(&mut self, stamp: Stamp, due: u64) -> &[u8] {
        let text = &mut self.texts[self.form.nth_text(stamp)];
        let head = &mut text[self.form.opening()..];
        let stream_and_sequence = u64::from(stamp.stream) << 32 | u64::from(stamp.sequence);
        head[8..24].copy_from_slice(&hex16(stream_and_sequence));
        head[24..SUM].copy_from_slice(&hex16(due));
        if let Some(head) = head.first_chunk_mut::<HEAD>() {
            let sum = sum(head);
            head[SUM..].copy_from_slice(&sum);
        }
        text
    }
}

fn hex16(value: u64) -> [u8; 16] {
    std::array::from_fn(|i| b"0123456789abcdef"[(value >> (60 - 4 * i) & 0xf) as usize])
}

/// Eight digits at once, as [`unhex`] reads them: each four bits get a byte of their own, then those
/// above nine become letters.
#[inline]
fn hex8(value: u32) -> [u8; 8] {
    let mut digits = u64::from(value);
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = (digits + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (digits + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'9' - 1)).to_be_bytes()
}

/// Eight hexadecimal digits at once: each byte becomes its digit, then neighbours are joined.
#[inline]
fn unhex(digits: [u8; 8]) -> u32 {
    let text = u64::from_be_bytes(digits);
    let mut value = (text & 0x0f0f_0f0f_0f0f_0f0f) + 9 * (text >> 6 & 0x0101_0101_0101_0101);
    value = (value | value >> 4) & 0x00ff_00ff_00ff_00ff;
    value = (value | value >> 8) & 0x0000_ffff_0000_ffff;
    (value | value >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let marker = Marker::new(0xabcdef);
        let form = PayloadForm::text(64);
        let mut payload = TestPayload::new(form, marker);
        for (room, nth, warm_up, sequence, time) in
            [(0, 0, false, 0, 0), (524_287, 4095, true, u32::MAX, u64::MAX), (9, 3, false, 42, 77)]
        {
            let stamp = Stamp { stream: stream_code(room, nth, warm_up), sequence };
            let text = payload.stamp(stamp, time);
            assert_eq!(Stamp::read(text, marker), Some(stamp));
            assert_eq!((due(text), stamp.is_warm_up(), stamp.nth()), (time, warm_up, nth));
            assert_eq!(stamp.room() & (ROOMS_MAX - 1), room);
            assert!(form.is_whole(text) && !form.is_whole(&text[..63]));
            assert!(!PayloadForm::text(63).is_whole(text));
        }
    }

    #[test]
    fn json_is_recognised_and_compared_as_text_is() {
        let (marker, form) = (Marker::new(3), PayloadForm::json(1024));
        let (mut payload, content) =
            (TestPayload::new(form, marker), PayloadContent::new(form, true));
        let mut before = Vec::new();
        for sequence in 0..300 {
            let stamp = Stamp { stream: stream_code(1, 2, false), sequence };
            let text = payload.stamp(stamp, 9).to_vec();
            assert_eq!(text.len(), form.size);
            serde_json::from_slice::<serde_json::Value>(&text).unwrap();
            let from_head = &text[marker.find(&text).unwrap()..];
            assert_eq!(Stamp::read(from_head, marker), Some(stamp));
            assert!(form.is_whole(from_head) && !form.is_whole(&text));
            assert!(content.is_in(from_head, stamp));
            let other = Stamp { sequence: sequence + 1, ..stamp };
            assert!(!content.is_in(from_head, other), "another message has another text");
            assert_ne!(text[HEAD + 7..], before, "{sequence}");
            before = text[HEAD + 7..].to_vec();
        }
    }

    #[test]
    fn digits_are_written_as_they_are_read() {
        for value in [0, 1, 0x0123_4567, 0x89ab_cdef, 0xa9f0_9fa0, u32::MAX] {
            assert_eq!(hex8(value), *format!("{value:08x}").as_bytes(), "{value:x}");
            assert_eq!(unhex(hex8(value)), value);
        }
    }

    #[test]
    fn comparing_is_kept_cheap() {
        let rows =
            [(49, 1, 1), (1024, 1, 1), (1025, 1, 2), (64 << 10, 16, 64), (1 << 20, 256, 1024)];
        for (size, strict, ordinary) in rows {
            let one_in = [true, false].map(|is_strict| compared_one_in(size, is_strict));
            assert_eq!(one_in, [strict, ordinary], "{size}");
        }
    }

    #[test]
    fn only_the_own_marker_counts() {
        let (ours, theirs) = (Marker::new(1), Marker::new(2));
        let mut payload = TestPayload::new(PayloadForm::text(PAYLOAD_MIN), theirs);
        let text = payload.stamp(Stamp { stream: 0, sequence: 0 }, 0).to_vec();
        assert_eq!(Stamp::read(&text, ours), None);
        assert_eq!(theirs.find(&[b"~~c".as_slice(), &text].concat()), Some(3));
        assert_eq!(ours.find(&text), None);
    }
}
