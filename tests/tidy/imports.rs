//! Proves that the modules of the engine, and the files of the server, import one another as the
//! architecture page says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::graph::Graph;
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
const LOAD_FOLDERS: [&str; 9] =
    ["units", "setup", "client", "watch", "receive", "publish", "lead", "report", "search"];

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

/// The files of the library by their path below `src`, and what they hold. The command line uses
/// the library as any other program does.
fn library() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for path in sources("src") {
        let file = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned();
        if file != "main.rs" && !file.starts_with("cli/") {
            files.insert(file, fs::read_to_string(&path).unwrap());
        }
    }
    files
}

fn graph(files: &BTreeMap<String, String>) -> Graph {
    Graph::new(files.iter().map(|(file, text)| (file.as_str(), text.as_str())))
}

/// The height of a file's layer among these, each of which is files and folders.
fn layer(layers: &[Vec<String>], file: &str) -> usize {
    let holds = |layer: &Vec<String>| {
        layer.iter().any(|of| file == of || of.ends_with('/') && file.starts_with(of))
    };
    let found = layers.iter().position(holds);
    found.unwrap_or_else(|| panic!("src/{file} is in no layer of the page's table"))
}

#[test]
fn no_file_of_the_library_imports_from_a_higher_layer() {
    let (files, layers) = (library(), pages::layers());
    let graph = graph(&files);
    assert!(graph.files().count() > 50 && layers.len() > 4, "both were read");
    let upward = graph.upward(|file| layer(&layers, file));
    assert!(upward.is_empty(), "these lead upwards:\n{}", upward.join("\n"));
}

#[test]
fn no_files_of_the_library_import_one_another_in_a_circle() {
    let files = library();
    let graph = graph(&files);
    let expected = BTreeSet::from([vec!["builder/mod.rs", "server.rs"]]);
    assert_eq!(graph.circles(), expected, "only a builder and what it builds name each other");
}

/// Files that may name one another: what has two sides that need each other.
const CIRCLE_MAX: usize = 2;

/// The folders of the repository that are packages, as far as they have a `src`.
fn packages() -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root().to_owned()]);
    while let Some(folder) = open.pop() {
        if folder.join("Cargo.toml").is_file() && folder.join("src").is_dir() {
            found.push(folder.clone());
        }
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_source = !["target", "src"].contains(&name) && !name.starts_with('.');
            if is_source && path.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

/// The files of a package without tests, of each crate that it has: the one of `lib.rs` and the
/// one of `main.rs`. The programs in `bin` are files that nothing imports.
fn crates(package: &Path) -> Vec<BTreeMap<String, String>> {
    let src = package.join("src");
    let (mut files, mut roots) = (BTreeMap::new(), Vec::new());
    for path in sources(src.strip_prefix(root()).unwrap().to_str().unwrap()) {
        let within = path.strip_prefix(&src).unwrap();
        let is_test = within.with_extension("").iter().any(|part| part == "tests");
        let (file, text) =
            (within.to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap());
        if ["lib.rs", "main.rs"].contains(&file.as_str()) {
            roots.push((file, text));
        } else if !is_test {
            files.insert(file, text);
        }
    }
    let with = |root| files.clone().into_iter().chain([root]).collect();
    roots.into_iter().map(with).collect()
}

#[test]
fn few_files_of_any_package_import_one_another_in_a_circle() {
    let packages = packages();
    let names: BTreeSet<&str> =
        packages.iter().map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap()).collect();
    let known = ["", "benches", "benches/figures", "benches/load", "fuzz", "shards", "testkit"];
    assert!(names.is_superset(&BTreeSet::from(known)), "only these were read: {names:?}");
    let mut wrong = Vec::new();
    for package in &packages {
        let crates = crates(package);
        assert!(!crates.is_empty(), "{} has a crate", package.display());
        for files in crates {
            let graph = graph(&files);
            let circles = graph.circles();
            let large = circles.iter().filter(|circle| circle.len() > CIRCLE_MAX);
            wrong.extend(large.map(|circle| format!("{}: {circle:?}", package.display())));
        }
    }
    assert!(wrong.is_empty(), "more than {CIRCLE_MAX} name one another:\n{}", wrong.join("\n"));
}

