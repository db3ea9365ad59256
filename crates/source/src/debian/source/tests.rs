use std::io::Write as _;

use bootway_exec::{Cmd, Sandbox, ScriptedRunner, SystemRunner, run};
use bootway_plan::{Digest, Failure};
use camino::{Utf8Path, Utf8PathBuf};

use super::{
    super::{download_debian, locked, tests::GnupgHome},
    *,
};
use crate::{
    archive::tests::{Tar, listing, xz},
    test_server::{Page, Server},
};

/// A small signed archive of sources behind a web server.
struct Sources {
    server: Server,
    keyring: Utf8PathBuf,
    _gnupg: GnupgHome,
}

/// Name, version, format, further fields, files.
type Stanza<'a> = (&'a str, &'a str, &'a str, &'a str, Vec<(&'a str, Vec<u8>)>);

impl Sources {
    fn with(stanzas: &[Stanza<'_>]) -> Self {
        let server = Server::start();
        let gnupg = GnupgHome::new();
        let mut index = String::new();
        for (name, version, format, fields, files) in stanzas {
            index += &format!(
                "Package: {name}\nFormat: {format}\nBinary: {name}, lib{name}-dev,\n lib{name}1\nVersion: {version}\nPackage-List: \n {name} deb x\n{fields}Directory: pool/{name}\nFiles:\n 0 1 x\nChecksums-Sha256:\n"
            );
            for (file, bytes) in files {
                index += &format!(" {} {} {file}\n", Digest::of(bytes), bytes.len());
                server.put(&format!("debian/pool/{name}/{file}"), Page::Bytes(bytes.clone()));
            }
            index += "Section: misc\n\n";
        }
        let index = xz(index.as_bytes());
        let release = format!(
            "Suite: oldstable\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nAcquire-By-Hash: yes\nArchitectures: amd64\nComponents: main\nSHA256:\n {} {} main/source/Sources.xz\n",
            Digest::of(&index),
            index.len(),
        );
        server.put("debian/dists/bookworm/InRelease", Page::Bytes(gnupg.clear_sign(&release)));
        server.put("debian/dists/bookworm/main/source/Sources.xz", Page::Bytes(index));
        let keyring = gnupg.path("keyring.gpg").into();
        Self { server, keyring, _gnupg: gnupg }
    }

    fn step(&self, package: &str) -> step::DebianSource {
        let json = serde_json::json!({ "package": package, "mirror": self.server.url("debian") });
        serde_json::from_value(json).unwrap()
    }

    fn files(&self) -> DebianFiles<'_> {
        DebianFiles { lock: "plan.lock".into(), keyring: &self.keyring }
    }

    /// What comes of it: the tree, or what is wrong.
    fn run(&self, cx: &Cx<'_>, step: &step::DebianSource) -> String {
        let text = match debian_source(cx, step, &self.files()) {
            Ok(outputs) => {
                let text = listing(&cx.out.join("tree.manifest"));
                fs_err::remove_dir_all(&outputs[0].path).unwrap();
                text
            }
            Err(error) => {
                // As the engine does with all of a step that failed.
                let _ = fs_err::remove_dir_all(cx.out.join(".contents"));
                Failure::of(&error).to_string()
            }
        };
        self.server.anonymous(&text).replace(cx.plan_dir.parent().unwrap().as_str(), "")
    }

    fn outcome(&self, package: &str) -> String {
        let runner = SystemRunner::default();
        self.run(&Sandbox::new(&runner).cx(), &self.step(package))
    }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What authors release: with a directory around it, and a file that can be executed.
fn orig(top: &str) -> Vec<u8> {
    let tar = Tar::default().dir(&format!("{top}/")).file(&format!("{top}/main.c"), "int main;\n");
    let tar = tar.header(tar::EntryType::Regular, &format!("{top}/configure"), "", |header| {
        header.set_mode(0o4771);
        header.set_uid(1000);
        header.set_gid(1000);
    });
    // Some have one of their own, which Debian's takes the place of.
    gz(&tar.file(&format!("{top}/debian/theirs"), "x").symlink(&format!("{top}/link"), "main.c").end())
}

fn debian() -> Vec<u8> {
    let tar = Tar::default().dir("debian/").file("debian/source/format", "3.0 (quilt)\n");
    xz(&tar.file("debian/patches/series", "a.patch\n").end())
}

fn hello() -> Stanza<'static> {
    let files = vec![
        ("hello_1.0-2.dsc", b"signed\n".to_vec()),
        ("hello_1.0.orig.tar.gz", orig("hello-1.0")),
        ("hello_1.0.orig.tar.gz.asc", b"signature\n".to_vec()),
        ("hello_1.0-2.debian.tar.xz", debian()),
    ];
    ("hello", "1.0-2", "3.0 (quilt)", "", files)
}

