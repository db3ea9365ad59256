//! Steps in the root of a namespace: what they change, what they cannot reach, and what stays of them.

use bootway_plan::{EntryKind, Manifest};
use camino::{Utf8Path, Utf8PathBuf};

use crate::project::{Project, from_error, oracle};

/// Programs of busybox that the tests use.
const APPLETS: [&str; 25] = [
    "cat", "chmod", "cp", "dd", "echo", "env", "grep", "head", "id", "ln", "ls", "mkdir", "mv", "ps", "rm",
    "rmdir", "sed", "seq", "sh", "sleep", "sort", "sync", "touch", "true", "wc",
];

/// A namespace whose root begins with nothing but busybox.
pub(crate) const SEED: &str = "[namespace.seed]\nrootfs = \"./seed\"\n";

/// A plan with `text`, and a root with busybox for it.
pub(crate) fn project(text: &str) -> Project {
    let project = Project::new(text);
    let bin = project.path().join("seed/bin");
    fs_err::create_dir_all(&bin).unwrap();
    oracle("cp", &["/bin/busybox", bin.join("busybox").as_str()]);
    for applet in APPLETS {
        fs_err::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
    }
    fs_err::create_dir_all(project.path().join("seed/etc")).unwrap();
    project
}

/// A step that runs a script in its root.
pub(crate) fn script(name: &str, text: &str) -> String {
    format!("[[phase.step]]\nname = \"{name}\"\ncommand = {{ argv = [\"sh\", \"-euc\", '''{text}'''] }}\n")
}

/// What a step made.
pub(crate) fn tree(project: &Project, step: &str, output: &str) -> (Utf8PathBuf, Manifest) {
    let path = project.path().join(".bootway/test/out").join(step).join(output);
    let manifest = Manifest::from_text(&fs_err::read_to_string(format!("{path}.manifest")).unwrap()).unwrap();
    (path, manifest)
}

fn names(manifest: &Manifest) -> Vec<String> {
    manifest.entries.keys().map(ToString::to_string).collect()
}

#[track_caller]
pub(crate) fn built(project: &Project, args: &[&str]) -> String {
    let all: Vec<&str> = ["build", "test.plan.toml"].iter().chain(args).copied().collect();
    let run = project.bootway(&all);
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.stderr
}

#[test]
fn what_a_step_writes_is_in_its_layer_and_not_on_the_machine() {
    let one = script(
        "one",
        "pwd; echo here > /etc/bootway-was-here; rm /bin/wc; mkdir -p /a/b; ln -s nowhere /a/link",
    );
    let two = script(
        "two",
        "cat /etc/bootway-was-here; test ! -e /bin/wc; echo more >> /etc/bootway-was-here; rm -r /a; mkdir /a",
    );
    let project = project(&format!(
        "{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n{one}{two}\
         [[phase]]\nname = \"out\"\n[[phase.step]]\nname = \"root\"\nrootfs = {{ namespace = \"seed\" }}\n"
    ));
    built(&project, &[]);
    assert!(!Utf8Path::new("/etc/bootway-was-here").exists());
    assert!(project.path().join("seed/bin/wc").is_symlink(), "the root is what it was");
    let (_, layer) = tree(&project, "one", "layer");
    assert_eq!(
        names(&layer),
        ["/", "/a", "/a/b", "/a/link", "/bin", "/bin/wc", "/etc", "/etc/bootway-was-here"]
    );
    let (_, layer) = tree(&project, "two", "layer");
    assert_eq!(names(&layer), ["/", "/a", "/a/b", "/a/link", "/etc", "/etc/bootway-was-here"]);
    let (path, root) = tree(&project, "root", "tree");
    let text = fs_err::read_to_string(path.join("etc/bootway-was-here")).unwrap();
    assert_eq!(text, "here\nmore\n");
    let has = |path: &str| root.entries.contains_key(&path.parse().unwrap());
    assert!(has("bin/cat") && !has("bin/wc") && has("a") && !has("a/b") && !has("a/link") && !has("proc"));
    let busybox = &root.entries[&"bin/busybox".parse().unwrap()];
    assert!(matches!(busybox.kind, EntryKind::File { .. }) && busybox.mode == 0o755 && busybox.uid == 0);
    // Nothing has changed, so nothing runs.
    assert!(built(&project, &[]).contains("cached 3"), "{}", built(&project, &[]));
}

#[test]
fn a_step_that_failed_halfway_leaves_nothing_for_its_next_attempt() {
    let plan = |last: &str| {
        let append = script("append", &format!("echo one >> /etc/list; echo two >> /etc/list; {last}"));
        format!("{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n{append}")
    };
    let clean = project(&plan("true"));
    built(&clean, &[]);
    let broken = project(&plan("exit 7"));
    for _ in 0..2 {
        assert_eq!(broken.bootway(&["build", "test.plan.toml"]).code, 5);
    }
    broken.write("test.plan.toml", fs_err::read(clean.path().join("test.plan.toml")).unwrap());
    built(&broken, &[]);
    let [(_, a), (path, b)] = [&clean, &broken].map(|it| tree(it, "append", "layer"));
    assert_eq!(a, b);
    assert_eq!(fs_err::read_to_string(path.join("etc/list")).unwrap(), "one\ntwo\n");
}

