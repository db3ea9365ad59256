//! Kernel modules with everything that they depend on.
//!
//! Nothing here relies on `depmod` having run: Debian's kernel packages come without a `modules.dep`. What a module
//! needs is read from the module itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use bootway_exec::Cancel;
use bootway_plan::{Class, Explain, TreePath};
use thiserror::Error;

use crate::{
    compress,
    format::modinfo::{self, Modinfo},
    tree::{Content, NodeKind, Tree},
};

/// More than any module is; what unpacks to more is damaged.
const MAX_MODULE: u64 = 256 << 20;
/// Extensions that a module can have.
const EXTENSIONS: [&str; 4] = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"];

/// The modules of one kernel version in a tree.
#[derive(Debug)]
pub(crate) struct Modules<'a> {
    /// `lib/modules/VERSION`, where it is in the tree.
    dir: TreePath,
    /// By name, with underscores.
    files: BTreeMap<String, (&'a TreePath, &'a Content)>,
    builtin: BTreeSet<String>,
}

/// A module that was asked for, or that another one needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    /// Relative to `lib/modules/VERSION`, without an extension for compression.
    pub(crate) path: String,
    /// Uncompressed.
    pub(crate) bytes: Vec<u8>,
    info: Modinfo,
}

/// Modules by name, closed under dependencies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Closure {
    modules: BTreeMap<String, Module>,
}

/// The kernel treats `-` and `_` in a module's name alike.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// The name of the module in a file, if it is one.
fn module_name(file: &str) -> Option<String> {
    EXTENSIONS.iter().find_map(|extension| file.strip_suffix(extension)).map(canonical)
}

impl<'a> Modules<'a> {
    /// Finds the modules of the one kernel version in `tree`.
    pub(crate) fn find(tree: &'a Tree) -> Result<Self, ModulesError> {
        let version = |path: &TreePath| {
            let mut names = path.components();
            let first = names.next()?;
            let usr = first == "usr";
            let lib = if usr { names.next()? } else { first };
            let (modules, version) = (names.next()?, names.next()?);
            let prefix = if usr { "usr/" } else { "" };
            (lib == "lib" && modules == "modules").then(|| format!("{prefix}lib/modules/{version}"))
        };
        let is_module =
            |path: &&TreePath| module_name(path.name()).is_some() || path.name() == "modules.builtin";
        let dirs: BTreeSet<String> = tree.nodes.keys().filter(is_module).filter_map(version).collect();
        let mut found = dirs.iter();
        let (Some(dir), None) = (found.next(), found.next()) else {
            let versions = dirs.iter().map(|dir| dir.rsplit('/').next().unwrap_or_default().to_owned());
            return Err(ModulesError::Versions { found: versions.collect() });
        };
        let dir: TreePath = dir.parse().expect("it is made of a tree's path");
        let mut modules = Self { files: BTreeMap::new(), builtin: BTreeSet::new(), dir };
        let inside = format!("{}/", modules.dir.as_str());
        for (path, node) in tree.nodes.range(modules.dir.clone()..) {
            let NodeKind::File(content) = &node.kind else { continue };
            if !path.as_str().starts_with(&inside) {
                continue;
            }
            if let Some(name) = module_name(path.name()) {
                modules.files.insert(name, (path, content));
            } else if path.as_str() == format!("{inside}modules.builtin") {
                let bytes = read(path, content)?;
                let lines = String::from_utf8_lossy(&bytes);
                let names =
                    lines.lines().filter_map(|line| module_name(line.rsplit('/').next().unwrap_or(line)));
                modules.builtin.extend(names);
            }
        }
        Ok(modules)
    }

    /// The kernel's version, the name of the directory.
    pub(crate) fn version(&self) -> &str {
        self.dir.name()
    }

    /// Names of what is built into the kernel.
    pub(crate) fn builtin(&self) -> impl Iterator<Item = &str> {
        self.builtin.iter().map(String::as_str)
    }

