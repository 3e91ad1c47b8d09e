//! Proves that help, environment variables, README's table and `/v1/stats` say what the table of
//! limits says.

use crate::support::{Server, refused, serve};
use corecast_shards::{Amount, Limit, Limits, Preset};
use std::collections::BTreeSet;

/// What `corecast serve --help` says of one flag.
struct Flag {
    name: String,
    takes_value: bool,
    is_limit: bool,
    help: String,
    default: Option<String>,
}

impl Flag {
    fn key(&self) -> String {
        self.name.replace('-', "_")
    }

    fn variable(&self) -> String {
        format!("CORECAST_{}", self.key().to_uppercase())
    }
}

fn flags() -> Vec<Flag> {
    let output = serve(&["--help"]).output().expect("the corecast binary starts");
    let help = String::from_utf8(output.stdout).expect("help is text");
    let (mut flags, mut is_limit) = (Vec::<Flag>::new(), false);
    for line in help.lines() {
        is_limit |= line == "Limits:";
        let text = line.trim();
        if let Some(name) = text.strip_prefix("--").filter(|_| line.starts_with("      --")) {
            let (name, value) = name.split_once(' ').unwrap_or((name, ""));
            flags.push(Flag {
                name: name.to_owned(),
                takes_value: value.starts_with('<'),
                is_limit,
                help: String::new(),
                default: None,
            });
        } else if let Some(flag) = flags.last_mut() {
            flag.help.push_str(text);
            let default = text.strip_prefix("[default: ").and_then(|rest| rest.strip_suffix(']'));
            flag.default = flag.default.take().or(default.map(str::to_owned));
        }
    }
    assert!(flags.iter().filter(|flag| flag.is_limit).count() > 10, "the help is read:\n{help}");
    flags
}

#[test]
fn every_flag_has_its_variable() {
    for flag in flags() {
        assert!(flag.help.contains(&flag.variable()), "--{}: {}", flag.name, flag.help);
    }
}

#[test]
fn the_help_says_what_the_table_says() {
    let flags = flags();
    let is_limit: Vec<_> =
        flags.iter().filter(|flag| flag.is_limit).map(|flag| &flag.name).collect();
    let limits: Vec<_> = Limits::TABLE.iter().map(|limit| limit.flag).collect();
    assert_eq!(is_limit, limits, "a flag for each limit, in the order of the table");
    for limit in Limit::all() {
        let flag = flags.iter().find(|flag| flag.name == limit.flag);
        let flag = flag.unwrap_or_else(|| panic!("the help has no --{}", limit.flag));
        assert_eq!(flag.variable(), limit.variable());
        let default = match limit.preset {
            Preset::Fixed(amount) => Some(amount.to_string()),
            Preset::Derived(_) => None,
        };
        assert_eq!(flag.default, default, "--{}", limit.flag);
        // Lines are broken anywhere.
        let help = flag.help.replace(' ', "");
        let texts = [Some(limit.summary()), limit.more.map(str::to_owned), limit.bounds()];
        for text in texts.into_iter().flatten() {
            let text = text.replace([' ', '`'], "");
            assert!(help.contains(&text), "--{}: {text} in {help}", limit.flag);
        }
    }
}

#[test]
fn flags_that_may_be_given_several_times_take_lists() {
    let mut flags = flags();
    flags.retain(|flag| flag.help.contains("several"));
    assert!(flags.len() > 8, "the help is read");
    for Flag { name, help, .. } in flags {
        let is_list = help.replace(' ', "").contains("Severalareseparatedbycommas");
        // A comma is part of a key, and stands between what holds in a room.
        let is_other = ["api-key", "room"].contains(&name.as_str());
        assert!(is_list != is_other, "--{name}: {help}");
    }
}

/// README's line about a limit.
fn readme_row(limit: &Limit) -> String {
    let (default, what) = (spaced(&limit.preset.to_string()), limit.what);
    let bounds = limit.bounds().map_or_else(|| "any".to_owned(), |bounds| spaced(&bounds));
    let beyond = limit.beyond.map(|beyond| format!("; beyond: {beyond}")).unwrap_or_default();
    let more = limit.more.map(|more| format!(". {more}")).unwrap_or_default();
    format!("| `--{}` | {default} | {bounds} | {what}{beyond}{more} |", limit.flag)
}

