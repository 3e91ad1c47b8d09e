//! Which file needs which other one, and where that goes round in circles.

use std::collections::BTreeSet;

use crate::code::Package;

/// The files of the largest circle of imports; none if there is no circle.
pub(crate) fn largest(package: &Package) -> Vec<usize> {
    let needs = imports(package);
    let reach: Vec<BTreeSet<usize>> =
        (0..needs.len()).map(|file| reachable(&needs, file)).collect();
    let circle_of = |file: usize| -> Vec<usize> {
        reach[file].iter().copied().filter(|&other| reach[other].contains(&file)).collect()
    };
    (0..needs.len()).map(circle_of).max_by_key(Vec::len).unwrap_or_default()
}

/// Of each file, those that define what it names.
fn imports(package: &Package) -> Vec<BTreeSet<usize>> {
    let mut needs = vec![BTreeSet::new(); package.files.len()];
    for (index, module) in package.modules.iter().enumerate() {
        let used = module.uses.iter().map(|used| &used.path);
        for path in used.chain(&module.paths) {
            if let Some(file) = package.file_of(index, path).filter(|&file| file != module.file) {
                needs[module.file].insert(file);
            }
        }
    }
    needs
}

fn reachable(needs: &[BTreeSet<usize>], from: usize) -> BTreeSet<usize> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        open.extend(needs[file].iter().filter(|&&next| found.insert(next)));
    }
    found
}