    /// `wanted`, by name or alias, and everything that they depend on. What is built into the kernel is there already.
    pub(crate) fn closure(&self, wanted: &[String], cancel: &Cancel) -> Result<Closure, ModulesError> {
        let mut closure = Closure::default();
        let mut aliases = None;
        for name in wanted {
            if self.builtin.contains(&canonical(name)) {
                continue;
            }
            let names = self.named(name, &mut aliases)?;
            if names.is_empty() {
                return Err(self.unknown(name));
            }
            for name in names {
                self.add(&name, &mut closure, &mut aliases, cancel)?;
            }
        }
        Ok(closure)
    }

    fn add(
        &self,
        name: &str,
        closure: &mut Closure,
        aliases: &mut Option<Aliases>,
        cancel: &Cancel,
    ) -> Result<(), ModulesError> {
        let mut todo = vec![canonical(name)];
        while let Some(name) = todo.pop() {
            if self.builtin.contains(&name) || closure.modules.contains_key(&name) {
                continue;
            }
            if cancel.is_cancelled() {
                return Err(ModulesError::Cancelled);
            }
            let (path, content) = self.files.get(&name).ok_or_else(|| self.unknown(&name))?;
            let (bytes, info) = load(path, content)?;
            for needed in &info.depends {
                let needed = canonical(needed);
                if !self.builtin.contains(&needed) && !self.files.contains_key(&needed) {
                    return Err(ModulesError::Depends { module: (*path).clone(), needed });
                }
                todo.push(needed);
            }
            for soft in &info.softdeps {
                // A soft dependency that nothing provides is allowed to be missing: that is what makes it soft.
                todo.extend(self.named(soft, aliases)?);
            }
            let inside = path.as_str().strip_prefix(self.dir.as_str()).unwrap_or(path.as_str());
            let file = inside.trim_start_matches('/');
            let end = file.rfind(".ko").map_or(file.len(), |at| at + ".ko".len());
            closure.modules.insert(name, Module { path: file[..end].to_owned(), bytes, info });
        }
        Ok(())
    }

    /// The modules that `name` means: the one with that name, or those that have it as an alias.
    fn named(&self, name: &str, aliases: &mut Option<Aliases>) -> Result<Vec<String>, ModulesError> {
        let name = canonical(name);
        if self.builtin.contains(&name) {
            return Ok(Vec::new());
        }
        if self.files.contains_key(&name) {
            return Ok(vec![name]);
        }
        // Generic and accelerated variants of an algorithm begin with its name: often that saves reading them all.
        let mut found = Vec::new();
        for (file, (path, content)) in self.files.iter().filter(|(file, _)| file.starts_with(&name)) {
            if load(path, content)?.1.aliases.iter().any(|alias| canonical(alias) == name) {
                found.push(file.clone());
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        let aliases = aliases.get_or_insert_with(|| self.aliases());
        Ok(aliases.get(&name).cloned().unwrap_or_default())
    }

    /// Which modules have which alias; reads every module.
    fn aliases(&self) -> Aliases {
        let mut aliases = Aliases::new();
        for (name, (path, content)) in &self.files {
            // A damaged module is an error for whoever asks for it by name.
            let Ok((_, info)) = load(path, content) else { continue };
            for alias in info.aliases {
                let names = aliases.entry(canonical(&alias)).or_default();
                if names.last() != Some(name) {
                    names.push(name.clone());
                }
            }
        }
        aliases
    }

    fn unknown(&self, name: &str) -> ModulesError {
        let near = self.files.keys().map(|file| (strsim::jaro_winkler(&canonical(name), file), file));
        let nearest = near.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
        ModulesError::Unknown {
            name: name.to_owned(),
            version: self.version().to_owned(),
            nearest: nearest.map(|(_, file)| file.clone()),
        }
    }
}

/// Module names by alias.
type Aliases = BTreeMap<String, Vec<String>>;

impl Closure {
    /// By name.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &Module> {
        self.modules.values()
    }

    /// The text of `modules.dep`: each module with all that it needs, what is loaded first last.
    ///
    /// Source: `modules.dep(5)`; `modprobe` of busybox loads from the end of the line.
    pub(crate) fn modules_dep(&self) -> String {
        let mut text = String::new();
        for (name, module) in &self.modules {
            let mut order = Vec::new();
            self.visit(name, &mut order);
            order.pop(); // The module itself comes after all that it needs.
            let needed: String =
                order.iter().rev().map(|name| format!(" {}", self.modules[*name].path)).collect();
            text += &format!("{}:{needed}\n", module.path);
        }
        text
    }

    /// Appends what `name` needs, then `name`, each once.
    fn visit<'b>(&'b self, name: &'b str, order: &mut Vec<&'b str>) {
        // Modules cannot depend on each other in a circle; a damaged one that says so must not take the stack.
        fn walk<'b>(closure: &'b Closure, name: &str, depth: u32, order: &mut Vec<&'b str>) {
            let Some((name, module)) = closure.modules.get_key_value(name) else { return };
            if depth == 0 || order.contains(&name.as_str()) {
                return;
            }
            for needed in &module.info.depends {
                walk(closure, &canonical(needed), depth - 1, order);
            }
            if !order.contains(&name.as_str()) {
                order.push(name);
            }
        }
        walk(self, name, 64, order);
    }

    /// The text of `modules.alias`, so that the kernel can ask for what it needs.
    pub(crate) fn modules_alias(&self) -> String {
        let line = |(name, module): (&String, &Module)| -> String {
            module.info.aliases.iter().map(|alias| format!("alias {alias} {name}\n")).collect()
        };
        self.modules.iter().map(line).collect()
    }
}

