//! How many bytes the logs of a shard hold, and the largest of them.

use crate::memory::vec_bytes;

/// The bytes of every log, and of the largest: a tournament in which each node has the larger of the
/// two below it. So both are known at any time, and a log that changes costs a few steps.
#[derive(Debug, Default)]
pub(crate) struct LogTotals {
    /// Node 1 is the root, node n is the parent of 2n and 2n + 1; the second half are the logs.
    nodes: Vec<usize>,
    total: u64,
}

impl LogTotals {
    /// The log with this index holds this many bytes now.
    pub(super) fn set(&mut self, index: u32, bytes: usize) {
        let index = index as usize;
        if index >= self.nodes.len() / 2 {
            self.grow(index);
        }
        let mut node = self.nodes.len() / 2 + index;
        self.total = self.total + bytes as u64 - self.nodes[node] as u64;
        self.nodes[node] = bytes;
        while node > 1 {
            node /= 2;
            let larger = self.nodes[2 * node].max(self.nodes[2 * node + 1]);
            if std::mem::replace(&mut self.nodes[node], larger) == larger {
                return;
            }
        }
    }

    /// Bytes of all logs.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Bytes that the totals themselves take.
    pub(crate) fn heap_bytes(&self) -> usize {
        vec_bytes::<usize>(self.nodes.capacity())
    }

    /// Bytes of the largest log.
    pub(crate) fn largest(&self) -> usize {
        self.nodes.get(1).copied().unwrap_or(0)
    }

    /// A few of the logs that hold so many bytes or more; not the smallest of them, if there are more.
    pub(crate) fn at_least(&self, bytes: usize, count: usize) -> Vec<u32> {
        let (leaves, mut found) = (self.nodes.len() / 2, Vec::new());
        let mut nodes = vec![1];
        while let Some(node) = nodes.pop().filter(|_| found.len() < count) {
            match self.nodes.get(node) {
                Some(most) if *most < bytes.max(1) => {}
                Some(_) if node >= leaves => found.push((node - leaves) as u32),
                // The larger half is looked at first.
                Some(_) if self.nodes[2 * node] < self.nodes[2 * node + 1] => {
                    nodes.extend([2 * node, 2 * node + 1]);
                }
                Some(_) => nodes.extend([2 * node + 1, 2 * node]),
                None => {}
            }
        }
        found
    }

    fn grow(&mut self, index: usize) {
        let (before, leaves) = (self.nodes.len() / 2, (index + 1).next_power_of_two());
        let mut nodes = vec![0; 2 * leaves];
        nodes[leaves..leaves + before].copy_from_slice(&self.nodes[before..]);
        for node in (1..leaves).rev() {
            nodes[node] = nodes[2 * node].max(nodes[2 * node + 1]);
        }
        self.nodes = nodes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_and_largest_are_those_of_a_count() {
        let (mut totals, mut counted) = (LogTotals::default(), vec![0; 1_000]);
        assert_eq!((totals.total(), totals.largest()), (0, 0));
        let mut random = 7_usize;
        for step in 1..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // More and more logs, of which many are empty at any time.
            let index = (random >> 33) % (1 + step / 20);
            let bytes = if random & (1 << 20) == 0 { 0 } else { (random >> 40) % 5_000 };
            totals.set(index as u32, bytes);
            counted[index] = bytes;
            assert_eq!(totals.total(), counted.iter().sum::<usize>() as u64, "step {step}");
            assert_eq!(Some(&totals.largest()), counted.iter().max(), "step {step}");
        }
        for bytes in [0, 1, 2_500, 4_999, 5_000] {
            let expected = counted.iter().filter(|held| **held >= bytes.max(1)).count();
            let found = totals.at_least(bytes, usize::MAX);
            let all = found.iter().all(|index| counted[*index as usize] >= bytes.max(1));
            assert!(all && found.len() == expected, "{bytes}");
            assert_eq!(totals.at_least(bytes, 3).len(), expected.min(3), "{bytes}");
        }
        assert_eq!(LogTotals::default().at_least(0, 3), [0; 0]);
    }
}
