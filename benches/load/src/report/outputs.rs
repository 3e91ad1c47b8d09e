//! The files that results go to: opened before a run, so that it is known then if they cannot be.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::setup::args::CommonArgs;

/// As a file name: standard output.
const STANDARD_OUTPUT: &str = "-";

/// Where results go beside, or instead of, the table.
#[derive(Debug)]
pub(crate) struct Outputs {
    pub(crate) json: Option<Output>,
    pub(crate) page: Option<Output>,
    /// Standard output has JSON instead of the table.
    pub(crate) is_json_shown: bool,
}

/// One file. Of a run that fails nothing is left of it, unless it was there before.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    file: File,
    is_new: bool,
}

impl Outputs {
    pub(crate) fn open(args: &CommonArgs) -> Result<Self, String> {
        Self::of(args.json.as_deref(), args.report.as_deref())
    }

    /// A report as JSON, and one as a page.
    pub(crate) fn of(json: Option<&Path>, page: Option<&Path>) -> Result<Self, String> {
        let is_json_shown = json.is_some_and(|path| path.as_os_str() == STANDARD_OUTPUT);
        let open = |path: Option<&Path>| path.map(Output::open).transpose();
        let json = open(json.filter(|_| !is_json_shown))?;
        Ok(Self { json, page: open(page)?, is_json_shown })
    }
}

impl Output {
    fn open(path: &Path) -> Result<Self, String> {
        let mut options = File::options();
        options.write(true);
        let (file, is_new) = match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (options.open(path), false)
            }
            file => (file, true),
        };
        let file = file.map_err(|error| cannot_write(path, &error))?;
        Ok(Self { path: path.to_owned(), file, is_new })
    }

    /// Writes it all, instead of what was there.
    pub(crate) fn write(mut self, text: &str) -> Result<(), String> {
        let is_file = self.file.metadata().is_ok_and(|metadata| metadata.is_file());
        let emptied = if is_file { self.file.set_len(0) } else { Ok(()) };
        let written = emptied.and_then(|()| self.file.write_all(text.as_bytes()));
        written.map_err(|error| cannot_write(&self.path, &error))?;
        self.is_new = false;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.is_new {
            // What is left otherwise is an empty file, which does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be written: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_results_or_what_it_had() {
        let name = format!("corecast-load-outputs-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        drop(Output::open(&path).unwrap());
        assert!(!path.exists());
        Output::open(&path).unwrap().write("a longer text").unwrap();
        drop(Output::open(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a longer text");
        Output::open(&path).unwrap().write("short").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "short");
        fs::remove_file(&path).unwrap();
        let error = Output::open(&path.join("x")).unwrap_err();
        assert!(error.contains("cannot be written"), "{error}");
    }
}
