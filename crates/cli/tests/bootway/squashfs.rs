//! `bootway squashfs` as a user meets it: images that others read, the same bytes for everybody, and what is said.

use std::{
    fs::Permissions,
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::Stdio,
};

use camino::Utf8Path;

use crate::project::{Project, Run, digest, oracle, program, run};

/// A directory `root` with a bit of everything, whose times are of one day in 2024.
fn tree() -> Project {
    let project = Project::new("");
    project.write("root/etc/hostname", "bootway\n");
    project.write("root/etc/shadow", "root:*:::::::\n");
    project.write("root/usr/bin/tool", "#!/bin/sh\necho hello\n".repeat(9000));
    project.write("root/usr/bin/same", "#!/bin/sh\necho hello\n".repeat(9000));
    project.write("root/usr/lib/a.pyc", "compiled");
    project.write("root/usr/lib/b.py", "");
    project.write("root/var/cache/apt/pkgcache.bin", vec![0; 1 << 20]);
    for n in 0..300 {
        project.write(&format!("root/usr/share/doc/{}/file-{n}", n % 7), format!("file {n}\n").repeat(n));
    }
    let root = project.path().join("root");
    fs_err::os::unix::fs::symlink("tool", root.join("usr/bin/link")).unwrap();
    fs_err::hard_link(root.join("etc/hostname"), root.join("etc/other-name")).unwrap();
    fs_err::set_permissions(root.join("usr/bin/tool"), Permissions::from_mode(0o4755)).unwrap();
    fs_err::set_permissions(root.join("etc/shadow"), Permissions::from_mode(0o640)).unwrap();
    for entry in walkdir::WalkDir::new(&root).contents_first(true).into_iter().flatten() {
        let time = rustix::fs::Timespec { tv_sec: 1_720_000_000, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, entry.path(), &times, flags).unwrap();
    }
    project
}

/// `bootway squashfs`, with a cache of the project's own.
fn squashfs(project: &Project, args: &[&str]) -> Run {
    run(project
        .command(&[&["squashfs"], args].concat())
        .env("XDG_CACHE_HOME", project.path().join("cache"))
        .env_remove("SOURCE_DATE_EPOCH"))
}

/// The same, which must succeed.
#[track_caller]
fn done(project: &Project, args: &[&str]) -> Run {
    let run = squashfs(project, args);
    assert_eq!(run.code, 0, "{args:?}: {}", run.stderr);
    run
}

/// The same, which must not: the exit code and what is said.
#[track_caller]
fn fails(project: &Project, args: &[&str]) -> String {
    let run = squashfs(project, args);
    assert_ne!(run.code, 0, "{args:?}: {}", run.stdout);
    format!("exit code {}\n{}", run.code, project.redact(&run.stderr))
}

/// What `unsquashfs` sees.
fn seen(image: &Utf8Path) -> String {
    let text = oracle("unsquashfs", &["-UTC", "-lln", image.as_str()]);
    text.lines().filter(|line| line.contains("squashfs-root")).map(|line| format!("{line}\n")).collect()
}

/// A summary without what differs from run to run: how long it took, and how much memory.
fn steady(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.ends_with(" of memory at most") && !line.contains(" of all threads: "));
    let timeless = lines.map(|line| match line.split_once(" in ").zip(line.split_once(" s,")) {
        Some(((before, _), (_, after))) => format!("{before} in [time],{after}\n"),
        None => format!("{line}\n"),
    });
    timeless.collect()
}

