//! What stays of a run.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::{busybox, guest, project::Project};

/// A guest that talks; each check is one more key of the step.
fn project(checks: &str) -> Project {
    let project = Project::new(&format!(
        r#"
[machine.m]
accel = "tcg"
firmware = "bios"
screen = true
[[phase]]
name = "test"
  [[phase.step]]
  name = "boots"
  vm = {{ image = "./demo.img", machine = "m", check = [{checks}] }}
"#
    ));
    project.write("demo.img", guest::talking_disk());
    project
}

const GREEN: &str = r#"
    { name = "it starts", console = "BOOT-DEMO ready", within = "2min" },
    { name = "its screen", screenshot = {} },
    { name = "it asks", console = "demo login: ", type = "hello\n" },
    { name = "it answers", console = "hello" },
    { name = "it goes", console = "reboot: Power down" },
"#;

/// The directories of the runs, oldest first.
fn runs(project: &Project) -> Vec<Utf8PathBuf> {
    let all = project.path().join(".bootway/test/runs").read_dir_utf8().unwrap();
    let mut all: Vec<_> = all.map(|it| it.unwrap().into_path()).filter(|it| !it.is_symlink()).collect();
    // A second run of one second has a number behind its name.
    all.sort();
    all
}

fn json(path: &Utf8Path) -> Value {
    serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
}

