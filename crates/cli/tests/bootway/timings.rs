//! Whether something takes longer than it used to.

use serde_json::{Value, json};

use crate::project::Project;

const PLAN: &str = r#"
[[phase]]
name = "test"
  [[phase.step]]
  name = "waits"
  command = { argv = ["sleep", "0.7"] }
"#;

/// A ledger like that of real runs, whose step took so many milliseconds each.
fn ledger(project: &Project, times: &[u64]) {
    let path = project.path().join(".bootway/test/ledger.jsonl");
    let run = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let text = fs_err::read_to_string(&path).unwrap();
    let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let line = |ms: &u64| {
        let mut line = line.clone();
        line["steps"][0]["ms"] = json!(ms);
        line["steps"][0]["timings"] = json!([["boot-to-ready", ms / 2]]);
        format!("{line}\n")
    };
    fs_err::write(&path, times.iter().map(line).collect::<String>()).unwrap();
}

#[test]
fn one_slow_run_after_five_usual_ones_is_flagged() {
    let project = Project::new(PLAN);
    ledger(&project, &[4000, 4000, 4000, 4000, 4000, 9000]);
    let said = project.bootway(&["report", "timings", "test.plan.toml"]);
    assert_eq!(said.code, 6, "{}", said.stderr);
    insta::assert_snapshot!(said.stdout);
    let json = project.bootway(&["report", "timings", "test.plan.toml", "--json"]);
    let value: Value = serde_json::from_str(&json.stdout).unwrap();
    let step = &value["timings"][0];
    assert_eq!(
        (&step["slower"], &step["last-ms"], &step["usual-ms"]),
        (&json!(true), &json!(9000), &json!(4000))
    );
}

#[test]
fn what_is_usual_is_not_flagged() {
    let project = Project::new(PLAN);
    let timings = |times: &[u64]| {
        ledger(&project, times);
        project.bootway(&["report", "timings", "test.plan.toml"]).code
    };
    assert_eq!(timings(&[4000, 4000, 4000, 4000, 9000]), 0, "four runs are too few to know");
    assert_eq!(timings(&[4000, 4000, 4000, 4000, 4000, 5900]), 0, "less than half as long again");
    assert_eq!(timings(&[100, 100, 100, 100, 100, 590]), 0, "less than half a second");
    assert_eq!(timings(&[4000, 9000, 4000, 9000, 9000, 9000, 9000]), 0, "it is what it was");
    assert_eq!(timings(&[4000, 4000, 4000, 4000, 4000, 9000, 4000]), 0, "once, and not again");
}

#[test]
fn a_run_that_is_slower_says_so_in_its_report() {
    let project = Project::new(PLAN);
    ledger(&project, &[10, 10, 10, 10, 10]);
    let run = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(run.code, 0, "slow is not bad: {}", run.stderr);
    assert!(run.stderr.contains("slower: step waits took"), "{}", run.stderr);
    let latest = project.path().join(".bootway/test/runs/latest");
    let report: Value =
        serde_json::from_str(&fs_err::read_to_string(latest.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["slower"][0]["what"], "step waits");
    for name in ["report.html", "report.md"] {
        let text = fs_err::read_to_string(latest.join(name)).unwrap();
        assert!(text.contains("the median of 5 good runs before is 0.0 s"), "{name}");
    }
    let again = project.bootway(&["report", "test.plan.toml"]);
    assert!(again.stdout.contains("step waits took"), "{}", again.stdout);
}
