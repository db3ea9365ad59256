use std::{fs, os::unix::fs::PermissionsExt};

use bootway_exec::{Sandbox, SystemRunner};
use camino::Utf8PathBuf;
use insta::assert_snapshot;
use tempfile::TempDir;

use super::*;

mod damage;
mod images;

/// Two directories beside each other.
struct Two {
    dir: TempDir,
}

impl Two {
    fn new() -> Self {
        let two = Self { dir: TempDir::new().unwrap() };
        for side in ["a", "b"] {
            fs::create_dir(two.path(side)).unwrap();
        }
        two
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.dir.path().join(name)).unwrap()
    }

    fn write(&self, name: &str, a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) {
        fs::write(self.path("a").join(name), a).unwrap();
        fs::write(self.path("b").join(name), b).unwrap();
    }

    fn compared(&self) -> String {
        said(&compare(&self.path("a"), &self.path("b"), &Cancel::default()).unwrap())
    }
}

fn said(found: &Comparison) -> String {
    let lines: Vec<_> = found.differences.iter().map(ToString::to_string).collect();
    format!("{}\nthe same: {}", lines.join("\n"), found.same)
}

/// Runs a tool in a directory; what it prints is of no interest.
fn run(dir: &Utf8Path, program: &str, args: &[&str]) {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cmd = bootway_exec::Cmd::user(program).args(args.iter().copied()).dir(dir);
    bootway_exec::run(&sandbox.cx(), &cmd).unwrap();
}

#[test]
fn what_is_the_same_is_the_same() {
    let two = Two::new();
    two.write("x", "text\n", "text\n");
    assert_eq!(two.compared(), "\nthe same: 2");
}

