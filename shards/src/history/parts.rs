//! References to some of the messages of blocks.

use std::ops::Range;

use super::block::{Block, Kept};
use crate::log::Rest;

/// Some consecutive messages of one block.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) block: Block,
    /// Counted within the block.
    pub(crate) messages: Range<usize>,
}

/// Where a send ended of a part of which not everything was taken.
#[derive(Debug)]
pub(crate) struct CutPart {
    /// Messages taken, the one that was cut included.
    pub(crate) messages: usize,
    /// The rest of the message that was cut.
    pub(crate) rest: Option<Rest>,
}

impl Part {
    pub(crate) fn frames(&self) -> &[u8] {
        self.block.slice(self.messages.clone())
    }

    /// The messages, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Kept<'_>> {
        self.messages.clone().map(|index| self.block.message(index))
    }

    /// The offset of its first message.
    pub(crate) fn first(&self) -> u64 {
        self.block.first() + self.messages.start as u64
    }

    /// Takes off what was taken of its frames, which is not all of them.
    pub(crate) fn cut(&mut self, taken: usize) -> CutPart {
        let from = self.messages.start;
        let (index, within) = self.block.locate(from, taken);
        let rest = (within > 0).then(|| self.block.rest(index, within));
        self.messages.start = index + usize::from(within > 0);
        CutPart { messages: self.messages.start - from, rest }
    }
}

/// Consecutive messages of a room's history, by reference: a copy of this copies none of them.
#[derive(Clone, Debug, Default)]
pub struct Parts(Vec<Part>);

impl Parts {
    pub(super) fn new(parts: Vec<Part>) -> Parts {
        Parts(parts)
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many messages there are.
    pub fn messages(&self) -> usize {
        self.0.iter().map(|part| part.messages.len()).sum()
    }

    /// The messages, in order.
    pub fn iter(&self) -> impl Iterator<Item = Kept<'_>> {
        self.0.iter().flat_map(Part::iter)
    }

    pub(crate) fn into_parts(self) -> Vec<Part> {
        self.0
    }

    /// Bytes that it takes on a ring, for its byte limit: the messages are only referred to.
    pub(crate) fn len(&self) -> usize {
        self.0.len() * size_of::<Part>()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::block::Frame;
    use super::*;
    use crate::history::text_frame as frame;

    #[test]
    fn a_part_ends_between_or_inside_frames() {
        let all = [frame("one"), frame("two"), frame("three")].concat();
        for taken in 0..all.len() {
            let mut block = Block::new(7, 128, &[]);
            for text in ["one", "two", "three"] {
                assert!(block.append(&frame(text), 5));
            }
            let mut part = Part { block, messages: 0..3 };
            let cut = part.cut(taken);
            let rest = cut.rest.map_or(Vec::new(), |rest| match rest {
                Rest::Copied(bytes) => bytes,
                Rest::Shared(..) => panic!("small frames are copied"),
            });
            let left = [&rest, part.frames()].concat();
            assert_eq!(left, &all[taken..], "{taken} bytes taken");
            assert!(cut.messages == part.messages.start, "{taken} bytes taken");
        }
    }

    #[test]
    fn a_large_message_is_referred_to_and_its_rest_is_not_copied() {
        let large: Arc<[u8]> = frame(&"x".repeat(40_000)).into();
        let block = Block::whole(3, Frame::Shared(&large), 1);
        let mut part = Part { block, messages: 0..1 };
        let cut = part.cut(39_000);
        assert!(
            matches!(cut.rest, Some(Rest::Shared(frame, 39_000)) if Arc::ptr_eq(&frame, &large))
        );
        assert_eq!((cut.messages, part.frames().len()), (1, 0));
    }
}