fn load(path: &TreePath, content: &Content) -> Result<(Vec<u8>, Modinfo), ModulesError> {
    let bytes = compress::decompress(&read(path, content)?, MAX_MODULE)
        .map_err(|source| ModulesError::Unpack { path: path.clone(), source })?;
    let info = modinfo::parse(&bytes)
        .map_err(|error| ModulesError::Invalid { path: path.clone(), reason: error.to_string() })?;
    Ok((bytes, info))
}

fn read(path: &TreePath, content: &Content) -> Result<Vec<u8>, ModulesError> {
    let mut bytes = Vec::with_capacity(content.size().min(MAX_MODULE) as usize);
    let read = content.open().and_then(|file| file.take(MAX_MODULE).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|source| ModulesError::Unpack { path: path.clone(), source })
}

/// Kernel modules cannot be taken from a tree.
#[derive(Debug, Error)]
pub enum ModulesError {
    /// There is not exactly one kernel version.
    #[error("{}", versions(found))]
    Versions {
        /// The versions, if there are several.
        found: Vec<String>,
    },
    /// There is no module of this name.
    #[error("kernel {version} has no module `{name}`{}", nearest.as_ref().map(|it| format!(": did you mean `{it}`?")).unwrap_or_default())]
    Unknown {
        /// As it was asked for.
        name: String,
        /// Of the kernel.
        version: String,
        /// A module with a similar name.
        nearest: Option<String>,
    },
    /// A module needs one that is not there.
    #[error(
        "the module `{module}` depends on `{needed}`, which is neither a module nor built in: the kernel tree is not whole"
    )]
    Depends {
        /// Where it is in the tree.
        module: TreePath,
        /// The name of what it needs.
        needed: String,
    },
    /// A file cannot be read or unpacked.
    #[error("cannot read the module `{path}`")]
    Unpack {
        /// In the tree.
        path: TreePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not a module.
    #[error("`{path}` is not a kernel module: {reason}")]
    Invalid {
        /// In the tree.
        path: TreePath,
        /// What is missing.
        reason: String,
    },
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for ModulesError {
    fn class(&self) -> Class {
        match self {
            Self::Versions { .. } | Self::Unknown { .. } => Class::Plan,
            Self::Depends { .. } | Self::Unpack { .. } | Self::Invalid { .. } => Class::Step,
            Self::Cancelled => Class::Cancelled,
        }
    }
}

fn versions(found: &[String]) -> String {
    if found.is_empty() {
        "no `lib/modules/VERSION` with kernel modules in the kernel tree: name a tree that has one".to_owned()
    } else {
        let found = found.join("`, `");
        format!("the kernel tree has modules of several kernels, `{found}`: keep one of them")
    }
}

#[cfg(test)]
pub(crate) mod tests;
