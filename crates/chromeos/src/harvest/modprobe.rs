//! Module options of the recovery image.

use std::collections::BTreeMap;

use bootway_image::{NodeKind, Tree};
use bootway_plan::TreePath;

use super::layer::{Layer, Origin};

/// Directories of module options, those that win first.
///
/// Source: modprobe.d(5): of files with the same name, the one in the earlier directory is read, the others are not.
const DIRECTORIES: [&str; 2] = ["etc/modprobe.d", "lib/modprobe.d"];

/// Takes the options that are in force in `root` into `lib/modprobe.d`; says which files were masked by which.
pub(super) fn take(root: &Tree, layer: &mut Layer) -> Vec<String> {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    let mut masked = Vec::new();
    for directory in DIRECTORIES {
        let Some(dir) = root.follow(directory) else { continue };
        for (path, _) in root.inside(&dir).filter(|(path, _)| path.parent().as_ref() == Some(&dir)) {
            let name = path.name();
            // modprobe reads nothing else.
            if name.strip_suffix(".conf").is_none() {
                continue;
            }
            let node = root.follow(path.as_str()).and_then(|at| root.file(&at));
            let Some(NodeKind::File(content)) = node.map(|node| &node.kind) else { continue };
            if let Some(winner) = taken.get(name) {
                masked.push(format!("{directory}/{name} is masked by {winner}/{name}"));
                continue;
            }
            taken.insert(name.to_owned(), directory);
            let to: TreePath = format!("lib/modprobe.d/{name}").parse().expect("it is a name of a tree");
            layer.put(&to, NodeKind::File(content.clone()), Origin::Recovery);
        }
    }
    masked
}
