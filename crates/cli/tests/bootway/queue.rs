//! The queue of tasks, and what runs say about them.

use crate::project::Project;

const QUEUE: &str = r#"# The user's own words stay.
format = 1
markdown = "task-queue.md"

[[item]]
id = "boots"             # first of all
title = "The image is good"
state = "active"
needs = ["proof"]

[[item]]
id = "later"
title = "Something else"
state = "backlog"
needs = ["proof"]
"#;

fn project() -> Project {
    let project = Project::new(
        r#"
[[phase]]
name = "test"
  [[phase.step]]
  name = "proof"
  command = { argv = ["test", "-e", "${plan-dir}/good"] }
"#,
    );
    project.write("queue.toml", QUEUE);
    project
}

fn text(project: &Project, name: &str) -> String {
    fs_err::read_to_string(project.path().join(name)).unwrap()
}

/// Runs and times are not the same twice.
fn redact(text: &str) -> String {
    let digits = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let text: String = text.chars().map(digits).collect();
    // The second run of one second has a number behind its name.
    text.replace("000000Z-0", "000000Z")
}

#[test]
fn runs_decide_what_is_active_and_what_they_said_stays() {
    let project = project();
    let red = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(red.code, 5, "{}", red.stderr);
    assert!(red.stderr.contains("queue: `boots` stays active"), "{}", red.stderr);
    let after_red = text(&project, "queue.toml");
    assert!(after_red.contains("verdict = \"failed\"\nfailing = [\"proof\"]\n"), "{after_red}");
    assert!(after_red.contains("id = \"boots\"             # first of all\n"), "{after_red}");
    assert!(text(&project, "task-queue.md").contains("failed: `proof`"));

    project.write("good", "");
    let green = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(green.code, 0, "{}", green.stderr);
    let after_green = text(&project, "queue.toml");
    let evidence =
        &after_red[after_red.find("[[item.evidence]]").unwrap()..after_red.rfind("\n[[item]]").unwrap()];
    assert!(after_green.contains(evidence), "{evidence}\n\n{after_green}");
    insta::assert_snapshot!("queue_after_a_red_and_a_green_run", redact(&after_green));
    insta::assert_snapshot!("queue_for_people", redact(&text(&project, "task-queue.md")));
    let link = after_green.lines().rfind(|line| line.starts_with("record")).unwrap();
    assert!(project.path().join(link.split('"').nth(1).unwrap()).is_file(), "{link} leads somewhere");

    let third = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(third.code, 0, "{}", third.stderr);
    assert_eq!(text(&project, "queue.toml"), after_green, "what is done is done");
}

#[test]
fn a_queue_is_made_listed_and_changed() {
    let project = project();
    fs_err::remove_file(project.path().join("queue.toml")).unwrap();
    let queue = |args: &[&str]| {
        let run = project.bootway(&[&["queue"], args].concat());
        (run.code, run.stdout + &project.redact(&run.stderr))
    };
    assert_eq!(queue(&["add", "lan", "It has an address", "--need", "boots/lan", "--state", "active"]).0, 0);
    assert_eq!(queue(&["add", "prose", "The guide is read"]).0, 0);
    assert_eq!(queue(&["move", "prose", "done"]).0, 0);
    insta::assert_snapshot!("queue_list", queue(&["list"]).1);
    insta::assert_snapshot!("queue_done_by_hand", queue(&["move", "lan", "done"]).1);
    insta::assert_snapshot!("queue_render", queue(&["render"]).1);
    let json: serde_json::Value = serde_json::from_str(&queue(&["list", "--json"]).1).unwrap();
    assert_eq!(json[0]["needs"][0], "boots/lan");
}

#[test]
fn a_queue_that_cannot_be_read_takes_nothing_away_from_the_run() {
    let project = project();
    project.write("queue.toml", "format = 1\n[[item]]\nname = \"x\"\n");
    project.write("good", "");
    let run = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("unknown field `name`"), "{}", run.stderr);
}
