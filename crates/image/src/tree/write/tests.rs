use std::sync::Arc;

use bootway_exec::{Sandbox, SystemRunner};

use super::*;
use crate::tree::load;

fn sample() -> Tree {
    let file = |text: &str| NodeKind::File(Content::Bytes(Arc::from(text.as_bytes())));
    let mut tree = Tree::default();
    let mut add = |path: &str, mode, kind| {
        tree.nodes.insert(path.parse().unwrap(), Node::new(mode, kind));
    };
    add("", 0o755, NodeKind::Directory);
    add("bin", 0o500, NodeKind::Directory);
    add("bin/su", 0o4511, file("#!"));
    add("bin/su2", 0o4511, NodeKind::HardLink { to: "bin/su".parse().unwrap() });
    add("dev", 0o755, NodeKind::Directory);
    add("dev/null", 0o666, NodeKind::CharDevice { major: 1, minor: 3 });
    add("esc", 0o777, NodeKind::Symlink { target: "/etc".to_owned() });
    tree
}

#[test]
fn what_is_written_is_read_again() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let dir = sandbox.root().join("tree");
    let mut tree = sample();
    tree.nodes.get_mut(&"bin/su".parse().unwrap()).unwrap().xattrs.insert("user.x".to_owned(), vec![0, 255]);
    let manifest = write(&sandbox.cx(), &tree, &dir).unwrap();
    let again = load::load_made(&dir).unwrap();
    let copy = sandbox.root().join("copy");
    assert_eq!(write(&sandbox.cx(), &again, &copy).unwrap(), manifest);
    assert_eq!(fs_err::read(copy.join("bin/su2")).unwrap(), b"#!");
    assert!(!dir.join("dev/null").exists(), "a device was made");
    assert_eq!(crate::tree::read_manifest(&copy).unwrap(), manifest);
}

#[test]
fn a_file_that_changed_is_an_error() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let file = sandbox.root().join("file");
    fs_err::write(&file, "four").unwrap();
    let mut tree = sample();
    for (digest, dir) in [(None, "a"), (Some(Digest::of(b"four!")), "b")] {
        let content = Content::File { path: file.clone(), size: 5, digest };
        tree.nodes.insert("f".parse().unwrap(), Node::new(0o644, NodeKind::File(content)));
        let error = write(&sandbox.cx(), &tree, &sandbox.root().join(dir)).unwrap_err().to_string();
        insta::allow_duplicates!(
            insta::assert_snapshot!(error.replace(file.as_str(), "FILE"), @"`FILE` has changed while it was read: it had 5 bytes, and has 4")
        );
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let mut tree = sample();
    let content = NodeKind::File(Content::Bytes(Arc::from(*b"x")));
    tree.nodes.insert("esc/passwd".parse().unwrap(), Node::new(0o644, content));
    let error = write(&sandbox.cx(), &tree, &sandbox.root().join("tree")).unwrap_err();
    insta::assert_snapshot!(error, @"`/esc` is not a directory");
}
