//! The first page of a journal: what the file is, and how far its records go.

use super::record::number;
use super::refusal::{JournalRefusal, VERSION};
use super::taken::KeptRoom;

/// Bytes before the ring: the page that says what the file is.
pub const JOURNAL_HEAD_BYTES: u64 = 4096;

/// What makes a journal the one that is expected: every file that differs in any of it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalTag {
    /// The boot of the machine: what another one left may lack what was not on the disk yet.
    pub boot: [u8; 16],
    /// Which server's journals it belongs to: a number that each start draws.
    pub set: u64,
    /// Which of them it is, and how many there are.
    pub shard: u16,
    /// See `shard`.
    pub shards: u16,
    /// The file itself, by its device, its number, and when it was made: a copy is another file.
    pub file: [u64; 3],
    /// Bytes of its ring.
    pub capacity: u64,
}

const MAGIC: &[u8; 16] = b"corecast journal";

/// How long it is what the page says of the file, but for the checksum behind it; and where, and how
/// long, what it says of its ends.
const TAG_BYTES: usize = 80;
pub(super) const ENDS_AT: u64 = 512;
const ENDS_BYTES: usize = 20;

impl JournalTag {
    /// The begin of the file, written once.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.shard.to_le_bytes());
        bytes.extend_from_slice(&self.shards.to_le_bytes());
        bytes.extend_from_slice(&self.boot);
        let [device, file, made] = self.file;
        for number in [self.set, device, file, made, self.capacity] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let sum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The checksum with which all others of the file begin.
    pub(super) fn seal(&self) -> u32 {
        crc32c::crc32c(&self.encoded())
    }

    fn read(bytes: &[u8]) -> Option<Result<JournalTag, u32>> {
        let begin = bytes.get(..TAG_BYTES + 4)?;
        let (tag, sum) = (&begin[..TAG_BYTES], u32::from_le_bytes(number(begin, TAG_BYTES)?));
        if !tag.starts_with(MAGIC) || crc32c::crc32c(tag) != sum {
            return None;
        }
        let version = u32::from_le_bytes(number(tag, 16)?);
        if version != VERSION {
            return Some(Err(version));
        }
        let word = |at| number(tag, at).map(u64::from_le_bytes);
        Some(Ok(JournalTag {
            shard: u16::from_le_bytes(number(tag, 20)?),
            shards: u16::from_le_bytes(number(tag, 22)?),
            boot: number(tag, 24)?,
            set: word(40)?,
            file: [word(48)?, word(56)?, word(64)?],
            capacity: word(72)?,
        }))
    }
}

/// Where the records of a journal begin and end, as positions that only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) tail: u64,
    pub(super) head: u64,
}

