//! Proves that the modules of the engine import one another as the architecture page says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{pages, root, sources};

/// The modules of the engine, each a file or a folder.
fn modules() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("shards/src")).unwrap();
    let names = entries.map(|entry| entry.unwrap().path().with_extension(""));
    let names = names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    names.filter(|name| name != "lib" && name != "fuzzing").collect()
}

/// What the module imports of the others, outside of its tests.
fn imported(module: &str, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in sources("shards/src") {
        let within = path.strip_prefix(root().join("shards/src")).unwrap().with_extension("");
        let is_test = within.iter().any(|part| part == "tests");
        if !within.starts_with(Path::new(module)) || is_test {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for rest in code.flat_map(|line| line.split("crate::").skip(1)) {
            let name = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let name = name.into_iter().next().unwrap();
            assert!(modules.contains(name), "{}: crate::{name} is no module", path.display());
            found.insert(name.to_owned());
        }
    }
    found
}

#[test]
fn modules_of_the_engine_import_what_the_page_says() {
    let (modules, mut wrong) = (modules(), Vec::new());
    let mut others = modules.clone();
    for (mut group, named) in pages::imports() {
        if group.is_empty() {
            // All that are not listed before.
            group = std::mem::take(&mut others).into_iter().collect();
        }
        let named: BTreeSet<String> = named.into_iter().collect();
        let found = group.iter().flat_map(|module| imported(module, &modules));
        let found: BTreeSet<String> = found.filter(|name| !group.contains(name)).collect();
        if named != found {
            wrong.push(format!("{group:?}: {found:?}"));
        }
        for module in &group {
            others.remove(module);
        }
        let unknown: Vec<&String> = group.iter().filter(|name| !modules.contains(*name)).collect();
        assert!(unknown.is_empty(), "{unknown:?} are no modules");
    }
    assert!(wrong.is_empty(), "the page's list should say\n{}", wrong.join("\n"));
    assert!(others.is_empty(), "the page's list lacks {others:?}");
}

#[test]
fn the_load_generator_knows_frames_and_nothing_else_of_the_server() {
    let mut wrong = Vec::new();
    for path in sources("benches/load/src") {
        let text = fs::read_to_string(&path).unwrap();
        let foreign = |rest: &&str| {
            rest.starts_with("corecast::")
                || (rest.starts_with("corecast_shards::")
                    && !rest.starts_with("corecast_shards::wire::"))
        };
        let words = text.split([' ', '(', '{', '<', '&', '[']).filter(foreign);
        wrong.extend(words.map(|word| format!("{}: {word}", path.display())));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The folders of the load generator; each may import those before it.
const LOAD_FOLDERS: [&str; 8] =
    ["units", "setup", "client", "watch", "receive", "publish", "lead", "report"];

#[test]
fn folders_of_the_load_generator_import_downwards() {
    let (mut wrong, mut found) = (Vec::new(), 0);
    for (place, folder) in LOAD_FOLDERS.iter().enumerate() {
        for path in sources(&format!("benches/load/src/{folder}")) {
            let text = fs::read_to_string(&path).unwrap();
            for rest in text.split("crate::").skip(1) {
                let name = rest.split("::").next().unwrap();
                let other = LOAD_FOLDERS.iter().position(|known| *known == name);
                found += 1;
                if other.is_none_or(|other| other > place) {
                    wrong.push(format!("{}: crate::{name}", path.display()));
                }
            }
        }
    }
    assert!(found > 0, "imports were read");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