/// Numbers as people read them: `256 KiB` for `256KiB`, `1,024` for `1024`.
fn spaced(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let number = word.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = &word[number.len()..];
        if number.is_empty() || number.bytes().any(|byte| !byte.is_ascii_digit()) {
            return word.to_owned();
        }
        let groups: Vec<_> =
            number.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
        let space = if unit.starts_with(char::is_alphabetic) { " " } else { "" };
        format!("{}{space}{unit}", groups.join(","))
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_readme_has_the_table_of_limits() {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("\n## Limits and defaults\n").expect("README has limits");
    let (section, _) = section.split_once("\n## ").expect("more sections follow");
    let mut found = section.lines().filter(|line| line.starts_with('|'));
    let head: Vec<_> = [found.next(), found.next()].into_iter().flatten().collect();
    let rows: Vec<_> = found.collect();
    let is_of = |line: &&str, limit: &Limit| line.starts_with(&format!("| `--{}` |", limit.flag));
    // What is not a limit of the table has rows behind them that only README knows.
    let others = rows.iter().filter(|line| !Limit::all().any(|limit| is_of(line, limit)));
    let right: Vec<_> =
        Limit::all().map(readme_row).chain(others.map(|line| (*line).to_owned())).collect();
    let table = [head.join("\n"), right.join("\n")].join("\n");
    assert!(rows == right, "the table in README.md has to be:\n\n{table}\n");
    let flags = flags();
    for name in rows.iter().filter_map(|row| row.strip_prefix("| `--")?.split('`').next()) {
        assert!(flags.iter().any(|flag| flag.name == name), "README knows --{name}, help does not");
    }
}

#[test]
fn the_stats_show_every_limit_with_its_default() {
    let limits = Server::start(&[]).stats()["limits"].clone();
    let shown = limits.as_object().expect("limits are an object");
    for limit in Limits::TABLE {
        let value = shown.get(&limit.key()).unwrap_or_else(|| panic!("no --{}", limit.flag));
        if let Preset::Fixed(amount) = limit.preset {
            let expected = match amount {
                Amount::Bytes(number) | Amount::Count(number) => number as f64,
                Amount::Time(time) => time.as_secs_f64(),
            };
            assert_eq!(value.as_f64(), Some(expected), "--{} is {amount}", limit.flag);
        }
        assert!(value.is_number(), "--{} is {value}", limit.flag);
    }
    let keys: BTreeSet<_> = Limits::TABLE.iter().map(Limit::key).collect();
    assert_eq!(shown.keys().cloned().collect::<BTreeSet<_>>(), keys, "nothing else is shown");
}

#[test]
fn an_empty_variable_is_not_set() {
    let mut command = serve(&["--listen", "127.0.0.1:0"]);
    for flag in flags() {
        command.env(flag.variable(), "");
    }
    command.env("CORECAST_LOG", "");
    let server = Server::spawn(command, 1);
    assert_eq!(server.stats()["limits"], Server::start(&[]).stats()["limits"]);
    // Where it would listen is somebody else's, maybe; so it is stopped just before.
    let mut command = serve(&["--max-head", "1"]);
    command.env("CORECAST_LISTEN", "");
    refused(command).assert_readable(&["--max-head"]);
}

#[test]
fn switches_understand_the_usual_words() {
    let switches: Vec<_> = flags().into_iter().filter(|flag| !flag.takes_value).collect();
    assert!(switches.iter().any(|flag| flag.name == "open"), "the help is read");
    let run = |variable: &str, word: &str| {
        let mut command = serve(&["--listen", "192.0.2.1:0", "--shards", "1"]);
        command.env(variable, word);
        refused(command)
    };
    for switch in &switches {
        for word in ["maybe", "2", "-"] {
            let outcome = run(&switch.variable(), word);
            assert_eq!(outcome.code, Some(2), "{word}: {}", outcome.stderr);
            let said =
                outcome.stderr.contains(&switch.name) && outcome.stderr.contains("yes or no");
            assert!(said, "{word}: {}", outcome.stderr);
        }
        for word in ["1", "yes", "on", "TRUE", "0", "no", "Off", "false", ""] {
            let outcome = run(&switch.variable(), word);
            assert_eq!(outcome.code, Some(1), "{} {word}: {}", switch.name, outcome.stderr);
        }
    }
    for (word, is_open) in [("yes", true), ("ON", true), ("0", false), ("", false)] {
        // 192.0.2.0/24 is reserved for documentation: no machine listens there, open or not.
        let said = run("CORECAST_OPEN", word).stderr;
        assert_eq!(said.contains("cannot listen"), is_open, "{word}: {said}");
    }
}