#[test]
fn a_source_is_what_was_released_with_what_debian_adds() {
    let sources = Sources::with(&[hello()]);
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let step = sources.step("hello");
    let first = sources.run(&cx, &step);
    insta::assert_snapshot!(first, @"
    0755 / dir
    0755 /configure 0 B
    0755 /debian dir
    0755 /debian/patches dir
    0644 /debian/patches/series 8 B
    0755 /debian/source dir
    0644 /debian/source/format 12 B
    0777 /link -> main.c
    0644 /main.c 10 B
    ");
    let lock = fs_err::read_to_string(cx.plan_dir.join("plan.lock")).unwrap();
    let masked = [&b"signed\n"[..], b"signature\n", &orig("hello-1.0"), &debian()]
        .iter()
        .fold(sources.server.anonymous(&lock), |text, bytes| {
            text.replace(&Digest::of(bytes).to_string(), "DIGEST")
        });
    insta::assert_snapshot!(masked, @r#"
    {
      "format": 1,
      "debian": [],
      "debian-source": [
        {
          "package": "hello",
          "suite": "bookworm",
          "mirror": "http://server/debian",
          "components": ["main"],
          "date": "20260711T101637Z",
          "version": "1.0-2",
          "format": "3.0 (quilt)",
          "files": [
            {"name":"hello_1.0-2.debian.tar.xz","size":204,"sha256":"DIGEST","path":"pool/hello/hello_1.0-2.debian.tar.xz"},
            {"name":"hello_1.0-2.dsc","size":7,"sha256":"DIGEST","path":"pool/hello/hello_1.0-2.dsc"},
            {"name":"hello_1.0.orig.tar.gz","size":277,"sha256":"DIGEST","path":"pool/hello/hello_1.0.orig.tar.gz"},
            {"name":"hello_1.0.orig.tar.gz.asc","size":10,"sha256":"DIGEST","path":"pool/hello/hello_1.0.orig.tar.gz.asc"}
          ]
        }
      ]
    }
    "#);
    let mut asked: Vec<String> =
        sources.server.requests().into_iter().filter(|path| !path.contains("by-hash")).collect();
    asked.sort();
    insta::assert_snapshot!(asked.join("\n"), @"
    debian/dists/bookworm/InRelease
    debian/dists/bookworm/main/source/Sources.xz
    debian/pool/hello/hello_1.0-2.debian.tar.xz
    debian/pool/hello/hello_1.0.orig.tar.gz
    ");

    // Once it is locked and cached, nothing is asked for and nothing is started.
    let requests = sources.server.requests().len();
    assert!(locked(&cx.plan_dir.join("plan.lock"), (&step).into()).unwrap().is_some());
    let scripted = ScriptedRunner::default();
    let again = sources.run(&Cx { runner: &scripted, ..cx }, &step);
    assert_eq!((again, scripted.to_string()), (first, String::new()));
    assert_eq!(sources.server.requests().len(), requests);
    assert_eq!(fs_err::read_to_string(cx.plan_dir.join("plan.lock")).unwrap(), lock);
}

#[test]
fn a_source_is_locked_and_downloaded_ahead_of_time() {
    let sources = Sources::with(&[hello()]);
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let step = sources.step("hello");
    let first = download_debian(&cx, (&step).into(), &sources.files()).unwrap();
    // The signed release, its index, and the two archives that are unpacked.
    assert_eq!((first.had.files, first.came.files), (0, 4));
    let requests = sources.server.requests().len();
    let second = download_debian(&cx, (&step).into(), &sources.files()).unwrap();
    assert_eq!((second.had.files, second.came.files), (2, 0));
    assert!(sources.run(&cx, &step).contains("/debian/patches"));
    assert_eq!(sources.server.requests().len(), requests);
}

/// Makes a source package with Debian's own program, and unpacks it with ours and with theirs.
#[test]
fn dpkg_source_unpacks_the_same_tree() {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let sh = |script: &str| {
        let cmd = Cmd::user("sh").args(["-euc", script]).dir(dir);
        run(&cx, &cmd).unwrap_or_else(|error| panic!("{error}: install it with `apt-get install dpkg-dev`"))
    };
    fs_err::write(dir.join("hello_1.0.orig.tar.gz"), orig("anything")).unwrap();
    sh("mkdir -p hello-1.0/debian/source hello-1.0/debian/patches
        tar -C hello-1.0 --strip-components=1 -xzf hello_1.0.orig.tar.gz
        cd hello-1.0
        rm debian/theirs
        echo '3.0 (quilt)' > debian/source/format
        printf 'Source: hello\\nMaintainer: A <a@b.c>\\n\\nPackage: hello\\nArchitecture: all\\nDescription: x\\n' > debian/control
        printf 'hello (1.0-2) unstable; urgency=low\\n\\n  * x\\n\\n -- A <a@b.c>  Sat, 11 Jul 2026 10:16:37 +0000\\n' > debian/changelog
        printf -- '--- a/main.c\\n+++ b/main.c\\n@@ -1 +1 @@\\n-int main;\\n+int other;\\n' > debian/patches/a.patch
        echo a.patch > debian/patches/series
        touch debian/rules && chmod 755 debian/rules
        cd .. && dpkg-source -b hello-1.0 && dpkg-source --no-check --skip-patches -x hello_1.0-2.dsc theirs");
    let names = ["hello_1.0-2.dsc", "hello_1.0.orig.tar.gz", "hello_1.0-2.debian.tar.xz"];
    let files = names.map(|name| (name, fs_err::read(dir.join(name)).unwrap()));
    let sources = Sources::with(&[("hello", "1.0-2", "3.0 (quilt)", "", files.into())]);
    let output = debian_source(&cx, &sources.step("hello"), &sources.files()).unwrap();
    sh(&format!(
        "diff -r --no-dereference theirs {tree} && test -x {tree}/debian/rules",
        tree = output[0].path
    ));
}

#[test]
fn the_newest_version_wins() {
    let old = ("hello", "1.0-1", "3.0 (quilt)", "", Vec::new());
    let newer = ("hello", "1.9-1", "3.0 (quilt)", "Extra-Source-Only: yes\n", Vec::new());
    for stanzas in [[old.clone(), hello(), newer.clone()], [newer, hello(), old]] {
        let tree = Sources::with(&stanzas).outcome("hello");
        assert!(tree.contains("/debian/patches/series"), "{tree}");
    }
}

#[test]
fn other_formats_and_further_archives_are_unpacked() {
    let native = Tar::default().dir("tool/").file("tool/x", "1").file("tool/debian/control", "x").end();
    let part = Tar::default().dir("anything/").file("anything/part.c", "x").end();
    let multi = vec![
        (
            "multi_1.orig.tar.gz",
            gz(&Tar::default().dir("m/").file("m/sub/stale", "x").file("m/main.c", "x").end()),
        ),
        ("multi_1.orig-sub.tar.gz", gz(&part)),
        // No directory around it.
        ("multi_1.orig-flat.tar.gz", gz(&Tar::default().dir("./").file("./a", "x").file("./b", "x").end())),
        ("multi_1-1.debian.tar.xz", debian()),
    ];
    let sources = Sources::with(&[
        ("native", "1", "3.0 (native)", "", vec![("native_1.tar.xz", xz(&native))]),
        ("old", "1", "1.0", "", vec![("old_1.tar.gz", gz(&native))]),
        ("multi", "1-1", "3.0 (quilt)", "", multi),
    ]);
    insta::assert_snapshot!(sources.outcome("native"), @"
    0755 / dir
    0755 /debian dir
    0644 /debian/control 1 B
    0644 /x 1 B
    ");
    assert_eq!(sources.outcome("old"), sources.outcome("native"));
    insta::assert_snapshot!(sources.outcome("multi"), @"
    0755 / dir
    0755 /debian dir
    0755 /debian/patches dir
    0644 /debian/patches/series 8 B
    0755 /debian/source dir
    0644 /debian/source/format 12 B
    0755 /flat dir
    0644 /flat/a 1 B
    0644 /flat/b 1 B
    0644 /main.c 1 B
    0755 /sub dir
    0644 /sub/part.c 1 B
    ");
}

#[test]
fn what_cannot_be_unpacked_is_said_with_a_remedy() {
    let tar = gz(&Tar::default().dir("x/").file("x/a", "x").end());
    let two = vec![("two_1.orig.tar.gz", tar.clone()), ("two_1.orig.tar.xz", tar.clone())];
    let sources = Sources::with(&[
        hello(),
        ("diff", "1-1", "1.0", "", vec![("diff_1.orig.tar.gz", tar.clone()), ("diff_1-1.diff.gz", gz(b"x"))]),
        ("git", "1-1", "3.0 (git)", "", vec![("git_1.git", b"x".to_vec())]),
        ("half", "1-1", "3.0 (quilt)", "", vec![("half_1.orig.tar.gz", tar.clone())]),
        ("two", "1-1", "3.0 (native)", "", two),
        ("none", "1-1", "3.0 (native)", "", Vec::new()),
        ("bad", "1-1", "3.0 (native)", "", vec![("../bad_1.tar.gz", tar)]),
    ]);
    insta::assert_snapshot!(sources.outcome("diff"), @"
    error: source package `diff 1-1` cannot be unpacked: format `1.0` with a diff (`diff_1-1.diff.gz`) is not supported
      hint: use `fetch` and `unpack` with what its authors released, or another `suite` that has it in another format
    ");
    insta::assert_snapshot!(sources.outcome("git"), @"
    error: source package `git 1-1` cannot be unpacked: format `3.0 (git)` is not supported, only `3.0 (quilt)` and `3.0 (native)`
      hint: use `fetch` and `unpack` with what its authors released, or another `suite` that has it in another format
    ");
    insta::assert_snapshot!(sources.outcome("half"), @"
    error: source package `half 1-1` cannot be unpacked: it has 0 files `*.debian.tar.*` instead of one
      hint: use `fetch` and `unpack` with what its authors released, or another `suite` that has it in another format
    ");
    insta::assert_snapshot!(sources.outcome("two"), @"
    error: source package `two 1-1` cannot be unpacked: it has 2 archives of its source instead of one
      hint: use `fetch` and `unpack` with what its authors released, or another `suite` that has it in another format
    ");
    insta::assert_snapshot!(sources.outcome("none"), @"error: the index of `bookworm` cannot be used: the stanza of `none` has no good `Checksums-Sha256`");
    insta::assert_snapshot!(sources.outcome("bad"), @"error: the index of `bookworm` cannot be used: the stanza of `bad` has no good `Checksums-Sha256`");
    insta::assert_snapshot!(sources.outcome("helo"), @"error: there is no package `helo` in the sources of bookworm main: did you mean `hello`?");
    insta::assert_snapshot!(sources.outcome("libhello1"), @"error: there is no package `libhello1` in the sources of bookworm main: it is built from the source package `hello`");
}

#[test]
fn what_a_mirror_changes_is_not_taken() {
    let sources = Sources::with(&[hello()]);
    let mut wrong = orig("hello-1.0");
    wrong[20] ^= 1;
    sources.server.put("debian/pool/hello/hello_1.0.orig.tar.gz", Page::Bytes(wrong));
    let said = sources.outcome("hello");
    assert!(said.contains("hello_1.0.orig.tar.gz` is the wrong file"), "{said}");
}

#[test]
fn nothing_leaves_the_tree() {
    let hostile = |tar: Tar| {
        let files = vec![("x_1.orig.tar.gz", gz(&tar.end())), ("x_1-1.debian.tar.xz", debian())];
        Sources::with(&[("x", "1-1", "3.0 (quilt)", "", files)]).outcome("x")
    };
    // Debian's files do not follow a link of the authors.
    insta::assert_snapshot!(hostile(Tar::default().dir("x/").symlink("x/debian", "/etc").file("x/a", "x")), @"
    0755 / dir
    0644 /a 1 B
    0755 /debian dir
    0755 /debian/patches dir
    0644 /debian/patches/series 8 B
    0755 /debian/source dir
    0644 /debian/source/format 12 B
    ");
    insta::assert_snapshot!(hostile(Tar::default().dir("x/").file("x/../../a", "x")), @"error: cannot unpack `x_1.orig.tar.gz`: entry `x/../../a` leaves the tree: `..` and NUL are not allowed");
}

#[test]
fn packages_and_sources_share_a_lock_file() {
    let sources = Sources::with(&[hello()]);
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let path = cx.plan_dir.join("plan.lock");
    // One from before there were sources.
    let old = r#"{"format":1,"debian":[{"suite":"s","arch":"a","mirror":"m","components":["main"],"dependencies":false,"packages":["x"],"date":null,"locked":[]}]}"#;
    fs_err::write(&path, old).unwrap();
    let step = sources.step("hello");
    assert_eq!(locked(&path, (&step).into()).unwrap(), None);
    sources.run(&cx, &step);
    let text = fs_err::read_to_string(&path).unwrap();
    assert!(text.contains(r#""suite": "s""#) && text.contains(r#""package": "hello""#), "{text}");
    // What is kept of the tree is no part of the question.
    let keeping = step::DebianSource { keep: vec!["main.c".to_owned()], ..step };
    assert!(locked(&path, (&keeping).into()).unwrap().is_some());
    fs_err::write(&path, text.replace("pool/hello/hello_1.0-2.dsc", "../x")).unwrap();
    insta::assert_snapshot!(sources.run(&cx, &keeping), @"
    error: `/plan/plan.lock` is not a lock file: `../x` is not a path in an archive
      hint: remove `/plan/plan.lock`: it is then made again
    ");
}
