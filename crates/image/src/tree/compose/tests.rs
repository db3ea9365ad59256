use bootway_plan::step::Mode;

use super::*;

fn text(text: &str) -> NodeKind {
    NodeKind::File(Content::Bytes(Arc::from(text.as_bytes())))
}

fn link(target: &str) -> NodeKind {
    NodeKind::Symlink { target: target.to_owned() }
}

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

fn tree(nodes: &[(&str, NodeKind)]) -> Tree {
    let root = (TreePath::root(), Node::new(0o755, NodeKind::Directory));
    let nodes = nodes.iter().map(|(name, kind)| (path(name), Node::new(0o755, kind.clone())));
    Tree { nodes: [root].into_iter().chain(nodes).collect() }
}

fn shown(tree: &Tree) -> String {
    let mut out = String::new();
    for (path, node) in &tree.nodes {
        let kind = match &node.kind {
            NodeKind::Directory => "dir".to_owned(),
            NodeKind::File(Content::Bytes(bytes)) => format!("{:?}", String::from_utf8_lossy(bytes)),
            NodeKind::Symlink { target } => format!("-> {target}"),
            NodeKind::HardLink { to } => format!("= {to}"),
            other => format!("{other:?}"),
        };
        out += &format!("{path} {:04o} {}:{} {kind}\n", node.mode, node.uid, node.gid);
    }
    out
}

