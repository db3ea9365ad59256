use std::os::unix::fs::{PermissionsExt, symlink};

use bootway_exec::{Input, Sandbox, SystemRunner};
use bootway_plan::{ArtifactKind, Bytes, Digest};

use super::*;

fn with_input(sandbox: &mut Sandbox<'_>, name: &str) -> Source {
    let source: Source = format!("./{name}").parse().unwrap();
    let path = sandbox.cx().plan_dir.join(name);
    let input =
        Input { path, kind: ArtifactKind::Tree, digest: Digest::of(b""), size: Bytes::new(0), made: false };
    sandbox.inputs.insert(source.clone(), input);
    source
}

fn shown(tree: &Tree) -> String {
    tree.nodes
        .iter()
        .map(|(path, node)| format!("{path} {:04o} {}:{}\n", node.mode, node.uid, node.gid))
        .collect()
}

#[test]
fn owners_root_is_the_same_for_every_user_and_umask() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let source = with_input(&mut sandbox, "root");
    let root = sandbox.cx().plan_dir.join("root");
    fs_err::create_dir_all(root.join("bin")).unwrap();
    fs_err::write(root.join("bin/tool"), "#!").unwrap();
    fs_err::set_permissions(root.join("bin/tool"), PermissionsExt::from_mode(0o4710)).unwrap();
    fs_err::write(root.join("bin-notes"), "x").unwrap();
    fs_err::set_permissions(root.join("bin-notes"), PermissionsExt::from_mode(0o600)).unwrap();
    symlink("/nowhere", root.join("link")).unwrap();
    let tree = load(&sandbox.cx(), &source, Owners::Root).unwrap();
    insta::assert_snapshot!(shown(&tree), @"
    / 0755 0:0
    /bin 0755 0:0
    /bin-notes 0644 0:0
    /bin/tool 0755 0:0
    /link 0777 0:0
    ");
    let kept = load(&sandbox.cx(), &source, Owners::Keep).unwrap();
    assert_eq!(kept.nodes[&"bin/tool".parse().unwrap()].mode, 0o4710);
}

#[test]
fn hard_links_are_kept_with_their_owners() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let source = with_input(&mut sandbox, "root");
    let root = sandbox.cx().plan_dir.join("root");
    fs_err::create_dir(&root).unwrap();
    fs_err::write(root.join("b"), "x").unwrap();
    fs_err::hard_link(root.join("b"), root.join("a")).unwrap();
    let kept = load(&sandbox.cx(), &source, Owners::Keep).unwrap();
    assert_eq!(kept.nodes[&"b".parse().unwrap()].kind, NodeKind::HardLink { to: "a".parse().unwrap() });
    let plain = load(&sandbox.cx(), &source, Owners::Root).unwrap();
    assert!(matches!(plain.nodes[&"b".parse().unwrap()].kind, NodeKind::File(_)));
}

#[test]
fn says_what_is_not_a_tree() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let file = with_input(&mut sandbox, "file");
    fs_err::write(sandbox.cx().plan_dir.join("file"), "x").unwrap();
    let error = load(&sandbox.cx(), &file, Owners::Root).unwrap_err();
    insta::assert_snapshot!(error, @"`./file` is a file, not a tree: name a directory, or a step that makes a tree");

    let odd = with_input(&mut sandbox, "odd");
    let dir = sandbox.cx().plan_dir.join("odd");
    fs_err::create_dir(&dir).unwrap();
    fs_err::write(dir.as_std_path().join(OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
    let error = load(&sandbox.cx(), &odd, Owners::Root).unwrap_err().to_string();
    insta::assert_snapshot!(error.replace(dir.as_str(), "DIR"), @r"`caf\xe9` in `DIR` is not UTF-8: rename it, or leave it out");
}
