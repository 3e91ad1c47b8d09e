//! The figures as text.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::code::Package;
use crate::fallible::Fallible;
use crate::{circles, pages, walk};

/// Types that are listed of each package.
const TYPES_LISTED: usize = 5;

/// A function of the walk that has more lines than this does more than to look something up.
const LONG: usize = 8;

/// What the code of a checkout is like, package by package, and its pages.
pub(crate) fn code(root: &Path) -> Fallible<String> {
    let mut text = String::new();
    for package in packages(root)? {
        describe(&package, &mut text)?;
    }
    writeln!(text, "pages")?;
    for page in pages::find(root)? {
        let (path, widest, wide) = (page.path.display(), page.widest, page.wide);
        writeln!(text, "  {path}: {widest} columns, {wide} lines above 100")?;
    }
    Ok(text)
}

/// What one publish runs through, from socket to socket.
pub(crate) fn walk(root: &Path, server: &Path, tools: &Path) -> Fallible<String> {
    let packages = packages(root)?;
    let walk = walk::measure(root, &packages, server, tools)?;
    let engine = walk.keys().filter(|path| path.starts_with("shards")).count();
    let (files, others) = (walk.len(), walk.len() - engine);
    let functions: usize = walk.values().map(|functions| functions.len()).sum();
    let is_long = |function: &&(String, usize)| function.1 > LONG;
    let long = walk.values().map(|functions| functions.iter().filter(is_long).count());
    let (stops, work): (usize, usize) =
        (long.clone().filter(|count| *count > 0).count(), long.sum());
    let mut text = String::new();
    writeln!(text, "walk of a publish: {files} files ({engine} of shards, {others} of src)")?;
    writeln!(text, "  {functions} functions; {work} of more than {LONG} lines, in {stops} files")?;
    for (path, functions) in walk {
        let names = list(functions.into_iter().map(|(name, _)| name));
        writeln!(text, "  {}: {names}", path.display())?;
    }
    Ok(text)
}

/// The checkout's own packages: those with a `src`, but for what only fuzzing builds.
fn packages(root: &Path) -> Fallible<Vec<Package>> {
    let mut manifests = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
            let skipped =
                ["target", "src", "tests", "fuzz"].iter().any(|name| path.ends_with(name));
            if path.is_dir() && !skipped && !hidden {
                folders.push(path);
            } else if path.ends_with("Cargo.toml") && folder.join("src").is_dir() {
                manifests.push(path);
            }
        }
    }
    manifests.sort();
    manifests.iter().map(|manifest| read(root, manifest)).collect()
}

fn read(root: &Path, manifest: &Path) -> Fallible<Package> {
    let text = fs::read_to_string(manifest)?;
    let name = text.split_once("\n[package]\n").map_or(&*text, |(_, package)| package);
    let name = name.lines().find_map(|line| line.strip_prefix("name = "));
    let name = name.ok_or("a manifest without a name")?.trim_matches('"').to_owned();
    Package::read(root, manifest.parent().unwrap_or(root), name)
}

fn describe(package: &Package, text: &mut String) -> Fallible<()> {
    let lines: usize = package.files.iter().map(|file| file.lines).sum();
    writeln!(text, "{}: {} files, {lines} lines without tests", package.name, package.files.len())?;
    describe_types(package, text)?;
    describe_functions(package, text)?;
    let asserts = package.asserts as f64 * 1_000.0 / lines as f64;
    writeln!(text, "  asserts per 1,000 lines: {asserts:.1}")?;
    let circle = circles::largest(package);
    writeln!(text, "  files in the largest circle of imports: {}", circle.len())?;
    if !circle.is_empty() {
        writeln!(text, "    {}", list(circle.iter().map(|&file| path(package, file))))?;
    }
    let doubles = doubles(package);
    writeln!(text, "  names of more than one type: {}", doubles.len())?;
    for (name, files) in doubles {
        writeln!(text, "    {name}: {}", list(files.iter().map(|&file| path(package, file))))?;
    }
    writeln!(text)?;
    Ok(())
}

/// The types with the most methods in inherent `impl` blocks, and the most fields of any.
fn describe_types(package: &Package, text: &mut String) -> Fallible<()> {
    let mut methods: BTreeMap<(usize, &str), (usize, Vec<usize>)> = BTreeMap::new();
    for block in &package.impls {
        let (Some(file), Some(name)) =
            (package.file_of(block.module, &block.path), block.path.last())
        else {
            continue;
        };
        let entry = methods.entry((file, name)).or_default();
        entry.0 += block.methods;
        entry.1.push(package.modules[block.module].file);
    }
    let mut methods: Vec<_> = methods.into_iter().collect();
    methods.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    writeln!(text, "  types of most methods:")?;
    for ((file, name), (count, mut files)) in methods.into_iter().take(TYPES_LISTED) {
        files.sort_unstable();
        files.dedup();
        let of = package.types.iter().find(|of| of.file == file && of.name == name);
        let (fields, files) = (of.map_or(0, |of| of.fields), files.len());
        let path = path(package, file);
        writeln!(text, "    {name} ({path}): {count} methods in {files} files, {fields} fields")?;
    }
    let mut types: Vec<_> = package.types.iter().collect();
    types.sort_by_key(|of| std::cmp::Reverse(of.fields));
    let most = types.iter().take(TYPES_LISTED).map(|of| format!("{} {}", of.name, of.fields));
    writeln!(text, "  types of most fields: {}", list(most))?;
    Ok(())
}

