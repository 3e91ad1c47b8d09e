//! Proves that the pages mention what there is, and that their lines are short.

use std::fs;
use std::path::Path;

use super::{root, sources};

const PAGES: [&str; 9] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "RELIABILITY.md",
    "SECURITY.md",
    "benches/FANOUT.md",
    "benches/README.md",
    "shards/README.md",
];

/// Folders of the repository that paths on pages begin with.
const FOLDERS: [&str; 9] =
    ["benches", "deploy", "examples", "fuzz", "scripts", "shards", "src", "testkit", "tests"];

const COLUMNS_MAX: usize = 100;

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

/// A page without its blocks of code.
fn prose(text: &str) -> String {
    let mut in_code = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// What is between backticks.
fn ticked(text: &str) -> Vec<String> {
    prose(text).split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Where links lead, but for those into the web.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let ends = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let local = ends.map(|(to, _)| to.split('#').next().unwrap().to_owned());
    local.filter(|to| !to.is_empty() && !to.contains("://")).collect()
}

/// `a/{b,c}.rs` is two paths.
fn expanded(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (inner, after) = rest.split_once('}').unwrap();
    inner.split(',').map(|part| format!("{before}{part}{after}")).collect()
}

fn is_path(token: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./{},-".contains(c);
    let first = token.split_once('/').map(|(first, _)| first);
    token.chars().all(is_plain) && first.is_some_and(|first| FOLDERS.contains(&first))
}

#[test]
fn paths_and_links_on_the_pages_lead_somewhere() {
    let mut missing = Vec::new();
    for page in &PAGES {
        let text = read(page);
        let folder = root().join(page).parent().unwrap().to_owned();
        let leads = |path: &str| folder.join(path).exists() || root().join(path).exists();
        let paths = ticked(&text).into_iter().filter(|token| is_path(token));
        let named = paths.flat_map(|path| expanded(&path)).filter(|path| !leads(path));
        let linked = links(&text).into_iter().filter(|to| !folder.join(to).exists());
        missing.extend(named.chain(linked).map(|path| format!("{page}: {path}")));
    }
    assert!(missing.is_empty(), "there is nothing at\n{}", missing.join("\n"));
}

/// All code in which names and messages are looked for, without its comments.
fn code() -> String {
    let mut code = String::new();
    for folder in ["shards/src", "shards/tests", "src", "tests", "benches"] {
        for path in sources(folder) {
            if path.ends_with(Path::new(file!())) {
                continue;
            }
            for line in fs::read_to_string(&path).unwrap().lines() {
                let line = line.trim_start();
                if !line.starts_with("//") {
                    code.push_str(line);
                    code.push('\n');
                }
            }
        }
    }
    code
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The identifiers of a path like `Room::base`; none if it is something else.
fn identifiers(token: &str) -> Vec<&str> {
    let path = token.strip_suffix("()").unwrap_or(token);
    let is_name =
        |name: &&str| name.chars().all(is_word) && name.starts_with(|c: char| !c.is_ascii_digit());
    let names: Vec<&str> = path.split("::").collect();
    if names.iter().all(is_name) { names } else { Vec::new() }
}

#[test]
fn names_and_messages_on_the_architecture_page_exist() {
    let code = code();
    let words: std::collections::HashSet<&str> = code.split(|c| !is_word(c)).collect();
    let mut missing = Vec::new();
    for token in ticked(&read("ARCHITECTURE.md")) {
        let message = token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let is_there = match message {
            Some(message) => code.contains(message),
            None => identifiers(&token).iter().all(|name| words.contains(name)),
        };
        if !is_there {
            missing.push(token);
        }
    }
    assert!(missing.is_empty(), "the code has none of\n{}", missing.join("\n"));
}

/// The cells of the rows of the table below a heading.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let rows = section(text, heading).lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| row.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect();
    rows.map(cells).collect()
}

/// The part of a page below a heading.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let section = text.split_once(&format!("\n## {heading}\n")).expect(heading).1;
    section.split("\n## ").next().unwrap()
}

