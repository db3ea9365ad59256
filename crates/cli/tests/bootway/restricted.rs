//! Roots on machines that refuse what they are made with: what is said, and what is done instead.

use bootway_plan::Manifest;
use camino::Utf8Path;

use crate::{
    hostile::in_namespace,
    project::{Project, Run, from_error, program, run},
    sysroot::{SEED, built, project, script},
};

/// A plan whose steps change a root in every way there is.
fn changes() -> String {
    let steps = [
        (
            "make",
            "mkdir -p /usr/share/a/b /usr/closed; seq 1 3000 > /usr/share/a/list; echo x > /usr/share/a/b/x; \
                  ln -s ../x /usr/share/a/link; ln /usr/share/a/list /usr/share/a/same; echo c > /usr/closed/file; \
                  chmod 0500 /usr/closed; chmod 0000 /usr/closed/file; touch /etc/kept",
        ),
        (
            "change",
            "echo more >> /usr/share/a/list; rm /bin/wc; mv /bin/ls /bin/list; chmod 0700 /bin/busybox; \
                    touch /etc/passwd; cat /etc/hosts >> /etc/hosts.new; mv /etc/hosts.new /etc/hosts",
        ),
        (
            "replace",
            "rm -r /usr/share/a/b; mkdir /usr/share/a/b; echo y > /usr/share/a/b/y; rm /usr/share/a/link; \
                     mkdir /usr/share/a/link; rm -r /etc/dir; echo file > /etc/dir; mkdir /etc/new; rmdir /etc/new",
        ),
        (
            "move",
            "mv /usr/share/a /usr/moved; ln /usr/moved/list /usr/third; : > /etc/passwd; echo root > /etc/passwd",
        ),
        ("nothing", "touch /etc/passwd /usr/moved; cat /usr/third > /dev/null"),
    ];
    let steps: String = steps.iter().map(|(name, text)| script(name, text)).collect();
    let edit = "[[phase.step]]\nname = \"edit\"\nedit = { edits = [{ write = { path = \"etc/motd\", text = \"hello\" } }, { remove = { path = \"usr/moved\" } }] }\n";
    format!(
        "{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n{steps}{edit}\
         [[phase]]\nname = \"out\"\n[[phase.step]]\nname = \"root\"\nrootfs = {{ namespace = \"seed\" }}\n"
    )
}

fn seeded() -> Project {
    let project = project(&changes());
    for (name, text) in [("passwd", "root\n"), ("hosts", "127.0.0.1 localhost\n"), ("dir/file", "in it\n")] {
        project.write(&format!("seed/etc/{name}"), text);
    }
    project
}

/// The manifests of everything that was made in `work`.
fn manifests(work: &Utf8Path) -> Vec<(String, Manifest)> {
    let steps = ["make", "change", "replace", "move", "nothing", "edit"].map(|step| (step, "layer"));
    let all = steps.into_iter().chain([("root", "tree")]);
    let read = |(step, output): (&str, &str)| {
        let text = fs_err::read_to_string(work.join("out").join(step).join(format!("{output}.manifest")));
        (step.to_owned(), Manifest::from_text(&text.unwrap()).unwrap())
    };
    all.map(read).collect()
}

