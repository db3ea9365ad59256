//! Packages: built from an archive with the tools of this machine, into a root of their own.

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    project::{Project, digest, from_error, oracle},
    sysroot::{built, tree},
};

/// As small as a package can be that is configured, built and installed.
const CONFIGURE: &str = "#!/bin/sh\nset -e\nfor arg; do case $arg in --prefix=*) prefix=${arg#*=};; --fail) echo 'no such thing' >&2; exit 23;; --loud) seq 1 60;; esac; done\nsed \"s,@prefix@,$prefix,\" Makefile.in > Makefile\n";
const MAKEFILE: &str = "all: hello\nhello: hello.in\n\tsed 's/@flags@/$(FLAGS)/' hello.in > hello\n\tchmod +x hello\ninstall: hello\n\tmkdir -p $(DESTDIR)@prefix@/bin\n\tcp hello $(DESTDIR)@prefix@/bin/hello\n";
const HELLO: &str = "#!/bin/sh\necho hello @flags@\n";

/// A project with the archive `hello-1.tar`, whose packages are built with the tools of this machine.
fn project(plan: &str) -> (Project, Utf8PathBuf) {
    let project = Project::new(&format!("[namespace.tools]\nrootfs = \"host\"\n{plan}"));
    for (name, text) in [("configure", CONFIGURE), ("Makefile.in", MAKEFILE), ("hello.in", HELLO)] {
        let path = project.write(&format!("hello-1/{name}"), text);
        oracle("chmod", &["0755", path.as_str()]);
    }
    let (dir, archive) = (project.path().to_owned(), project.path().join("hello-1.tar"));
    oracle("tar", &["-C", dir.as_str(), "-cf", archive.as_str(), "hello-1"]);
    (project, archive)
}

fn hello(archive: &Utf8PathBuf, more: &str) -> String {
    format!(
        "[package.hello]\nversion = \"1\"\nsource = \"file://{archive}\"\nsha256 = \"{}\"\n{more}",
        digest(archive)
    )
}

const PHASE: &str =
    "[[phase]]\nname = \"root\"\nnamespace = \"tools\"\ninstall-prefix = \"/usr\"\ndestdir = \"/rootfs\"\n";
const ALL: &str = "[[phase.step]]\nname = \"all\"\npackages = {}\n";
const ROOTFS: &str = "[[phase]]\nname = \"out\"\n[[phase.step]]\nname = \"tree\"\nrootfs = { namespace = \"tools\", path = \"rootfs\" }\n";

/// Writes the plan anew, with what is known of the archive.
fn write_plan(project: &Project, text: &str) {
    let head = "format = 1\nname = \"test\"\nepoch = 1735689600\n[namespace.tools]\nrootfs = \"host\"\n";
    project.write("test.plan.toml", head.to_owned() + text);
}

#[test]
fn a_package_is_downloaded_configured_built_and_installed() {
    let (project, archive) = project("");
    let package = hello(&archive, "make-flags = [\"FLAGS=${jobs}\"]\n");
    write_plan(&project, &format!("{package}{PHASE}{ALL}{ROOTFS}"));
    built(&project, &["--jobs", "1"]);
    let (path, manifest) = tree(&project, "tree", "tree");
    let names: Vec<String> = manifest.entries.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["/", "/usr", "/usr/bin", "/usr/bin/hello"]);
    assert_eq!(fs_err::read_to_string(path.join("usr/bin/hello")).unwrap(), "#!/bin/sh\necho hello 1\n");
    let plan = project.bootway(&["plan", "test.plan.toml", "--commands"]);
    let own = plan.stdout.lines().filter_map(|line| line.split_once(" -- ")).map(|(_, line)| line);
    insta::assert_snapshot!(own.collect::<Vec<_>>().join("\n").replace(&format!("-j{}", jobs()), "-jN").replace(&format!("FLAGS={}", jobs()), "FLAGS=N"), @"
    ./configure --prefix=/usr
    make -jN FLAGS=N
    make install FLAGS=N DESTDIR=/rootfs
    ");
}

fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Trees of sources that are kept in a cache.
fn sources(cache: &Utf8Path) -> Vec<Utf8PathBuf> {
    let all = cache.join("unpacked").read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path());
    all.filter(|path| path.is_dir()).collect()
}