#[test]
fn a_layer_goes_through_the_links_below_it() {
    let mut composer = Composer::new();
    let base = [("lib", link("usr/lib")), ("usr", NodeKind::Directory), ("usr/lib", NodeKind::Directory)];
    composer.overlay(&tree(&base), &TreePath::root()).unwrap();
    let layer = [("lib", NodeKind::Directory), ("lib/x", text("x")), ("bin", link("/usr/bin"))];
    composer.overlay(&tree(&layer), &TreePath::root()).unwrap();
    composer
        .overlay(&tree(&[("bin", NodeKind::Directory), ("bin/sh", text("sh"))]), &TreePath::root())
        .unwrap();
    composer.overlay(&tree(&[("a", text("a"))]), &path("lib/deep/er")).unwrap();
    insta::assert_snapshot!(shown(&composer.finish()), @r#"
    / 0755 0:0 dir
    /bin 0755 0:0 -> /usr/bin
    /lib 0755 0:0 -> usr/lib
    /usr 0755 0:0 dir
    /usr/bin 0755 0:0 dir
    /usr/bin/sh 0755 0:0 "sh"
    /usr/lib 0755 0:0 dir
    /usr/lib/deep 0755 0:0 dir
    /usr/lib/deep/er 0755 0:0 dir
    /usr/lib/deep/er/a 0755 0:0 "a"
    /usr/lib/x 0755 0:0 "x"
    "#);
}

#[test]
fn replacing_one_name_of_a_hard_link_leaves_the_others() {
    let mut composer = Composer::new();
    let linked = |to: &str| NodeKind::HardLink { to: path(to) };
    let base = [("a", text("old")), ("b", linked("a")), ("c", linked("a"))];
    composer.overlay(&tree(&base), &TreePath::root()).unwrap();
    composer.edit(&Edit::Chmod { path: path("c"), mode: Mode(0o4755) }).unwrap();
    composer.overlay(&tree(&[("a", text("new"))]), &TreePath::root()).unwrap();
    insta::assert_snapshot!(shown(&composer.finish()), @r#"
    / 0755 0:0 dir
    /a 0755 0:0 "new"
    /b 4755 0:0 "old"
    /c 4755 0:0 = /b
    "#);
}

#[test]
fn edits_are_done_in_order() {
    let mut composer = Composer::new();
    let base = [
        ("etc", NodeKind::Directory),
        ("etc/os-release", link("../usr/lib/os-release")),
        ("log", text("long")),
    ];
    composer.overlay(&tree(&base), &TreePath::root()).unwrap();
    let edits = [
        Edit::Write {
            path: path("usr/lib/os-release"),
            text: "ID=x\n".to_owned(),
            mode: Mode(0o644),
            if_missing: false,
        },
        Edit::Copy { path: path("etc/os-release"), to: path("copy") },
        Edit::Chmod { path: path("etc/os-release"), mode: Mode(0o600) },
        Edit::Chown { path: path("copy"), uid: 7, gid: 8 },
        Edit::Mkdir { path: path("var/tmp"), mode: Mode(0o1777) },
        Edit::Symlink { path: path("init"), target: "bin/busybox".to_owned(), if_missing: false },
        Edit::Truncate { path: path("log") },
        Edit::Remove { path: path("etc") },
    ];
    for edit in &edits {
        composer.edit(edit).unwrap();
    }
    insta::assert_snapshot!(shown(&composer.finish()), @r#"
    / 0755 0:0 dir
    /copy 0644 7:8 "ID=x\n"
    /init 0777 0:0 -> bin/busybox
    /log 0755 0:0 ""
    /usr 0755 0:0 dir
    /usr/lib 0755 0:0 dir
    /usr/lib/os-release 0600 0:0 "ID=x\n"
    /var 0755 0:0 dir
    /var/tmp 1777 0:0 dir
    "#);
}

#[test]
fn says_what_an_edit_cannot_do() {
    let mut composer = Composer::new();
    let base =
        [("d", NodeKind::Directory), ("d/f", text("f")), ("loop", link("loop")), ("out", link("../../x"))];
    composer.overlay(&tree(&base), &TreePath::root()).unwrap();
    let write =
        |at: &str| Edit::Write { path: path(at), text: String::new(), mode: Mode(0o644), if_missing: false };
    let edits = [
        Edit::Remove { path: path("d/g") },
        Edit::Remove { path: TreePath::root() },
        Edit::Truncate { path: path("d") },
        Edit::Copy { path: path("out"), to: path("y") },
        write("d"),
        write("d/f/x"),
        write("loop/x"),
    ];
    let messages: Vec<_> = edits.iter().map(|edit| composer.edit(edit).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(messages.join("\n"), @"
    cannot remove `/d/g`: nothing is there
    cannot remove `/`: nothing is there
    `/d` is not a regular file
    cannot copy `/out`: nothing is there
    `/d` is a directory with 1 files and would be replaced: remove it first, or `drop` what replaces it
    `/d/f` is not a directory
    more than 40 symbolic links at `/loop`: they lead in a circle
    ");
}

fn part(keep: &[&str], drop: &[&str]) -> TreePart {
    TreePart {
        source: "./x".parse().unwrap(),
        partition: None,
        at: TreePath::root(),
        keep: keep.iter().map(ToString::to_string).collect(),
        drop: drop.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_part_keeps_the_directories_that_it_is_in() {
    let layer = tree(&[
        ("boot", NodeKind::Directory),
        ("boot/vmlinuz-6", text("k")),
        ("usr", NodeKind::Directory),
        ("usr/share", NodeKind::Directory),
        ("usr/share/doc", NodeKind::Directory),
        ("usr/share/doc/x", text("x")),
        ("usr/share/z", NodeKind::HardLink { to: path("boot/vmlinuz-6") }),
    ]);
    let kept = select(layer.clone(), &part(&["/usr/share"], &["usr/*/doc"])).unwrap();
    insta::assert_snapshot!(shown(&kept), @r#"
    / 0755 0:0 dir
    /usr 0755 0:0 dir
    /usr/share 0755 0:0 dir
    /usr/share/z 0755 0:0 "k"
    "#);
    let error = select(layer.clone(), &part(&["usr/*", "vmlinuz-*"], &[])).unwrap_err();
    insta::assert_snapshot!(error, @"`vmlinuz-*` matches nothing in `./x`: fix it, or take it out of `keep`");
    let error = select(layer, &part(&["usr/["], &[])).unwrap_err();
    insta::assert_snapshot!(bootway_plan::Failure::of(&error), @"
    error: `usr/[` is not a pattern
      caused by: error parsing glob 'usr/[': unclosed character class; missing ']'
    ");
}

#[test]
fn what_is_there_stays_if_only_what_is_missing_is_asked_for() {
    let mut tree = Composer::new();
    let edits = [
        Edit::Symlink { path: path("sbin"), target: "usr/bin".to_owned(), if_missing: true },
        Edit::Mkdir { path: path("usr/bin"), mode: Mode(0o755) },
        Edit::Symlink { path: path("sbin/init"), target: "/nowhere".to_owned(), if_missing: true },
        Edit::Symlink { path: path("usr/bin/init"), target: "/init".to_owned(), if_missing: true },
        Edit::Write { path: path("sbin/init"), text: "x".to_owned(), mode: Mode(0o644), if_missing: true },
        Edit::Write { path: path("etc/new"), text: "x".to_owned(), mode: Mode(0o644), if_missing: true },
    ];
    for edit in &edits {
        tree.edit(edit).unwrap();
    }
    let tree = tree.finish();
    let kind = |at: &str| &tree.nodes[&path(at)].kind;
    assert_eq!(*kind("usr/bin/init"), NodeKind::Symlink { target: "/nowhere".to_owned() });
    assert!(matches!(kind("etc/new"), NodeKind::File(_)));
}
