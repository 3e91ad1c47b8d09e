//! Which file of a crate names which other one, read from its text: `use` lines, re-exports, and
//! paths in the code. Tests within a file are left out.

use std::collections::{BTreeMap, BTreeSet};

/// The files of one crate by their path below its `src`, and what each names.
pub(super) struct Graph {
    names: BTreeMap<String, BTreeSet<String>>,
}

/// A module is a file here.
struct Module {
    file: String,
    text: String,
    uses: Vec<Use>,
}

/// `use path as name`.
struct Use {
    path: Vec<String>,
    name: String,
}

impl Use {
    /// What all names are imported of; none for an import of a single name.
    fn glob(&self) -> Option<&[String]> {
        let (last, before) = self.path.split_last()?;
        (last == "*").then_some(before)
    }
}

/// The modules by their path; the root's is empty.
struct Modules(BTreeMap<Vec<String>, Module>);

/// Re-exports of re-exports that are followed.
const DEPTH_MAX: usize = 8;

impl Graph {
    pub(super) fn new<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Graph {
        let modules = files.map(|(file, text)| (module_path(file), Module::read(file, text)));
        let modules = Modules(modules.collect());
        let of = |(path, module): (&Vec<String>, &Module)| {
            let named = module.named().into_iter();
            let named = named.filter_map(|named| modules.resolve(path, &named, 0));
            (module.file.clone(), named.filter(|file| *file != module.file).collect())
        };
        Graph { names: modules.0.iter().map(of).collect() }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &String> {
        self.names.keys()
    }

    /// The imports of which a rule says that they lead upwards.
    pub(super) fn upward(&self, layer: impl Fn(&str) -> usize) -> Vec<String> {
        let all = self.names.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
        let upward = all.filter(|(from, to)| layer(from) < layer(to));
        upward.map(|(from, to)| format!("{from} names {to}")).collect()
    }

    /// All circles: files of which each reaches each.
    pub(super) fn circles(&self) -> BTreeSet<Vec<&str>> {
        let reach: BTreeMap<&str, BTreeSet<&str>> =
            self.names.keys().map(|file| (file.as_str(), self.reachable(file))).collect();
        let circle = |file: &&str| {
            let mutual = reach[file].iter().filter(|other| reach[*other].contains(file));
            mutual.copied().collect::<Vec<_>>()
        };
        reach.keys().map(circle).filter(|circle| circle.len() > 1).collect()
    }

    fn reachable<'a>(&'a self, from: &'a str) -> BTreeSet<&'a str> {
        let (mut found, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            let next = self.names[file].iter().map(String::as_str);
            open.extend(next.filter(|next| found.insert(*next)));
        }
        found
    }
}

/// `a/b.rs` and `a/b/mod.rs` are `a::b`; `lib.rs` or `main.rs` is the root.
fn module_path(file: &str) -> Vec<String> {
    let path = file.strip_suffix(".rs").unwrap();
    let path = path.strip_suffix("/mod").unwrap_or(path);
    match path {
        "lib" | "main" => Vec::new(),
        _ => path.split('/').map(str::to_owned).collect(),
    }
}

impl Module {
    fn read(file: &str, text: &str) -> Module {
        let code = product(text).lines().filter(|line| !line.trim_start().starts_with("//"));
        let text: String = code.flat_map(|line| [line, "\n"]).collect();
        let uses = statements(&text).flat_map(|statement| expanded(statement, &[])).collect();
        Module { file: file.to_owned(), text, uses }
    }

    /// Every path by which it names something, its own included. An import of all names names the
    /// module or the type that holds them.
    fn named(&self) -> Vec<Vec<String>> {
        let mut named: Vec<Vec<String>> =
            self.uses.iter().map(|of| of.glob().unwrap_or(&of.path).to_vec()).collect();
        let words = self.text.split(|c: char| !is_word(c) && c != ':');
        // Behind a generic type a path goes on, and before the braces of a `use`, which was read as
        // such, it does not end.
        let is_whole = |word: &&str| !word.starts_with(':') && !word.ends_with(':');
        let paths = words.filter(|word| word.contains("::")).filter(is_whole);
        named.extend(paths.map(|path| path.split("::").map(str::to_owned).collect()));
        named
    }

