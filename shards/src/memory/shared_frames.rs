//! Large frames, which a shard shares among its logs and connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::blocks::shared_bytes;

/// Frames that are referred to and not copied. Each is counted once, however many logs and
/// connections of the shard refer to it. (Each shard that refers to it counts it.)
#[derive(Debug, Default)]
pub(crate) struct SharedFrames {
    /// By address, which no other frame has while a holder keeps this one.
    holders: BTreeMap<usize, u32>,
    bytes: usize,
}

impl SharedFrames {
    /// One more log or connection refers to this frame.
    pub(crate) fn hold(&mut self, frame: &Arc<[u8]>) {
        let holders = self.holders.entry(address(frame)).or_default();
        if *holders == 0 {
            self.bytes += shared_bytes(frame.len());
        }
        *holders += 1;
    }

    /// One of them does so no longer.
    pub(crate) fn release(&mut self, frame: &Arc<[u8]>) {
        let holders = self.holders.get_mut(&address(frame)).expect("what is released was held");
        *holders -= 1;
        if *holders == 0 {
            self.holders.remove(&address(frame));
            self.bytes -= shared_bytes(frame.len());
        }
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn address(frame: &Arc<[u8]>) -> usize {
    Arc::as_ptr(frame).cast::<u8>().addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_counted_once_and_until_its_last_holder_has_gone() {
        let frames: [Arc<[u8]>; 2] = [vec![1; 40_000].into(), vec![2; 20_000].into()];
        let mut shared = SharedFrames::default();
        for frame in &frames {
            (0..3).for_each(|_| shared.hold(frame));
        }
        assert_eq!(shared.bytes(), shared_bytes(40_000) + shared_bytes(20_000));
        (0..3).for_each(|_| shared.release(&frames[0]));
        assert_eq!(shared.bytes(), shared_bytes(20_000));
        (0..3).for_each(|_| shared.release(&frames[1]));
        assert_eq!((shared.bytes(), shared.holders.len()), (0, 0));
    }
}
