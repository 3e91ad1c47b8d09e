//! The flags that come from the table of limits.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use corecast_load::units::parse::{duration, size, whole};
use corecast_shards::{Amount, Limit, Limits, Preset};

/// One flag for each limit.
#[derive(Clone, Debug)]
pub(super) struct LimitArgs(Limits);

impl LimitArgs {
    pub(super) fn limits(&self) -> Limits {
        self.0.clone()
    }
}

impl Args for LimitArgs {
    fn augment_args(command: Command) -> Command {
        command.args(Limits::TABLE.iter().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        LimitArgs::augment_args(command)
    }
}

impl FromArgMatches for LimitArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<LimitArgs, clap::Error> {
        let mut args = LimitArgs(Limits::default());
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for limit in Limits::TABLE {
            if let Some(amount) = matches.get_one::<Amount>(limit.flag) {
                limit.set(&mut self.0, *amount);
            }
        }
        Ok(())
    }
}

fn flag(limit: &Limit) -> Arg {
    let flag = Arg::new(limit.flag)
        .long(limit.flag)
        .env(limit.variable())
        .help(help(limit))
        .long_help(long_help(limit));
    let flag = match limit.least {
        Amount::Bytes(_) => {
            let parser = |text: &str| size(text).map(Amount::Bytes);
            flag.value_name("SIZE").value_parser(parser).allow_hyphen_values(true)
        }
        Amount::Count(_) => {
            let parser = |text: &str| whole(text).map(Amount::Count);
            flag.value_name("N").value_parser(parser).allow_hyphen_values(true)
        }
        Amount::Time(_) => flag
            .value_name("TIME")
            .value_parser(|text: &str| duration(text).map(Amount::Time))
            .allow_hyphen_values(true),
    };
    match limit.preset {
        Preset::Fixed(amount) => flag.default_value(amount.to_string()),
        Preset::Derived(_) => flag,
    }
}

/// What `-h` says about a limit.
pub(super) fn help(limit: &Limit) -> String {
    limit.summary().replace('`', "")
}

/// What `--help` says about it: its bounds, and what else there is to know.
pub(super) fn long_help(limit: &Limit) -> String {
    let bounds = limit.bounds().map(|bounds| format!("Bounds: {bounds}."));
    let sentences: Vec<_> = limit.more.map(str::to_owned).into_iter().chain(bounds).collect();
    match sentences.is_empty() {
        true => help(limit),
        false => format!("{}\n\n{}", help(limit), sentences.join(" ").replace('`', "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_set_by_its_flag() {
        let command = || LimitArgs::augment_args(Command::new("test"));
        let matches = command().try_get_matches_from(["test"]).unwrap();
        assert_eq!(LimitArgs::from_arg_matches(&matches).unwrap().limits(), Limits::default());
        for limit in Limits::TABLE {
            let words = ["test".to_owned(), format!("--{}", limit.flag), limit.least.to_string()];
            let matches = command().try_get_matches_from(words).unwrap();
            let mut expected = Limits::default();
            limit.set(&mut expected, limit.least);
            assert_eq!(LimitArgs::from_arg_matches(&matches).unwrap().limits(), expected);
        }
    }
}
