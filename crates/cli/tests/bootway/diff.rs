//! `bootway diff`: what differs, where, and by which cause; never the same where a byte is not.

use insta::assert_snapshot;

use crate::{
    project::{Project, offline},
    sysroot::{self, SEED, built, script},
};

#[test]
fn two_builds_of_one_plan_are_the_same() {
    let (here, there) = (offline(), offline());
    for project in [&here, &there] {
        assert_eq!(project.bootway(&["build", "test.plan.toml"]).code, 0);
    }
    let there = there.path().join(".bootway/test");
    let run = here.bootway(&["diff", ".bootway/test", there.as_str()]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.starts_with("the same: ") && run.stdout.ends_with(" outputs\n"), "{}", run.stdout);
    let disk = "out/disk/disk.raw";
    let run = here.bootway(&["diff", &format!(".bootway/test/{disk}"), there.join(disk).as_str()]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "the same: 1 file\n"));
}

#[test]
fn an_output_that_differs_is_followed_to_the_file_and_the_cause() {
    let (here, there) = (offline(), offline());
    there.write("root/etc/shadow", "root:!:::::::\n");
    for project in [&here, &there] {
        assert_eq!(project.bootway(&["build", "test.plan.toml"]).code, 0);
    }
    let there = there.path().join(".bootway/test");
    let run = here.bootway(&["diff", ".bootway/test", there.as_str()]);
    assert_eq!(run.code, 6);
    assert_snapshot!(run.stdout);
    let json = here.bootway(&["diff", ".bootway/test", there.as_str(), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["outputs"].as_array().unwrap().len(), run.stdout.matches(", made from ").count());
}

#[test]
fn what_was_changed_by_hand_is_no_output() {
    let (here, there) = (offline(), offline());
    for project in [&here, &there] {
        assert_eq!(project.bootway(&["build", "test.plan.toml"]).code, 0);
    }
    let there = there.path().join(".bootway/test");
    fs_err::write(there.join("out/early/initramfs.img"), "changed").unwrap();
    let run = here.bootway(&["diff", ".bootway/test", there.as_str()]);
    assert_eq!(run.code, 6);
    assert_snapshot!(run.stdout.lines().next().unwrap(), @r##"early/initramfs, made from the same:"##);
    assert!(
        run.stdout.contains("in the second build, output `initramfs` is not what was made"),
        "{}",
        run.stdout
    );
}

#[test]
fn a_step_that_does_not_make_the_same_twice_is_named() {
    let random = script("random", "cat /proc/sys/kernel/random/uuid > /id; echo same > /same");
    let plan = format!("{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n{random}");
    let (here, there) = (sysroot::project(&plan), sysroot::project(&plan));
    for project in [&here, &there] {
        built(project, &[]);
    }
    let run = here.bootway(&["diff", ".bootway/test", there.path().join(".bootway/test").as_str()]);
    assert_eq!(run.code, 6);
    insta::with_settings!({filters => vec![("[0-9a-f-]{36}", "[uuid]"), ("[0-9]+ of 37 bytes", "[n] of 37 bytes"), ("at [0-9]+ ", "at [n] ")]}, {
        assert_snapshot!(run.stdout);
    });
}

#[test]
fn what_is_not_there_is_said() {
    let project = Project::new("");
    let run = project.bootway(&["diff", "test.plan.toml", "nothing"]);
    assert_eq!(run.code, 4);
    assert_snapshot!(run.stderr, @"
    error: there is no `nothing`
      hint: name two images, trees, files or builds
    ");
}