fn ledger(project: &Project) -> Vec<Value> {
    let text = fs_err::read_to_string(project.path().join(".bootway/test/ledger.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `[2026-11-21T21:30:00.123Z] text`, or a line of the body, indented.
#[track_caller]
fn assert_stamped(log: &str) {
    for line in log.lines().filter(|line| !line.starts_with("  ")) {
        let stamp = line
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("] "))
            .unwrap_or_else(|| panic!("{line}"))
            .0;
        let shape: String = stamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{line}");
    }
}

#[test]
fn a_green_guest_leaves_a_whole_record() {
    let project = project(GREEN);
    let run = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let dir = runs(&project).pop().unwrap();
    let kept = dir.join("kept/boots");

    let serial = fs_err::read_to_string(kept.join("serial.log")).unwrap();
    assert_stamped(&serial);
    for text in ["BOOT-DEMO ready", "demo login: hello", "reboot: Power down"] {
        assert!(serial.contains(text), "{text}: {serial}");
    }
    let harness = fs_err::read_to_string(kept.join("harness.log")).unwrap();
    assert_stamped(&harness);
    for text in ["started", "$ ", "qemu-system-x86_64", "boot by disk through bios", "✓ passed", "finished"]
    {
        assert!(harness.contains(text), "{text}: {harness}");
    }

    let metadata = json(&kept.join("metadata.json"));
    assert_eq!(metadata["outcome"], "passed");
    assert_eq!(metadata["run"], dir.file_name().unwrap());
    let artifact = &metadata["artifacts"][0];
    assert_eq!(artifact["source"], "./demo.img");
    assert_eq!(artifact["sha256"], crate::project::digest(&project.path().join("demo.img")));
    assert_eq!(artifact["size"], "1MiB");
    assert!(metadata["qemu"]["version"].as_str().unwrap().contains(char::is_numeric), "{metadata:#}");
    assert!(metadata["qemu"]["commands"][0].as_str().unwrap().contains("-accel tcg"), "{metadata:#}");
    assert_eq!(metadata["machine"]["accel"], "tcg");
    assert_eq!(metadata["machine"]["accel-reason"], "the machine says so");
    for (log, name) in [("serial", "serial.log"), ("harness", "harness.log")] {
        assert_eq!(metadata["logs"][log], format!("kept/boots/{name}"));
    }
    for key in ["start", "end", "total-ms", "boot-to-ready-ms"] {
        assert!(!metadata["timings"][key].is_null(), "{key}: {metadata:#}");
    }
    // This guest has no shell, no SSH, and is not saved.
    for key in ["boot-to-login-ms", "boot-to-ssh-ms", "save-ms"] {
        assert!(metadata["timings"][key].is_null(), "{key}: {metadata:#}");
    }

    let line = ledger(&project).pop().unwrap();
    assert_eq!(line["outcome"], "good");
    assert_eq!(line["run"], dir.file_name().unwrap());
    let step = &line["steps"][0];
    assert!(step["ms"].is_u64() && step["timings"][0][0] == "boot-to-ready", "{line:#}");
    assert_eq!(step["guest"]["accel"], "tcg");
    let paths: Vec<&str> =
        step["guest"]["kept"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        ["serial.log", "harness.log", "metadata.json", "its-screen.png"].map(|it| format!("kept/boots/{it}"))
    );
    for path in paths {
        assert!(dir.join(path).is_file(), "{path}");
    }
}

#[test]
fn the_page_shows_the_screen_and_is_made_again_from_the_run() {
    let project = project(GREEN);
    let run = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let dir = runs(&project).pop().unwrap();
    let page = fs_err::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("<img alt=\"the screen at: its screen\" src=\"data:image/png;base64,iVBORw0KGgo"));
    assert!(page.contains("from disk through BIOS, TCG"));
    let report = json(&dir.join("report.json"));
    let kept = report["steps"][0]["kept"].as_array().unwrap();
    assert!(kept.iter().any(|it| it["what"] == "screenshot" && it["path"] == "kept/boots/its-screen.png"));
    let again = project.bootway(&["report", "test.plan.toml", "--format", "html"]);
    assert_eq!(again.stdout, page);

    // What was seen is still to be seen when nothing is booted.
    let cached = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(cached.code, 0, "{}", cached.stderr);
    let second = runs(&project).into_iter().find(|it| *it != dir).unwrap();
    let path = format!("../{}/kept/boots/its-screen.png", dir.file_name().unwrap());
    assert_eq!(json(&second.join("report.json"))["steps"][0]["kept"][0]["path"], path);
    assert!(fs_err::read_to_string(second.join("report.html")).unwrap().contains("data:image/png"));
    assert!(!second.join("kept").exists(), "nothing was booted");
}

#[test]
fn a_red_guest_says_where_its_record_is() {
    let project = project(r#"{ name = "never", console = "not in this life", within = "1s" }"#);
    let run = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    let dir = runs(&project).pop().unwrap();
    let here = dir.strip_prefix(project.path()).unwrap();
    for (label, name) in
        [("serial log", "serial.log"), ("harness log", "harness.log"), ("metadata", "metadata.json")]
    {
        let line = format!("  - {label}: {here}/kept/boots/{name}\n");
        assert!(run.stderr.contains(&line), "{line}{}", run.stderr);
    }
    let metadata = json(&dir.join("kept/boots/metadata.json"));
    assert_eq!(metadata["outcome"], "failed");
    assert_eq!(metadata["failure"]["class"], "check");
    assert!(fs_err::read_to_string(dir.join("kept/boots/harness.log")).unwrap().contains("✗ timed out"));
    assert_eq!(ledger(&project).pop().unwrap()["outcome"], "check");
    let markdown = fs_err::read_to_string(dir.join("report.md")).unwrap();
    assert!(markdown.contains("- serial log: `kept/boots/serial.log`"), "{markdown}");
}

/// D.3.6 d: what the guest knew is beside the logs, is named, and is in the list of what was kept.
#[test]
fn a_wrong_answer_leaves_what_its_guest_knew() {
    let check = r#"  check = [{ name = "is two", run = "echo one", equals = "two" }]"#;
    let project = busybox::project("", check);
    let run = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    let dir = runs(&project).pop().unwrap();
    let metadata = json(&dir.join("kept/boots/metadata.json"));
    let failure = metadata["failure"]["chain"].to_string();
    assert!(
        failure.contains("check `is two` failed: `echo one` printed `one`, wanted exactly `two`"),
        "{failure}"
    );
    let kept = metadata["kept"].as_array().unwrap();
    let diagnostics: Vec<_> = kept.iter().filter(|it| it["what"] == "diagnostics").collect();
    assert!(!diagnostics.is_empty(), "{metadata:#}");
    for it in diagnostics {
        let (label, path) = (it["label"].as_str().unwrap(), it["path"].as_str().unwrap());
        assert!(fs_err::metadata(dir.join(path)).unwrap().len() > 0, "{path}");
        assert!(
            label.starts_with("is two: ") && run.stderr.contains(&format!("  - {label}: ")),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn a_ledger_that_cannot_be_written_takes_nothing_away_from_the_run() {
    let project = Project::new(
        "[[phase]]\nname = \"build\"\n  [[phase.step]]\n  name = \"root\"\n  tree = { edits = [{ mkdir = { path = \"etc\" } }] }\n",
    );
    fs_err::create_dir_all(project.path().join(".bootway/test/ledger.jsonl")).unwrap();
    let run = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("cannot write `"), "{}", run.stderr);
}

/// A key of our own for each build must not make each build a new one.
#[test]
fn a_key_is_made_once_and_used_again_until_somebody_wants_another() {
    let project = Project::new(
        r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "key"
  command = { argv = ["sh", "-c", "head -c 32 /dev/urandom | od -An -tx1 > $0/key", "${out}"], outputs = { key = { path = "key" } } }
  [[phase.step]]
  name = "image"
  squashfs = { from = "root" }
  [[phase.step]]
  name = "root"
  tree = { from = [{ source = "key", at = "root/.ssh/authorized_keys" }] }
"#,
    );
    let build = |args: &[&str]| {
        let all: Vec<&str> = ["build", "test.plan.toml"].iter().chain(args).copied().collect();
        let run = project.bootway(&all);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let digest = |step: &str| {
            json(&project.path().join(format!(".bootway/test/out/{step}/stamp.json")))["artifacts"][0]["digest"].clone()
        };
        (digest("key"), digest("image"), run.stderr)
    };
    let (key, image, _) = build(&[]);
    let (same_key, same_image, said) = build(&[]);
    assert_eq!((&same_key, &same_image), (&key, &image));
    assert!(said.contains("cached 3"), "{said}");
    let (other_key, _, _) = build(&["--fresh", "--step", "key"]);
    assert_ne!(other_key, key);
    let (kept_key, other_image, said) = build(&[]);
    assert_eq!(kept_key, other_key);
    assert_ne!(other_image, image);
    assert!(said.contains("built 2, cached 1"), "{said}");
}
