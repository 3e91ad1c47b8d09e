//! Where a name is defined, through re-exports.

use crate::code::{Module, Package};

/// Re-exports of re-exports that are followed.
const DEPTH_MAX: usize = 16;

impl Package {
    /// The file that defines what a path in a module means; nothing if it comes from another crate.
    pub(crate) fn file_of(&self, module: usize, path: &[String]) -> Option<usize> {
        self.resolve(module, path, 0)
    }

    fn resolve(&self, module: usize, path: &[String], depth: usize) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => self.root_of(module),
            "self" => module,
            "super" => self.modules[module].parent?,
            _ => return self.look_up(module, first, rest, depth),
        };
        match rest.split_first() {
            None => Some(self.modules[start].file),
            Some((next, _)) if next == "super" => self.resolve(start, rest, depth),
            Some((next, rest)) => self.look_up(start, next, rest, depth),
        }
    }

    fn root_of(&self, mut module: usize) -> usize {
        while let Some(parent) = self.modules[module].parent {
            module = parent;
        }
        module
    }

    fn look_up(&self, module: usize, name: &str, rest: &[String], depth: usize) -> Option<usize> {
        if depth > DEPTH_MAX {
            return None;
        }
        let of = &self.modules[module];
        if let Some(&child) = of.children.get(name) {
            let inner = rest.split_first();
            let found = inner.map(|(next, rest)| self.look_up(child, next, rest, depth + 1));
            return found.unwrap_or(Some(self.modules[child].file));
        }
        if of.items.iter().any(|item| item == name) {
            return Some(of.file);
        }
        self.look_through(of, module, name, rest, depth)
    }

    /// Looks among what a module uses.
    fn look_through(
        &self,
        of: &Module,
        module: usize,
        name: &str,
        rest: &[String],
        depth: usize,
    ) -> Option<usize> {
        of.uses.iter().find_map(|used| match &used.name {
            Some(known)
                if known == name && used.path.first().is_some_and(|first| first != name) =>
            {
                self.resolve(module, &[&used.path[..], rest].concat(), depth + 1)
            }
            None if !used.path.is_empty() => {
                let path = [&used.path[..], &[name.to_owned()], rest].concat();
                self.resolve(module, &path, depth + 1)
            }
            _ => None,
        })
    }
}
