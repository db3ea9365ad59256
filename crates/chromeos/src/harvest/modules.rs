//! The modules of the shim's kernel, and the index that modprobe wants.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
};

use bootway_exec::{Cmd, Cx, Tool, run};
use bootway_image::{Content, Modinfo, NodeKind, Tree, parse_modinfo, write_tree};
use bootway_plan::TreePath;
use camino::Utf8Path;

use super::{
    layer::{Layer, Origin},
    unpacked::{Unpacker, stem},
};
use crate::HarvestError;

/// The name of the kernel version under which depmod works; a command line does not depend on what an image holds.
const VERSION: &str = "0.0";
/// What depmod makes again.
const MADE: [&str; 10] = [
    "modules.dep",
    "modules.dep.bin",
    "modules.alias",
    "modules.alias.bin",
    "modules.symbols",
    "modules.symbols.bin",
    "modules.softdep",
    "modules.devname",
    "modules.builtin.bin",
    "modules.builtin.alias.bin",
];
/// More than any module is.
const MOST: u64 = 256 << 20;

/// A module, as it says itself.
pub(crate) struct Module {
    /// Relative to the directory of its version.
    pub(crate) path: String,
    pub(crate) info: Modinfo,
}

/// The command lines of a harvest with modules.
pub(crate) fn commands(scratch: &Utf8Path) -> Vec<Cmd> {
    vec![Cmd::new(Tool::Depmod).args(["-b", scratch.join("depmod").as_str(), VERSION])]
}

/// Takes the modules of kernel `release` from `root` into `layer`, every one uncompressed, with an index for them.
pub(super) fn take(
    cx: &Cx<'_>,
    root: &Tree,
    release: &str,
    unpacker: &Unpacker<'_>,
    layer: &mut Layer,
) -> Result<Vec<Module>, HarvestError> {
    let Some(dir) = root.follow(&format!("lib/modules/{release}")) else {
        return Err(HarvestError::NoModules { release: release.to_owned(), found: versions(root) });
    };
    let mut files: BTreeMap<String, Content> = BTreeMap::new();
    for (path, node) in root.inside(&dir) {
        let inside = path.as_str().strip_prefix(dir.as_str()).unwrap_or_default().trim_start_matches('/');
        let kind = match &node.kind {
            NodeKind::Symlink { target } => {
                // `build` and `source` lead to where the kernel was built.
                let parent = path.parent().unwrap_or_default();
                root.follow_from(&parent, target).and_then(|at| root.file(&at)).map(|node| &node.kind)
            }
            _ => root.file(path).map(|node| &node.kind),
        };
        let Some(NodeKind::File(content)) = kind else { continue };
        if MADE.contains(&inside) {
            continue;
        }
        match stem(inside) {
            Some(plain) if is_module(plain) => {
                files.insert(plain.to_owned(), unpacker.unpack(path, content)?);
            }
            _ => {
                files.insert(inside.to_owned(), content.clone());
            }
        }
    }
    if let Some(order) = files.get_mut("modules.order") {
        *order = plain_names(order).map_err(|source| HarvestError::Unpack { path: dir.clone(), source })?;
    }
    let modules = read(&files, &dir, release)?;
    if modules.is_empty() {
        return Err(HarvestError::NoModules { release: release.to_owned(), found: versions(root) });
    }
    let index = depmod(cx, &files)?;
    check(&modules, &index)?;
    let to: TreePath =
        format!("lib/modules/{release}").parse().expect("a release is one name, or nothing was found");
    let place = |name: &str| format!("{to}/{name}").parse::<TreePath>().expect("it is a path of a tree");
    for (name, content) in files {
        layer.put(&place(&name), NodeKind::File(content), Origin::Shim);
    }
    for (name, bytes) in index {
        layer.put(&place(&name), NodeKind::File(Content::Bytes(bytes.into())), Origin::Made);
    }
    Ok(modules)
}

/// Versions that a root has modules for.
fn versions(root: &Tree) -> Vec<String> {
    let Some(dir) = root.follow("lib/modules") else { return Vec::new() };
    let depth = dir.components().count();
    let names = root.inside(&dir).filter(|(path, _)| path.components().count() == depth + 1);
    names.map(|(path, _)| format!("`{}`", path.name())).collect()
}

