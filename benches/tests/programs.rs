//! The comparison, the soak and the histories run from end to end, for a moment.
//!
//! They need `corecast` beside them, which `cargo test --workspace` builds and
//! `cargo test -p corecast-benches` does not.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs a program with a folder of its own to write to.
fn run(program: &str, args: &[&str]) -> (Output, PathBuf) {
    let program = Path::new(program);
    let corecast = program.with_file_name("corecast");
    assert!(corecast.is_file(), "{} is missing: cargo build --workspace", corecast.display());
    let name = program.file_name().unwrap().to_str().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = Command::new(program).args(args).arg("--out").arg(&folder).output().unwrap();
    (output, folder)
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

#[test]
fn compare_leaves_a_report_of_three_kinds() {
    let (output, folder) = run(env!("CARGO_BIN_EXE_compare"), &["--smoke"]);
    assert!(output.status.success(), "{}", said(&output));
    for kind in ["md", "json", "html"] {
        let page = std::fs::read_to_string(folder.join(format!("report.{kind}"))).unwrap();
        let words = ["engine", "baseline bounded", "floor send", "many-rooms", "mean nothing"];
        for word in words {
            assert!(page.contains(word), "no {word} in {page}");
        }
        let says_what_ratios_are = page.contains("undecided where 1 is in between");
        assert_eq!(says_what_ratios_are, kind != "json", "{page}");
    }
}

#[test]
fn soak_finds_no_fault() {
    let args = ["--minutes", "0", "--cycle", "1"];
    let (output, _) = run(env!("CARGO_BIN_EXE_soak"), &args);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("cycle 3"), "{}", said(&output));
    assert!(said(&output).contains("\npassed: 3 cycles"), "{}", said(&output));
}

/// So little memory proves nothing of what is counted: whether it is near decides the exit code only.
#[test]
fn histories_fills_its_rooms() {
    let args = ["--rooms", "200", "--kept", "20", "--rounds", "30", "--shards", "1"];
    let output = Command::new(env!("CARGO_BIN_EXE_histories")).args(args).output().unwrap();
    assert!(said(&output).contains("\nkept: 20.0 messages per room"), "{}", said(&output));
}