impl Ends {
    pub(super) fn encoded(self, seal: u32) -> [u8; ENDS_BYTES] {
        let mut bytes = [0; ENDS_BYTES];
        bytes[..8].copy_from_slice(&self.tail.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.head.to_le_bytes());
        let sum = crc32c::crc32c_append(seal, &bytes[..16]);
        bytes[16..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn read(seal: u32, bytes: &[u8]) -> Option<Ends> {
        let ends = Ends {
            tail: u64::from_le_bytes(number(bytes, 0)?),
            head: u64::from_le_bytes(number(bytes, 8)?),
        };
        bytes.starts_with(&ends.encoded(seal)).then_some(ends)
    }
}

/// A journal that was found, whose first page is in order.
#[derive(Clone, Copy, Debug)]
pub struct JournalFile {
    tag: JournalTag,
    ends: Ends,
}

impl JournalFile {
    /// What the first page of a file says: `page` is its first [`JOURNAL_HEAD_BYTES`], or as many as
    /// there are, and `bytes` its size. The capacity that is expected counts for nothing: it is another
    /// one when limits were changed.
    ///
    /// # Errors
    ///
    /// When it is not the journal that is expected.
    pub fn read(
        page: &[u8],
        bytes: u64,
        expected: &JournalTag,
    ) -> Result<JournalFile, JournalRefusal> {
        let tag = match JournalTag::read(page) {
            None => return Err(JournalRefusal::Foreign),
            Some(Err(version)) => return Err(JournalRefusal::Version(version)),
            Some(Ok(tag)) => tag,
        };
        if tag.boot != expected.boot {
            return Err(JournalRefusal::Boot);
        }
        if tag != (JournalTag { capacity: tag.capacity, ..*expected }) {
            return Err(JournalRefusal::Other);
        }
        if tag.capacity.checked_add(JOURNAL_HEAD_BYTES) != Some(bytes) {
            return Err(JournalRefusal::Size);
        }
        let ends = page.get(ENDS_AT as usize..).and_then(|page| Ends::read(tag.seal(), page));
        let holds =
            |ends: &Ends| ends.head.checked_sub(ends.tail).is_some_and(|len| len <= tag.capacity);
        let ends = ends.filter(holds).ok_or(JournalRefusal::Ends)?;
        Ok(JournalFile { tag, ends })
    }

    /// Where its records are in the file, in order: places, and how many bytes there.
    pub fn places(&self) -> [(u64, usize); 2] {
        let (len, capacity) = (self.ends.head - self.ends.tail, self.tag.capacity);
        let at = self.ends.tail.checked_rem(capacity).unwrap_or(0);
        let first = len.min(capacity - at);
        let places = [(at, first), (0, len - first)];
        places.map(|(at, len)| (JOURNAL_HEAD_BYTES + at, len as usize))
    }

    /// The rooms that are in these records, which are all bytes of [`JournalFile::places`], one behind
    /// the other.
    ///
    /// # Errors
    ///
    /// When any of the bytes is not as it was written.
    pub fn rooms(&self, records: &[u8]) -> Result<Vec<KeptRoom>, JournalRefusal> {
        super::taken::read_rooms(self.tag.seal(), self.ends.tail, records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: JournalTag = JournalTag {
        boot: [7; 16],
        set: 0x0123_4567_89ab_cdef,
        shard: 1,
        shards: 2,
        file: [3, 4, 5],
        capacity: 100,
    };

    fn page(tag: &JournalTag, ends: Ends) -> Vec<u8> {
        let mut page = tag.encoded();
        page.resize(JOURNAL_HEAD_BYTES as usize, 0);
        let at = ENDS_AT as usize;
        page[at..at + ENDS_BYTES].copy_from_slice(&ends.encoded(tag.seal()));
        page
    }

    fn read(page: &[u8]) -> Result<[(u64, usize); 2], JournalRefusal> {
        let file = JournalFile::read(page, JOURNAL_HEAD_BYTES + 100, &TAG);
        file.map(|file| file.places())
    }

    #[test]
    fn the_records_are_where_the_ends_say() {
        let at = |tail, head| read(&page(&TAG, Ends { tail, head }));
        assert_eq!(at(0, 0), Ok([(4_096, 0), (4_096, 0)]));
        assert_eq!(at(10, 100), Ok([(4_106, 90), (4_096, 0)]));
        assert_eq!(at(190, 210), Ok([(4_186, 10), (4_096, 10)]));
        assert_eq!(at(190, 290), Ok([(4_186, 10), (4_096, 90)]));
        assert_eq!(at(190, 291), Err(JournalRefusal::Ends));
        assert_eq!(at(11, 10), Err(JournalRefusal::Ends));
    }

    #[test]
    fn a_page_with_any_other_bit_is_refused_unless_it_says_nothing() {
        let ends = Ends { tail: 190, head: 210 };
        let mut page = page(&TAG, ends);
        for bit in 0..8 * page.len() {
            page[bit / 8] ^= 1 << (bit % 8);
            let at = ENDS_AT as usize;
            let says = bit / 8 < TAG_BYTES + 4 || (at..at + ENDS_BYTES).contains(&(bit / 8));
            assert_eq!(read(&page).is_err(), says, "bit {bit}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
        for len in 0..ENDS_AT as usize + ENDS_BYTES {
            assert!(read(&page[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn another_file_is_refused_with_its_reason() {
        let ends = Ends { tail: 0, head: 0 };
        let rows = [
            (JournalTag { boot: [8; 16], ..TAG }, JournalRefusal::Boot),
            (JournalTag { set: 1, ..TAG }, JournalRefusal::Other),
            (JournalTag { shard: 0, ..TAG }, JournalRefusal::Other),
            (JournalTag { shards: 3, ..TAG }, JournalRefusal::Other),
            (JournalTag { file: [2, 4, 5], ..TAG }, JournalRefusal::Other),
            (JournalTag { file: [3, 5, 5], ..TAG }, JournalRefusal::Other),
            (JournalTag { file: [3, 4, 6], ..TAG }, JournalRefusal::Other),
            (JournalTag { capacity: 99, ..TAG }, JournalRefusal::Size),
            (JournalTag { capacity: u64::MAX, ..TAG }, JournalRefusal::Size),
        ];
        for (tag, reason) in rows {
            assert_eq!(read(&page(&tag, ends)), Err(reason), "{tag:?}");
        }
        let mut newer = TAG.encoded();
        newer.truncate(TAG_BYTES);
        newer[16] = 2;
        let sum = crc32c::crc32c(&newer);
        newer.extend_from_slice(&sum.to_le_bytes());
        assert_eq!(read(&newer), Err(JournalRefusal::Version(2)));
        assert_eq!(read(&[0; 4_096]), Err(JournalRefusal::Foreign));
    }
}
