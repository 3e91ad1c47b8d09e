//! Values that cannot change without the sum in which their bytes are counted.

use std::ops::{Deref, DerefMut};

use super::blocks::vec_bytes;

/// Bytes of some things of one kind.
#[derive(Debug, Default)]
pub(crate) struct Sum(usize);

impl Sum {
    pub(crate) fn get(&self) -> usize {
        self.0
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.0 += bytes;
    }

    pub(crate) fn take_off(&mut self, bytes: usize) {
        self.0 = self.0.checked_sub(bytes).expect("what goes was counted when it came");
    }

    /// Something of `before` bytes has `after` bytes now.
    pub(crate) fn change(&mut self, before: usize, after: usize) {
        self.add(after);
        self.take_off(before);
    }
}

/// Something that owns memory beside itself.
pub(crate) trait HeapBytes {
    /// The bytes that it owns, by capacity, without those of itself.
    fn heap_bytes(&self) -> usize;
}

impl<T: HeapBytes> HeapBytes for Option<Box<T>> {
    fn heap_bytes(&self) -> usize {
        self.as_ref().map_or(0, |held| vec_bytes::<T>(1) + held.heap_bytes())
    }
}

/// A value that owns memory: it is read like the value alone, and changed only together with the sum
/// in which it is counted. What is dropped must have been emptied, or its bytes stay counted.
#[derive(Debug, Default)]
pub(crate) struct Held<T>(T);

impl<T: HeapBytes> Held<T> {
    pub(crate) fn change<R>(&mut self, sum: &mut Sum, change: impl FnOnce(&mut T) -> R) -> R {
        let before = self.0.heap_bytes();
        let result = change(&mut self.0);
        sum.change(before, self.0.heap_bytes());
        result
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A list whose capacity is counted: its entries change like those of any list, its length together
/// with the sum alone. What the entries own is counted by whatever changes it.
///
/// `BESIDE` bytes are counted with each entry, for something that grows with the list.
#[derive(Debug)]
pub(crate) struct HeldVec<T, const BESIDE: usize = 0>(Vec<T>);

impl<T, const BESIDE: usize> HeldVec<T, BESIDE> {
    pub(crate) const fn new() -> HeldVec<T, BESIDE> {
        HeldVec(Vec::new())
    }

    pub(crate) fn push(&mut self, sum: &mut Sum, entry: T) {
        self.change(sum, |entries| entries.push(entry));
    }

    /// Makes room for so many more entries, and no more than these.
    pub(crate) fn reserve_exact(&mut self, sum: &mut Sum, more: usize) {
        self.change(sum, |entries| entries.reserve_exact(more));
    }

    /// Removes an entry; the last one takes its index. The capacity stays.
    pub(crate) fn swap_remove(&mut self, index: usize) -> T {
        self.0.swap_remove(index)
    }

    /// Removes the last entry. The capacity stays.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Frees the list, whose entries own nothing any more.
    pub(crate) fn free(&mut self, sum: &mut Sum) {
        self.change(sum, |entries| *entries = Vec::new());
    }

    /// Frees what is unused, if that is most of it.
    pub(crate) fn shrink(&mut self, sum: &mut Sum) {
        if self.0.capacity() > SPARE && self.0.len() < self.0.capacity() / 4 {
            self.change(sum, |entries| entries.shrink_to(2 * entries.len()));
        }
    }

    fn change(&mut self, sum: &mut Sum, change: impl FnOnce(&mut Vec<T>)) {
        let before = self.heap_bytes();
        change(&mut self.0);
        sum.change(before, self.heap_bytes());
    }
}

/// Lists of up to this many entries keep their capacity.
const SPARE: usize = 64;

impl<T, const BESIDE: usize> HeapBytes for HeldVec<T, BESIDE> {
    fn heap_bytes(&self) -> usize {
        vec_bytes::<T>(self.0.capacity()) + self.0.capacity() * BESIDE
    }
}

impl<T, const BESIDE: usize> Deref for HeldVec<T, BESIDE> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const BESIDE: usize> DerefMut for HeldVec<T, BESIDE> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl HeapBytes for Vec<u8> {
        fn heap_bytes(&self) -> usize {
            vec_bytes::<u8>(self.capacity())
        }
    }

    #[test]
    fn a_value_is_counted_as_it_changes_and_not_any_more_when_it_is_empty() {
        let (mut sum, mut held) = (Sum::default(), Held::<Option<Box<Vec<u8>>>>::default());
        for len in [10, 1_000, 20, 100_000] {
            held.change(&mut sum, |held| held.get_or_insert_default().extend(vec![7; len]));
            let list = held.as_ref().expect("it was just made");
            assert_eq!(sum.get(), vec_bytes::<Vec<u8>>(1) + vec_bytes::<u8>(list.capacity()));
        }
        let taken = held.change(&mut sum, Option::take);
        assert_eq!((sum.get(), taken.map(|list| list.len())), (0, Some(101_030)));
    }

    #[test]
    fn a_list_is_counted_by_capacity_and_shrinks_when_most_of_it_is_unused() {
        let (mut sum, mut list) = (Sum::default(), HeldVec::<u64, 2>::new());
        (0..1_000).for_each(|n| list.push(&mut sum, n));
        let full = sum.get();
        assert!((10_000..=20_600).contains(&full), "{full}");
        while list.len() > 300 {
            list.swap_remove(0);
            list.shrink(&mut sum);
        }
        assert_eq!(sum.get(), full, "a list that is used by a quarter keeps its memory");
        while list.pop().is_some() {
            list.shrink(&mut sum);
        }
        assert!(sum.get() <= 64 * 20, "{}", sum.get());
        list.free(&mut sum);
        assert_eq!(sum.get(), 0);
    }
}