    fn defines(&self, name: &str) -> bool {
        let kinds = ["struct", "enum", "trait", "type", "fn", "const", "static"];
        kinds.iter().any(|kind| {
            let item = format!("{kind} {name}");
            let mut found = self.text.match_indices(&item);
            found.any(|(at, _)| !self.text[at + item.len()..].starts_with(is_word))
        })
    }
}

/// The text before a file's own tests.
fn product(text: &str) -> &str {
    let mut modules = text.match_indices("\n#[cfg(test)]\nmod ");
    let tests = modules.find(|(at, begin)| {
        let name = text[at + begin.len()..].lines().next();
        name.is_some_and(|name| name.ends_with('{'))
    });
    tests.map_or(text, |(at, _)| &text[..at])
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What each `use` names, between the word and the semicolon.
fn statements(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.match_indices("use ").filter(|(at, _)| {
        let line = text[..*at].rsplit('\n').next().unwrap().trim_start();
        line.is_empty() || line.starts_with("pub")
    });
    starts.map(|(at, word)| text[at + word.len()..].split(';').next().unwrap())
}

/// The single imports of a tree with braces.
fn expanded(tree: &str, before: &[String]) -> Vec<Use> {
    let tree = tree.trim();
    let Some((path, inner)) = tree.split_once('{') else { return single(tree, before) };
    let segments = path.trim().split("::").filter(|segment| !segment.is_empty());
    let before = [before, &segments.map(str::to_owned).collect::<Vec<_>>()].concat();
    let inner = &inner[..inner.rfind('}').unwrap()];
    let (mut depth, mut begin, mut found) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let item = &inner[begin..at];
                begin = at + 1;
                // Behind the last comma is nothing.
                if !item.trim().is_empty() {
                    found.extend(expanded(item, &before));
                }
            }
            _ => {}
        }
    }
    found
}

fn single(path: &str, before: &[String]) -> Vec<Use> {
    let (path, alias) = match path.split_once(" as ") {
        Some((path, alias)) => (path, Some(alias)),
        None => (path, None),
    };
    let segments = path.split("::").map(str::trim).filter(|s| !s.is_empty() && *s != "self");
    let path = [before, &segments.map(str::to_owned).collect::<Vec<_>>()].concat();
    let Some(last) = path.last() else { return Vec::new() };
    let name = alias.map_or(last.clone(), |alias| alias.trim().to_owned());
    vec![Use { path, name }]
}

impl Modules {
    /// The file that defines what a path means in a module; none if that is another crate's.
    fn resolve(&self, module: &[String], path: &[String], depth: usize) -> Option<String> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.look_up(&[], rest, depth),
            "self" => self.look_up(module, rest, depth),
            "super" => self.resolve_above(module.split_last()?.1, rest, depth),
            _ => {
                let is_ours = self.0.contains_key(&[module, std::slice::from_ref(first)].concat())
                    || self.0[module]
                        .uses
                        .iter()
                        .any(|of| of.name == *first && of.path[0] != *first);
                if is_ours { self.look_up(module, path, depth) } else { None }
            }
        }
    }

    fn resolve_above(&self, module: &[String], path: &[String], depth: usize) -> Option<String> {
        match path.first().is_some_and(|first| first == "super") {
            true => self.resolve(module, path, depth),
            false => self.look_up(module, path, depth),
        }
    }

    fn look_up(&self, module: &[String], path: &[String], depth: usize) -> Option<String> {
        let of = self.0.get(module)?;
        let Some((name, rest)) = path.split_first() else { return Some(of.file.clone()) };
        let child = [module, std::slice::from_ref(name)].concat();
        if self.0.contains_key(&child) {
            return self.look_up(&child, rest, depth);
        }
        if of.defines(name) {
            return Some(of.file.clone());
        }
        assert!(depth < DEPTH_MAX, "{}: {name} is re-exported in a circle", of.file);
        let used = of.uses.iter().find(|used| used.name == *name && used.path[0] != *name);
        if let Some(used) = used {
            return self.resolve(module, &[&used.path, rest].concat(), depth + 1);
        }
        let mut globs = of.uses.iter().filter_map(Use::glob);
        globs.find_map(|glob| self.resolve(module, &[glob, path].concat(), depth + 1))
    }
}
