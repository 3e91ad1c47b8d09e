//! How many bytes the logs of a shard hold, and the largest of them.

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

    /// Bytes of the largest log.
    pub(crate) fn largest(&self) -> usize {
        self.nodes.get(1).copied().unwrap_or(0)
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
    }
}
