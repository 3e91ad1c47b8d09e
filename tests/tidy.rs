//! Proves the rules about what may name what: the arrows between packages and modules, where
//! `unsafe` is, and that the pages say what there is.
#![allow(clippy::unwrap_used)] // A test that cannot read the tree has failed.

#[path = "tidy/graph.rs"]
mod graph;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/pages.rs"]
mod pages;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every source file below a folder of the repository.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Complains about every line of code that holds a forbidden word outside the allowed folders.
fn forbid(folder: &str, words: &[&str], allowed: &[&str], why: &str) {
    let mut complaints = Vec::new();
    for path in sources(folder) {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        if allowed.iter().any(|allowed| name.starts_with(allowed)) {
            continue;
        }
        for (index, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap();
            for word in words.iter().filter(|word| holds(code, word)) {
                complaints.push(format!("{name}:{}: {word}: {why}", index + 1));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Whether the code holds a word, and not as the first part of a longer one in small letters.
fn holds(code: &str, word: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let is_open = word.ends_with(|c: char| c.is_ascii_lowercase());
    code.match_indices(word).any(|(at, _)| !is_open || !goes_on(&code[at + word.len()..]))
}

#[test]
fn the_engine_does_no_io() {
    let words = [
        "async ",
        ".await;",
        ".await?",
        ".await)",
        ".await.",
        "Instant::now",
        "SystemTime",
        "std::net",
        "std::io",
        "std::thread",
        "std::fs",
        "Mutex",
        "RwLock",
        "Atomic",
        "rand::",
    ];
    // The replay of the corpus of fuzzing, which is part of no ordinary build, reads files.
    let allowed = ["shards/src/fuzzing.rs"];
    forbid("shards/src", &words, &allowed, "the engine has no I/O, async, clock, threads or locks");
}

#[test]
fn the_engine_asserts_what_it_relies_on() {
    let (mut lines, mut asserts) = (0, 0);
    for path in sources("shards/src") {
        if path.iter().any(|part| part == "tests" || part == "tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let product = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
        lines += product.lines().count();
        let found =
            ["assert!(", "assert_eq!(", "assert_ne!("].map(|word| product.matches(word).count());
        asserts += found.iter().sum::<usize>();
    }
    let enough = asserts * 1_000 >= 10 * lines;
    assert!(enough, "{asserts} asserts in {lines} lines of the engine: less than 10 per 1,000");
}

#[test]
fn one_file_knows_glommio() {
    let only = "src/runtime/executor.rs";
    forbid("src", &["glommio::"], &[only], "everything else runs on any executor");
    let text = fs::read_to_string(root().join(only)).unwrap();
    assert!(text.contains("use glommio::"), "{only} is the file");
}

#[test]
fn one_folder_knows_rustls() {
    let only = "src/runtime/tls/";
    forbid("src", &["rustls::", "webpki::"], &[only], "TLS has two faces: handshakes and records");
    let text = fs::read_to_string(root().join(only).join("session.rs")).unwrap();
    assert!(text.contains("use rustls::"), "{only} is the folder");
}

#[test]
fn one_file_knows_zlib() {
    let only = "src/runtime/codecs.rs";
    forbid("src", &["zlib_rs::"], &[only], "a shard is given functions that compress");
    forbid("shards/src", &["zlib_rs"], &[], "a shard is given functions that compress");
    let text = fs::read_to_string(root().join(only)).unwrap();
    assert!(text.contains("use zlib_rs::"), "{only} is the file");
}

#[test]
fn the_runtime_speaks_no_http() {
    let words = ["HttpError", "StatusCode", "hyper::"];
    forbid("src/runtime", &words, &[], "what a client reads of HTTP is said in src/http");
}

#[test]
fn unsafe_stands_where_it_is_argued() {
    let words = ["unsafe {", "unsafe fn", "unsafe impl"];
    forbid("src", &words, &["src/runtime/"], "unsafe belongs in src/runtime");
    forbid("shards/src", &words, &[], "the engine is safe");
    forbid("benches/src", &words, &["benches/src/floor/"], "unsafe belongs in the floor");
    forbid("benches/load/src", &words, &[], "the load generator is safe");
}

#[test]
fn only_the_begin_of_a_connection_knows_formats() {
    let allowed = ["shards/src/format/", "shards/src/shard/open.rs", "shards/src/shard/tests"];
    let why = "a method of Format answers what is decided about its connections";
    forbid("shards/src", &["Format::Sse", "Format::Verbatim"], &allowed, why);
}

#[test]
fn the_wire_code_knows_nothing_of_rooms() {
    let words = ["crate::room", "crate::shard", "crate::home", "crate::connection", "crate::mesh"];
    forbid("shards/src/wire", &words, &[], "frames are bytes");
}

/// The names of all packages that this one needs, transitively, on a build for users.
fn dependencies(arguments: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}"])
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn assert_none(dependencies: &[String], forbidden: &[&str]) {
    let found = dependencies.iter().find(|name| forbidden.contains(&name.as_str()));
    assert_eq!(found, None, "is in the dependency tree");
}

#[test]
fn the_engine_needs_no_runtime() {
    let tree = dependencies(&["-p", "corecast-shards"]);
    assert!(tree.contains(&"serde_json".to_owned()), "the tree was read: {tree:?}");
    assert_none(&tree, &["glommio", "tokio", "mio", "libc", "futures-lite", "hyper"]);
}

#[test]
fn the_library_alone_needs_no_command_line() {
    let tree = dependencies(&["-p", "corecast", "--no-default-features"]);
    assert!(tree.contains(&"glommio".to_owned()), "the tree was read: {tree:?}");
    assert_none(
        &tree,
        &[
            "clap",
            "clap_builder",
            "corecast-load",
            "hdrhistogram",
            "indicatif",
            "tracing-subscriber",
        ],
    );
}

#[test]
fn the_load_generator_needs_no_server() {
    let tree = dependencies(&["-p", "corecast-load"]);
    assert!(tree.contains(&"corecast-shards".to_owned()), "the tree was read: {tree:?}");
    assert_none(&tree, &["corecast", "glommio", "tokio", "hyper", "futures-lite", "io-uring"]);
}

#[test]
fn tokio_and_dashmap_stay_out_of_the_product() {
    let tree = dependencies(&["-p", "corecast"]);
    assert_none(&tree, &["dashmap", "tokio-util", "axum", "async-std"]);
    // hyper names tokio for one type of channel; its runtime, sockets and timers are not built.
    assert_none(&tree, &["mio", "tokio-macros"]);
}

#[test]
fn the_ordinary_program_has_no_faults_built_in() {
    let program = fs::read(env!("CARGO_BIN_EXE_corecast")).unwrap();
    let seed = b"CORECAST_FAULT_SEED";
    let has_faults = program.windows(seed.len()).any(|window| window == seed);
    assert_eq!(has_faults, cfg!(feature = "fault-injection"), "the injector is in it");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let default = manifest.lines().find(|line| line.starts_with("default = ")).unwrap();
    assert_eq!(default, r#"default = ["cli"]"#, "faults are asked for by name");
}

/// A route that no row stands for may be open to all, and no test would know.
#[test]
fn every_route_of_the_server_has_a_row_in_the_test_of_closed_ones() {
    let squeezed = |path: &str| -> String {
        fs::read_to_string(root().join(path)).unwrap().split_whitespace().collect()
    };
    let (routes, rows) = (squeezed("src/http/router.rs"), squeezed("tests/server/endpoints.rs"));
    let table = routes.split_once("constOWN:").unwrap().1.split_once("];").unwrap().0;
    let mut found = 0;
    for route in table.split("own(\"").skip(1) {
        let (path, rest) = route.split_once('"').unwrap();
        let mut methods: Vec<_> =
            rest.split("(\"").skip(1).map(|method| method.split('"').next().unwrap()).collect();
        if methods.is_empty() {
            methods.push("GET");
        }
        for method in methods {
            found += 1;
            let row = format!("(\"{method}\",\"{path}\",");
            assert!(rows.contains(&row), "tests/server/endpoints.rs has no row of {method} {path}");
        }
    }
    assert!(found > 18, "the routes were read: {found}");
}

#[test]
fn the_unit_file_is_legal_and_lets_files_of_keys_be_read() {
    let unit = fs::read_to_string(root().join("deploy/corecast.service")).unwrap();
    let has = |line: &str| unit.lines().any(|other| other == line);
    // A dynamic user could read no file that other users may not read.
    assert!(has("User=corecast") && has("Group=corecast") && !unit.contains("DynamicUser"));
    assert!(has("#AmbientCapabilities=CAP_NET_BIND_SERVICE") && has("CapabilityBoundingSet="));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unit");
    fs::create_dir_all(&folder).unwrap();
    let with_ports = unit.replace("#CapabilityBoundingSet", "CapabilityBoundingSet");
    let with_ports = with_ports.replace("#AmbientCapabilities", "AmbientCapabilities");
    for (name, text) in [("corecast.service", &unit), ("corecast-443.service", &with_ports)] {
        let path = folder.join(name);
        // The program need not be installed here.
        fs::write(&path, text.replace("=/usr/local/bin/corecast serve", "=/bin/true")).unwrap();
        let verified = Command::new("systemd-analyze").arg("verify").arg(&path).output();
        // Where there is no systemd, what stands above is all that is proved.
        let Ok(verified) = verified else { continue };
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(!said.lines().any(|line| line.contains(name)), "{said}");
    }
}
