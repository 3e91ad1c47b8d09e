//! Reads a report that a run wrote before.

use std::fs;
use std::path::Path;

use super::json::Report;

/// What a file holds that `--json` wrote; else a sentence for people, which names it.
pub(super) fn read(path: &Path) -> Result<Report, String> {
    let show = path.display();
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| format!("{show} cannot be read: {error}"))?;
    serde_json::from_str(&text).map_err(|error| {
        format!("{show} is no report of this version, as --json writes it: {error}")
    })
}
