//! Proves that flags, their environment variables, README's tables and `/v1/stats` say the same.

use crate::support::{Server, refused, serve};
use serde_json::Value;

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

/// The first two cells of README's table of limits: flags and defaults.
fn readme_rows() -> Vec<(String, String)> {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("\n## Limits and defaults\n").expect("README has limits");
    let (section, _) = section.split_once("\n## ").expect("more sections follow");
    let rows = section.lines().filter(|line| line.starts_with("| `--"));
    let cells = rows.map(|line| {
        let mut cells = line.trim_matches('|').split(" | ");
        [cells.next(), cells.next()].map(|cell| cell.expect("a row has cells").trim().to_owned())
    });
    cells.map(|[flags, defaults]| (flags, defaults)).collect()
}

fn named(cell: &str) -> Vec<&str> {
    cell.split(',').map(|name| name.trim().trim_matches('`').trim_start_matches("--")).collect()
}

#[test]
fn every_flag_has_its_variable() {
    for flag in flags() {
        assert!(flag.help.contains(&flag.variable()), "--{}: {}", flag.name, flag.help);
    }
}

#[test]
fn the_readme_has_a_row_with_the_default_of_every_limit() {
    let (flags, rows) = (flags(), readme_rows());
    for flag in flags.iter().filter(|flag| flag.is_limit) {
        let row = rows.iter().find(|(names, _)| named(names).contains(&flag.name.as_str()));
        let (_, defaults) = row.unwrap_or_else(|| panic!("README has no row for --{}", flag.name));
        // README writes "256 KiB" and "100,000" where help writes 256KiB and 100000.
        let written = defaults.replace(' ', "").replace("m,", "m;").replace("s,", "s;");
        let written = written.replace("B,", "B;").replace(',', "");
        if let Some(default) = &flag.default {
            assert!(written.contains(default.as_str()), "--{}: {default} in {defaults}", flag.name);
        }
    }
    for name in rows.iter().flat_map(|(names, _)| named(names)) {
        assert!(flags.iter().any(|flag| flag.name == name), "README knows --{name}, help does not");
    }
}

#[test]
fn the_stats_show_every_limit_with_its_default() {
    let limits = Server::start(&[]).stats()["limits"].clone();
    let shown = limits.as_object().expect("limits are an object");
    let flags: Vec<_> = flags().into_iter().filter(|flag| flag.is_limit).collect();
    for flag in &flags {
        let value = shown.get(&flag.key()).and_then(Value::as_f64);
        let value = value.unwrap_or_else(|| panic!("the stats have no --{}", flag.name));
        if let Some(default) = &flag.default {
            assert_eq!(value, number(default), "--{} is {default}", flag.name);
        }
    }
    for name in shown.keys() {
        assert!(flags.iter().any(|flag| flag.key() == *name), "{name} is no limit of the help");
    }
}

/// `256KiB`, `10s` or a number, in bytes and seconds.
fn number(text: &str) -> f64 {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        unit => panic!("{unit} is no unit of a default"),
    };
    digits.parse::<f64>().expect("a default is a number") * factor
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
