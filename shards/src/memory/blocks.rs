//! What memory of a certain size really takes.

/// What an allocation takes of a certain size: `malloc` of glibc adds 8 bytes and hands out whole
/// units of 16, two of them at least. Other allocators take no more.
pub(crate) const fn block(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=24 => 32,
        _ => (bytes + 8).next_multiple_of(16),
    }
}

/// A vector, or a queue, of this capacity.
pub(crate) const fn vec_bytes<T>(capacity: usize) -> usize {
    block(capacity * size_of::<T>())
}

/// A hash map of this capacity: its buckets are a power of two, of which it uses seven eighths, with
/// one more byte for each.
pub(crate) fn map_bytes<K, V>(capacity: usize) -> usize {
    const GROUP: usize = 16;
    match capacity {
        0 => 0,
        _ => block(
            (capacity * 8).div_ceil(7).next_power_of_two() * (size_of::<(K, V)>() + 1) + GROUP,
        ),
    }
}

/// A map or set that is a tree, with this many entries: its nodes are two thirds full on average, and
/// half in the worst case, which is counted.
pub(crate) const fn tree_bytes<K, V>(entries: usize) -> usize {
    const LINKS: usize = 16;
    entries * (2 * (size_of::<K>() + size_of::<V>()) + LINKS)
}

/// So many bytes that are shared, with two counters: a name, or a frame.
pub(crate) const fn shared_bytes(len: usize) -> usize {
    block(2 * size_of::<usize>() + len)
}

/// How many bytes can be shared in so much memory, of which the allocator keeps 8.
pub(crate) const fn shared_capacity(memory: usize) -> usize {
    memory.saturating_sub(8 + 2 * size_of::<usize>())
}

/// The next size of few, four for each doubling: where allocations have one of these, what one of them
/// leaves fits others.
pub(crate) const fn stepped(memory: usize) -> usize {
    memory.next_multiple_of(match memory.next_power_of_two() / 8 {
        0..=16 => 16,
        step => step,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use super::*;

    #[test]
    fn a_block_holds_what_was_asked_for_in_units_of_sixteen() {
        assert_eq!((block(0), block(1), block(24), block(25)), (0, 32, 32, 48));
        for bytes in 1..5_000 {
            let block = block(bytes);
            assert!(
                block >= bytes + 8 && block < bytes + 32 && block.is_multiple_of(16),
                "{bytes}: {block}"
            );
        }
    }

    #[test]
    fn what_is_shared_fills_its_memory() {
        for memory in (32..10_000).step_by(16) {
            assert_eq!(shared_bytes(shared_capacity(memory)), memory);
        }
        assert_eq!((shared_capacity(1), shared_capacity(24)), (0, 0));
    }

    #[test]
    fn sizes_are_few_and_little_larger_than_what_they_are_for() {
        let sizes: BTreeSet<_> = (32..=65_536).map(stepped).collect();
        assert!(sizes.len() <= 45, "{} sizes: {sizes:?}", sizes.len());
        for bytes in 32..=65_536 {
            let size = stepped(bytes);
            assert!(size >= bytes && size - bytes < 16.max(bytes / 4), "{bytes}: {size}");
            assert!(size.is_multiple_of(16) && stepped(size) == size, "{bytes}: {size}");
        }
    }

    #[test]
    fn a_map_takes_as_many_buckets_as_its_capacity_needs() {
        let mut map: HashMap<u64, u64> = HashMap::new();
        assert_eq!(map_bytes::<u64, u64>(map.capacity()), 0);
        for n in 0..5_000 {
            map.insert(n, n);
            let buckets = ((map.len() * 8).div_ceil(7)).next_power_of_two();
            let bytes = map_bytes::<u64, u64>(map.capacity());
            assert!(bytes >= buckets * 17 && bytes <= buckets * 2 * 17 + 64, "{n}: {bytes}");
        }
    }
}
