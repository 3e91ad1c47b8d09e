//! Which numbers of messages publishers have used so far.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Acquire;

/// What a receiving thread knows of that; it looks again when a message has a larger one.
#[derive(Debug)]
pub(crate) struct Numbers {
    known: Vec<u32>,
    /// How many there are of each stream.
    used: Arc<[AtomicU32]>,
}

impl Numbers {
    pub(crate) fn new(used: Arc<[AtomicU32]>) -> Self {
        Self { known: vec![0; used.len()], used }
    }

    /// Whether a message of this number was published.
    #[inline]
    pub(crate) fn has(&mut self, stream: u32, number: u32) -> bool {
        number < self.known[stream as usize] || self.look(stream, number)
    }

    #[cold]
    fn look(&mut self, stream: u32, number: u32) -> bool {
        let used = self.used[stream as usize].load(Acquire);
        self.known[stream as usize] = used;
        number < used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Release;

    #[test]
    fn numbers_exist_once_they_are_used() {
        let used: Arc<[AtomicU32]> = [3, 0].map(AtomicU32::new).into();
        let mut numbers = Numbers::new(used.clone());
        assert!(numbers.has(0, 2) && !numbers.has(0, 3) && !numbers.has(1, 0));
        used[1].store(1, Release);
        assert!(numbers.has(1, 0) && !numbers.has(1, u32::MAX));
    }
}