/// What the last run noted of a step.
fn notes(work: &Utf8Path, step: &str) -> String {
    let report = fs_err::read_to_string(work.join("runs/latest/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let step = report["steps"].as_array().unwrap().iter().find(|it| it["id"] == step).unwrap();
    step["notes"].to_string()
}

/// The exit code and the first failure.
fn failure(project: &Project, run: &Run) -> String {
    let text = from_error(&run.stderr);
    let lines: Vec<&str> = text.lines().take_while(|line| !line.starts_with('[')).collect();
    format!("exit code {}\n{}", run.code, project.redact(&lines.join("\n")))
}

#[test]
fn a_root_that_is_a_copy_comes_to_the_same_bytes() {
    let project = seeded();
    built(&project, &["--work", "overlay"]);
    let asked = |value: &str, work: &str| {
        let args = ["build", "test.plan.toml", "--work", work];
        run(project.command(&args).env("BOOTWAY_ROOTS", value))
    };
    let copied = asked("copies", "copies");
    assert_eq!(copied.code, 0, "{}", copied.stderr);
    let [overlay, copies] = ["overlay", "copies"].map(|work| manifests(&project.path().join(work)));
    assert_eq!(overlay, copies);
    let nothing = &overlay.iter().find(|(step, _)| step == "nothing").unwrap().1;
    assert_eq!(nothing.entries.len(), 1, "what was only touched is no change: {nothing:?}");
    // Either goes on from what the other has made.
    let again = asked("overlay", "copies");
    assert!(again.stderr.contains("Nothing to do"), "{}", again.stderr);
    let wrong = asked("fuse", "wrong");
    insta::assert_snapshot!(failure(&project, &wrong));
}

/// As [`in_namespace`], with a work directory on an overlay, over which no other can be laid.
fn on_an_overlay(project: &Project, args: &[&str], roots: &str) -> Run {
    for dir in ["disk", "work"] {
        fs_err::create_dir_all(project.path().join(dir)).unwrap();
    }
    let text = format!(
        "mount -t tmpfs none disk && mkdir disk/lower disk/upper disk/work || exit 99; \
         mount -t overlay -o userxattr,lowerdir=disk/lower,upperdir=disk/upper,workdir=disk/work none work || exit 98; \
         export BOOTWAY_ROOTS={roots}; \"$@\"; code=$?; test -e work/out && cp -r work/out work/runs kept; exit $code"
    );
    fs_err::create_dir_all(project.path().join("kept")).unwrap();
    in_namespace(project, &text, args)
}

#[test]
fn where_overlayfs_is_refused_the_root_is_a_copy_and_the_reason_is_said() {
    let project = seeded();
    built(&project, &["--work", "overlay"]);
    let run = on_an_overlay(&project, &["build", "test.plan.toml", "--work", "work"], "");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let kept = project.path().join("kept");
    assert_eq!(manifests(&project.path().join("overlay")), manifests(&kept));
    let said = notes(&kept, "make");
    assert!(said.contains("the root is a copy") && said.contains("overlayfs on"), "{said}");
    let refused = on_an_overlay(&project, &["build", "test.plan.toml", "--work", "work"], "overlay");
    insta::assert_snapshot!(failure(&project, &refused));
}

/// Runs the program in a user namespace that allows no other in it: with `root`, with everything that root may do there,
/// otherwise as user 1000 without any of it.
fn without_user_namespaces(project: &Project, root: bool, args: &[&str]) -> Run {
    let text = if root {
        "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\""
    } else {
        "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --inh-caps=-all --ambient-caps=-all \"$@\""
    };
    let user = if root { "--map-user=0" } else { "--map-user=1000" };
    let group = user.replace("user", "group");
    let mut command = program("unshare");
    command.args(["--user", user, &group, "--keep-caps", "--mount", "sh", "-euc", text, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_bootway")).args(args).current_dir(project.path());
    run(command.env("CI", "1").env("HOME", project.path()))
}

#[test]
fn who_may_have_no_namespaces_is_told_what_restricts_them_and_what_to_do() {
    let project = seeded();
    let run = without_user_namespaces(&project, false, &["build", "test.plan.toml"]);
    insta::assert_snapshot!(failure(&project, &run));
    assert!(!project.path().join(".bootway/test/out/make/layer").exists());
}

#[test]
fn root_goes_without_a_user_namespace_which_is_said() {
    let project = seeded();
    built(&project, &["--work", "with"]);
    let run = without_user_namespaces(&project, true, &["build", "test.plan.toml", "--work", "without"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let [with, without] = ["with", "without"].map(|work| project.path().join(work));
    assert_eq!(manifests(&with), manifests(&without));
    let said = notes(&without, "make");
    assert!(said.contains("without a user namespace, as root may") && said.contains("os error 28"), "{said}");
}

#[test]
fn doctor_finds_out_by_entering_a_root() {
    let project = seeded();
    let said = |run: Run| format!("exit code {}\n{}{}", run.code, project.redact(&run.stdout), run.stderr);
    let here = said(project.bootway(&["doctor", "test.plan.toml"]));
    let refused = said(without_user_namespaces(&project, false, &["doctor", "test.plan.toml"]));
    let root = said(without_user_namespaces(&project, true, &["doctor", "test.plan.toml"]));
    let copies = said(on_an_overlay(&project, &["doctor", "test.plan.toml", "--work", "work"], ""));
    let pid = |text: &str| {
        text.split_inclusive('/')
            .map(|part| if part.starts_with(".bootway-probe-") { "(probe)/" } else { part })
            .collect::<String>()
    };
    insta::assert_snapshot!([here, refused, root, copies].map(|text| pid(&text)).join("\n"));
    assert!(!project.path().join(".bootway").exists(), "nothing stays of it");
    let left = fs_err::read_dir(project.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".bootway"));
    assert_eq!(left.count(), 0);
}

/// D.1.11.
#[test]
fn a_dry_run_of_packages_writes_nothing_and_needs_no_program() {
    let project = project(&format!(
        "{SEED}[package.one]\nstrategy = \"command\"\ncommands = [[\"touch\", \"/one\"]]\n\
         [package.two]\nsource = \"./two\"\nstrategy = \"command\"\ncommands = [[\"cp\", \"two\", \"/\"]]\n\
         [[phase]]\nname = \"in\"\nnamespace = \"seed\"\n[[phase.step]]\nname = \"all\"\npackages = {{}}\n{}",
        script("then", "echo then > /etc/then")
    ));
    project.write("two/two", "two");
    // Made, so that there is something that must stay as it is.
    fs_err::create_dir_all(project.path().join(".bootway/test/out")).unwrap();
    let state = || {
        let mut all = Vec::new();
        for entry in walkdir::WalkDir::new(project.path()).sort_by_file_name() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            let changed = std::os::unix::fs::MetadataExt::ctime_nsec(&metadata);
            all.push((entry.path().to_owned(), metadata.len(), metadata.modified().unwrap(), changed));
        }
        all
    };
    let before = state();
    // Everything of the project is read-only, so that nobody could write there, be it to remove it again.
    let text = "mount --bind . . && mount -o remount,bind,ro . && cd \"$PWD\" || exit 99; \
                touch here 2>/dev/null && exit 98; PATH=; export PATH; \"$@\"";
    let mut runs = Vec::new();
    for args in [&["--phase", "all"][..], &["--package", "one"], &["--json"]] {
        let args = [&["build", "test.plan.toml", "--dry-run"], args].concat();
        let run = in_namespace(&project, text, &args);
        assert_eq!(run.code, 0, "{args:?}: {}", run.stderr);
        runs.push(run.stdout);
    }
    assert_eq!(state(), before);
    let lines = runs[0].lines().filter_map(|line| line.split_once(" -- ")).map(|(_, line)| line);
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}
