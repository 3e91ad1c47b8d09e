//! The code of one package, read along its `mod` declarations and without its tests.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::fallible::Fallible;

/// A package: everything that its crate roots reach.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) files: Vec<File>,
    pub(crate) modules: Vec<Module>,
    pub(crate) types: Vec<Type>,
    pub(crate) impls: Vec<Impl>,
    pub(crate) functions: Vec<Function>,
    pub(crate) asserts: usize,
}

pub(crate) struct File {
    /// Relative to the checkout.
    pub(crate) path: PathBuf,
    /// Without tests.
    pub(crate) lines: usize,
}

/// A module, and what its names mean.
pub(crate) struct Module {
    pub(crate) file: usize,
    pub(crate) parent: Option<usize>,
    pub(crate) children: HashMap<String, usize>,
    pub(crate) items: Vec<String>,
    pub(crate) uses: Vec<Use>,
    /// Paths of more than one segment in the code itself.
    pub(crate) paths: Vec<Vec<String>>,
}

/// `use path as name`, or of everything below a path.
pub(crate) struct Use {
    pub(crate) path: Vec<String>,
    /// None for `*`.
    pub(crate) name: Option<String>,
}

pub(crate) struct Type {
    pub(crate) name: String,
    pub(crate) file: usize,
    /// Of a struct.
    pub(crate) fields: usize,
}

/// An inherent `impl` block.
pub(crate) struct Impl {
    pub(crate) module: usize,
    pub(crate) path: Vec<String>,
    pub(crate) methods: usize,
}

pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) file: usize,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

impl Package {
    /// Reads the package in `dir`, a folder of the checkout `root`.
    pub(crate) fn read(root: &Path, dir: &Path, name: String) -> Fallible<Self> {
        let mut package = Self {
            name,
            files: Vec::new(),
            modules: Vec::new(),
            types: Vec::new(),
            impls: Vec::new(),
            functions: Vec::new(),
            asserts: 0,
        };
        for crate_root in crate_roots(&dir.join("src"))? {
            package.read_file(root, &crate_root, None, Children::Beside)?;
        }
        Ok(package)
    }

