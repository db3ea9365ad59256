//! Unified diffs: an input is applied to a few files, in a directory that is in memory.
//!
//! Whatever it is, nothing outside of the directory changes, and after an error nothing inside does.
#![no_main]

mod seeds;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use bootway_sysroot::patch;
use camino::Utf8Path;
use libfuzzer_sys::fuzz_target;

const FILES: [(&str, &str); 4] = [
    ("x", "1\n2\n3\n4\n5\n6\n7\n8\n9\n"),
    ("src/x.c", "{\n\ta;\n}\n\n{\n\ta;\n}\n"),
    ("src/y", "1\r\n2"),
    ("empty", ""),
];
const OUTSIDE: &str = "not to be changed\n";

fuzz_target!(init: seeds::write(diffs), |bytes: &[u8]| {
    let Some((strip, diff)) = bytes.split_first() else { return };
    let base = std::env::temp_dir().join(format!("bootway-fuzz-patch-{}", std::process::id()));
    let _ = fs::remove_dir_all(&base);
    let (tree, outside) = (base.join("tree"), base.join("outside"));
    fs::create_dir_all(tree.join("src")).expect("there is room");
    fs::create_dir(&outside).expect("there is room");
    fs::write(outside.join("x"), OUTSIDE).expect("there is room");
    symlink("../outside", tree.join("out")).expect("there is room");
    symlink("../outside/x", tree.join("link")).expect("there is room");
    for (name, text) in FILES {
        fs::write(tree.join(name), text).expect("there is room");
    }
    let before = all(&tree);
    let dir = Utf8Path::from_path(&tree).expect("a directory in UTF-8");
    match patch(dir, diff, u32::from(strip & 3)) {
        Err(error) => {
            assert_eq!(all(&tree), before, "after {error} {:?}", error.hint());
        }
        Ok(_) => drop(patch(dir, diff, u32::from(strip & 3))),
    }
    let there: Vec<PathBuf> = all(&outside).into_keys().collect();
    assert_eq!(there, [outside.join("x")]);
    assert_eq!(fs::read_to_string(outside.join("x")).expect("it is there"), OUTSIDE);
    assert_eq!(fs::read_dir(&base).expect("it is there").count(), 2);
});

/// Every file below `dir`, with links as what they are.
fn all(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("it is a directory") {
        let entry = entry.expect("it can be read");
        let kind = entry.file_type().expect("it is there");
        if kind.is_dir() {
            files.extend(all(&entry.path()));
        } else if kind.is_symlink() {
            let to = fs::read_link(entry.path()).expect("it is a link");
            files.insert(entry.path(), to.into_os_string().into_encoded_bytes());
        } else {
            files.insert(entry.path(), fs::read(entry.path()).expect("it can be read"));
        }
    }
    files
}

/// Everything that a diff can say.
fn diffs() -> Vec<(String, Vec<u8>)> {
    let names = "--- a/x\n+++ b/x\n";
    let new = "--- /dev/null\n+++ b/new/x\n@@ -0,0 +1,2 @@\n+1\n+2\n";
    let git = "diff --git a/src/x.c b/y\nsimilarity index 90%\n";
    let texts = [
        ("edit", format!("{names}@@ -2,5 +2,6 @@ x\n 2\n 3\n-4\n+four\n+and\n 5\n 6\n")),
        ("two", format!("{names}@@ -1,3 +1,2 @@\n-1\n 2\n 3\n@@ -7,3 +6,4 @@\n 7\n 8\n 9\n+10\n")),
        ("moved", format!("{names}@@ -20,3 +20,3 @@\n 2\n-3\n+three\n 4\n")),
        ("bare", format!("{names}@@ -3,0 +4 @@\n+x\n@@ -5 +5,0 @@\n-5\n")),
        ("new", new.to_owned()),
        ("gone", "--- a/src/y\t2026-01-01\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-1\r\n-2\n\\ No newline at end of file\n".to_owned()),
        ("rename", format!("{git}rename from src/x.c\nrename to y\n--- a/src/x.c\n+++ b/y\n@@ -1,3 +1,3 @@\n {{\n-\ta;\n+\tb;\n }}\n")),
        ("copy", format!("{git}copy from src/x.c\ncopy to y\n")),
        ("mode", "diff --git a/x b/x\nold mode 100644\nnew mode 100755\n".to_owned()),
        ("empty", "diff --git a/e f b/e f\nnew file mode 100644\ndiff --git a/empty b/empty\ndeleted file mode 100644\n".to_owned()),
        ("quoted", "--- \"a/\\303\\244\\t\"\n+++ \"b/x\"\n@@ -1 +1 @@\n-1\n+2\n".to_owned()),
        ("binary", "diff --git a/x b/x\nindex 1..2\nGIT binary patch\nliteral 1\n".to_owned()),
        ("outside", format!("{}{}", new.replace("new/x", "out/y"), new.replace("b/new", ".."))),
        ("link", "--- a/link\n+++ b/link\n@@ -1 +1 @@\n-not to be changed\n+changed\n".to_owned()),
        ("twice", format!("{names}@@ -1,2 +1,2 @@\n-1\n+one\n 2\n{names}@@ -1,2 +1,2 @@\n one\n-2\n+two\n")),
    ];
    texts.map(|(name, text)| (name.to_owned(), [b"\x01", text.as_bytes()].concat())).to_vec()
}