#[test]
fn names_kinds_modes_and_links_are_compared() {
    let two = Two::new();
    let (a, b) = (two.path("a"), two.path("b"));
    two.write("mode", "x", "x");
    fs::set_permissions(a.join("mode"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(b.join("mode"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::create_dir_all(a.join("only/deep")).unwrap();
    fs::write(a.join("only/deep/x"), "x").unwrap();
    fs::write(b.join("other"), "x").unwrap();
    for (side, target) in [(&a, "mode"), (&b, "other")] {
        std::os::unix::fs::symlink(target, side.join("link")).unwrap();
    }
    fs::create_dir(a.join("kind")).unwrap();
    fs::write(b.join("kind"), "x").unwrap();
    two.write("one", "same", "same");
    two.write("two", "same", "same");
    fs::remove_file(a.join("two")).unwrap();
    fs::hard_link(a.join("one"), a.join("two")).unwrap();
    assert_snapshot!(two.compared(), @r##"
    /kind: mode: 0755 | 0644
    /kind: kind: a directory | a file of 1 B
    /link: kind: a link to mode | a link to other
    /mode: mode: 0755 | 4711
    /only: only the first has it: a directory with 2 files
    /other: only the second has it: a file of 1 B
    /two: hard link to: /one | none
    the same: 4
    "##);
}

#[test]
fn a_cause_is_what_the_bytes_look_like() {
    let two = Two::new();
    two.write("date", "built on 2026-11-22\n", "built on 2026-11-23\n");
    two.write("clock", b"\0\0__DATE__ Nov 22 2026 10:11:12\0\0", b"\0\0__DATE__ Nov 22 2026 10:11:59\0\0");
    two.write(
        "seconds",
        [&[0; 8][..], &1_795_333_052_u32.to_le_bytes(), &[0; 8]].concat(),
        [&[0; 8][..], &1_795_333_999_u32.to_le_bytes(), &[0; 8]].concat(),
    );
    two.write("path", b"\0\0-I/srv/a/src/include\0", b"\0\0-I/srv/b/src/include\0");
    two.write("uuid", "id=1b4e28ba-2fa1-11d2-883f-0016d3cca427", "id=6fa459ea-ee8a-3ca4-894e-db77e160355e");
    two.write("order", "one\ntwo\nthree\n", "one\nthree\ntwo\n");
    two.write("text", "the answer is yes\n", "the answer is no\n");
    two.write("longer", "one\n", "one\ntwo\n");
    two.write("numbers", [0, 1, 2, 3], [0, 1, 9, 3]);
    assert_snapshot!(two.compared(), @r##"
    /clock: 2 of 33 bytes differ, the first at 29: `ATE__ Nov 22 2026 10:11:12` | `ATE__ Nov 22 2026 10:11:59`; cause: a date or a time
    /date: 1 of 20 bytes differ, the first at 18 (line 1): `built on 2026-11-22` | `built on 2026-11-23`; cause: a date or a time
    /longer: 4 B | 8 B, the first difference at 4 (line 2): nothing | 74 77 6f 0a; cause: unknown
    /numbers: 1 of 4 bytes differ, the first at 2: 02 03 | 09 03; cause: unknown
    /order: 8 of 14 bytes differ, the first at 5 (line 2): 77 6f 0a 74 68 72 65 65 0a | `three`; cause: the order of its lines
    /path: 1 of 23 bytes differ, the first at 9: `-I/srv/a/src/include` | `-I/srv/b/src/include`; cause: a path, such as where it was built
    /seconds: 2 of 20 bytes differ, the first at 8: bc 9b 02 6b 00 00 00 00 00 00 00 00 | 6f 9f 02 6b 00 00 00 00 00 00 00 00; cause: a date or a time
    /text: 18 B | 17 B, the first difference at 14 (line 1): `the answer is yes` | `the answer is no`; cause: unknown
    /uuid: 30 of 39 bytes differ, the first at 3 (line 1): `id=1b4e28ba-2fa1-11d2-883f-0016d3cca427` | `id=6fa459ea-ee8a-3ca4-894e-db77e160355e`; cause: a digest or an identifier
    the same: 1
    "##);
}

#[test]
fn a_program_differs_in_a_section() {
    let two = Two::new();
    for side in ["a", "b"] {
        let dir = two.path(side);
        fs::write(dir.join("x.c"), "#include <stdio.h>\nint main(void) { return puts(WHERE); }\n").unwrap();
        let flag = format!("-DWHERE=\"/srv/{side}/build/x\"");
        run(&dir, "gcc", &["-O1", &flag, "-Wl,--build-id", "-o", "x", "x.c"]);
    }
    let found = two.compared();
    assert!(
        found.contains("(.rodata; .note.gnu.build-id differ as well): `/srv/a/build/x` | `/srv/b/build/x`"),
        "{found}"
    );
    assert!(found.contains("cause: a path"), "{found}");
}

#[test]
fn an_archive_of_object_files_differs_in_a_member() {
    let two = Two::new();
    for (side, text, time) in [("a", "int x = 1;\n", "@1700000000"), ("b", "int x = 2;\n", "@1700000100")] {
        let dir = two.path(side);
        fs::write(dir.join("one.c"), text).unwrap();
        fs::write(dir.join("another_with_a_long_name.c"), "int y;\n").unwrap();
        run(&dir, "gcc", &["-c", "one.c", "another_with_a_long_name.c"]);
        run(&dir, "touch", &["-d", time, "one.o", "another_with_a_long_name.o"]);
        run(&dir, "ar", &["qcU", "x.a", "one.o", "another_with_a_long_name.o"]);
        for name in ["one.c", "one.o", "another_with_a_long_name.o"] {
            fs::remove_file(dir.join(name)).unwrap();
        }
    }
    let found = two.compared();
    let lines: Vec<_> = found.lines().filter(|line| !line.contains("table of symbols")).collect();
    assert_snapshot!(lines.join("\n"), @r##"
    /x.a, member one.o: time: 1700000000 | 1700000100
    /x.a, member one.o: 1 of 840 bytes differ, the first at 64 (.data): 01 00 00 00 | 02 00 00 00; cause: unknown
    /x.a, member another_with_a_long_name.o: time: 1700000000 | 1700000100
    the same: 5
    "##);
}

#[test]
fn what_is_compressed_is_unpacked() {
    let two = Two::new();
    for (side, text) in [("a", "built in 1999-12-31\n"), ("b", "built in 2000-01-01\n")] {
        let dir = two.path(side);
        fs::write(dir.join("same"), "text\n").unwrap();
        fs::write(dir.join("text"), text).unwrap();
        run(&dir, "touch", &["-d", text.split_whitespace().last().unwrap(), "same"]);
        run(&dir, "gzip", &["same"]);
        run(&dir, "xz", &["text"]);
    }
    assert_snapshot!(two.compared(), @r##"
    /same.gz: 3 of 30 bytes differ, the first at 4 (what it holds is the same, and is compressed or named otherwise): 00 f2 6b 38 00 03 73 61 6d 65 00 2b 49 ad 28 e1 | 80 43 6d 38 00 03 73 61 6d 65 00 2b 49 ad 28 e1; cause: a date or a time
    /text.xz, unpacked: 7 of 20 bytes differ, the first at 9 (line 1): `built in 1999-12-31` | `built in 2000-01-01`; cause: a date or a time
    the same: 1
    "##);
}