    fn read_file(
        &mut self,
        root: &Path,
        path: &Path,
        parent: Option<usize>,
        children: Children,
    ) -> Fallible<usize> {
        let text = fs::read_to_string(path)?;
        let parsed = syn::parse_file(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        let folder = match children {
            Children::Beside => path.parent().unwrap_or(path).to_owned(),
            Children::Below => path.with_extension(""),
        };
        let file = self.files.len();
        let relative = path.strip_prefix(root).unwrap_or(path).to_owned();
        self.files.push(File { path: relative, lines: text.lines().count() });
        let module = self.add_module(file, parent);
        self.read_items(root, &parsed.items, module, &folder)?;
        Ok(module)
    }

    fn add_module(&mut self, file: usize, parent: Option<usize>) -> usize {
        self.modules.push(Module {
            file,
            parent,
            children: HashMap::new(),
            items: Vec::new(),
            uses: Vec::new(),
            paths: Vec::new(),
        });
        self.modules.len() - 1
    }

    fn read_items(
        &mut self,
        root: &Path,
        items: &[syn::Item],
        module: usize,
        folder: &Path,
    ) -> Fallible<()> {
        let file = self.modules[module].file;
        for item in items {
            if is_test(attributes(item)) {
                let span = item.span();
                self.files[file].lines -= span.end().line + 1 - span.start().line;
            } else if let syn::Item::Mod(inner) = item {
                self.read_module(root, inner, module, folder)?;
            } else {
                self.read_item(item, module);
            }
        }
        Ok(())
    }

    fn read_module(
        &mut self,
        root: &Path,
        inner: &syn::ItemMod,
        parent: usize,
        folder: &Path,
    ) -> Fallible<()> {
        let name = inner.ident.to_string();
        let below = folder.join(&name);
        let child = if let Some((_, items)) = &inner.content {
            let child = self.add_module(self.modules[parent].file, Some(parent));
            self.read_items(root, items, child, &below)?;
            child
        } else if below.join("mod.rs").is_file() {
            self.read_file(root, &below.join("mod.rs"), Some(parent), Children::Beside)?
        } else {
            self.read_file(root, &below.with_extension("rs"), Some(parent), Children::Below)?
        };
        self.modules[parent].children.insert(name, child);
        Ok(())
    }

    fn read_item(&mut self, item: &syn::Item, module: usize) {
        let file = self.modules[module].file;
        match item {
            syn::Item::Use(item) => flatten(&item.tree, &[], &mut self.modules[module].uses),
            syn::Item::Impl(item) if item.trait_.is_none() => self.add_impl(item, module),
            _ => {}
        }
        if let Some((name, fields)) = type_of(item) {
            self.types.push(Type { name, file, fields });
        }
        self.modules[module].items.extend(name_of(item));
        let mut reader = Reader { file, functions: Vec::new(), paths: Vec::new(), asserts: 0 };
        reader.visit_item(item);
        self.functions.append(&mut reader.functions);
        self.modules[module].paths.append(&mut reader.paths);
        self.asserts += reader.asserts;
    }

    fn add_impl(&mut self, item: &syn::ItemImpl, module: usize) {
        let syn::Type::Path(of) = &*item.self_ty else { return };
        let is_method =
            |item: &&syn::ImplItem| matches!(item, syn::ImplItem::Fn(of) if !is_test(&of.attrs));
        let methods = item.items.iter().filter(is_method).count();
        self.impls.push(Impl { module, path: segments(&of.path), methods });
    }
}

/// Where the files of a file's modules are.
enum Children {
    /// In its folder: `mod.rs` and the crate roots.
    Beside,
    /// In a folder of its name.
    Below,
}

/// `lib.rs`, `main.rs` and each program in `bin`.
fn crate_roots(src: &Path) -> Fallible<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = ["lib.rs", "main.rs"].iter().map(|name| src.join(name)).collect();
    found.retain(|path| path.is_file());
    if let Ok(programs) = fs::read_dir(src.join("bin")) {
        for program in programs {
            found.push(program?.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether something is compiled for tests only.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let cfg = attribute.path().is_ident("cfg");
        attribute.path().is_ident("test")
            || cfg && attribute.parse_args::<syn::Meta>().is_ok_and(|meta| !holds_outside(&meta))
    })
}

/// Whether a condition can hold where nothing is tested. So `any(test, debug_assertions)` does: what
/// it guards checks the product itself while that is developed.
fn holds_outside(meta: &syn::Meta) -> bool {
    type Metas = syn::punctuated::Punctuated<syn::Meta, syn::Token![,]>;
    match meta {
        syn::Meta::Path(path) => {
            !["test", "fuzzing", "doctest"].iter().any(|name| path.is_ident(name))
        }
        syn::Meta::List(list) => {
            let of = list.parse_args_with(Metas::parse_terminated).unwrap_or_default();
            let mut each = of.iter().map(holds_outside);
            match () {
                () if list.path.is_ident("all") => each.all(|holds| holds),
                () if list.path.is_ident("any") => each.any(|holds| holds),
                () => true,
            }
        }
        syn::Meta::NameValue(_) => true,
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name that an item gives to its module.
fn name_of(item: &syn::Item) -> Option<String> {
    let name = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// A type's name and, of a struct, the number of its fields.
fn type_of(item: &syn::Item) -> Option<(String, usize)> {
    let fields = match item {
        syn::Item::Struct(item) => item.fields.len(),
        syn::Item::Enum(_) | syn::Item::Trait(_) | syn::Item::Type(_) | syn::Item::Union(_) => 0,
        _ => return None,
    };
    Some((name_of(item)?, fields))
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn flatten(tree: &syn::UseTree, before: &[String], uses: &mut Vec<Use>) {
    let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
    match tree {
        syn::UseTree::Path(path) => flatten(&path.tree, &with(&path.ident), uses),
        syn::UseTree::Group(group) => {
            group.items.iter().for_each(|tree| flatten(tree, before, uses))
        }
        syn::UseTree::Glob(_) => uses.push(Use { path: before.to_vec(), name: None }),
        syn::UseTree::Name(name) if name.ident == "self" => {
            uses.push(Use { path: before.to_vec(), name: before.last().cloned() });
        }
        syn::UseTree::Name(name) => {
            uses.push(Use { path: with(&name.ident), name: Some(name.ident.to_string()) });
        }
        syn::UseTree::Rename(name) => {
            uses.push(Use { path: with(&name.ident), name: Some(name.rename.to_string()) });
        }
    }
}

/// What is counted within an item.
struct Reader {
    file: usize,
    functions: Vec<Function>,
    paths: Vec<Vec<String>>,
    asserts: usize,
}

impl Reader {
    fn add(&mut self, name: &syn::Ident, whole: proc_macro2::Span, from: proc_macro2::Span) {
        let (first, last) = (from.start().line, whole.end().line);
        self.functions.push(Function { name: name.to_string(), file: self.file, first, last });
    }
}

impl Visit<'_> for Reader {
    fn visit_item_fn(&mut self, item: &syn::ItemFn) {
        if !is_test(&item.attrs) {
            self.add(&item.sig.ident, item.span(), item.sig.span());
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            self.add(&item.sig.ident, item.span(), item.sig.span());
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &syn::TraitItemFn) {
        if item.default.is_some() {
            self.add(&item.sig.ident, item.span(), item.sig.span());
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_macro(&mut self, item: &syn::Macro) {
        const ASSERTS: [&str; 6] = [
            "assert",
            "assert_eq",
            "assert_ne",
            "debug_assert",
            "debug_assert_eq",
            "debug_assert_ne",
        ];
        self.asserts += usize::from(ASSERTS.iter().any(|name| item.path.is_ident(name)));
        visit::visit_macro(self, item);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            self.paths.push(segments(path));
        }
        visit::visit_path(self, path);
    }
}
