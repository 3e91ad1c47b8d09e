//! Random numbers that depend on the seed alone.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

/// Everything random in a shard, grown from the one seed of the process.
///
/// splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). Nothing
/// here guards a secret: epochs must differ, retries must spread, generations must not start at
/// the same number after a restart.
#[derive(Clone, Debug)]
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    /// Each stream has a number. Clients see some of its output, and every step but this one can be
    /// inverted. This one is a hash, so that the output says nothing of the seed, which also guards
    /// the names of rooms.
    pub(crate) fn new(seed: u128, stream: u64) -> Rng {
        let mut hasher = DefaultHasher::new();
        hasher.write_u128(seed);
        hasher.write_u64(stream);
        Rng { state: hasher.finish() }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }
}

/// A bijection on 64 bits, so that different inputs give different epochs.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_the_seed_counts_in_every_stream() {
        let mut seen = std::collections::HashSet::new();
        // Among them pairs whose halves cancel out when they are folded.
        let seeds = (0..64).flat_map(|bit| {
            let (low, high) = (1_u128 << bit, 1_u128 << (64 + (bit + 32) % 64));
            [low, high, low | high]
        });
        for seed in seeds.chain([0, u128::MAX]) {
            for stream in [0, 1, u64::MAX] {
                assert!(seen.insert(Rng::new(seed, stream).next()), "{seed:x}, stream {stream}");
            }
        }
    }
}
