use std::{
    collections::BTreeMap,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use bootway_exec::{Cmd, Sandbox, SystemRunner, run};
use camino::Utf8PathBuf;
use proptest::{collection::vec, prelude::*, sample::select};
use walkdir::WalkDir;

use super::*;

/// A directory of files, which removes itself.
struct Files(tempfile::TempDir);

impl Files {
    fn new<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> Self {
        let new = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            new.write(name, text);
        }
        new
    }

    fn dir(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir().join(name)).unwrap()
    }

    /// Every file with its text, and `*` behind the names of those that can be executed.
    fn all(&self) -> BTreeMap<String, String> {
        let entries = WalkDir::new(self.dir()).min_depth(1).into_iter().map(Result::unwrap);
        let files = entries.filter(|entry| !entry.file_type().is_dir() || is_empty(entry.path()));
        files
            .map(|entry| {
                let name = entry.path().strip_prefix(self.dir()).unwrap().to_str().unwrap().to_owned();
                if entry.file_type().is_dir() {
                    return (name, "an empty directory".to_owned());
                }
                if entry.file_type().is_symlink() {
                    return (name, format!("-> {}", std::fs::read_link(entry.path()).unwrap().display()));
                }
                let mark = if entry.metadata().unwrap().permissions().mode() & 0o111 == 0 { "" } else { "*" };
                (
                    format!("{name}{mark}"),
                    String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned(),
                )
            })
            .collect()
    }

    /// What becomes of them, or the error.
    fn patch(&self, diff: &str) -> String {
        self.patch_stripped(diff, 1)
    }

    fn patch_stripped(&self, diff: &str, strip: u32) -> String {
        let before = self.all();
        match patch(self.dir(), diff.as_bytes(), strip) {
            Ok(Patched::AlreadyApplied) => {
                assert_eq!(self.all(), before);
                "already applied".to_owned()
            }
            Ok(Patched::Applied { files, shifted }) => {
                let shifted = shifted.iter().map(|(file, hunk, lines)| format!("\n{file} #{hunk} {lines:+}"));
                format!("applied: {}{}", files.join(" "), shifted.collect::<String>())
            }
            Err(error) => {
                assert_eq!(self.all(), before, "after {error}");
                let hint = error.hint().map_or(String::new(), |hint| format!("\nhint: {hint}"));
                format!("{error}{hint}").replace(self.dir().as_str(), "DIR")
            }
        }
    }
}

