//! What a step has changed, said in one way.
//!
//! The upper directory of an overlay says what was touched, in ways that differ between kernels: a file that was opened for
//! writing is there with the bytes it had, and a new directory may or may not hide what was below it. A layer is the
//! difference between two states instead. So a step that changes nothing makes nothing run again, and a root that is a copy
//! comes to the same bytes as an overlay.

use std::collections::{BTreeMap, BTreeSet};

use bootway_plan::{Entry, EntryKind, Manifest, TreePath};

use crate::layer::{is_opaque, is_whiteout};

/// The layer that makes of `below` what `touched` makes of it, without what is there already and with every file that is gone
/// as a whiteout: no directory of it hides what is below.
pub(crate) fn difference(below: &Manifest, touched: &Manifest) -> Manifest {
    let mut all: BTreeMap<TreePath, Entry> = touched.entries.clone();
    for hidden in hidden(below, touched) {
        all.insert(hidden, WHITEOUT);
    }
    // Names of one file stay names of one file, which what is below does not say.
    let linked: BTreeSet<&TreePath> = touched.entries.values().filter_map(target).collect();
    let (mut layer, mut parents) = (Manifest::default(), BTreeSet::new());
    // Backwards, what is in a directory comes before it.
    for (path, mut entry) in all.into_iter().rev() {
        let was = below.entries.get(&path);
        let stays = match &entry.kind {
            EntryKind::Directory => {
                let same = was.is_some_and(|was| was.kind == entry.kind && was.mode == entry.mode);
                !same || path.is_root() || parents.contains(&path)
            }
            EntryKind::File { .. } => {
                let same = was.is_some_and(|was| was.kind == entry.kind && was.mode == entry.mode);
                !same || linked.contains(&path)
            }
            EntryKind::HardLink { .. } => true,
            _ if is_whiteout(&entry) => was.is_some(),
            kind => was.is_none_or(|was| was.kind != *kind),
        };
        if stays {
            entry.xattrs.clear();
            parents.extend(path.parent());
            layer.entries.insert(path, entry);
        }
    }
    layer
}

/// That there is nothing.
pub(crate) const WHITEOUT: Entry = Entry {
    mode: 0,
    uid: 0,
    gid: 0,
    kind: EntryKind::CharDevice { major: 0, minor: 0 },
    xattrs: BTreeMap::new(),
};

fn target(entry: &Entry) -> Option<&TreePath> {
    match &entry.kind {
        EntryKind::HardLink { to } => Some(to),
        _ => None,
    }
}

/// What directories of `touched` hide of `below`; of a directory that is gone, only the directory itself.
fn hidden(below: &Manifest, touched: &Manifest) -> BTreeSet<TreePath> {
    let opaque = touched.entries.iter().filter(|(_, entry)| is_opaque(entry));
    let is_directory =
        |path: &TreePath| touched.entries.get(path).is_some_and(|entry| entry.kind == EntryKind::Directory);
    let in_it = opaque.flat_map(|(path, _)| inside(below, path));
    in_it
        .filter(|path| !touched.entries.contains_key(path))
        .filter(|path| path.parent().is_some_and(|parent| is_directory(&parent)))
        .cloned()
        .collect()
}

/// Everything of `tree` that is in the directory `path`.
fn inside<'a>(tree: &'a Manifest, path: &TreePath) -> impl Iterator<Item = &'a TreePath> + use<'a> {
    // `usr-x` comes between `usr` and `usr/bin`, and is not in it; `0` comes behind `/`.
    let (below, behind) = (format!("{}/", path.as_str()), format!("{}0", path.as_str()));
    let all = tree.entries.range(path.clone()..).map(|(it, _)| it);
    all.take_while(move |it| it.as_str() < behind.as_str()).filter(move |it| it.as_str().starts_with(&below))
}

#[cfg(test)]
mod tests {
    use bootway_plan::Digest;
    use proptest::{collection::btree_map, prelude::*};

    use super::*;
    use crate::layer::OPAQUE;

    fn entry(kind: EntryKind) -> Entry {
        let mode = if kind == EntryKind::Directory { 0o755 } else { 0o644 };
        Entry { mode, uid: 0, gid: 0, kind, xattrs: BTreeMap::new() }
    }