#[test]
fn a_source_is_unpacked_once_for_all_stages_and_plans_and_no_build_changes_it() {
    let (project, archive) = project("");
    let more = "strategy = \"command\"\ncommands = [[\"sh\", \"-euc\", \"mkdir -p /made; cat hello.in > /made/it; echo mine >> hello.in; rm configure\"]]\n";
    let staged = format!("{more}stages = {{ one = {{}}, two = {{}} }}\n");
    write_plan(&project, &format!("{}{PHASE}{ALL}", hello(&archive, &staged)));
    let cache = project.path().join("shared");
    let of_cache = ["--cache", cache.as_str()];
    built(&project, &of_cache);
    assert_eq!(sources(&cache).len(), 1);
    // Another plan, after somebody has written to what is kept.
    let kept = sources(&cache).pop().unwrap().join("tree/hello-1/hello.in");
    assert_eq!(fs_err::read_to_string(&kept).unwrap(), HELLO, "a build has changed it");
    fs_err::write(&kept, "#!/bin/sh\nrm -rf /\n").unwrap();
    let plan = fs_err::read_to_string(project.path().join("test.plan.toml")).unwrap();
    let plan = plan.replace("name = \"test\"", "name = \"other\"");
    project.write("other.plan.toml", plan.replace("stages = { one = {}, two = {} }\n", ""));
    let run = project.bootway(&["build", "other.plan.toml", "--cache", cache.as_str()]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("is damaged, and unpacked again"), "{}", run.stderr);
    let made = project.path().join(".bootway/other/out/hello/layer/made/it");
    assert_eq!(fs_err::read_to_string(made).unwrap(), HELLO);
    assert_eq!((sources(&cache).len(), fs_err::read_to_string(&kept).unwrap()), (1, HELLO.to_owned()));
}

