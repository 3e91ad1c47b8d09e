//! How the code of a checkout is built, in figures: `scripts/figures`.
//!
//! ```text
//! figures code DIR                    types, circles, names, functions, asserts and pages of DIR
//! figures walk DIR SERVER LLVM_TOOLS  files and functions that one publish runs through
//! ```

mod circles;
mod code;
mod fallible;
mod names;
mod pages;
mod report;
mod walk;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["code", dir] => report::code(Path::new(dir)),
        ["walk", dir, server, tools] => {
            report::walk(Path::new(dir), Path::new(server), Path::new(tools))
        }
        _ => Err("usage: figures code DIR | figures walk DIR SERVER LLVM_TOOLS".into()),
    };
    match done {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("figures: {error}");
            ExitCode::FAILURE
        }
    }
}
