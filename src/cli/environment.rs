//! What environment variables mean: one rule for all flags.

use clap::builder::{OsStr, Resettable};
use clap::{Arg, ArgAction, Command};

use super::units::boolean;

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