/// Whether a name is a plain module's, as the kernel's own tools tell: in small letters.
fn is_module(name: &str) -> bool {
    name.strip_suffix(".ko").is_some()
}

/// `modules.order` with the names that modules have when they are unpacked.
fn plain_names(order: &Content) -> std::io::Result<Content> {
    let mut text = String::new();
    order.open()?.take(MOST).read_to_string(&mut text)?;
    let lines = text.lines().map(|line| stem(line).filter(|plain| is_module(plain)).unwrap_or(line));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    Ok(Content::Bytes(text.into_bytes().into()))
}

fn read(
    files: &BTreeMap<String, Content>,
    dir: &TreePath,
    release: &str,
) -> Result<Vec<Module>, HarvestError> {
    let mut modules = Vec::new();
    for (path, content) in files.iter().filter(|(path, _)| is_module(path)) {
        let at = || dir.below(&path.parse().expect("it is a path of a tree"));
        let mut bytes = Vec::new();
        let read = content.open().and_then(|from| from.take(MOST).read_to_end(&mut bytes));
        read.map_err(|source| HarvestError::Unpack { path: at(), source })?;
        let wrong = |reason| HarvestError::Module { path: at(), release: release.to_owned(), reason };
        let info = parse_modinfo(&bytes).map_err(|error| wrong(error.to_string()))?;
        let built_for = info.vermagic.as_deref().and_then(|magic| magic.split(' ').next());
        if built_for != Some(release) {
            let reason = match built_for {
                Some(other) => format!("it was built for {other}"),
                None => "it does not say which kernel it was built for".to_owned(),
            };
            return Err(wrong(reason));
        }
        modules.push(Module { path: path.clone(), info });
    }
    Ok(modules)
}

/// The files that depmod makes for these, by name.
fn depmod(cx: &Cx<'_>, files: &BTreeMap<String, Content>) -> Result<BTreeMap<String, Vec<u8>>, HarvestError> {
    let mut layer = Layer::new();
    for (name, content) in files {
        let path = format!("lib/modules/{VERSION}/{name}").parse().expect("it is a path of a tree");
        layer.put(&path, NodeKind::File(content.clone()), Origin::Shim);
    }
    let root = cx.scratch.join("depmod");
    write_tree(cx, layer.tree(), &root)?;
    for cmd in commands(cx.scratch) {
        run(cx, &cmd)?;
    }
    let mut made = BTreeMap::new();
    for name in MADE {
        let path = root.join("lib/modules").join(VERSION).join(name);
        match fs_err::read(&path) {
            Ok(bytes) => drop(made.insert(name.to_owned(), bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    fs_err::remove_dir_all(&root)?;
    Ok(made)
}

/// Whether `modules.dep` has every module, and for each at least what it says that it needs.
fn check(modules: &[Module], index: &BTreeMap<String, Vec<u8>>) -> Result<(), HarvestError> {
    let wrong = |reason| HarvestError::Depmod { reason };
    let dep = index.get("modules.dep").ok_or_else(|| wrong("there is no modules.dep".to_owned()))?;
    let dep = String::from_utf8_lossy(dep);
    let lines: BTreeMap<&str, BTreeSet<String>> = dep
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(module, needs)| (module, needs.split_whitespace().map(module_name).collect()))
        .collect();
    for module in modules {
        let Some(needs) = lines.get(module.path.as_str()) else {
            return Err(wrong(format!("modules.dep does not have `{}`", module.path)));
        };
        let missing = module.info.depends.iter().find(|name| !needs.contains(&name.replace('-', "_")));
        if let Some(missing) = missing {
            return Err(wrong(format!(
                "`{}` needs `{missing}`, and modules.dep does not say so: the module may be missing",
                module.path
            )));
        }
    }
    match lines.keys().find(|line| !modules.iter().any(|module| module.path == **line)) {
        Some(line) => Err(wrong(format!("modules.dep has `{line}`, which is not there"))),
        None => Ok(()),
    }
}

/// `kernel/net/foo-bar.ko` → `foo_bar`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}