#[test]
fn an_image_is_what_unsquashfs_reads() {
    let project = tree();
    let (root, image) = (project.path().join("root"), project.path().join("it.squashfs"));
    for options in [
        &["--compressor", "zstd"][..],
        &["--compressor", "gzip", "--block-size", "4K"],
        &["--compressor", "xz", "--bcj", "x86", "--block-size", "1M"],
        &["--compressor", "lz4hc", "--tail-ends", "--no-exports", "--no-pad"],
    ] {
        done(&project, &[&["create", "root", "it.squashfs"], options].concat());
        let out = project.path().join("out");
        oracle("unsquashfs", &["-quiet", "-no-progress", "-f", "-d", out.as_str(), image.as_str()]);
        oracle("diff", &["-r", "--no-dereference", root.as_str(), out.as_str()]);
        fs_err::remove_dir_all(out).unwrap();
    }
    let listed = seen(&image);
    let etc: String =
        listed.lines().filter(|it| it.contains("root/etc")).map(|it| format!("{it}\n")).collect();
    let owner = rustix::process::geteuid().as_raw().to_string();
    insta::assert_snapshot!(etc.replace(&format!("{owner}/{owner}"), "own"), @"
    drwxr-xr-x own                      63 2024-07-03 09:46 squashfs-root/etc
    -rw-r--r-- own                       8 2024-07-03 09:46 squashfs-root/etc/hostname
    -rw-r--r-- own                       8 2024-07-03 09:46 squashfs-root/etc/other-name
    -rw-r----- own                      14 2024-07-03 09:46 squashfs-root/etc/shadow
    ");
}

#[test]
fn root_and_nobody_make_the_same_bytes() {
    let project = tree();
    done(&project, &["create", "root", "one.squashfs", "--all-root", "--no-cache"]);
    // Where nobody may write, with a program that nobody may run.
    let there = project.path().join("there");
    fs_err::create_dir(&there).unwrap();
    fs_err::copy(env!("CARGO_BIN_EXE_bootway"), there.join("bootway")).unwrap();
    let mut command = program(there.join("bootway").as_str());
    if rustix::process::geteuid().is_root() {
        fs_err::set_permissions(project.path(), Permissions::from_mode(0o755)).unwrap();
        fs_err::set_permissions(project.path().join("root/etc/shadow"), Permissions::from_mode(0o644))
            .unwrap();
        done(&project, &["create", "root", "one.squashfs", "--all-root", "--no-cache"]);
        fs_err::os::unix::fs::chown(&there, Some(65_534), Some(65_534)).unwrap();
        command.uid(65_534).gid(65_534);
    }
    command.args(["squashfs", "create", "../root", "two.squashfs", "--all-root", "--threads", "1"]);
    command.current_dir(&there).env("CI", "1").env("HOME", "/nonexistent").env("TZ", "Pacific/Auckland");
    let other = run(command.env("LC_ALL", "de_DE.UTF-8").env_remove("XDG_CACHE_HOME"));
    assert_eq!(other.code, 0, "{}", other.stderr);
    assert_eq!(digest(&project.path().join("one.squashfs")), digest(&there.join("two.squashfs")));
}

#[test]
fn cache_threads_and_way_in_make_no_difference() {
    let project = tree();
    let image = |name: &str| project.path().join(name);
    done(&project, &["create", "root", "cold.squashfs", "--no-cache", "--threads", "1", "--mkfs-time", "7"]);
    let wanted = digest(&image("cold.squashfs"));
    for n in 0..2 {
        let name = format!("{n}.squashfs");
        done(&project, &["create", "root", &name, "--threads", "4", "--mkfs-time", "7"]);
        assert_eq!(digest(&image(&name)), wanted, "run {n} with a cache");
    }
    let tar = image("root.tar");
    oracle(
        "tar",
        &["-C", image("root").as_str(), "--sort=name", "--numeric-owner", "-cf", tar.as_str(), "."],
    );
    oracle("zstd", &["-q", tar.as_str()]);
    for source in ["root.tar", "root.tar.zst"] {
        done(&project, &["create", source, "tar.squashfs", "--mkfs-time", "7"]);
        assert_eq!(digest(&image("tar.squashfs")), wanted, "{source}");
    }
    let mut command =
        project.command(&["squashfs", "create", "-", "tar.squashfs", "--mkfs-time", "7", "--no-cache"]);
    command.stdin(fs_err::File::open(&tar).unwrap().into_file()).stdout(Stdio::null()).stderr(Stdio::null());
    assert_eq!(command.status().unwrap().code(), Some(0));
    assert_eq!(digest(&image("tar.squashfs")), wanted, "standard input");
}

#[test]
fn a_run_says_what_it_did() {
    let project = tree();
    let first = done(&project, &["create", "root", "it.squashfs", "--compressor", "gzip", "--threads", "1"]);
    insta::assert_snapshot!(steady(&first.stderr), @"
    it.squashfs: 8 KiB in [time], 0.4 % of 1.74 MiB in 325 files
      gzip-6 with blocks of 256KiB
      574 KiB compressed, 185 KiB stored already, 1 MiB holes
    ");
    let second = done(&project, &["create", "root", "it.squashfs", "--compressor", "gzip", "--threads", "1"]);
    insta::assert_snapshot!(steady(&second.stderr), @"
    it.squashfs: 8 KiB in [time], 0.4 % of 1.74 MiB in 325 files
      gzip-6 with blocks of 256KiB
      574 KiB taken from the cache, 185 KiB stored already, 1 MiB holes
    ");
    assert_eq!(done(&project, &["create", "root", "it.squashfs", "--quiet"]).stderr, "");
    let json = done(&project, &["create", "root", "it.squashfs", "--json", "-comp", "gzip", "--no-cache"]);
    assert_eq!(json.stderr, "");
    let mut json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(json["seconds"]["all"].as_f64().unwrap() > 0.0);
    assert!(json["peak_memory"].as_u64().unwrap() > 0);
    for key in ["seconds", "peak_memory"] {
        json[key].take();
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap(), @r#"
    {
      "block_size": 262144,
      "bytes": 8192,
      "cached": 0,
      "compressed": 587685,
      "compressor": "gzip-6",
      "content": 1825261,
      "damaged": 0,
      "duplicates": 189000,
      "holes": 1048576,
      "image": "it.squashfs",
      "inodes": 325,
      "made": 1720000000,
      "notes": [],
      "peak_memory": null,
      "read": 1825261,
      "seconds": null,
      "shared": 0
    }
    "#);
}

#[test]
fn what_is_in_the_way_is_replaced_only_if_it_is_an_image() {
    let project = tree();
    let create = ["create", "root", "it"];
    project.write("it", "");
    done(&project, &create);
    done(&project, &create);
    project.write("it", "somebody's letter");
    insta::assert_snapshot!(fails(&project, &create), @"
    exit code 2
    error: `it` is there, and no squashfs image
      hint: use another name, or `--force` to replace it
    ");
    assert_eq!(fs_err::read_to_string(project.path().join("it")).unwrap(), "somebody's letter");
    done(&project, &["create", "root", "it", "--force"]);
    insta::assert_snapshot!(fails(&project, &["create", "root", "root"]), @"
    exit code 2
    error: `root` is a directory
      hint: name the image: `root/root.squashfs`
    ");
}

#[test]
fn an_image_in_its_own_source_does_not_contain_itself() {
    let project = tree();
    done(&project, &["create", "root", "root/it.squashfs", "--mkfs-time", "7", "--all-time", "7"]);
    let first = digest(&project.path().join("root/it.squashfs"));
    done(&project, &["create", "root", "root/it.squashfs", "--mkfs-time", "7", "--all-time", "7"]);
    assert_eq!(first, digest(&project.path().join("root/it.squashfs")));
}

#[test]
fn what_is_left_out_is_left_out() {
    let project = tree();
    let list = |args: &[&str]| {
        done(&project, &[&["create", "root", "it", "--quiet"], args].concat());
        let seen = seen(&project.path().join("it"));
        ["etc/shadow", "a.pyc", "b.py\n", "pkgcache", "usr/share/doc\n", "file-1\n"]
            .iter()
            .filter(|name| !seen.contains(**name))
            .map(|name| name.trim_end())
            .collect::<Vec<_>>()
            .join(" ")
    };
    project.write("list", "*.pyc\n/var/cache\n");
    insta::assert_snapshot!(list(&["--exclude-from", "list"]), @"a.pyc pkgcache");
    insta::assert_snapshot!(list(&["--exclude", "/usr/share/doc/**"]), @"file-1");
    insta::assert_snapshot!(list(&["--exclude", "/*.pyc"]), @"");
    insta::assert_snapshot!(list(&["-e", "etc/shadow", "usr/share/doc", "root/var"]), @"etc/shadow usr/share/doc file-1");
    insta::assert_snapshot!(list(&["-e", "root/../etc/shadow", "./root/var"]), @"pkgcache");
    insta::assert_snapshot!(list(&["-wildcards", "-e", "etc/sh*", "... *.pyc", "*.py"]), @"etc/shadow a.pyc");
}

#[test]
fn several_sources_are_under_their_names() {
    let project = tree();
    let tops = |args: &[&str]| {
        done(&project, &[&["create"], args, &["--quiet"]].concat());
        let seen = seen(&project.path().join("it"));
        let tops = seen.lines().filter_map(|line| line.split_once("squashfs-root/").map(|(_, path)| path));
        tops.filter(|path| !path.contains('/')).map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(tops(&["root", "it"]), "etc usr var");
    assert_eq!(tops(&["root/etc", "root/usr/bin/tool", "it"]), "etc tool");
    assert_eq!(tops(&["root/usr/bin/tool", "it"]), "tool");
    assert_eq!(tops(&["root/usr", "it", "-keep-as-directory"]), "usr");
    insta::assert_snapshot!(fails(&project, &["create", "root/etc", "root/../root/etc", "it"]), @"
    exit code 2
    error: two sources are called `etc`: rename one, or put both into one directory
    ");
}

#[test]
fn bad_input_is_named_with_what_to_do() {
    let project = tree();
    let mut said = String::new();
    for args in [
        &["create", "nowhere", "it"][..],
        &["create", "root", "nowhere/it"],
        &["create", "root", "it", "--compressor", "bzip2"],
        &["create", "root", "it", "--compressor", "xz", "--level", "12"],
        &["create", "root", "it", "--bcj", "x86"],
        &["create", "root", "it", "-Xhc"],
        &["create", "root", "it", "-b", "100K"],
        &["create", "root", "it", "--block-size", "2M"],
        &["create", "root", "it", "--exclude", "a["],
        &["create", "root", "it", "--exclude-from", "nowhere"],
        &["create", "root", "it", "--all-root", "--owner", "7"],
        &["create", "root", "it", "-all-root", "-p", "/dev d 755 0 0"],
        &["create", "root", "it", "-wildcard"],
        &["create", "-", "root", "it"],
        &["create", "root", "it", "--cache", "root"],
    ] {
        said += &format!("$ bootway squashfs {}\n{}\n", args.join(" "), fails(&project, args));
        assert!(!project.path().join("it").exists(), "{args:?}");
    }
    project.write("broken.tar", "no tar at all".repeat(100));
    project.write("cut.tar.gz", b"\x1f\x8b\x08\0\0\0");
    said += &fails(&project, &["create", "cut.tar.gz", "it"]);
    insta::assert_snapshot!(said);
}

#[test]
fn a_file_that_cannot_be_read_fails_the_build() {
    let project = tree();
    let mut command = project.command(&["squashfs", "create", "root", "there/it", "--no-cache"]);
    fs_err::create_dir(project.path().join("there")).unwrap();
    fs_err::set_permissions(project.path().join("root/etc/shadow"), Permissions::from_mode(0o000)).unwrap();
    if rustix::process::geteuid().is_root() {
        fs_err::set_permissions(project.path(), Permissions::from_mode(0o755)).unwrap();
        fs_err::os::unix::fs::chown(project.path().join("there"), Some(65_534), Some(65_534)).unwrap();
        fs_err::copy(env!("CARGO_BIN_EXE_bootway"), project.path().join("bootway")).unwrap();
        let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        command = program(project.path().join("bootway").as_str());
        command.args(args).current_dir(project.path()).uid(65_534).gid(65_534);
    }
    let failed = run(&mut command);
    insta::assert_snapshot!(format!("exit code {}\n{}", failed.code, project.redact(&failed.stderr)), @"
    exit code 4
    error: cannot read `root/etc/shadow`
      caused by: Permission denied (os error 13)
      hint: make it readable, or leave it out: `--exclude PATTERN`; no file is ever stored empty in its place
    ");
    assert_eq!(fs_err::read_dir(project.path().join("there")).unwrap().count(), 0, "something is left");
}

#[test]
fn an_interrupted_build_leaves_nothing() {
    let project = tree();
    fs_err::create_dir(project.path().join("there")).unwrap();
    let mut command = project.command(&["squashfs", "create", "-", "there/it", "--no-cache"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let tar = project.path().join("root.tar");
    oracle("tar", &["-C", project.path().join("root").as_str(), "-cf", tar.as_str(), "."]);
    // Some of an archive whose end never comes.
    let bytes = fs_err::read(&tar).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&bytes[..bytes.len() / 2]).unwrap();
    let begun = || fs_err::read_dir(project.path().join("there")).unwrap().count() > 0;
    while !begun() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(output.status.code(), Some(130));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr), @"
    error: `there/it` is not written
      caused by: stopped
    ");
    assert!(!begun(), "something is left");
}

#[test]
fn a_full_disk_is_named_and_the_old_image_stays() {
    let project = tree();
    let there = project.path().join("there");
    fs_err::create_dir(&there).unwrap();
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        // Xorshift: what no compressor makes smaller.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(4 << 20)
    .collect();
    project.write("root/noise", noise);
    let program = env!("CARGO_BIN_EXE_bootway");
    let script = format!(
        "mount -t tmpfs -o size=1m none {there} && {program} squashfs create root/etc {there}/it --no-cache --quiet \
         && sha256sum {there}/it && ! {program} squashfs create root {there}/it --no-cache && sha256sum {there}/it && ls -A {there}"
    );
    let mut command = crate::project::program("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .current_dir(project.path())
        .env("CI", "1");
    let run = run(&mut command);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines.len() == 3 && lines[0] == lines[1] && lines[2] == "it", "{lines:?}");
    insta::assert_snapshot!(project.redact(&run.stderr), @"
    error: cannot write `[dir]/there/it`: No space left on device (os error 28)
      hint: free some space, or write the image to another file system; what was there before is as it was
    ");
}

#[test]
fn the_guide_has_the_table_of_options() {
    let project = Project::new("");
    let printed = done(&project, &["options"]).stdout;
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/squashfs.md");
    let text = fs_err::read_to_string(guide).unwrap();
    let mark = "<!-- what `bootway squashfs options` prints -->\n\n";
    let shown = text.split_once(mark).map_or("", |(_, rest)| rest);
    assert!(
        shown.trim_end() == printed.trim_end(),
        "docs/guides/squashfs.md is not what the program says: put the output of `bootway squashfs options` behind the mark"
    );
}

#[test]
fn completions_know_the_commands() {
    let project = Project::new("");
    let script = project.bootway(&["completions", "bash"]).stdout;
    for word in ["squashfs", "create", "--compressor", "--exclude-as", "zstd"] {
        assert!(script.contains(word), "{word}");
    }
}

#[test]
fn help_has_examples() {
    let project = Project::new("");
    let mut said = String::new();
    for command in
        [&["--help"][..], &["create", "-h"], &["list", "-h"], &["extract", "-h"], &["verify", "-h"]]
    {
        let text = done(&project, command).stdout;
        said += &format!("$ bootway squashfs {}\n{text}\n", command.join(" "));
    }
    insta::assert_snapshot!(said);
}

/// An image of the tree, `it`, everything of it root's.
fn packed() -> Project {
    let project = tree();
    done(&project, &["create", "root", "it", "--all-root", "--compressor", "gzip", "--no-cache", "--quiet"]);
    project
}

#[test]
fn what_is_listed_is_what_is_there() {
    let project = packed();
    insta::assert_snapshot!(done(&project, &["list", "it", "etc", "usr/bin", "*/lib/*.pyc"]).stdout, @"
    etc
    etc/hostname
    etc/other-name
    etc/shadow
    usr/bin
    usr/bin/link
    usr/bin/same
    usr/bin/tool
    usr/lib/a.pyc
    ");
    insta::assert_snapshot!(done(&project, &["list", "it", "etc", "usr/bin", "-l"]).stdout, @"
    drwxr-xr-x         0/0            0 2024-07-03 09:46:40 etc
    -rw-r--r--         0/0            8 2024-07-03 09:46:40 etc/hostname
    -rw-r--r--         0/0            8 2024-07-03 09:46:40 etc/other-name
    -rw-r-----         0/0           14 2024-07-03 09:46:40 etc/shadow
    drwxr-xr-x         0/0            0 2024-07-03 09:46:40 usr/bin
    lrwxrwxrwx         0/0            4 2024-07-03 09:46:40 usr/bin/link -> tool
    -rw-r--r--         0/0       189000 2024-07-03 09:46:40 usr/bin/same
    -rwsr-xr-x         0/0       189000 2024-07-03 09:46:40 usr/bin/tool
    ");
    insta::assert_snapshot!(done(&project, &["list", "it", "--info"]).stdout, @"
    compressor  gzip
    blocks of   256KiB
    made        2024-07-03T09:46:40Z
    size        7.11 KiB (7282 bytes)
    inodes      325
    fragments   5
    owners      1
    flags       deduplicated, exportable, no extended attributes, compressor options
    ");
    let json: serde_json::Value =
        serde_json::from_str(&done(&project, &["list", "it", "--json"]).stdout).unwrap();
    let entries = json.as_array().unwrap();
    let named = |path: &str| entries.iter().find(|it| it["path"] == path).unwrap();
    assert_eq!(entries.len(), 326);
    assert_eq!(named("etc/hostname")["inode"], named("etc/other-name")["inode"]);
    insta::assert_snapshot!(serde_json::to_string(named("usr/bin/link")).unwrap(), @r#"{"gid":0,"inode":10,"links":1,"mode":"0777","mtime":1720000000,"path":"usr/bin/link","target":"tool","type":"symlink","uid":0}"#);
    insta::assert_snapshot!(fails(&project, &["list", "it", "etc/nothing"]), @"
    exit code 2
    error: `it` has no `etc/nothing`
      hint: `bootway squashfs list it` shows what it has
    ");
    // As `unsquashfs` has it.
    assert_eq!(
        done(&project, &["extract", "-ll", "it"]).stdout,
        done(&project, &["list", "it", "--long"]).stdout
    );
}

#[test]
fn what_is_extracted_is_what_was_packed() {
    let project = packed();
    let (root, out) = (project.path().join("root"), project.path().join("out"));
    done(&project, &["extract", "it", "-d", "out"]);
    oracle("diff", &["-r", "--no-dereference", root.as_str(), out.as_str()]);
    let [one, other] =
        ["etc/hostname", "etc/other-name"].map(|name| fs_err::metadata(out.join(name)).unwrap());
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&one), std::os::unix::fs::MetadataExt::ino(&other));
    insta::assert_snapshot!(fails(&project, &["extract", "it", "-d", "out"]), @"
    exit code 4
    error: `out` is there and is not an empty directory: name one that is not there
      hint: `--force` writes into it
    ");
    // Into what is there: what is in the way is replaced, what is beside stays.
    fs_err::remove_file(out.join("etc/hostname")).unwrap();
    fs_err::create_dir(out.join("etc/hostname.d")).unwrap();
    fs_err::os::unix::fs::symlink("/nowhere", out.join("etc/hostname")).unwrap();
    fs_err::write(out.join("etc/shadow"), "changed").unwrap();
    done(&project, &["extract", "it", "--dest", "out", "--force"]);
    assert!(out.join("etc/hostname.d").is_dir());
    fs_err::remove_dir(out.join("etc/hostname.d")).unwrap();
    oracle("diff", &["-r", "--no-dereference", root.as_str(), out.as_str()]);
}

#[test]
fn a_part_is_extracted_with_the_directories_on_the_way() {
    let project = packed();
    done(&project, &["extract", "it", "etc/other-name", "usr/*/link"]);
    let out = project.path().join("squashfs-root");
    let names = walkdir::WalkDir::new(&out).sort_by_file_name().into_iter().flatten();
    let names: String =
        names.map(|it| format!("{}\n", it.path().strip_prefix(&out).unwrap().display())).collect();
    insta::assert_snapshot!(names, @"

    etc
    etc/other-name
    usr
    usr/bin
    usr/bin/link
    ");
    insta::assert_snapshot!(fails(&project, &["extract", "it", "etc", "srv", "-d", "two"]), @"
    exit code 2
    error: `it` has no `srv`
      hint: `bootway squashfs list it` shows what it has
    ");
    assert!(!project.path().join("two").exists());
}

#[test]
fn a_damaged_image_has_exit_code_6_and_is_not_extracted() {
    let project = packed();
    let said = done(&project, &["verify", "it"]).stderr;
    insta::assert_snapshot!(said.rsplit_once(", in ").unwrap().0, @"`it` is sound: 325 inodes, 307 files, 574 KiB of content unpacked");
    let json = done(&project, &["verify", "it", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["sound"], &json["checked"]["inodes"]), (&true.into(), &325.into()));
    let good = fs_err::read(project.path().join("it")).unwrap();
    // In the middle of the first block, which is behind the superblock and the options of gzip.
    let mut bad = good.clone();
    bad[120..220].fill(0);
    project.write("it", bad);
    insta::assert_snapshot!(fails(&project, &["verify", "it"]), @"
    exit code 6
    error: `it` is damaged
      caused by: fragment 0: the block at 106 cannot be unpacked: gzip finds it damaged
      hint: get it again, or make it again; `extract` gives what can be read of it by its path
    ");
    // One thread: which of several files in a damaged fragment is met first is chance with more.
    insta::assert_snapshot!(fails(&project, &["extract", "it", "-d", "out", "--threads", "1"]), @"
    exit code 6
    error: cannot read the image `it`
      caused by: `etc/hostname`: the block at 106 cannot be unpacked: gzip finds it damaged
    ");
    assert!(!project.path().join("out").exists());
    let json = squashfs(&project, &["verify", "it", "--json"]);
    assert_eq!(json.code, 6);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json.stdout).unwrap()["sound"], false);
    project.write("it", &good[..good.len() / 2]);
    insta::assert_snapshot!(fails(&project, &["verify", "it"]), @"
    exit code 6
    error: cannot read the image `it`
      caused by: the image would be at 0 to 7282, and the image has 4096 bytes: it is cut short or damaged
    ");
    project.write("it", "a letter");
    insta::assert_snapshot!(fails(&project, &["list", "it"]), @"
    exit code 6
    error: cannot read the image `it`
      caused by: it begins with `a le` and not with `hsqs`
    ");
    insta::assert_snapshot!(fails(&project, &["verify", "nowhere"]), @"
    exit code 4
    error: cannot read the image `nowhere`
      caused by: failed to open file `nowhere`: No such file or directory (os error 2)
    ");
}

#[test]
fn an_image_in_a_disk_is_found_where_it_begins() {
    let project = packed();
    let image = fs_err::read(project.path().join("it")).unwrap();
    project.write("disk", [vec![0xff; 1 << 20], image, vec![0xff; 1 << 20]].concat());
    let listed = done(&project, &["list", "disk", "--offset", "1M"]).stdout;
    assert_eq!(listed, done(&project, &["list", "it"]).stdout);
    insta::assert_snapshot!(fails(&project, &["verify", "disk"]), @r"
    exit code 6
    error: cannot read the image `disk`
      caused by: it begins with `\xff\xff\xff\xff` and not with `hsqs`
    ");
}
