//! Chance comes from outside.

/// Everything random in a shard, grown from the one seed of the process.
///
/// splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). Nothing
/// here guards a secret: epochs must differ, retries must spread, generations must not start at
/// the same number after a restart.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    state: u64,
}

impl Chance {
    pub(crate) fn new(seed: u128, stream: u64) -> Chance {
        let folded = (seed as u64) ^ ((seed >> 64) as u64).rotate_left(32);
        Chance { state: mix(folded ^ mix(stream)) }
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
