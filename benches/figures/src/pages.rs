//! The pages of a checkout, and how wide they are.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fallible::Fallible;

/// Folders that hold no page of the project.
const SKIPPED: [&str; 4] = ["target", "node_modules", ".git", "corpus"];

pub(crate) struct Page {
    pub(crate) path: PathBuf,
    /// Columns of its longest line.
    pub(crate) widest: usize,
    /// Lines of more than 100 columns.
    pub(crate) wide: usize,
}

/// All pages below a folder, sorted by path.
pub(crate) fn find(root: &Path) -> Fallible<Vec<Page>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let skipped = SKIPPED.iter().any(|name| path.ends_with(name));
            if path.is_dir() && !skipped {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(measure(root, &path)?);
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn measure(root: &Path, path: &Path) -> Fallible<Page> {
    let text = fs::read_to_string(path)?;
    let widths = text.lines().map(|line| line.chars().count());
    Ok(Page {
        path: path.strip_prefix(root).unwrap_or(path).to_owned(),
        widest: widths.clone().max().unwrap_or(0),
        wide: widths.filter(|&width| width > 100).count(),
    })
}
