//! When a table gives memory back whose entries keep their index.

/// How many unused entries must be new before a table is looked at again: so a look, which may walk a
/// quarter of the table, costs each of them little.
const LOOK_EVERY: usize = 256;

/// Where the used part of a table ends, if the table is to be cut there: three quarters of its entries
/// are unused, and the last quarter of it holds nothing else. To be asked whenever the number of unused
/// entries has grown by one.
pub(crate) fn end_of_used<T>(
    entries: &[T],
    unused: usize,
    is_unused: impl Fn(&T) -> bool,
) -> Option<usize> {
    if !unused.is_multiple_of(LOOK_EVERY) || unused < entries.len() / 4 * 3 {
        return None;
    }
    let end = entries.iter().rposition(|entry| !is_unused(entry)).map_or(0, |last| last + 1);
    (end <= entries.len() / 4 * 3).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_cut_behind_its_last_used_entry_when_most_of_it_is_unused() {
        let table = |used: &[usize]| {
            let mut entries = vec![false; 1_024];
            used.iter().for_each(|index| entries[*index] = true);
            let unused = entries.iter().filter(|used| !**used).count() / LOOK_EVERY * LOOK_EVERY;
            end_of_used(&entries, unused, |used| !used)
        };
        assert_eq!(table(&[]), Some(0));
        assert_eq!(table(&[0, 7]), Some(8));
        assert_eq!(table(&[767]), Some(768));
        assert_eq!(table(&[800]), None, "little would be gained");
        assert_eq!(table(&Vec::from_iter(0..400)), None, "most of it is used");
        assert_eq!(end_of_used(&[false; 1_024], 1_023, |used| !used), None, "not every time");
    }
}