fn describe_functions(package: &Package, text: &mut String) -> Fallible<()> {
    let lines = |function: &crate::code::Function| function.last + 1 - function.first;
    let mut lengths: Vec<usize> = package.functions.iter().map(lines).collect();
    lengths.sort_unstable();
    let (count, longest) = (lengths.len(), lengths.last().copied().unwrap_or(0));
    let at = |share: usize| lengths.get(count * share / 100).copied().unwrap_or(0);
    let (half, most) = (at(50), at(95));
    writeln!(text, "  {count} functions: median {half} lines, p95 {most}, longest {longest}")?;
    Ok(())
}

/// Names that several types of a package have, and the files of these.
fn doubles(package: &Package) -> Vec<(&str, Vec<usize>)> {
    let mut files: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for of in &package.types {
        files.entry(&of.name).or_default().push(of.file);
    }
    files.into_iter().filter(|(_, files)| files.len() > 1).collect()
}

fn path(package: &Package, file: usize) -> String {
    let path: &PathBuf = &package.files[file].path;
    path.display().to_string()
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test that cannot write its files has failed.

    use super::*;

    /// A package of these files, in a folder of this test's own.
    fn package(name: &str, files: &[(&str, &str)]) -> Package {
        let root = std::env::temp_dir().join(format!("figures-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join("src").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let package = Package::read(&root, &root, name.to_owned()).unwrap();
        fs::remove_dir_all(root).unwrap();
        package
    }

    #[test]
    fn a_circle_is_found_through_re_exports_and_not_through_tests() {
        let files = [
            ("lib.rs", "mod one;\nmod two;\n"),
            ("one/mod.rs", "mod inner;\npub(crate) use inner::Inner;\n"),
            ("one/inner.rs", "use crate::two::Two;\npub(crate) struct Inner(Two);\n"),
            ("two.rs", "pub(crate) struct Two;\nfn back() -> crate::one::Inner { loop {} }\n"),
        ];
        let found = package("circle", &files);
        let circle: Vec<String> =
            circles::largest(&found).into_iter().map(|file| path(&found, file)).collect();
        assert_eq!(circle, ["src/one/inner.rs", "src/two.rs"]);
        let only_tested =
            "pub(crate) struct Two;\n#[cfg(test)]\nmod tests {\n    use crate::one::Inner;\n}\n";
        let files = [files[0], files[1], files[2], ("two.rs", only_tested)];
        assert!(circles::largest(&package("line", &files)).is_empty());
    }

    #[test]
    fn methods_count_for_their_type_wherever_they_are() {
        let files = [
            ("lib.rs", "mod one;\nmod two;\nuse two::Big;\nimpl Big { fn a(&self) {} }\n"),
            ("one.rs", "use crate::two::Big;\nstruct Other;\nimpl Big {\n    fn b() {}\n}\n"),
            (
                "two.rs",
                "pub(crate) struct Big { x: u8, y: u8 }\nstruct Other;\nimpl Clone for Big {\n    fn clone(&self) -> Big { assert!(true); loop {} }\n}\n",
            ),
        ];
        let mut text = String::new();
        describe(&package("methods", &files), &mut text).unwrap();
        assert!(text.contains("Big (src/two.rs): 2 methods in 2 files, 2 fields"), "{text}");
        assert!(text.contains("Other: src/one.rs, src/two.rs"), "{text}");
        assert!(text.contains("3 functions: median 1 lines, p95 1, longest 1"), "{text}");
        assert!(text.contains("asserts per 1,000 lines: 71.4"), "{text}");
    }

    /// What is compiled for tests alone is left out, and what checks the product is not.
    #[test]
    fn only_what_tests_alone_have_is_left_out() {
        for (condition, is_left_out) in [
            ("test", true),
            ("any(test, fuzzing)", true),
            ("all(test, debug_assertions)", true),
            ("any(test, debug_assertions)", false),
            ("not(test)", false),
            ("feature = \"f\"", false),
        ] {
            let text = format!("#[cfg({condition})]\nfn a() {{ assert!(true) }}\nfn b() {{}}\n");
            let found = package("conditions", &[("lib.rs", &text)]);
            let lines = if is_left_out { 1 } else { 3 };
            assert_eq!(
                (found.asserts == 0, found.files[0].lines),
                (is_left_out, lines),
                "{condition}"
            );
        }
    }

    #[test]
    fn the_checkout_of_this_package_has_the_engine_in_it() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = code(&root).unwrap();
        assert!(text.contains("corecast-shards: "), "{text}");
        assert!(text.contains("Shard (shards/src/shard/mod.rs): "), "{text}");
        assert!(text.contains("  README.md: "), "{text}");
    }
}
