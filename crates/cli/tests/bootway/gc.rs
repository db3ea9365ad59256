//! `bootway gc`: exactly what is listed goes, and nothing else is touched.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use insta::assert_snapshot;

use crate::{
    project::{Project, Run, run},
    testing::{TestNix, derivation, packages},
};

/// Every name below `dir`, with what a link leads to and what is in a file.
fn everything(dir: &Utf8Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in walkdir::WalkDir::new(dir).min_depth(1) {
        let entry = entry.unwrap();
        let path = Utf8Path::from_path(entry.path()).unwrap();
        let what = if entry.file_type().is_symlink() {
            format!("link to {}", path.read_link_utf8().unwrap())
        } else if entry.file_type().is_file() {
            format!("{:?}", fs_err::read(path).unwrap())
        } else {
            "directory".to_owned()
        };
        all.insert(path.strip_prefix(dir).unwrap().to_string(), what);
    }
    all
}

/// What was there before and is not now.
fn gone(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    assert!(after.iter().all(|(name, what)| before.get(name) == Some(what)), "something is new or another");
    before.keys().filter(|name| !after.contains_key(*name)).cloned().collect()
}

/// A project that builds `a` of a flake, which refers to `dep`, in as many versions as are asked for.
struct Versions {
    nix: TestNix,
    project: Project,
    built: Vec<Utf8PathBuf>,
}

impl Versions {
    fn new(keep: &str) -> Self {
        let nix = TestNix::new();
        let project = Project::new(&format!(
            "[nix]\nflake = \"{}\"\n{keep}\n[[phase]]\nname = \"build\"\n[[phase.step]]\nname = \"a\"\n\
             nix-build = {{ attribute = \"a\" }}\n",
            nix.root().join("flakes/project")
        ));
        Self { nix, project, built: Vec::new() }
    }

    fn bootway(&self, args: &[&str]) -> Run {
        run(self.project.command(args).envs(self.nix.env()))
    }

    /// Builds version `n`, and remembers its path.
    fn build(&mut self, n: u32) {
        // As many bytes whatever the store is called.
        let a = derivation("a", &format!("printf '%4000s' \"{n} ${{dep}}\" > $out"));
        let dep = derivation("dep", "printf '%9000s' dep > $out");
        self.nix.flake("project", &packages(&[("a", &a), ("dep", &dep)]));
        let built = self.bootway(&["build", "test.plan.toml"]);
        assert_eq!(built.code, 0, "{}", built.stderr);
        self.built.push(self.work().join("out/a/.root").read_link_utf8().unwrap());
    }

    fn work(&self) -> Utf8PathBuf {
        self.project.path().join(".bootway/test")
    }

    fn roots(&self) -> Vec<String> {
        let all = everything(&self.work());
        all.into_keys().filter(|name| name.starts_with("roots/a/")).collect()
    }

    fn is_valid(&self, path: &Utf8Path) -> bool {
        self.nix.run("nix-store", &["--check-validity", path.as_str()]).code == 0
    }

    /// Which of the versions that were built are in the store.
    fn valid(&self) -> Vec<bool> {
        self.built.iter().map(|path| self.is_valid(path)).collect()
    }

    fn redact(&self, text: &str) -> String {
        let named = |text: String, (n, path): (usize, &Utf8PathBuf)| {
            text.replace(path.as_str(), &format!("STORE/version-{}", n + 1))
        };
        let text = self.built.iter().enumerate().fold(text.to_owned(), named);
        self.project.redact(&text).replace(self.nix.store().as_str(), "STORE")
    }

    #[track_caller]
    fn gc(&self, args: &[&str]) -> String {
        let all: Vec<&str> = ["gc", "test.plan.toml"].iter().chain(args).copied().collect();
        let run = self.bootway(&all);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
        self.redact(&run.stdout)
    }
}

