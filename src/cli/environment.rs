//! What environment variables mean: one rule for all flags.

use std::ffi::OsString;

use clap::builder::{OsStr, Resettable};
use clap::{Arg, ArgAction, Command};

/// Gives every flag of a command, and of those below it, the same understanding of its variable:
/// an empty one is not set, and a switch knows the usual words for yes and no.
pub(super) fn prepare(command: Command) -> Command {
    command.mut_args(prepare_flag).mut_subcommands(prepare)
}

fn prepare_flag(flag: Arg) -> Arg {
    let Some(name) = flag.get_env() else { return flag };
    if std::env::var_os(name).is_some_and(|value| value.is_empty()) {
        return flag.env(Resettable::<OsStr>::Reset);
    }
    match flag.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse => flag.value_parser(boolean),
        _ => flag,
    }
}

/// Whether a flag stands on the command line, so that its value is not its variable's.
pub(super) fn is_typed(flag: &str) -> bool {
    let is_flag = |word: OsString| {
        let word = word.to_string_lossy();
        word.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    std::env::args_os().any(is_flag)
}

/// Reads yes or no, as people write them into environments.
fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "on" | "true" => Ok(true),
        "0" | "no" | "off" | "false" => Ok(false),
        _ => Err("write 1 or 0, yes or no, on or off, true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_know_the_usual_words() {
        for (yes, no) in [("1", "0"), ("yes", "no"), ("ON", "Off"), ("true", "FALSE")] {
            assert_eq!((boolean(yes), boolean(no)), (Ok(true), Ok(false)), "{yes}, {no}");
        }
        for text in ["", "2", "y", "maybe", " yes"] {
            assert!(boolean(text).is_err(), "{text}");
        }
    }
}