fn is_empty(dir: &std::path::Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

/// Runs `script` in `dir` with a shell, and gives what it prints; `None` if it ends with another code than 0.
fn sh(dir: &Utf8Path, script: &str) -> Option<Vec<u8>> {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let tools = "for tool in patch git diff; do command -v $tool > /dev/null || exit 99; done";
    assert!(
        run(&sandbox.cx(), &Cmd::user("sh").args(["-c", tools])).is_ok(),
        "`patch`, `git` and `diff` must be there: apt-get install patch git diffutils"
    );
    let cmd = Cmd::user("sh").args(["-ec", script]).env("LC_ALL", "C").env("TZ", "UTC").dir(dir);
    run(&sandbox.cx(), &cmd).ok().map(|output| output.stdout)
}

/// `n` lines that are all different.
fn lines(n: usize) -> String {
    (1..=n).map(|n| format!("line {n}\n")).collect()
}

/// Changes two lines of `lines(40)`, far enough from each other to be two hunks.
const TWO: &str = "\
--- a/src/x.c
+++ b/src/x.c
@@ -7,7 +7,7 @@ line 6
 line 7
 line 8
 line 9
-line 10
+line ten
 line 11
 line 12
 line 13
@@ -27,7 +27,8 @@ line 26
 line 27
 line 28
 line 29
-line 30
+line thirty
+and more
 line 31
 line 32
 line 33
";

fn two_done() -> String {
    lines(40).replace("line 10\n", "line ten\n").replace("line 30\n", "line thirty\nand more\n")
}

#[test]
fn applies_once_and_then_it_is_applied() {
    let files = Files::new([("src/x.c", lines(40).as_str())]);
    assert_eq!(files.patch(TWO), "applied: src/x.c");
    assert_eq!(files.read("src/x.c"), two_done());
    assert_eq!(files.patch(TWO), "already applied");
}

#[test]
fn hunks_that_moved_by_seven_lines_are_found() {
    let above = "above\n".repeat(7);
    let files = Files::new([("src/x.c", (above.clone() + &lines(40)).as_str())]);
    assert_eq!(files.patch(TWO), "applied: src/x.c\nsrc/x.c #1 +7\nsrc/x.c #2 +7");
    assert_eq!(files.read("src/x.c"), above + &two_done());
    assert_eq!(files.patch(TWO), "already applied");
    let files = Files::new([("src/x.c", lines(40).trim_start_matches("line 1\nline 2\nline 3\n"))]);
    assert_eq!(files.patch(TWO), "applied: src/x.c\nsrc/x.c #1 -3\nsrc/x.c #2 -3");
}

#[test]
fn of_two_places_the_nearer_one_is_taken() {
    let block = "{\n\tfirst();\n\tsecond();\n}\n";
    let diff = "--- a/x\n+++ b/x\n@@ -5,4 +5,5 @@\n {\n \tfirst();\n+\tmore();\n \tsecond();\n }\n";
    let files = Files::new([("x", format!("{block}{block}0\n{block}").as_str())]);
    assert_eq!(files.patch(diff), "applied: x");
    let more = "{\n\tfirst();\n\tmore();\n\tsecond();\n}\n";
    assert_eq!(files.read("x"), format!("{block}{more}0\n{block}"));
    // It would fit once more, at another place.
    assert_eq!(files.patch(diff), "already applied");
    let files = Files::new([("x", format!("{block}0\n0\n0\n{block}").as_str())]);
    assert_eq!(files.patch(diff), "applied: x\nx #1 +3");
}

#[test]
fn a_conflict_names_file_hunk_and_lines() {
    let files =
        Files::new([("src/x.c", lines(40).replace("line 30\n", "line XXX\n").as_str()), ("y", "1\n")]);
    insta::assert_snapshot!(files.patch(TWO), @"
    hunk 2 of `src/x.c` (line 12 of the diff) does not fit: line 30 of the file should be `line 30`, and is `line XXX`
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
    let both = format!("--- a/y\n+++ b/y\n@@ -1 +1 @@\n-1\n+2\n{TWO}");
    insta::assert_snapshot!(files.patch(&both), @"
    hunk 2 of `src/x.c` (line 17 of the diff) does not fit: line 30 of the file should be `line 30`, and is `line XXX`
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
    let files = Files::new([("src/x.c", lines(31).as_str())]);
    insta::assert_snapshot!(files.patch(TWO), @"
    hunk 2 of `src/x.c` (line 12 of the diff) does not fit: line 32 of the file should be `line 32`, and the file ends before
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
    let files = Files::new([("src/x.c", "")]);
    insta::assert_snapshot!(files.patch(TWO), @"
    hunk 1 of `src/x.c` (line 3 of the diff) does not fit: line 1 of the file should be `line 7`, and the file ends before
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
    let files = Files::new([("src/x.c", lines(40).replace('\n', "\r\n").as_str())]);
    insta::assert_snapshot!(files.patch(TWO), @r"
    hunk 1 of `src/x.c` (line 3 of the diff) does not fit: line 7 of the file should be `line 7`, and is `line 7\r`
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
    let files = Files::new([]);
    insta::assert_snapshot!(files.patch(TWO), @"
    there is no file `src/x.c` (line 1 of the diff)
    hint: it is for another version of the source, or another number of leading components is to be stripped from its names
    ");
    let far = "above\n".repeat(2000);
    let files = Files::new([("src/x.c", (far + &lines(40)).replace("line 29\n", "\tline 29\n").as_str())]);
    insta::assert_snapshot!(files.patch(TWO), @"
    hunk 2 of `src/x.c` (line 12 of the diff) does not fit: line 2029 of the file should be `line 29`, and is `	line 29`
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
}

#[test]
fn context_is_never_left_out() {
    // GNU `patch` takes this one, with fuzz 1.
    let files = Files::new([("src/x.c", lines(40).replace("line 7\n", "line XXX\n").as_str())]);
    insta::assert_snapshot!(files.patch(TWO), @"
    hunk 1 of `src/x.c` (line 3 of the diff) does not fit: line 7 of the file should be `line 7`, and is `line XXX`
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
}

#[test]
fn a_hunk_at_the_end_fits_at_the_end_only() {
    let diff = "--- a/x\n+++ b/x\n@@ -2,2 +2,3 @@\n 2\n 3\n+4\n";
    assert_eq!(Files::new([("x", "1\n2\n3\n")]).patch(diff), "applied: x");
    insta::assert_snapshot!(Files::new([("x", "1\n2\n3\nother\n")]).patch(diff), @"
    hunk 1 of `x` (line 3 of the diff) does not fit: the file should end before line 4, which is `other`
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
    let diff = "--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n+0\n 1\n 2\n";
    assert_eq!(Files::new([("x", "1\n2\n3\n")]).patch(diff), "applied: x");
    insta::assert_snapshot!(Files::new([("x", "other\n1\n2\n3\n")]).patch(diff), @"
    hunk 1 of `x` (line 3 of the diff) does not fit: the file should begin with `1`, and begins with `other`
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
}

#[test]
fn what_is_applied_in_part_is_said() {
    let half = lines(40).replace("line 10\n", "line ten\n");
    let files = Files::new([("src/x.c", half.as_str())]);
    insta::assert_snapshot!(files.patch(TWO), @"
    1 of 2 hunks are applied already: hunk 1 of `src/x.c` is in the file, and hunk 2 of `src/x.c` (line 12 of the diff) is not
    hint: take what the source has already out of the diff
    ");
    let files = Files::new([("src/x.c", half.replace("line 31\n", "line XXX\n").as_str())]);
    insta::assert_snapshot!(files.patch(TWO), @"
    hunk 2 of `src/x.c` (line 12 of the diff) does not fit: line 31 of the file should be `line 31`, and is `line XXX`; 1 of 2 hunks are applied already
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
    let new = format!("--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+new\n{TWO}");
    let files = Files::new([("src/x.c", lines(40).as_str()), ("new", "new\n")]);
    insta::assert_snapshot!(files.patch(&new), @"
    1 of 3 hunks are applied already: hunk 1 of `new` is in the file, and hunk 1 of `src/x.c` (line 7 of the diff) is not
    hint: take what the source has already out of the diff
    ");
    let files = Files::new([("src/x.c", lines(40).as_str()), ("new", "newer\n")]);
    insta::assert_snapshot!(files.patch(&new), @"
    the diff would make `new` (line 1), which is there with something else in it
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
}

#[test]
fn files_come_and_go() {
    let new = "--- /dev/null\n+++ b/a/new\n@@ -0,0 +1,2 @@\n+1\n+2\n";
    let files = Files::new([("old/x", "1\n"), ("keep", "")]);
    assert_eq!(files.patch(new), "applied: a/new");
    assert_eq!(files.patch(new), "already applied");
    let gone = "--- a/old/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n";
    assert_eq!(files.patch(gone), "applied: old/x");
    assert_eq!(files.patch(gone), "already applied");
    assert_eq!(files.all().into_keys().collect::<Vec<_>>(), ["a/new", "keep"]);
    let files = Files::new([("old/x", "1\n2\n")]);
    insta::assert_snapshot!(files.patch(gone), @"
    hunk 1 of `old/x` (line 3 of the diff) does not fit: the file should end before line 2, which is `2`
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
    // As `diff -N` has it.
    let dated = "--- a/x\t1970-01-01 01:00:00.000000000 +0100\n+++ b/x\t2026-01-01 00:00:00 +0000\n@@ -0,0 +1 @@\n+1\n";
    let files = Files::new([]);
    assert_eq!(files.patch(dated), "applied: x");
    assert_eq!(files.patch(dated), "already applied");
    let dated = "--- a/x\t2026-01-01 00:00:00 +0000\n+++ b/x\tThu Jan  1 00:00:00 1970\n@@ -1 +0,0 @@\n-1\n";
    assert_eq!(files.patch(dated), "applied: x");
    assert_eq!(files.all(), BTreeMap::new());
    assert_eq!(files.patch(dated), "already applied");
    // Without a time it is only empty.
    let undated = "--- a/x\n+++ b/x\n@@ -1 +0,0 @@\n-1\n";
    let files = Files::new([("x", "1\n")]);
    assert_eq!(files.patch(undated), "applied: x");
    assert_eq!(files.read("x"), "");
    assert_eq!(files.patch(undated), "already applied");
}

#[test]
fn what_git_says_before_the_hunks_is_done() {
    let run = |before: &[(&str, &str)], diff: &str| {
        let files = Files::new(before.iter().copied());
        let first = files.patch(diff);
        let second = files.patch(diff);
        assert_eq!(second, "already applied", "after {first}");
        format!("{first}\n{:?}", files.all())
    };
    insta::assert_snapshot!(run(&[("bin/x", "1\n")], "diff --git a/bin/x b/bin/x\nold mode 100644\nnew mode 100755\n"), @r#"
    applied: bin/x
    {"bin/x*": "1\n"}
    "#);
    insta::assert_snapshot!(run(&[], "diff --git a/a b/c b/a b/c\nnew file mode 100755\nindex 0000000..e69de29\n"), @r#"
    applied: a b/c
    {"a b/c*": ""}
    "#);
    insta::assert_snapshot!(run(&[("x", "")], "diff --git a/x b/x\ndeleted file mode 100644\nindex e69de29..0000000\n"), @"
    applied: x
    {}
    ");
    insta::assert_snapshot!(run(&[("a/x", "1\n")], "diff --git a/a/x b/b/y\nsimilarity index 100%\nrename from a/x\nrename to b/y\n"), @r#"
    applied: a/x b/y
    {"b/y": "1\n"}
    "#);
    let edit = "--- a/a/x\n+++ b/b/y\n@@ -1,2 +1,2 @@\n 1\n-2\n+3\n";
    let edited = |how: &str| {
        format!(
            "diff --git a/a/x b/b/y\nsimilarity index 50%\n{how} from a/x\n{how} to b/y\nindex 1..2 100644\n{edit}"
        )
    };
    insta::assert_snapshot!(run(&[("a/x", "1\n2\n")], &edited("rename")), @r#"
    applied: a/x b/y
    {"b/y": "1\n3\n"}
    "#);
    insta::assert_snapshot!(run(&[("a/x", "1\n2\n")], &edited("copy")), @r#"
    applied: b/y
    {"a/x": "1\n2\n", "b/y": "1\n3\n"}
    "#);
    let exec = "diff --git a/x b/x\nnew file mode 100755\nindex 0..1\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+#!/bin/sh\n";
    insta::assert_snapshot!(run(&[], exec), @r##"
    applied: x
    {"x*": "#!/bin/sh\n"}
    "##);
    let quoted = "diff --git \"a/\\303\\244 \\\"x\\\"\" \"b/\\303\\244 \\\"x\\\"\"\nindex 1..2 100644\n--- \"a/\\303\\244 \\\"x\\\"\"\n+++ \"b/\\303\\244 \\\"x\\\"\"\n@@ -1 +1 @@\n-1\n+2\n";
    insta::assert_snapshot!(run(&[("ä \"x\"", "1\n")], quoted), @r#"
    applied: ä "x"
    {"ä \"x\"": "2\n"}
    "#);
    let spaced = "diff --git a/my file b/my file\nindex 1..2 100644\n--- a/my file\t\n+++ b/my file\t\n@@ -1 +1 @@\n-1\n+2\n";
    insta::assert_snapshot!(run(&[("my file", "1\n")], spaced), @r#"
    applied: my file
    {"my file": "2\n"}
    "#);
}

#[test]
fn text_around_the_hunks_is_not_looked_at() {
    let mail = "From 0123 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH] x\n\n--- not a name\nText.\n---\n x | 2 +-\n 1 file changed\n\n\
        Index: x\n===================================================================\n\
        diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@ int main(void)\n 0\n-1\n+2\n\n-- \n2.39.5\n\n";
    let files = Files::new([("x", "0\n1\n\n")]);
    assert_eq!(files.patch(mail), "applied: x");
    assert_eq!(files.read("x"), "0\n2\n\n");
    assert_eq!(files.patch("\n\n"), "already applied");
}

#[test]
fn names_are_chosen_as_gnu_patch_does() {
    let hunk = "@@ -1 +1 @@\n-1\n+2\n";
    let run = |there: &[&str], before: &str, after: &str, strip| {
        let files = Files::new(there.iter().map(|name| (*name, "1\n")));
        files.patch_stripped(&format!("--- {before}\n+++ {after}\n{hunk}"), strip)
    };
    let time = "\t2026-01-01 00:00:00.000000000 +0000";
    assert_eq!(run(&["x"], &format!("x.orig{time}"), &format!("x{time}"), 0), "applied: x");
    assert_eq!(run(&["x", "x.orig"], "a/x.orig", "b/x", 1), "applied: x");
    assert_eq!(run(&["x", "x.orig"], "a/x", "b/x.new", 1), "applied: x");
    assert_eq!(run(&["x"], "linux-6.1/x 2026-01-01", "linux/x Thu Jan 1", 1), "applied: x");
    assert_eq!(run(&["x"], "./x", "./x", 0), "applied: x");
    assert_eq!(run(&["x"], "a//deep/x", "x", 2), "applied: x");
    assert_eq!(run(&["b/x"], "a/b/x", "a/b/x\r", 1), "applied: b/x");
    insta::assert_snapshot!(run(&["x"], "a/x", "b/x", 0), @"
    there is no file `a/x` (line 1 of the diff)
    hint: it is for another version of the source, or another number of leading components is to be stripped from its names
    ");
    insta::assert_snapshot!(run(&["x"], "x", "x", 1), @"line 1 of the diff: no name here has as many leading components as are to be stripped");
}

#[test]
fn ends_of_lines_are_kept() {
    let diff = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n 1\r\n-2\n\\ No newline at end of file\n+3\r\n\\ No newline at end of file\n";
    let files = Files::new([("x", "1\r\n2")]);
    assert_eq!(files.patch(diff), "applied: x");
    assert_eq!(files.read("x"), "1\r\n3\r");
    assert_eq!(files.patch(diff), "already applied");
    insta::assert_snapshot!(Files::new([("x", "1\r\n2\n")]).patch(diff), @"
    hunk 1 of `x` (line 3 of the diff) does not fit: line 2 of the file should be `2` without a line feed, and is `2`
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
    insta::assert_snapshot!(Files::new([("x", "1\n2")]).patch(diff), @r"
    hunk 1 of `x` (line 3 of the diff) does not fit: line 1 of the file should be `1\r`, and is `1`
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
}

#[test]
fn nothing_outside_is_touched() {
    let outside = Files::new([("x", "1\n")]);
    let files = Files::new([("sub/x", "1\n")]);
    symlink(outside.dir(), files.dir().join("out")).unwrap();
    symlink("sub", files.dir().join("in")).unwrap();
    symlink(outside.dir().join("x"), files.dir().join("link")).unwrap();
    let edit = |name: &str| format!("--- {name}\n+++ {name}\n@@ -1 +1 @@\n-1\n+2\n");
    let made = |name: &str| format!("--- /dev/null\n+++ {name}\n@@ -0,0 +1 @@\n+2\n");
    let gone = |name: &str| format!("--- {name}\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n");
    let x = outside.dir().join("x");
    for diff in [edit, made, gone] {
        for name in ["out/x", "in/x", "link", "../x", "sub/../../x", x.as_str()] {
            let said = files.patch_stripped(&diff(name), 0);
            assert!(
                said.contains("symbolic link")
                    || said.contains("leads upwards")
                    || said.contains("is absolute"),
                "{said}"
            );
        }
    }
    let rename = "diff --git a/sub/x b/out/y\nrename from sub/x\nrename to out/y\n";
    insta::assert_snapshot!(files.patch(rename), @"
    `out` is a symbolic link: only regular files are changed, and only in directories
    hint: change the file that the link leads to, by its own name
    ");
    insta::assert_snapshot!(files.patch_stripped(&edit("../x"), 0), @"line 1 of the diff: the name `../x` leads upwards");
    insta::assert_snapshot!(files.patch_stripped(&edit("/x"), 0), @"line 1 of the diff: the name `/x` is absolute");
    assert_eq!(outside.all(), BTreeMap::from([("x".to_owned(), "1\n".to_owned())]));
    // Neither is anything else than a file.
    insta::assert_snapshot!(files.patch_stripped(&edit("sub"), 0), @"`sub` is a directory: only regular files are changed, and only in directories");
    insta::assert_snapshot!(files.patch_stripped(&made("sub/x/y"), 0), @"`sub/x` is a file: only regular files are changed, and only in directories");
    insta::assert_snapshot!(files.patch_stripped(&(made("new") + &made("new/er")), 0), @"`new` is a directory: only regular files are changed, and only in directories");
}

#[test]
fn what_is_no_text_is_refused_with_a_remedy() {
    let files = Files::new([("x", "1\n")]);
    insta::assert_snapshot!(files.patch("diff --git a/x.png b/x.png\nnew file mode 100644\nindex 0..1\nGIT binary patch\nliteral 1\nIcmZ\n"), @"
    line 1 of the diff: `x.png` is binary
    hint: take it out of the diff, and copy the file into the source with a step of its own
    ");
    insta::assert_snapshot!(files.patch("diff --git a/x b/x\nindex 0..1 100644\nBinary files a/x and b/x differ\n"), @"
    line 1 of the diff: `x` is binary
    hint: take it out of the diff, and copy the file into the source with a step of its own
    ");
    insta::assert_snapshot!(files.patch("diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n"), @"line 2 of the diff: this is a symbolic link: take it out of the diff, and make the link with a command");
    insta::assert_snapshot!(files.patch("diff --git a/l b/l\nnew file mode 160000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+Subproject commit 0\n"), @"line 2 of the diff: this is a submodule of git: take it out of the diff, and add its files to the source");
    insta::assert_snapshot!(files.patch("*** a/x\n--- b/x\n***************\n*** 1 ****\n! 1\n--- 1 ----\n! 2\n"), @"line 1 of the diff: this is a context diff: make it with `diff -u`");
    insta::assert_snapshot!(files.patch("1c1\n< 1\n---\n> 2\n"), @"there is nothing to apply in it: it must be a unified diff, as `diff -u` or `git diff` writes it");
}

#[test]
fn a_damaged_hunk_is_refused() {
    let files = Files::new([("x", "1\n2\n3\n")]);
    let names = "--- a/x\n+++ b/x\n";
    insta::assert_snapshot!(files.patch(&format!("{names}@@ -1,3 +1,3 @@\n 1\n-2\n+5\n")), @"line 7 of the diff: the hunk ends here, and 1 old and 1 new lines are missing");
    insta::assert_snapshot!(files.patch(&format!("{names}@@ -1,3 +1,3 @@\n 1\n-2\n+5\nText.\n 3\n")), @"line 7 of the diff: the hunk ends here, and 1 old and 1 new lines are missing");
    insta::assert_snapshot!(files.patch(&format!("{names}@@ -1,2 +1,2 @@\n 1\n-2\n+5\n+6\n 3\n")), @"line 7 of the diff: the hunk goes on here, and has all the lines already that it says it has");
    insta::assert_snapshot!(files.patch(&format!("{names}@@ -1,2 +1,3 @@\n 1\n-2\n-3\n")), @"line 6 of the diff: the hunk goes on here, and has all the lines already that it says it has");
    insta::assert_snapshot!(files.patch(&format!("{names}@@ -1 +1 @@\n\\ No newline at end of file\n-1\n+2\n")), @"line 4 of the diff: there is no line before this one in its hunk");
    insta::assert_snapshot!(files.patch(&format!("{names}@@ -1,2 +1,2 @@\n 1\n\\ No newline at end of file\n-2\n+5\n")), @"line 8 of the diff: the hunk before goes on after the last line of its file");
    insta::assert_snapshot!(files.patch("@@ -1 +1 @@\n-1\n+2\n"), @"line 1 of the diff: a hunk begins here, and no line before it names its file");
}

#[test]
fn a_file_may_be_changed_twice_in_one_diff() {
    let files = Files::new([("x", "1\n2\n3\n")]);
    let step = |old: u32, new: u32| format!("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n 1\n-{old}\n+{new}\n 3\n");
    let diff = format!("{}{}", step(2, 4), step(4, 5));
    assert_eq!(files.patch(&diff), "applied: x");
    assert_eq!(files.read("x"), "1\n5\n3\n");
    assert_eq!(files.patch(&diff), "already applied");
}

#[test]
fn hunks_without_context_are_applied_once() {
    let files = Files::new([("x", "1\n2\n3\n")]);
    let add = "--- a/x\n+++ b/x\n@@ -2,0 +3 @@\n+two and a half\n";
    assert_eq!(files.patch(add), "applied: x");
    assert_eq!(files.read("x"), "1\n2\ntwo and a half\n3\n");
    assert_eq!(files.patch(add), "already applied");
    let top = "--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+0\n";
    assert_eq!(files.patch(top), "applied: x");
    assert_eq!(files.patch(top), "already applied");
    // Nothing says that lines were there.
    let remove = "--- a/x\n+++ b/x\n@@ -4 +3,0 @@\n-two and a half\n";
    assert_eq!(files.patch(remove), "applied: x");
    assert_eq!(files.read("x"), "0\n1\n2\n3\n");
    let far = "--- a/x\n+++ b/x\n@@ -11,0 +12 @@\n+11\n";
    insta::assert_snapshot!(files.patch(far), @"
    hunk 1 of `x` (line 3 of the diff) does not fit: it has no line of the file to go by, and the file has 4 lines
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
    insta::assert_snapshot!(files.patch(remove), @"
    hunk 1 of `x` (line 3 of the diff) does not fit: line 4 of the file should be `two and a half`, and is `3`
    hint: it is for another version of the source: make it anew for this one, or remove it from the plan
    ");
}

#[test]
fn modes_stay_and_nothing_is_left_beside() {
    let files = Files::new([("x", "1\n")]);
    std::fs::set_permissions(files.dir().join("x"), std::fs::Permissions::from_mode(0o750)).unwrap();
    // What one that was ended has left.
    files.write(".partial-patch-0", "half");
    assert_eq!(files.patch("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+2\n"), "applied: x");
    let mode = std::fs::metadata(files.dir().join("x")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o750);
    assert_eq!(files.all(), BTreeMap::from([("x*".to_owned(), "2\n".to_owned())]));
}

#[test]
fn what_cannot_be_written_changes_nothing() {
    let files = Files::new([("a", "1\n"), ("z/x", "1\n")]);
    // Even root cannot make this one: the name has no room for a directory.
    let name = "n".repeat(256);
    let diff = format!(
        "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-1\n+2\n--- /dev/null\n+++ b/z/{name}/x\n@@ -0,0 +1 @@\n+2\n"
    );
    assert!(files.patch(&diff).contains("too long"), "{}", files.patch(&diff));
}

#[test]
fn the_patches_of_debian_are_listed_in_their_order() {
    let run = |series: &str| {
        let files =
            Files::new([("debian/source/format", "3.0 (quilt)\n"), ("debian/patches/series", series)]);
        for name in ["a.patch", "b.patch", "sub/c.diff", "d"] {
            files.write(&format!("debian/patches/{name}"), "");
        }
        symlink("/dev/zero", files.dir().join("debian/patches/link")).unwrap();
        match quilt(files.dir()) {
            Ok(patches) => patches.iter().map(|(name, strip)| format!("{name} {strip}\n")).collect(),
            Err(error) => error.to_string(),
        }
    };
    insta::assert_snapshot!(run("# first\nb.patch\n\n  a.patch -p0 # why\nsub/c.diff -p 2\nd -pab\n#off\n"), @"
    b.patch 1
    a.patch 0
    sub/c.diff 2
    d 1
    ");
    insta::assert_snapshot!(run("a.patch -R\n"), @"line 1 of `debian/patches/series`: the option `-R` is not known");
    insta::assert_snapshot!(run("a.patch\n../../x\n"), @"line 2 of `debian/patches/series`: the name `../../x` leads upwards");
    insta::assert_snapshot!(run("a.patch -px\n"), @"line 1 of `debian/patches/series`: `x` is no number of components");
    insta::assert_snapshot!(run("a.patch\n\nz.patch\n"), @"line 3 of `debian/patches/series`: there is no patch `z.patch` beside it");
    insta::assert_snapshot!(run("link\n"), @"`debian/patches/link` is a symbolic link: only regular files are changed, and only in directories");
    let native = Files::new([("debian/source/format", "3.0 (native)\n"), ("debian/patches/series", "x\n")]);
    assert_eq!(quilt(native.dir()).unwrap(), []);
    let bare = Files::new([("debian/source/format", "3.0 (quilt)\n")]);
    assert_eq!(quilt(bare.dir()).unwrap(), []);
    assert_eq!(quilt(Utf8Path::new("nowhere")).unwrap(), []);
}

/// A text of few words, so that the same lines are at many places.
fn text() -> impl Strategy<Value = String> {
    let line =
        select(vec!["a\n", "b\n", "\n", "{\n", "}\n", "\tx = 1;\n", "c\r\n", " \n", "-- \n", "++ b\n"]);
    (vec(line, 1..40), any::<bool>()).prop_map(|(lines, ended)| {
        let text = lines.concat();
        if ended || text == "\n" { text } else { text[..text.len() - 1].to_owned() }
    })
}

/// A few lines of it changed.
fn edited(text: &str, edits: &[(usize, usize, String)]) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    for (at, gone, new) in edits {
        let at = at % (lines.len() + 1);
        let end = (at + gone).min(lines.len());
        lines.splice(
            at..end,
            new.split_inclusive('\n').map(str::to_owned).map(|line| line.trim_end().to_owned() + "\n"),
        );
    }
    lines.concat()
}

fn edits() -> impl Strategy<Value = Vec<(usize, usize, String)>> {
    let new = vec(select(vec!["a\n", "b\n", "\n", "}\n", "new\n"]), 0..4).prop_map(|lines| lines.concat());
    vec((0_usize..60, 0_usize..4, new), 1..4)
}

/// Trees before and after, with a file that is changed, one that goes, and one that comes.
fn trees() -> impl Strategy<Value = [BTreeMap<String, String>; 2]> {
    (text(), edits(), text(), text()).prop_map(|(text, edits, gone, new)| {
        let changed = edited(&text, &edits);
        let named = |name: &str, text: String| (name.to_owned(), text);
        let before = [named("src/my file", text), named("old/gone", gone), named("same", "1\n".to_owned())];
        let after = [named("src/my file", changed), named("new/er", new), named("same", "1\n".to_owned())];
        [before.into(), after.into()]
    })
}

fn write_all(files: &Files, under: &str, tree: &BTreeMap<String, String>) -> Utf8PathBuf {
    for (name, text) in tree {
        files.write(&format!("{under}/{name}"), text);
    }
    files.dir().join(under)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// `diff` and `git` write them, and `patch` and `git` read them: all have the same bytes in the end.
    #[test]
    fn other_programs_agree([before, after] in trees(), context in 1_u32..5) {
        let all = Files::new([]);
        write_all(&all, "a", &before);
        write_all(&all, "b", &after);
        let plain = sh(all.dir(), &format!("diff -urN -U{context} a b || [ $? = 1 ]")).unwrap();
        let git = sh(all.dir(), &format!("git diff --no-index -U{context} a b || [ $? = 1 ]")).unwrap();
        std::fs::write(all.dir().join("git.diff"), &git).unwrap();
        std::fs::write(all.dir().join("plain.diff"), &plain).unwrap();
        write_all(&all, "by-patch", &before);
        sh(all.dir(), "patch -p1 -F0 -s -d by-patch < plain.diff").unwrap();
        write_all(&all, "by-git", &before);
        sh(all.dir(), "cd by-git && git apply -p2 ../git.diff").unwrap();
        let empty = after.values().any(String::is_empty);
        for (diff, strip) in [(&plain, 1), (&git, 2)] {
            let files = Files::new(before.iter().map(|(name, text)| (name.as_str(), text.as_str())));
            let said = patch(files.dir(), diff, strip).unwrap();
            let changed = before != after;
            prop_assert_eq!(matches!(said, Patched::Applied { .. }), changed);
            prop_assert_eq!(&files.all(), &after);
            prop_assert_eq!(patch(files.dir(), diff, strip).unwrap(), Patched::AlreadyApplied);
            prop_assert_eq!(&files.all(), &after);
        }
        for other in ["by-patch", "by-git"] {
            let there = Files::new([]);
            sh(all.dir(), &format!("cp -r {other}/. {}", there.dir())).unwrap();
            // `diff -N` takes a file that has become empty for one that is gone.
            prop_assert!(there.all() == after || empty, "{}: {:?}", other, there.all());
        }
    }

    /// In a file that has moved on, a hunk goes where GNU `patch` puts it, or nowhere if it does not fit.
    #[test]
    fn hunks_are_found_where_gnu_patch_finds_them(
        text in text(), edits in edits(), drift in edits(), context in 1_u32..4,
    ) {
        let files = Files::new([("a", text.as_str()), ("b", edited(&text, &edits).as_str())]);
        let moved = edited(&text, &drift);
        files.write("x", &moved);
        files.write("theirs", &moved);
        let diff = sh(files.dir(), &format!("diff -a -U{context} --label x --label x a b || [ $? = 1 ]")).unwrap();
        std::fs::write(files.dir().join("diff"), &diff).unwrap();
        let theirs = sh(files.dir(), "patch -N -f -F0 -s -r - --no-backup-if-mismatch theirs < diff").is_some();
        match patch(files.dir(), &diff, 0) {
            Ok(Patched::Applied { .. }) => {
                prop_assert!(theirs);
                prop_assert_eq!(files.read("x"), files.read("theirs"));
            }
            // It may fit a second time for them.
            Ok(Patched::AlreadyApplied) => prop_assert_eq!(files.read("x"), moved),
            Err(error) => {
                prop_assert!(!theirs, "{}", error);
                prop_assert_eq!(files.read("x"), moved);
            }
        }
    }

    /// Whatever the bytes, there is an answer, and after an error every file is as it was.
    #[test]
    fn damage_changes_nothing(cuts in vec((0_usize..2000, 0_usize..40, vec(any::<u8>(), 0..8)), 1..4)) {
        let git = "diff --git a/old b/new\nsimilarity index 50%\nrename from old\nrename to new\n--- a/old\n+++ b/new\n@@ -1 +1 @@\n-1\n+2\n";
        let mut diff = format!("{git}{TWO}--- /dev/null\n+++ b/made\n@@ -0,0 +1 @@\n+x\n").into_bytes();
        for (at, gone, new) in cuts {
            let at = at % (diff.len() + 1);
            let end = (at + gone).min(diff.len());
            diff.splice(at..end, new);
        }
        let files = Files::new([("src/x.c", lines(40).as_str()), ("old", "1\n")]);
        let before = files.all();
        if patch(files.dir(), &diff, 1).is_err() {
            prop_assert_eq!(files.all(), before);
        }
    }
}