/// A library of three layers, in which `message` is the lowest file.
fn small_library(message: &str) -> BTreeMap<String, String> {
    let files = [
        ("lib.rs", "mod runtime;\nmod server;\nmod values;\npub use server::Server;"),
        (
            "server.rs",
            "use crate::{\n    runtime::Handle,\n    values::{Message},\n};\nstruct Server;",
        ),
        ("runtime/mod.rs", "mod handle;\nmod turns;\npub(crate) use handle::Handle;"),
        ("runtime/handle.rs", "use super::turns;\npub(crate) struct Handle(turns::Turns);"),
        ("runtime/turns.rs", "use crate::values::Message;\npub(crate) struct Turns(Message);"),
        ("values/mod.rs", "mod message;\npub(crate) use message::Message;"),
        ("values/message.rs", message),
    ];
    files.into_iter().map(|(file, text)| (file.to_owned(), text.to_owned())).collect()
}

#[test]
fn an_import_from_a_higher_layer_is_noticed_however_it_is_written() {
    let layers = [vec!["values/"], vec!["runtime/"], vec!["server.rs", "lib.rs"]];
    let layers = layers.map(|files| files.into_iter().map(str::to_owned).collect());
    let upward = |text: &str| graph(&small_library(text)).upward(|file| layer(&layers, file));
    assert_eq!(upward("pub(crate) struct Message;"), [""; 0]);
    let tests = "pub(crate) struct Message;\n\n#[cfg(test)]\nmod tests {\n    use crate::runtime::Handle;\n}";
    assert_eq!(upward(tests), [""; 0], "tests may look at anything");
    for import in [
        "use crate::runtime::Handle;\npub(crate) struct Message;",
        "use crate::{\n    runtime::{Handle as Other},\n};\npub(crate) struct Message;",
        "pub(crate) struct Message(crate::runtime::Handle);",
        "use super::super::runtime::Handle;\npub(crate) struct Message;",
    ] {
        assert_eq!(upward(import), ["values/message.rs names runtime/handle.rs"], "{import}");
    }
    for import in [
        "use crate::runtime::*;\npub(crate) struct Message;",
        "use crate::{runtime::*, values::Event};\npub(crate) struct Message;",
        "pub(crate) use super::super::runtime::{self, *};\npub(crate) struct Message;",
    ] {
        assert_eq!(upward(import), ["values/message.rs names runtime/mod.rs"], "{import}");
    }
    let of_the_top = upward("use crate::Server;\npub(crate) struct Message;");
    assert_eq!(of_the_top, ["values/message.rs names server.rs"]);
}

#[test]
fn a_name_is_followed_through_a_re_export_of_all_names() {
    let mut files = small_library("use crate::runtime::Handle;\npub(crate) struct Message;");
    let re_exports = "mod handle;\nmod turns;\npub(crate) use turns::*;\npub(crate) use handle::*;";
    files.insert("runtime/mod.rs".to_owned(), re_exports.to_owned());
    let upward = graph(&files).upward(|file| usize::from(!file.starts_with("values/")));
    assert_eq!(upward, ["values/message.rs names runtime/handle.rs"]);
}

#[test]
fn a_circle_of_imports_is_noticed() {
    let files = small_library("use crate::runtime::Handle;\npub(crate) struct Message(Handle);");
    let graph = graph(&files);
    let circle = vec!["runtime/handle.rs", "runtime/turns.rs", "values/message.rs"];
    assert_eq!(graph.circles(), BTreeSet::from([circle]));
}

#[test]
fn a_circle_of_paths_without_a_use_is_noticed() {
    let mut files = small_library("pub(crate) struct Message(crate::runtime::Handle);");
    let turns = "#[cfg(test)]\nmod tests;\nmod begin;\nfn turn() {\n    begin::begin();\n}";
    files.insert("runtime/turns.rs".to_owned(), format!("struct Turns;\n{turns}"));
    let begin = "pub(super) fn begin() -> crate::values::Message {\n    loop {}\n}";
    files.insert("runtime/turns/begin.rs".to_owned(), begin.to_owned());
    let files = graph(&files);
    let circle = vec![
        "runtime/handle.rs",
        "runtime/turns.rs",
        "runtime/turns/begin.rs",
        "values/message.rs",
    ];
    assert_eq!(files.circles(), BTreeSet::from([circle]));
}