    fn file(text: &str) -> Entry {
        entry(EntryKind::File { size: text.len() as u64, digest: Digest::of(text.as_bytes()) })
    }

    fn directory() -> Entry {
        entry(EntryKind::Directory)
    }

    fn hiding() -> Entry {
        Entry { xattrs: BTreeMap::from([(OPAQUE.to_owned(), b"y".to_vec())]), ..directory() }
    }

    fn manifest(entries: &[(&str, Entry)]) -> Manifest {
        let root = [("", directory())];
        let all = root.iter().chain(entries);
        Manifest { entries: all.map(|(path, entry)| (path.parse().unwrap(), entry.clone())).collect() }
    }

    fn names(manifest: &Manifest) -> Vec<String> {
        let word = |entry: &Entry| if is_whiteout(entry) { "-" } else { "" };
        manifest.entries.iter().map(|(path, entry)| format!("{}{path}", word(entry))).collect()
    }

    #[test]
    fn what_was_only_touched_is_no_change() {
        let below = manifest(&[("etc", directory()), ("etc/a", file("a")), ("etc/b", file("b"))]);
        let touched = manifest(&[("etc", directory()), ("etc/a", file("a")), ("etc/b", file("B"))]);
        assert_eq!(names(&difference(&below, &touched)), ["/", "/etc", "/etc/b"]);
        assert_eq!(names(&difference(&below, &below)), ["/"]);
    }

    #[test]
    fn what_a_directory_hides_is_said_name_by_name() {
        let below = manifest(&[
            ("a", directory()),
            ("a/b", directory()),
            ("a/b/c", file("c")),
            ("a/d", file("d")),
            ("a/e", directory()),
            ("a/e/f", file("f")),
            ("a-x", file("x")),
        ]);
        let touched = manifest(&[("a", hiding()), ("a/d", file("d")), ("a/e", directory())]);
        let layer = difference(&below, &touched);
        assert_eq!(names(&layer), ["/", "/a", "-/a/b", "/a/e", "-/a/e/f"]);
        assert!(layer.entries.values().all(|entry| entry.xattrs.is_empty()));
    }

    #[test]
    fn names_of_one_file_stay_together() {
        let below = manifest(&[("a", file("a"))]);
        let link = entry(EntryKind::HardLink { to: "a".parse().unwrap() });
        assert_eq!(
            names(&difference(&below, &manifest(&[("a", file("a")), ("b", link)]))),
            ["/", "/a", "/b"]
        );
    }

    /// Trees of a few names, with everything above a file a directory.
    fn trees() -> impl Strategy<Value = Manifest> {
        btree_map("[ab]/[ab]/[ab]", "[xy]", 0..6).prop_map(|files| {
            let mut tree = manifest(&[]);
            for (path, text) in files {
                let path: TreePath = path.parse().unwrap();
                for above in std::iter::successors(path.parent(), TreePath::parent) {
                    tree.entries.insert(above, directory());
                }
                tree.entries.insert(path, file(&text));
            }
            tree
        })
    }

    /// `layer` laid over `below`, as overlayfs does.
    fn over(below: &Manifest, layer: &Manifest) -> Manifest {
        let mut all = below.clone();
        for (path, entry) in &layer.entries {
            let both = |it: Option<&Entry>| it.is_some_and(|it| it.kind == EntryKind::Directory);
            if is_opaque(entry) || !(entry.kind == EntryKind::Directory && both(all.entries.get(path))) {
                all.entries
                    .retain(|it, _| it != path && !it.as_str().starts_with(&format!("{}/", path.as_str())));
            }
            if !is_whiteout(entry) {
                all.entries.insert(path.clone(), Entry { xattrs: BTreeMap::new(), ..entry.clone() });
            }
        }
        all
    }

    proptest! {
        /// However a kernel says it, the layer makes of one tree the other.
        #[test]
        fn a_layer_makes_of_one_tree_the_other(below in trees(), mut touched in trees(), hides in any::<bool>()) {
            if hides {
                for (_, entry) in touched.entries.iter_mut().filter(|(path, it)| !path.is_root() && it.kind == EntryKind::Directory) {
                    *entry = hiding();
                }
            }
            let layer = difference(&below, &touched);
            prop_assert_eq!(over(&below, &layer), over(&below, &touched));
        }
    }
}
