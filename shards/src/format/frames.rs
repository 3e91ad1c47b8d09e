//! The frames of one message of a room.

use std::sync::Arc;

use super::encoding::Encoding;

/// One message of a room, encoded: a frame for each encoding that a member needs. From here on their
/// bytes never change.
#[derive(Clone, Debug, Default)]
pub struct Frames([Option<Arc<[u8]>>; Encoding::COUNT]);

impl Frames {
    pub(crate) fn get(&self, encoding: Encoding) -> Option<&Arc<[u8]>> {
        self.0[encoding.index()].as_ref()
    }

    pub(super) fn set(&mut self, encoding: Encoding, frame: Arc<[u8]>) {
        self.0[encoding.index()] = Some(frame);
    }

    /// The frames of these encodings, shared.
    pub(crate) fn only(&self, wanted: Encodings) -> Frames {
        let mut frames = Frames::default();
        for encoding in wanted.iter() {
            frames.0[encoding.index()].clone_from(&self.0[encoding.index()]);
        }
        frames
    }

    /// Bytes of the frames of these encodings, and of the largest of them.
    pub(crate) fn sizes(&self, wanted: Encodings) -> (usize, usize) {
        let frames = wanted.iter().filter_map(|encoding| self.get(encoding));
        frames.fold((0, 0), |(sum, most), frame| (sum + frame.len(), most.max(frame.len())))
    }

    /// Bytes of the frames of these encodings, of which one that several share counts once.
    pub(crate) fn distinct_bytes(&self, wanted: Encodings) -> usize {
        let mut seen: [Option<&Arc<[u8]>>; Encoding::COUNT] = Default::default();
        for (place, frame) in wanted.iter().filter_map(|encoding| self.get(encoding)).enumerate() {
            let is_new = seen.iter().flatten().all(|other| !Arc::ptr_eq(other, frame));
            seen[place] = Some(frame).filter(|_| is_new);
        }
        seen.iter().flatten().map(|frame| frame.len()).sum()
    }

    /// Bytes of all of them.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().flatten().map(|frame| frame.len()).sum()
    }

    /// One frame of these bytes.
    #[cfg(test)]
    pub(crate) fn one(encoding: Encoding, bytes: &[u8]) -> Frames {
        let mut frames = Frames::default();
        frames.0[encoding.index()] = Some(Arc::from(bytes));
        frames
    }

    /// Adds a frame.
    #[cfg(test)]
    pub(crate) fn and(mut self, encoding: Encoding, bytes: &[u8]) -> Frames {
        self.0[encoding.index()] = Some(Arc::from(bytes));
        self
    }

    /// Adds the frame of one encoding for another one, too.
    #[cfg(test)]
    pub(crate) fn and_shared(mut self, encoding: Encoding, of: Encoding) -> Frames {
        self.0[encoding.index()] = self.0[of.index()].clone();
        self
    }
}

/// A set of encodings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Encodings(u8);

impl Encodings {
    pub(crate) fn of(encodings: impl IntoIterator<Item = Encoding>) -> Encodings {
        Encodings(encodings.into_iter().fold(0, |set, encoding| set | 1 << encoding.index()))
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Encoding> {
        Encoding::ALL.into_iter().filter(move |encoding| self.contains(*encoding))
    }

    pub(crate) fn contains(self, encoding: Encoding) -> bool {
        self.0 & 1 << encoding.index() != 0
    }

    pub(crate) fn and(self, other: Encodings) -> Encodings {
        Encodings(self.0 | other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// How many members need each encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EncodingCounts([u32; Encoding::COUNT]);

impl EncodingCounts {
    pub(crate) fn add(&mut self, encoding: Encoding) {
        self.0[encoding.index()] += 1;
    }

    pub(crate) fn remove(&mut self, encoding: Encoding) {
        let count = &mut self.0[encoding.index()];
        *count = count.checked_sub(1).expect("a member that leaves was counted");
    }

    /// Those that a member needs.
    pub(crate) fn needed(&self) -> Encodings {
        Encodings::of(Encoding::ALL.into_iter().filter(|encoding| self.0[encoding.index()] > 0))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0 == [0; Encoding::COUNT]
    }

    /// The members of all encodings.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn sum(&self) -> u32 {
        self.0.iter().sum()
    }
}