#[test]
fn every_invariant_is_kept_by_a_test_or_an_assert() {
    let (code, page) = (code(), read("ARCHITECTURE.md"));
    let numbered = section(&page, "Invariants").split("\n").filter(|line| !line.is_empty());
    let mut rules: Vec<String> = Vec::new();
    for line in numbered {
        match line.starts_with("   ") {
            true => rules.last_mut().unwrap().push_str(&format!(" {}", line.trim_start())),
            false => rules.push(line.to_owned()),
        }
    }
    rules.retain(|rule| rule.starts_with(|c: char| c.is_ascii_digit()));
    assert!(rules.len() > 10, "the list was read");
    for (index, rule) in rules.iter().enumerate() {
        assert!(rule.starts_with(&format!("{}. ", index + 1)), "rules are numbered: {rule}");
        let keepers = ticked(rule.split_once(" Kept by").expect("what keeps it").1);
        assert!(!keepers.is_empty(), "nothing keeps {rule}");
        for keeper in keepers {
            let is_message = keeper.starts_with('"');
            let is_function = code.contains(&format!("fn {keeper}("));
            assert!(is_message || is_function, "{keeper} keeps nothing: {rule}");
        }
    }
}

#[test]
fn the_architecture_page_names_all_of_the_seam() {
    let named = table(&read("ARCHITECTURE.md"), "The seam");
    let named: Vec<String> = named.iter().flat_map(|row| ticked(&row[1])).collect();
    let mut found = 0;
    for path in sources("shards/src/shard") {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        let mut hidden = false;
        for line in text.lines().map(str::trim_start) {
            if let Some(method) = line.strip_prefix("pub fn ") {
                let name = method.split(|c| !is_word(c)).next().unwrap().to_owned();
                assert!(hidden || named.contains(&name), "{name} is not on the page");
                found += 1;
            }
            hidden = line == "#[doc(hidden)]";
        }
    }
    assert!(found > 30, "{found} methods were found");
}

#[test]
fn the_page_of_the_engine_names_each_of_its_files_and_modules() {
    let page = ticked(&read("shards/README.md"));
    let mut missing = Vec::new();
    for path in sources("shards/src") {
        let within = path.strip_prefix(root().join("shards/src")).unwrap();
        let parts: Vec<&str> = within.iter().map(|part| part.to_str().unwrap()).collect();
        let name = match parts[..] {
            ["lib.rs"] | ["shard", "tests.rs"] => continue,
            ["shard", file] => file.to_owned(),
            [module, ..] => module.trim_end_matches(".rs").to_owned(),
            [] => continue,
        };
        if !page.contains(&name) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "shards/README.md lacks {missing:?}");
}

#[test]
fn the_architecture_page_names_what_the_engine_needs() {
    let manifest = read("shards/Cargo.toml");
    let needs = manifest.split_once("[dependencies]\n").unwrap().1.split("\n[").next().unwrap();
    let mut names: Vec<&str> =
        needs.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
    names.sort_unstable();
    let arrow = format!("shards ─▶ std, {}\n", names.join(", "));
    assert!(read("ARCHITECTURE.md").contains(&arrow), "the page should say {arrow}");
}

#[test]
fn the_glossary_is_in_order() {
    let rows = table(&read("ARCHITECTURE.md"), "Words");
    let words: Vec<&String> = rows.iter().map(|row| &row[0]).collect();
    let mut sorted = words.clone();
    sorted.sort();
    assert_eq!(words, sorted);
}

/// Those that are read in a browser above all may be wider, and tables of some others: a row is one
/// line.
#[test]
fn lines_of_the_pages_are_short() {
    let narrow = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "shards/README.md"];
    let mut wide = Vec::new();
    for page in &PAGES {
        for (index, line) in read(page).lines().enumerate() {
            let is_free = line.starts_with('|') && !narrow.contains(page);
            if line.chars().count() > COLUMNS_MAX && !is_free {
                wide.push(format!("{page}:{}", index + 1));
            }
        }
    }
    assert!(wide.is_empty(), "more than {COLUMNS_MAX} columns:\n{}", wide.join("\n"));
}

/// What each group of modules of the engine imports of the others, by the page.
pub(super) fn imports() -> Vec<(Vec<String>, Vec<String>)> {
    let page = read("ARCHITECTURE.md");
    let items = section(&page, "Imports").replace("\n  ", " ");
    let items = items.lines().filter_map(|line| line.strip_prefix("- "));
    let item = |line: &str| {
        let (group, rest) = line.split_once(" import").expect("an item has a verb");
        (ticked(group), ticked(rest.split(". ").next().unwrap()))
    };
    items.map(item).collect()
}

/// The layers of `src` by the page, from the lowest on: files and folders below it.
pub(super) fn layers() -> Vec<Vec<String>> {
    let rows = table(&read("ARCHITECTURE.md"), "Imports");
    let files = rows.iter().rev().map(|row| ticked(&row[0]));
    let below = |path: String| path.strip_prefix("src/").unwrap().to_owned();
    files.map(|files| files.into_iter().map(below).collect()).collect()
}