#[test]
fn only_what_changed_and_what_is_above_it_runs_again() {
    let plan = |b: &str| {
        let steps = [("a", "echo a > /etc/a"), ("b", b), ("c", "cat /etc/b > /etc/c")];
        let steps: String = steps.iter().map(|(name, text)| script(name, text)).collect();
        format!("{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n{steps}")
    };
    let project = project(&plan("echo b > /etc/b"));
    let head = "format = 1\nname = \"test\"\nepoch = 1735689600\n";
    built(&project, &[]);
    project.write("test.plan.toml", head.to_owned() + &plan("echo other > /etc/b"));
    let text = built(&project, &[]);
    assert!(text.contains("built 2, cached 1"), "{text}");
    // The same bytes in another way: what is above it has nothing to do.
    project.write("test.plan.toml", head.to_owned() + &plan("echo oth > /etc/b; echo other > /etc/b"));
    let text = built(&project, &[]);
    assert!(text.contains("built 1, cached 2"), "{text}");
}

#[test]
fn the_nearest_word_about_the_environment_counts() {
    let project = project(&format!(
        "{SEED}env = {{ A = \"namespace\", B = \"namespace\", C = \"namespace\" }}\n[env]\nA = \"plan\"\nZ = \"plan\"\n\
         [[phase]]\nname = \"in\"\nnamespace = \"seed\"\nenv = {{ B = \"phase\", C = \"phase\" }}\n\
         [[phase.step]]\nname = \"says\"\nenv = {{ C = \"step\" }}\nenv-unset = [\"Z\"]\n\
         command = {{ argv = [\"sh\", \"-c\", \"env | sort > /etc/env\"] }}\n"
    ));
    let run =
        crate::project::run(project.command(&["build", "test.plan.toml"]).env("SECRET_OF_THE_HOST", "1"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let (path, _) = tree(&project, "says", "layer");
    insta::assert_snapshot!(fs_err::read_to_string(path.join("etc/env")).unwrap(), @"
    A=namespace
    B=phase
    C=step
    HOME=/root
    LC_ALL=C.UTF-8
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    PWD=/
    SHLVL=1
    SOURCE_DATE_EPOCH=1735689600
    TZ=UTC
    USER=root
    ");
}

#[test]
fn there_is_no_way_back_to_the_machine() {
    let project = project(&format!(
        "{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n{}[[phase]]\nname = \"back\"\nnamespace = \"host\"\n{}",
        script("a", "true"),
        script("b", "true")
    ));
    insta::assert_snapshot!(project.fails(&[]), @r#"
    exit code 3
    error: `test.plan.toml` is not a plan that can be run
        test.plan.toml:13:8: phase `back`: cannot enter `host` from `seed`: phases go forward, from `host` into a namespace and from there into the ones that have it in `enter-from`; a phase without `namespace` may come at any time
           |
        13 | name = "back"
           |        ^^^^^^
    "#);
    assert!(!project.path().join(".bootway/test/out").exists());
}

#[test]
fn a_root_reaches_nothing_of_the_machine() {
    let outside = tempfile::tempdir().unwrap();
    let escaped = Utf8Path::from_path(outside.path()).unwrap().join("escaped");
    let above = format!(
        "mkdir -p {0}; echo x > /../../../../../..{0}/escaped; ! test -e /etc/shadow",
        escaped.parent().unwrap()
    );
    let hostile = [
        ("writes above the root", above.as_str()),
        ("sees no process of the machine", "test $(ps -o pid | grep -c .) -lt 8"),
        ("sees no home", "! ls /root /home"),
        ("cannot act on the kernel", "! echo 1 > /proc/sys/kernel/panic && ! echo h > /proc/sysrq-trigger"),
        ("has no network", "test $(cat /proc/net/dev | grep -c :) -le 1"),
    ];
    let steps: String =
        hostile.iter().enumerate().map(|(n, (_, text))| script(&format!("hostile-{n}"), text)).collect();
    let project = project(&format!("{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n{steps}"));
    let run = project.bootway(&["build", "test.plan.toml", "--keep-going"]);
    assert_eq!(run.code, 0, "{:?}: {}", hostile.map(|(what, _)| what), run.stderr);
    assert!(!escaped.exists());
}

#[test]
fn links_out_of_the_root_lead_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    fs_err::write(outside.path().join("kept"), "kept").unwrap();
    let dir = outside.path().to_str().unwrap();
    let out = script(
        "out",
        &format!(
            "mkdir -p /usr; ln -s {dir} /usr/out; ln -s / /usr/all; rm -rf /usr/all/etc /usr/out/kept || true; ! test -e /usr/out/kept"
        ),
    );
    let edit =
        "[[phase.step]]\nname = \"edit\"\nedit = { edits = [{ remove = { path = \"usr/out/kept\" } }] }\n";
    let project = project(&format!("{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n{out}{edit}"));
    let run = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    let text = from_error(&run.stderr);
    assert!(text.contains("`/usr/out/kept`: No such file or directory"), "{text}");
    assert_eq!(fs_err::read_to_string(outside.path().join("kept")).unwrap(), "kept");
}

#[test]
fn what_a_step_leaves_running_is_ended_and_named() {
    let daemon = script("daemon", "sleep 1000 & sleep 1001 & echo started");
    let project = project(&format!("{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n{daemon}"));
    let text = built(&project, &["-v"]);
    assert!(text.contains("running, which has been ended"), "{text}");
    assert!(!oracle("ps", &["-eo", "args"]).lines().any(|line| line.starts_with("sleep 100")));
}

#[test]
fn a_step_that_removes_the_root_is_named_and_forgotten() {
    let remove = script("remove", "rm -rf /bin /etc");
    let project = project(&format!("{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n{remove}"));
    insta::assert_snapshot!(project.fails(&[]), @"
    exit code 5
    error: step `remove` failed
      caused by: it removed `/bin`, `/etc` from the root
      hint: the root is as it was before; mend what the step runs
      rerun: bootway build test.plan.toml --step remove
    ");
    assert!(project.path().join("seed/bin/busybox").exists());
}

#[test]
fn what_is_not_in_the_root_is_said_with_what_is() {
    let project = project(&format!(
        "{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n[[phase.step]]\nname = \"missing\"\ncommand = {{ argv = [\"slep\", \"1\"] }}\n"
    ));
    insta::assert_snapshot!(project.fails(&[]), @"
    exit code 5
    error: step `missing` failed
      caused by: there is no such program: `slep` in `/`: it is not in the root, where PATH is `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`; there is `sleep`
      hint: add what has it to the `rootfs` of the namespace, or build it before
      rerun: bootway build test.plan.toml --step missing
    ");
}

/// A plan whose steps build on each other, and the tree that they come to.
fn tower() -> String {
    let steps: String = (0..6)
        .map(|n| {
            let text = format!("mkdir -p /usr/share; seq 1 4000 > /usr/share/{n}; cat /etc/tower >> /usr/share/{n} 2>/dev/null || true; echo {n} >> /etc/tower; rm -f /usr/share/$(({n} - 2)); sleep 0.1");
            script(&format!("floor-{n}"), &text)
        })
        .collect();
    format!(
        "{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n{steps}\
         [[phase]]\nname = \"out\"\n[[phase.step]]\nname = \"root\"\nrootfs = {{ namespace = \"seed\" }}\n"
    )
}

#[test]
fn two_builds_at_different_places_are_the_same() {
    let trees: Vec<Manifest> = (0..2)
        .map(|n| {
            let project = project(&tower());
            let work = project.path().join("w".repeat(n * 40 + 1));
            built(&project, &["--work", work.as_str()]);
            let text = fs_err::read_to_string(work.join("out/root/tree.manifest")).unwrap();
            Manifest::from_text(&text).unwrap()
        })
        .collect();
    assert_eq!(trees[0], trees[1]);
}

#[test]
fn a_killed_build_of_a_root_is_continued_and_ends_the_same() {
    let project = project(&tower());
    built(&project, &[]);
    let wanted = tree(&project, "root", "tree").1;
    let events = crate::kill::lines(&project.path().join(".bootway/test/runs/latest/events.jsonl"));
    let mut killed = 0;
    for point in 0..20 {
        fs_err::remove_dir_all(project.path().join(".bootway")).unwrap();
        let build = ["build", "test.plan.toml"];
        killed += usize::from(crate::kill::kill_after(&project, &build, point * events / 20));
        built(&project, &[]);
        assert_eq!(tree(&project, "root", "tree").1, wanted, "after kill {point}");
    }
    assert!(killed >= 10, "only {killed} of 20 runs were killed before they ended");
    let own = project.path().as_str();
    let left = oracle("ps", &["-eo", "args"]);
    assert!(!left.lines().any(|line| line.contains(own)), "{left}");
}

#[test]
fn an_ordinary_user_builds_the_same_root() {
    let project = project(&tower());
    built(&project, &[]);
    let wanted = tree(&project, "root", "tree").1;
    fs_err::remove_dir_all(project.path().join(".bootway")).unwrap();
    let binary = project.path().join("bootway");
    fs_err::copy(env!("CARGO_BIN_EXE_bootway"), &binary).unwrap();
    let mut command = crate::project::program(binary.as_str());
    if rustix::process::geteuid().is_root() {
        oracle("chown", &["-R", "65534:65534", project.path().as_str()]);
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
        std::os::unix::process::CommandExt::gid(&mut command, 65_534);
    }
    command.args(["build", "test.plan.toml"]).current_dir(project.path()).env("HOME", project.path());
    let run = crate::project::run(&mut command);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(tree(&project, "root", "tree").1, wanted);
}