/// D.2.10.
#[test]
fn four_builds_of_which_two_are_kept() {
    let mut it = Versions::new("keep = 2");
    (1..=4).for_each(|n| it.build(n));
    assert_eq!(it.roots(), ["roots/a/1", "roots/a/2", "roots/a/3", "roots/a/4"]);
    let (result, root) = (it.project.path().join("result"), it.nix.root().join("a-root"));
    for (link, path) in [(&result, &it.built[1]), (&root, &it.built[3])] {
        it.nix.ok("nix-store", &["--realise", path.as_str(), "--add-root", link.as_str(), "--indirect"]);
    }

    let before = everything(it.project.path());
    assert_snapshot!(it.gc(&[]), @"
    root  roots/a/1  12.9 KiB in the store  older than the newest 2 builds of `a`: STORE/version-1
    root  roots/a/2  12.9 KiB in the store  older than the newest 2 builds of `a`: STORE/version-2
    2 items, 0 B on the disk, up to 8.03 KiB in the store; to remove it: bootway gc --apply
    the store is left alone until it is collected: bootway gc --collect, which runs
      nix-store --gc --log-format internal-json
    ");
    let json = it.gc(&["--json"]);
    assert_snapshot!(json, @r#"
    {
      "collect-command": "nix-store --gc --log-format internal-json",
      "collected": null,
      "items": [
        {
          "path": "[dir]/.bootway/test/roots/a/1",
          "size": "0B",
          "store-path": "STORE/version-1",
          "store-size": "13224B",
          "what": "root",
          "why": "older than the newest 2 builds of `a`"
        },
        {
          "path": "[dir]/.bootway/test/roots/a/2",
          "size": "0B",
          "store-path": "STORE/version-2",
          "store-size": "13224B",
          "what": "root",
          "why": "older than the newest 2 builds of `a`"
        }
      ],
      "notes": [],
      "removed": null,
      "size": "0B",
      "store-size": "8224B"
    }
    "#);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(gone(&before, &everything(it.project.path())), [""; 0], "it was only listed");
    let info = it.nix.ok("nix", &["path-info", "--json", "-S", it.built[0].as_str()]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    // A list before Nix 2.19, a map by path since.
    let info = info.get(0).or_else(|| info.get(it.built[0].as_str())).unwrap();
    let closure = format!("{}B", info["closureSize"]);
    let sizes: Vec<&str> =
        json["items"].as_array().unwrap().iter().map(|it| it["store-size"].as_str().unwrap()).collect();
    assert_eq!(sizes, [&closure, &closure]);

    assert_snapshot!(it.gc(&["--apply"]), @"
    root  roots/a/1  12.9 KiB in the store  older than the newest 2 builds of `a`: STORE/version-1
    root  roots/a/2  12.9 KiB in the store  older than the newest 2 builds of `a`: STORE/version-2
    removed 2 items: 0 B freed on the disk
    up to 8.03 KiB stays in the store until it is collected: bootway gc --collect, which runs
      nix-store --gc --log-format internal-json
    ");
    assert_eq!(
        gone(&before, &everything(it.project.path())),
        ["roots/a/1", "roots/a/2"].map(|it| format!(".bootway/test/{it}"))
    );
    assert_eq!(it.valid(), [true; 4], "a root is gone, not what it kept");
    assert!(result.exists() && root.exists());

    // What else nobody holds, such as copies of the flake, differs between versions of Nix.
    let collected = it.gc(&["--collect"]);
    assert!(collected.starts_with("there is nothing to let go of\ncollected "), "{collected}");
    assert_eq!(it.valid(), [false, true, true, true], "the second is kept by `result`, the others by us");
    assert_eq!(it.gc(&[]).lines().next(), Some("there is nothing to let go of"));
    assert_eq!(it.bootway(&["status", "test.plan.toml"]).stdout.lines().next(), Some("a  done"));
}

#[test]
fn a_build_lets_go_of_the_one_before_unless_the_plan_says_otherwise() {
    let mut it = Versions::new("");
    (1..=2).for_each(|n| it.build(n));
    assert_eq!(it.roots(), [""; 0]);
    assert_eq!(it.gc(&["--apply"]).lines().next(), Some("there is nothing to let go of"));
    it.gc(&["--collect"]);
    assert_eq!(it.valid(), [false, true]);
}

#[test]
fn what_is_built_again_is_kept_once_and_as_the_newest() {
    let mut it = Versions::new("keep = 2");
    for n in [1, 2, 1, 1] {
        it.build(n);
    }
    assert_eq!(it.roots(), ["roots/a/2", "roots/a/3"]);
    // What a run does is what its preview says.
    let dry = it.bootway(&["build", "test.plan.toml", "--dry-run"]).stdout;
    assert!(dry.contains("/roots/a/4 --indirect"), "{dry}");
    assert_eq!(it.bootway(&["build", "test.plan.toml", "--fresh"]).code, 0);
    let log = fs_err::read_to_string(it.work().join("runs/latest/events.jsonl")).unwrap();
    assert!(log.contains("/roots/a/4 --indirect"), "{log}");
    assert_eq!(it.roots(), ["roots/a/2", "roots/a/4"]);
    // A plan that wants less lets go of it when it is told to.
    let plan = fs_err::read_to_string(it.project.path().join("test.plan.toml")).unwrap();
    it.project.write("test.plan.toml", plan.replace("keep = 2", "keep = 1"));
    assert!(it.gc(&["--apply"]).starts_with("root  roots/a/2  "));
    assert_eq!(it.roots(), ["roots/a/4"]);
}

#[test]
fn without_a_store_to_ask_the_sizes_are_unknown_and_roots_go_all_the_same() {
    let mut it = Versions::new("keep = 2");
    (1..=3).for_each(|n| it.build(n));
    let gc = run(it.project.command(&["gc", "test.plan.toml", "--apply"]).env("PATH", "/nowhere"));
    assert_eq!(gc.code, 0, "{}", gc.stderr);
    assert_snapshot!(it.redact(&gc.stdout), @"
    root  roots/a/1  size unknown  older than the newest 2 builds of `a`: STORE/version-1
    note: the store was not asked for sizes: `nix-store` is not on PATH
    removed 1 item: 0 B freed on the disk
    the store is left alone until it is collected: bootway gc --collect, which runs
      nix-store --gc --log-format internal-json
    ");
    assert_eq!(it.roots(), ["roots/a/2", "roots/a/3"]);
    let gc = run(it.project.command(&["gc", "test.plan.toml", "--collect"]).env("PATH", "/nowhere"));
    assert_eq!(gc.code, 4, "{}", gc.stderr);
}

/// Two steps, as `names` call them, that take a moment of a processor.
fn plan(names: [&str; 2]) -> String {
    let step = |name: &str| {
        format!(
            "[[phase.step]]\nname = \"{name}\"\n\
             tree = {{ edits = [{{ write = {{ path = \"etc/motd\", text = \"{name}\\n\" }} }}] }}\n"
        )
    };
    format!("[[phase]]\nname = \"build\"\n{}{}", step(names[0]), step(names[1]))
}

#[test]
fn what_no_step_is_called_and_old_runs_and_leftovers_go_and_the_rest_stays() {
    let project = Project::new(&plan(["old", "stays"]));
    for _ in 0..3 {
        assert_eq!(project.bootway(&["build", "test.plan.toml"]).code, 0);
    }
    let head = "format = 1\nname = \"test\"\nepoch = 1735689600\n";
    project.write("test.plan.toml", format!("{head}{}", plan(["new", "stays"])));
    for (name, text) in [
        ("out/.partial-stays/half", "h"),
        ("out/mine.txt", "not of a step"),
        ("out/notes/readme", "without a stamp"),
        ("failed/old/log", "why"),
        ("failed/stays/log", "to be looked at"),
        ("scratch/stays/in", "x"),
        ("runs/kept-by-hand/report.md", "no log"),
    ] {
        project.write(&format!(".bootway/test/{name}"), text);
    }
    let before = everything(project.path());
    let work = project.path().join(".bootway/test");
    let listed = project.bootway(&["gc", "test.plan.toml", "--json", "--keep-runs", "1"]);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    assert_eq!(before, everything(project.path()), "it was only listed");
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let paths = |listed: &serde_json::Value| -> Vec<Utf8PathBuf> {
        let items = listed["items"].as_array().unwrap().iter();
        items.map(|it| Utf8PathBuf::from(it["path"].as_str().unwrap())).collect()
    };
    let what: Vec<String> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| format!("{}: {}", it["what"], it["why"]))
        .collect();
    assert_snapshot!(what.join("\n"), @r#"
    "output": "no step of the plan is called `old`"
    "failed": "no step of the plan is called `old`"
    "run": "older than the newest run"
    "run": "older than the newest run"
    "leftover": "left by a run that was killed"
    "leftover": "left by a run that was killed"
    "#);
    let applied = project.bootway(&["gc", "test.plan.toml", "--apply", "--json", "--keep-runs", "1"]);
    let applied: serde_json::Value = serde_json::from_str(&applied.stdout).unwrap();
    assert_eq!(paths(&listed), paths(&applied));
    assert_eq!(applied["removed"]["size"], listed["size"]);
    let mut gone = gone(&before, &everything(project.path()));
    let listed = paths(&listed);
    gone.retain(|name| !listed.iter().any(|path| project.path().join(name).starts_with(path)));
    assert_eq!(gone, [".bootway/test/scratch"], "nothing else but directories that are empty now");
    assert!(work.join("runs/latest/events.jsonl").exists());
    assert_eq!(
        project.bootway(&["gc", "test.plan.toml", "--keep-runs", "1"]).stdout,
        "there is nothing to let go of\n"
    );
}

#[test]
fn a_directory_that_a_run_holds_is_left_alone_and_one_that_is_not_there_is_not_made() {
    let project = Project::new(&plan(["a", "b"]));
    let gc = project.bootway(&["gc", "test.plan.toml", "--apply"]);
    assert_eq!((gc.code, gc.stdout.as_str()), (0, "there is nothing to let go of\n"), "{}", gc.stderr);
    assert!(!project.path().join(".bootway").exists());
    let session = bootway_engine::Work::new(project.path().join(".bootway/test")).open().unwrap();
    let gc = project.bootway(&["gc", "test.plan.toml", "--apply"]);
    let said = project.redact(&gc.stderr).replace(&std::process::id().to_string(), "PID");
    assert_eq!(gc.code, 4);
    assert_snapshot!(said, @"
    error: another run (pid PID) holds `[dir]/.bootway/test`
      hint: wait for it, stop it with `kill PID`, or use another directory: `--work DIR`
    ");
    drop(session);
    assert_eq!(project.bootway(&["gc", "test.plan.toml"]).code, 0);
}

/// Machines of tests are found by their facts, whatever else is in their directories.
#[test]
fn machines_go_but_those_that_were_used_last_and_those_that_are_in_use() {
    let project = Project::new(&plan(["a", "b"]));
    assert_eq!(project.bootway(&["build", "test.plan.toml"]).code, 0);
    let dir = project.path().join(".bootway/test/cache/vm");
    for (name, seconds) in
        [("aaaaaaaaaaaa", 300), ("bbbbbbbbbbbb", 100), ("cccccccccccc", 200), ("dddddddddddd", 50)]
    {
        project.write(&format!(".bootway/test/cache/vm/{name}/ram"), vec![1; 1 << 20]);
        let facts = dir.join(name).join("facts.json");
        fs_err::write(&facts, "{}").unwrap();
        let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        fs_err::OpenOptions::new().write(true).open(&facts).unwrap().file().set_modified(then).unwrap();
    }
    project.write(".bootway/test/cache/vm/.partial-eeeeeeeeeeee/ram", "half");
    let in_use = fs_err::File::open(dir.join("dddddddddddd")).unwrap().into_parts().0;
    in_use.lock_shared().unwrap();
    let listed = project.bootway(&["gc", "test.plan.toml", "--keep-machines", "1", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let items: Vec<String> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let path = Utf8PathBuf::from(it["path"].as_str().unwrap());
            let size: bootway_plan::Bytes = it["size"].as_str().unwrap().parse().unwrap();
            assert_eq!(it["what"] == "machine", size.get() >= 1 << 20, "{it}");
            format!("{} {}: {}", it["what"], path.file_name().unwrap(), it["why"])
        })
        .collect();
    // The oldest first.
    assert_snapshot!(items.join("\n"), @r#"
    "machine" bbbbbbbbbbbb: "not among the 1 that were used last"
    "machine" cccccccccccc: "not among the 1 that were used last"
    "leftover" .partial-eeeeeeeeeeee: "left by a run that was killed"
    "#);
    let gc = |args: &[&str]| {
        let ran = project.bootway(&[&["gc", "test.plan.toml"], args].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    };
    assert!(gc(&["--keep-machines", "1", "--apply"]).contains("removed 3 items: 2.0"));
    let mut left: Vec<String> =
        dir.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
    left.sort();
    assert_eq!(left, ["aaaaaaaaaaaa", "dddddddddddd"], "what is in use stays, however old it is");
    drop(in_use);
    assert!(gc(&["--apply", "--keep-machines", "0"]).contains("removed 2 items"));
    assert!(!dir.exists(), "an empty directory goes, too");
}

#[test]
fn help_says_what_is_changed_and_when() {
    let project = Project::new("");
    let help = project.bootway(&["gc", "--help"]).stdout;
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    assert_snapshot!(help.join("\n"), @"
    List what nobody needs any more, and let go of it

    That is: roots of builds of Nix beyond those that `keep` in `[nix]` keeps, outputs of steps that the plan does not have any more, sources that no package is built from any more, logs of old runs and failures, what was changed in roots that were entered, machines that no test went on from for long, and what a killed run left. Other roots of Nix and `result` links are not looked at. Without `--apply` and `--collect` nothing is changed.

    Usage: bootway gc [OPTIONS] [PLAN.TOML]

    Arguments:
      [PLAN.TOML]
              The plan; `plan.toml` here if there is one, else the demo that comes with bootway

    Options:
          --var <NAME=VALUE>
              Give a variable of the plan a value

          --work <DIR>
              Where outputs, logs and reports go; `.bootway/NAME` beside the plan unless said

          --cache <DIR>
              Where downloads are kept; inside the work directory unless said

          --overrides <FILE>
              Changes to put over the plan; `NAME.overrides.json` beside `NAME.plan.toml`, if it is there, unless said

          --no-overrides
              Take the plan as it is written

          --apply
              Remove what is listed; what a root kept stays in the store until that is collected

          --collect
              Let Nix collect the plan's store: everything that no root holds, whoever put it there

          --keep-runs <N>
              How many runs keep their log and reports

              [default: 20]

          --keep-machines <N>
              How many machines are kept for tests to go on from: those that were used last

              [default: 4]

          --keep-failures <N>
              How many failures stay written down; and of how many steps that failed it is kept what they worked with

              [default: 20]

          --json
              As JSON

          --color <WHEN>
              When to use colour

              Possible values:
              - auto:   On a terminal, unless `NO_COLOR` is set
              - always: Always
              - never:  Never

              [default: auto]

      -h, --help
              Print help (see a summary with '-h')

    Examples:
      bootway gc                      what would be removed, what it takes, and why
      bootway gc --apply              remove exactly that
      bootway gc --apply --collect    and let Nix take from the store what no root holds now
    ");
}

/// What people and failures leave: a shell in a root, and what steps that failed worked with.
#[test]
fn what_was_left_in_roots_goes_and_the_newest_failures_stay() {
    use crate::sysroot::{SEED, project, script};
    let steps: String = ["a", "b", "c"].map(|name| script(name, "exit 7")).concat();
    let project = project(&format!(
        "{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n{}{steps}",
        script("good", "true")
    ));
    assert_eq!(project.bootway(&["build", "test.plan.toml", "--step", "good"]).code, 0);
    for step in ["a", "b", "c"] {
        // Steps behind one that fails do not run, so each plan has one of them.
        let plan =
            format!("{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n{}", script(step, "exit 7"));
        project.write("one.plan.toml", format!("format = 1\nname = \"test\"\nepoch = 1735689600\n{plan}"));
        assert_eq!(project.bootway(&["build", "one.plan.toml"]).code, 5);
    }
    let enter = ["enter", "seed", "--plan", "test.plan.toml", "--", "sh", "-c", "echo x > /etc/x"];
    let entered = project.bootway(&enter);
    assert_eq!(entered.code, 0, "{}", entered.stderr);
    // Somebody who is still there.
    let mut inhabitant = crate::project::start(
        project
            .command(&[
                "enter",
                "seed",
                "--plan",
                "test.plan.toml",
                "--",
                "sh",
                "-c",
                "touch /build/here; while true; do sleep 1; done",
            ])
            .env("LC_ALL", "C"),
    );
    let work = project.path().join(".bootway/test");
    while !work.join("enter/seed/root/build/here").exists() {
        assert!(inhabitant.try_wait().unwrap().is_none(), "it ended");
        std::thread::yield_now();
    }
    let gc = |args: &[&str]| {
        let all: Vec<&str> =
            ["gc", "test.plan.toml", "--keep-failures", "2"].iter().chain(args).copied().collect();
        let run = project.bootway(&all);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
        run.stdout
    };
    let kinds = |text: &str| -> Vec<String> {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let item = |it: &serde_json::Value| {
            let path = it["path"].as_str().unwrap().strip_prefix(work.as_str()).unwrap().to_owned();
            let name = path.rsplit('-').next().unwrap().to_owned();
            format!("{} {}: {}", it["what"].as_str().unwrap(), name, it["why"].as_str().unwrap())
        };
        value["items"].as_array().unwrap().iter().map(item).collect()
    };
    let before = everything(&work);
    assert_eq!(
        kinds(&gc(&["--json"])).join("\n"),
        "failed /failed/a: not among the 2 steps that failed last\n\
        failure a.json: older than the newest 2 failures"
    );
    assert_eq!(before, everything(&work), "without `--apply` nothing is changed");
    let again = project.bootway(&enter);
    assert_eq!(again.code, 4, "{}", again.stderr);
    assert!(again.stderr.contains("somebody is in the root of `seed` already"), "{}", again.stderr);
    inhabitant.kill().unwrap();
    inhabitant.wait().unwrap();
    assert!(
        kinds(&gc(&["--json"]))
            .contains(&"entered /enter/seed: whoever was in this root has left it".to_owned())
    );
    gc(&["--apply"]);
    let names = |dir: &str| -> Vec<String> {
        let mut names: Vec<String> = fs_err::read_dir(work.join(dir))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().into_string().unwrap().rsplit('-').next().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("failed"), ["b", "c"]);
    assert_eq!(names("failures"), ["b.json", "c.json"]);
    assert!(!work.join("enter").exists() && work.join("out/good/layer").exists());
    assert_eq!(kinds(&gc(&["--json"])), Vec::<String>::new());
}