#[test]
fn a_source_that_no_package_is_built_from_is_collected() {
    let (project, archive) = project("");
    write_plan(&project, &format!("{}{PHASE}{ALL}", hello(&archive, "")));
    built(&project, &[]);
    let cache = project.path().join(".bootway/test/cache");
    let collected = || {
        let run = project.bootway(&["gc", "test.plan.toml", "--apply"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stdout.contains("no package of the plan is built from it")
    };
    assert!(!collected() && sources(&cache).len() == 1);
    write_plan(&project, &format!("{}{PHASE}{ALL}", hello(&archive, "keep = [\"hello-1/**\"]\n")));
    assert!(collected() && !cache.join("unpacked").exists());
    built(&project, &[]);
    assert!(!collected() && sources(&cache).len() == 1);
}

#[test]
fn a_tarball_goes_to_the_prefix_as_it_is() {
    let (project, archive) = project("");
    let names = |more: &str| -> Vec<String> {
        let package = hello(&archive, &format!("strategy = \"tarball\"\n{more}"));
        write_plan(&project, &format!("{package}{PHASE}{ALL}{ROOTFS}"));
        built(&project, &[]);
        tree(&project, "tree", "tree").1.entries.keys().map(ToString::to_string).collect()
    };
    let whole = ["/", "/usr", "/usr/hello-1"].into_iter().map(str::to_owned);
    let files = ["Makefile.in", "configure", "hello.in"];
    let whole: Vec<String> = whole.chain(files.map(|name| format!("/usr/hello-1/{name}"))).collect();
    assert_eq!(names(""), whole);
    let inner = names("subdir = \"hello-1\"\ninstall-prefix = \"/\"\n");
    assert_eq!(inner, ["/", "/Makefile.in", "/configure", "/hello.in"]);
    let (path, _) = tree(&project, "tree", "tree");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs_err::metadata(path.join("configure")).unwrap().permissions(),
    );
    assert_eq!(
        (mode & 0o111, fs_err::read_to_string(path.join("configure")).unwrap()),
        (0o111, CONFIGURE.to_owned())
    );
}

#[test]
fn a_dead_mirror_is_passed_over_and_wrong_bytes_are_not_used() {
    let (project, archive) = project("");
    let dead = project.path().join("dead.tar");
    let package = hello(&archive, "").replace(&format!("file://{archive}"), &format!("file://{dead}"));
    let package = format!("{package}mirrors = [\"file://{archive}\"]\n");
    write_plan(&project, &format!("{package}{PHASE}{ALL}"));
    built(&project, &[]);
    let wrong = hello(&archive, "").replace(&digest(&archive), &"0".repeat(64));
    write_plan(&project, &format!("{wrong}{PHASE}{ALL}"));
    let run = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(from_error(&run.stderr).contains(&digest(&archive)), "{}", run.stderr);
}

#[test]
fn patches_are_applied_once_shifted_if_need_be_or_refused_with_their_place() {
    let patch = "--- a/hello.in\n+++ b/hello.in\n@@ -8,2 +8,2 @@\n #!/bin/sh\n-echo hello @flags@\n+echo good day @flags@\n";
    let (project, archive) = project("");
    project.write("shifted.patch", patch);
    project.write("wrong.patch", patch.replace("echo hello", "echo bye"));
    let package = |patches: &str| hello(&archive, &format!("patches = [{patches}]\n"));
    write_plan(&project, &format!("{}{PHASE}{ALL}", package("\"./shifted.patch\", \"./shifted.patch\"")));
    let text = built(&project, &[]);
    assert!(text.contains("applied patch `./shifted.patch`: 1 files, 1 hunks shifted"), "{text}");
    assert!(text.contains("patch `./shifted.patch` is applied already"), "{text}");
    let (path, _) = tree(&project, "hello", "layer");
    assert!(fs_err::read_to_string(path.join("rootfs/usr/bin/hello")).unwrap().contains("good day"));
    write_plan(&project, &format!("{}{PHASE}{ALL}", package("\"./wrong.patch\"")));
    insta::assert_snapshot!(project.fails(&[]), @"
    exit code 5
    error: step `hello` failed
      caused by: patch `./wrong.patch`
      caused by: hunk 1 of `hello.in` (line 3 of the diff) does not fit: line 2 of the file should be `echo bye @flags@`, and is `echo hello @flags@`
      hint: it is for another version of the source: make it anew for this one, or remove it from the plan
      rerun: bootway build test.plan.toml --step hello
    ");
}

#[test]
fn a_failed_program_is_named_and_a_shell_opens_where_it_failed() {
    let (project, archive) = project("");
    let package =
        hello(&archive, "configure-flags = [\"--loud\", \"--fail\"]\nenv = { WHO = \"package\" }\n");
    write_plan(&project, &format!("{package}{PHASE}{ALL}"));
    insta::assert_snapshot!(project.fails(&[]), @"
    exit code 5
    error: step `hello` failed
      caused by: `./configure --prefix=/usr --loud --fail` exited with code 23
      hint: `bootway enter --failed` opens a shell where it failed
      rerun: bootway build test.plan.toml --step hello
    ");
    let shell = [
        "enter",
        "--failed",
        "--plan",
        "test.plan.toml",
        "--",
        "sh",
        "-c",
        "pwd; echo $WHO; ls; ./configure --prefix=/x && cat Makefile",
    ];
    let run = project.bootway(&shell);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.starts_with("/build/hello-1\npackage\nMakefile.in\nconfigure\nhello.in\n"),
        "{}",
        run.stdout
    );
    let run = project.bootway(&[
        "enter",
        "tools",
        "--plan",
        "test.plan.toml",
        "--",
        "sh",
        "-c",
        "ls /rootfs; exit 9",
    ]);
    assert_eq!(run.code, 9, "{}", run.stderr);
    let run = project.bootway(&["enter", "tool", "--plan", "test.plan.toml"]);
    assert_eq!((run.code, run.stderr.contains("did you mean `tools`")), (3, true), "{}", run.stderr);
}

#[test]
fn a_package_that_installs_nothing_or_is_of_another_kind_is_not_built() {
    let (project, archive) = project("");
    let package = hello(&archive, "strategy = \"command\"\ncommands = [[\"true\"]]\n");
    write_plan(&project, &format!("{package}{PHASE}{ALL}"));
    insta::assert_snapshot!(project.fails(&[]), @"
    exit code 5
    error: step `hello` failed
      caused by: it ended well and installed nothing: not one file of the root has changed
      hint: look at what its install command does: DESTDIR and the prefix
      rerun: bootway build test.plan.toml --step hello
    ");
    write_plan(&project, &format!("{}{PHASE}{ALL}", hello(&archive, "strategy = \"cmake\"\n")));
    insta::assert_snapshot!(project.fails(&[]), @r#"
    exit code 5
    error: step `hello` failed
      caused by: strategy `cmake` needs `CMakeLists.txt` in the source, and it is not there
      hint: it looks like `strategy = "autotools"`
      rerun: bootway build test.plan.toml --step hello
    "#);
}

#[test]
fn packages_are_built_in_the_order_of_the_plan_and_only_those_that_are_asked_for() {
    let package = |name: &str| {
        format!(
            "[package.{name}]\nstrategy = \"command\"\ncommands = [[\"sh\", \"-c\", \"mkdir -p /made; cat /made/* > /tmp/all 2>/dev/null; cat /tmp/all - > /made/{name} </dev/null\"]]\n"
        )
    };
    let packages: String = ["a", "b", "c"].map(package).concat();
    let (project, _) = project("");
    let only = "[[phase.step]]\nname = \"all\"\npackages = { only = [\"c\", \"a\", \"b\"] }\n";
    write_plan(&project, &format!("{packages}{PHASE}{only}"));
    let run = project.bootway(&["build", "test.plan.toml", "--package", "a", "--package", "zz"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    insta::assert_snapshot!(from_error(&run.stderr), @"error: unknown package `zz`: use one of `a`");
    assert!(!project.path().join(".bootway/test/out/a").exists());
    let ran = |text: &str| -> Vec<String> {
        let started = text.lines().filter_map(|line| line.split_once("▸ root/")?.1.split_once(": started"));
        started.map(|(step, _)| step.to_owned()).collect()
    };
    let dry = project.bootway(&["build", "test.plan.toml", "--dry-run", "--package", "c", "--package", "a"]);
    let steps: Vec<&str> = dry.stdout.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(steps, ["# a (package)", "# c (package)"]);
    let text = built(&project, &["--package", "c", "--package", "a"]);
    assert_eq!(ran(&text), ["a", "c"], "{text}");
    assert!(text.contains("left out, as it was not asked for and is not built: b"), "{text}");
    assert_eq!(ran(&built(&project, &[])), ["a", "b", "c"]);
    // What is built is not lost because something else is asked for.
    let text = built(&project, &["--package", "c"]);
    assert!(!text.contains("left out") && text.contains("cached 3"), "{text}");
}

#[test]
fn stages_are_steps_and_sources_come_first() {
    let (project, archive) = project("");
    let staged = hello(
        &archive,
        "stages = { stage1 = { make-flags-add = [\"FLAGS=1\"] }, stage2 = { make-flags-add = [\"FLAGS=2\"] } }\n",
    );
    let step = "[[phase.step]]\nname = \"before\"\nedit = { edits = [{ write = { path = \"rootfs/first\", text = \"\" } }] }\n\
                [[phase.step]]\nname = \"all\"\npackages = { prefix = \"r-\" }\n\
                [[phase.step]]\nname = \"after\"\nedit = { edits = [{ remove = { path = \"rootfs/first\" } }] }\n";
    write_plan(&project, &format!("{staged}{PHASE}{step}"));
    let plan = project.bootway(&["plan", "test.plan.toml"]);
    insta::assert_snapshot!(project.redact(&plan.stdout), @"
    plan test, epoch 1735689600
    sources: what packages are built from
      1. hello-source    fetch      file://[dir]/hello-1.tar
    root
      2. before          edit       write /rootfs/first
      3. r-hello-stage1  package    hello 1 (autotools): FLAGS=1
                         after hello-source, before
      4. r-hello-stage2  package    hello 1 (autotools): FLAGS=2
                         after hello-source, r-hello-stage1
      5. after           edit       remove /rootfs/first
                         after r-hello-stage2
    ");
    built(&project, &[]);
    let (path, _) = tree(&project, "r-hello-stage2", "layer");
    assert!(fs_err::read_to_string(path.join("rootfs/usr/bin/hello")).unwrap().ends_with("hello 2\n"));
}
