//! Overrides: what they change, what they cannot, and how they become a part of the plan.

use camino::Utf8Path;

use crate::{
    project::{Project, Run},
    sysroot::{SEED, project, script},
};

/// The plan of a real system, as it is in the repository.
fn sysroot() -> (Project, String) {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs_err::read_to_string(root.join("fixtures/plans/sysroot.plan.toml")).unwrap();
    let project = Project::new("");
    project.write("test.plan.toml", &text);
    (project, text)
}

fn plan(project: &Project, args: &[&str]) -> Run {
    let all: Vec<&str> = ["plan", "test.plan.toml"].iter().chain(args).copied().collect();
    project.bootway(&all)
}

/// Steps of a plan that say what they see.
fn steps() -> Project {
    let text = format!(
        "{SEED}[[phase]]\nname = \"one\"\nnamespace = \"seed\"\n# What it says.\n{}{}",
        script("a", "echo a > /etc/a"),
        script("b", "env > /etc/b"),
    );
    project(&text)
}

#[test]
fn what_is_beside_the_plan_is_put_over_it_and_only_what_it_changes_runs_again() {
    let project = steps();
    let built = |args: &[&str]| {
        let all: Vec<&str> = ["build", "test.plan.toml"].iter().chain(args).copied().collect();
        let run = project.bootway(&all);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stderr
    };
    built(&[]);
    project.write("test.overrides.json", r#"{"phases": {"one": {"steps": {"b": {"env": {"WHO": "me"}}}}}}"#);
    let text = built(&[]);
    assert!(
        text.starts_with("with 1 override of test.overrides.json; `--no-overrides` goes without\n"),
        "{text}"
    );
    assert!(text.contains("built 1, cached 1"), "{text}");
    let (path, _) = crate::sysroot::tree(&project, "b", "layer");
    assert!(fs_err::read_to_string(path.join("etc/b")).unwrap().contains("WHO=me\n"));
    // Back to the plan, and to it once more: both are known.
    assert!(!built(&["--no-overrides"]).contains("with 1 override"));
    let json = plan(&project, &["--json"]);
    assert!(json.stdout.contains("\"WHO\": \"me\"") && json.stderr.is_empty(), "{}", json.stderr);
}

#[test]
fn everything_that_the_plan_does_not_have_is_one_error_and_nothing_runs() {
    let project = steps();
    project.write(
        "test.overrides.json",
        r#"{"vars": {"x": 1}, "phases": {"oen": {}, "one": {"steps": {"c": {}, "b": {"argvs": []}}}}}"#,
    );
    insta::assert_snapshot!(project.fails(&[]), @"
    exit code 3
    error: the overrides in `test.overrides.json` cannot be used: 4 problems
        vars: unknown variable `x`: there are none
        phases: unknown phase `oen`: did you mean `one`
        phases.one.steps.b: unknown key `argvs`: did you mean `argv`
        phases.one.steps: unknown step `c`: did you mean `a`
      hint: nothing was run; `bootway overrides check` looks at them again, `--no-overrides` goes without
    ");
    assert!(!project.path().join(".bootway").exists(), "nothing has run");
    assert_eq!(project.bootway(&["overrides", "check", "test.plan.toml"]).code, 3);
}

#[test]
fn a_file_that_is_named_must_be_there_and_is_named_again_in_the_line_to_rerun() {
    let project =
        project(&format!("{SEED}[[phase]]\nname = \"one\"\nnamespace = \"seed\"\n{}", script("b", "exit 7")));
    insta::assert_snapshot!(project.fails(&["--overrides", "nope.json"]), @"
    exit code 3
    error: cannot read the overrides `nope.json`
      caused by: failed to open file `nope.json`: No such file or directory (os error 2)
    ");
    project.write("mine.json", r#"{"env": {"A": "1"}}"#);
    let run = project.bootway(&["build", "test.plan.toml", "--overrides", "mine.json"]);
    assert_eq!(run.code, 5);
    assert!(
        run.stderr.contains("bootway build test.plan.toml --overrides mine.json --step b"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_dry_run_shows_the_effect() {
    let (project, _) = sysroot();
    project.write(
        "test.overrides.json",
        r#"{"phases": {
            "sysroot": {"destdir": "/staged", "steps": {"zlib": {"configure_flags": ["--64"], "configure_flags_add": ["--zprefix"]}, "musl": {"configure_flags_add": ["--disable-shared"]}}},
            "root": {"destdir_clear": true, "packages": ["hello", "musl"]},
            "image": {"extra_steps": [{"name": "last", "tree": {"from": ["esp"]}}]}
        }}"#,
    );
    let run = project.bootway(&["build", "test.plan.toml", "--dry-run"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines: Vec<&str> = run.stdout.lines().collect();
    let find = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(find("--64 --zprefix") && !find("--static") && find("/staged"), "{}", run.stdout);
    assert!(find("--enable-wrapper=gcc --disable-shared"), "{}", run.stdout);
    let steps: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("# ")).collect();
    let at = |step: &str| steps.iter().position(|it| it.starts_with(step));
    assert!(at("root-musl") < at("root-hello") && at("root-busybox").is_none() && at("last").is_some());
    assert!(!project.path().join(".bootway").exists());
    let again = r#"{"phases": {"image": {"extra_steps": [{"name": "esp", "tree": {"from": []}}]}}}"#;
    project.write("test.overrides.json", again);
    let run = plan(&project, &[]);
    assert_eq!(run.code, 3);
    assert!(run.stderr.contains("`esp` is the name of another step"), "{}", run.stderr);
}

#[test]
fn backport_writes_them_into_the_plan_which_stays_what_it_was_with_them() {
    let (project, old) = sysroot();
    let overrides = r#"{
        "vars": {"kernel": "6.1.0-51-cloud-amd64"},
        "phases": {
            "seed": {"steps": {"toolchain": {"packages_add": ["cmake"]}}},
            "sysroot": {"env": {"MAKEFLAGS": "-j1"}, "steps": {"zlib": {"configure_flags_add": ["--64"]}}},
            "root": {"steps": {"busybox": {"config": {"TC": "y"}}}}
        }
    }"#;
    project.write("test.overrides.json", overrides);
    let before = plan(&project, &["--json"]);
    assert_eq!(before.code, 0, "{}", before.stderr);
    let file = |name: &str| fs_err::read_to_string(project.path().join(name)).unwrap();
    let dry = project.bootway(&["overrides", "backport", "test.plan.toml", "--dry-run"]);
    assert_eq!((dry.code, file("test.plan.toml"), file("test.overrides.json").as_str()), (0, old, overrides));
    let run = project.bootway(&["overrides", "backport", "test.plan.toml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    insta::assert_snapshot!(run.stdout, @r#"
    --- test.plan.toml
    +++ test.plan.toml
    @@ -8,7 +8,7 @@
     default-phase = "all"
     
     [vars.kernel]
    -default = "6.1.0-50-cloud-amd64"
    +default = "6.1.0-51-cloud-amd64"
     help = "version of the Debian kernel that boots it: linux-image-VERSION is a package of bookworm"
     
     [machine.pc]
    @@ -71,7 +71,7 @@
       [phase.step.debian]
       packages = [
         "bc", "bzip2", "coreutils", "dash", "diffutils", "file", "findutils", "gawk", "gcc", "grep", "gzip", "hostname",
    -    "libc6-dev", "m4", "make", "perl-base", "perl", "sed", "tar", "xz-utils",
    +    "libc6-dev", "m4", "make", "perl-base", "perl", "sed", "tar", "xz-utils", "cmake",
       ]
       dependencies = true
       drop = ["usr/share/doc/**", "usr/share/man/**", "usr/share/locale/**"]
    @@ -99,10 +99,14 @@
     description = "headers, a C library and another library, for what is built with them"
     namespace = "seed"
     install-prefix = "/opt/sysroot"
    +env = { MAKEFLAGS = "-j1" }
     
       [phase.package.musl]
       configure-flags-add = ["--enable-wrapper=gcc"]
     
    +  [phase.package.zlib]
    +  configure-flags-add = ["--64"]
    +
       [[phase.step]]
       name = "sysroot-packages"
       packages = { prefix = "sysroot-" }
    @@ -116,6 +120,9 @@
     
       [phase.package.musl]
       configure-flags-add = ["--disable-static", "--syslibdir=/lib"]
    +
    +  [phase.package.busybox]
    +  config = { TC = "y" }
     
       [[phase.step]]
       name = "root-packages"
    "#);
    assert_eq!(run.stdout, dry.stdout);
    assert_eq!(file("test.overrides.json"), "{}\n");
    let after = plan(&project, &["--json"]);
    assert_eq!(after.stdout, before.stdout.replace("\"from\": \"overrides\"", "\"from\": \"default\""));
    let again = project.bootway(&["overrides", "backport", "test.plan.toml"]);
    assert_eq!(
        (again.code, again.stdout.as_str()),
        (0, "nothing to do: there are no overrides in test.overrides.json\n")
    );
}

#[test]
fn backport_writes_nothing_if_the_plan_would_be_another() {
    let project = Project::new(
        "[vars.who]\ndefault = \"you\"\nenv = \"WHO\"\n[[phase]]\nname = \"one\"\n[[phase.step]]\nname = \"a\"\ncommand = { argv = [\"echo\", \"${who}\"] }\n",
    );
    project.write("test.overrides.json", r#"{"vars": {"who": "me"}}"#);
    let mut command = project.command(&["overrides", "backport", "test.plan.toml"]);
    let run = crate::project::run(command.env("WHO", "they"));
    assert_eq!(run.code, 3);
    insta::assert_snapshot!(run.stderr, @r#"
    error: `test.plan.toml` would not be what it is with the overrides: nothing was written
      caused by: ~ plan.vars.who.from: "overrides" → "env WHO"
        ~ plan.vars.who.value: "me" → "they"
        ~ step a: command.argv[1]: "me" → "they"
      hint: a variable of the environment may take the place of what was overridden
    "#);
    assert!(fs_err::read_to_string(project.path().join("test.overrides.json")).unwrap().contains("who"));
}

#[test]
fn a_difference_is_made_of_two_plans_and_makes_one_of_the_other() {
    let (project, old) = sysroot();
    let new = old
        .replace("[\"--static\"]", "[\"--static\", \"--64\"]")
        .replace("env = { CC = \"/opt/sysroot/bin/musl-gcc\" }\n\n[package.busybox]", "env = { CC = \"cc\" }\n\n[package.busybox]")
        .replace("destdir = \"/rootfs\"", "destdir = \"/new\"")
        .replace("[[phase]]\nname = \"test\"", "  [[phase.step]]\n  name = \"more\"\n  tree = { from = [\"esp\"] }\n\n[[phase]]\nname = \"test\"");
    project.write("new.plan.toml", &new);
    let run = project.bootway(&[
        "overrides",
        "diff",
        "test.plan.toml",
        "new.plan.toml",
        "-o",
        "test.overrides.json",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let (with, without) =
        (plan(&project, &["--json"]), project.bootway(&["plan", "new.plan.toml", "--json"]));
    assert_eq!(with.stdout, without.stdout);
    let moved = old.replace("[package.musl]", "[package.zlob]").replace("[package.zlib]", "[package.musl]");
    project.write("new.plan.toml", moved.replace("[package.zlob]", "[package.zlib]"));
    let run = project.bootway(&["overrides", "diff", "test.plan.toml", "new.plan.toml"]);
    assert_eq!(run.code, 3);
    insta::assert_snapshot!(run.stderr, @"
    error: no overrides make `new.plan.toml` of `test.plan.toml`
      caused by: package `musl`: it has moved behind `zlib`, and overrides keep the order
      hint: change the plan itself in these places
    ");
}

#[test]
fn a_plan_of_bootstrap_qcow2_is_imported_with_its_overrides() {
    let fixtures = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/bq2");
    let project = Project::new("");
    for format in ["format-1.json", "format-2.json"] {
        let run = project.bootway(&["plan", "--import", "bq2", fixtures.join(format).as_str()]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        project.write("test.plan.toml", &run.stdout);
        let run = plan(&project, &[]);
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    let run = plan(&project, &["--commands", "--overrides", fixtures.join("overrides.json").as_str()]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("--disable-nls") && run.stdout.contains("V=1"), "{}", run.stdout);
    project.write("old.json", "[]");
    let run = project.bootway(&["plan", "--import", "bq2", "old.json"]);
    assert_eq!(run.code, 3);
    assert!(run.stderr.contains("Legacy build plan format is not supported"), "{}", run.stderr);
}

/// The first of the two files that a backport writes says which plan has the overrides: whenever it is ended, they count
/// exactly once.
#[test]
fn a_backport_that_is_ended_between_its_files_changes_nothing_twice() {
    let project = steps();
    let add = r#"{"phases": {"one": {"extra_steps": [{"name": "c", "edit": {"edits": [{"mkdir": {"path": "srv"}}]}}]}}}"#;
    let file = project.write("test.overrides.json", add);
    let wanted = plan(&project, &["--json"]).stdout;
    // The plan cannot be written: a directory is where it would be written first.
    let in_the_way = project.path().join(".test.plan.toml.partial");
    fs_err::create_dir(&in_the_way).unwrap();
    let run = project.bootway(&["overrides", "backport", "test.plan.toml"]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    let marked = fs_err::read(&file).unwrap();
    assert!(String::from_utf8_lossy(&marked).contains("backported_into"));
    assert_eq!(plan(&project, &["--json"]).stdout, wanted, "before the plan is written");
    fs_err::remove_dir(&in_the_way).unwrap();
    let run = project.bootway(&["overrides", "backport", "test.plan.toml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(fs_err::read_to_string(&file).unwrap(), "{}\n");
    assert_eq!(plan(&project, &["--json"]).stdout, wanted);
    // As it is when it ends before the overrides are emptied.
    fs_err::write(&file, marked).unwrap();
    let between = plan(&project, &["--json"]);
    assert_eq!(between.stdout, wanted, "{}", between.stderr);
    assert!(between.stderr.contains("is in test.plan.toml already"), "{}", between.stderr);
    let run = project.bootway(&["overrides", "backport", "test.plan.toml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(fs_err::read_to_string(&file).unwrap(), "{}\n");
    assert_eq!(plan(&project, &["--json"]).stdout, wanted);
}

/// D.1.1: there and back again.
#[test]
fn a_plan_that_was_imported_is_exported_and_imported_as_the_same() {
    let fixtures = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/bq2");
    let fixture = fixtures.join("format-2.json");
    let project = Project::new("");
    let good = |args: &[&str]| {
        let run = project.bootway(args);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        run.stdout
    };
    let text = good(&["plan", "--import", "bq2", fixture.as_str()]);
    project.write("first.plan.toml", &text);
    let json = good(&["plan", "--export", "bq2", "first.plan.toml"]);
    // The bytes are equal when the keys are sorted, which a `Value` does.
    let sorted = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap().to_string();
    assert_eq!(sorted(&json), sorted(&fs_err::read_to_string(&fixture).unwrap()));
    let older = fixtures.join("format-1.json");
    project.write("older.plan.toml", good(&["plan", "--import", "bq2", older.as_str()]));
    let json_1 = good(&["plan", "--export", "bq2", "older.plan.toml"]);
    assert_eq!(sorted(&json_1), sorted(&fs_err::read_to_string(&older).unwrap()));
    let file = project.write("exported.json", &json);
    project.write("second.plan.toml", good(&["plan", "--import", "bq2", file.as_str()]));
    let [first, second] = ["first", "second"].map(|it| good(&["plan", &format!("{it}.plan.toml"), "--json"]));
    assert_eq!(first, second);
    // What it cannot say is an error, and not left out.
    let own = project.write("own.plan.toml", "format = 1\nname = \"own\"\nepoch = 0\n[[phase]]\nname = \"a\"\n[[phase.step]]\nname = \"y\"\nsquashfs = { from = \"./y\" }\n");
    let run = project.bootway(&["plan", "--export", "bq2", own.file_name().unwrap()]);
    assert_eq!((run.code, run.stdout.as_str()), (3, ""));
    assert!(run.stderr.contains("a: y: the original has no steps like `squashfs`"), "{}", run.stderr);
}
