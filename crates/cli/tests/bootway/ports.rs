//! What a host has only one of: ports, KVM, QEMU itself.

use std::{net::TcpListener, os::unix::fs::PermissionsExt as _};

use crate::{
    busybox,
    project::{Project, Run, run},
};

/// A guest that is reached over a port, if it comes to that.
const UP: &str = r#"  check = [{ name = "is up", run = "echo up", equals = "up" }]"#;

fn build(project: &Project) -> Run {
    project.bootway(&["build", "test.plan.toml"])
}

/// What went wrong, without what differs between two runs.
fn error(project: &Project, run: &Run) -> String {
    let said = crate::project::from_error(&run.stderr);
    let is_said = |line: &&str| ["error:", "  caused by:", "  hint:"].iter().any(|it| line.starts_with(it));
    project.redact(&said.lines().filter(is_said).collect::<Vec<_>>().join("\n"))
}

#[test]
fn two_suites_at_once_have_ports_of_their_own() {
    let forward = r"net = { forward = { ssh = 22, web = 80 } }";
    let projects = [busybox::project(forward, UP), busybox::project(forward, UP)];
    std::thread::scope(|scope| {
        for project in &projects {
            scope.spawn(|| {
                let run = build(project);
                assert_eq!(run.code, 0, "{}", run.stderr);
            });
        }
    });
}

#[test]
fn a_port_that_the_plan_wants_and_somebody_has_is_named_with_what_qemu_says() {
    let foreign = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = foreign.local_addr().unwrap().port();
    let net = format!("net = {{ forward = {{ web = {{ guest = 80, host = {port} }} }} }}");
    let project = busybox::project(&net, UP);
    let failed = build(&project);
    assert_eq!(failed.code, 4, "{}", failed.stderr);
    insta::assert_snapshot!(error(&project, &failed).replace(&port.to_string(), "[port]"), @"
    error: step `boots` failed
      caused by: port [port] of this machine cannot lead to the guest: Could not set up host forwarding rule 'tcp:127.0.0.1:[port]-:80'
      hint: write only the guest's port, and bootway finds a free one
    ");
    drop(foreign);
    let passed = build(&project);
    assert_eq!(passed.code, 0, "{}", passed.stderr);
}

/// A QEMU that is the real one, except that KVM hangs in it.
fn hanging_kvm(project: &Project) -> String {
    let script = "#!/bin/sh\ncase \"$*\" in *'-accel kvm'*) exec sleep 1000 ;; esac\n\
                  PATH=${PATH#*:}\nexec qemu-system-x86_64 \"$@\"\n";
    let path = project.write("bin/qemu-system-x86_64", script);
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", project.path().join("bin"), std::env::var("PATH").unwrap())
}

/// On a host without `/dev/kvm` that is the reason; the way is the same.
#[test]
fn kvm_that_hangs_is_given_up_and_missed_only_by_who_requires_it() {
    let project = busybox::project("", UP);
    let path = hanging_kvm(&project);
    let build = || run(project.command(&["build", "test.plan.toml"]).env("PATH", &path));
    let log =
        || fs_err::read_to_string(project.path().join(".bootway/test/runs/latest/events.jsonl")).unwrap();
    let has_reason = |text: &str| {
        [
            "KVM was probed and is too slow to use",
            "this host has no /dev/kvm",
            "this user may not open /dev/kvm",
        ]
        .iter()
        .any(|reason| text.contains(reason))
    };
    busybox::edit(&project, "accel = \"tcg\"\n", "");
    let passed = build();
    assert_eq!(passed.code, 0, "{}", passed.stderr);
    assert!(log().contains("TCG: ") && has_reason(&log()), "{}", log());

    busybox::edit(&project, "[machine.m]\n", "[machine.m]\naccel = \"kvm\"\n");
    let failed = build();
    assert_eq!(failed.code, 4, "{}", failed.stderr);
    assert!(
        failed.stderr.contains("the machine asks for KVM: ") && has_reason(&failed.stderr),
        "{}",
        failed.stderr
    );
    assert!(!log().contains("-kernel"), "no guest was started: {}", log());

    busybox::edit(
        &project,
        "  name = \"boots\"\n",
        "  name = \"boots\"\n  requires = { kvm = \"required\" }\n",
    );
    let skipped = build();
    assert_eq!(skipped.code, 0, "{}", skipped.stderr);
    assert!(
        skipped.stderr.contains("KVM is required: ") && has_reason(&skipped.stderr),
        "{}",
        skipped.stderr
    );
    busybox::edit(&project, "epoch =", "skips = \"strict\"\nepoch =");
    let strict = build();
    assert_eq!(strict.code, 6, "{}", strict.stderr);
    assert!(strict.stderr.contains("KVM is required: ") && has_reason(&strict.stderr), "{}", strict.stderr);
}

#[test]
fn without_qemu_a_guest_is_skipped_or_missed_as_the_plan_says_and_qemu_is_named() {
    let project = busybox::project("", UP);
    let requires = "  name = \"boots\"\n  requires = { tools = [\"qemu-system-x86_64\"] }\n";
    busybox::edit(&project, "  name = \"boots\"\n", requires);
    let nothing = project.path().join("empty");
    fs_err::create_dir(&nothing).unwrap();
    let build = || run(project.command(&["build", "test.plan.toml"]).env("PATH", &nothing));
    let counts = || {
        let report = fs_err::read(project.path().join(".bootway/test/runs/latest/report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        (report["counts"]["skipped"].as_u64().unwrap(), report["counts"]["failed"].as_u64().unwrap())
    };
    let graceful = build();
    assert_eq!((graceful.code, counts()), (0, (1, 0)), "{}", graceful.stderr);
    assert!(graceful.stderr.contains("program `qemu-system-x86_64` is missing"), "{}", graceful.stderr);
    busybox::edit(&project, "epoch =", "skips = \"strict\"\nepoch =");
    let strict = build();
    assert_eq!((strict.code, counts()), (6, (0, 1)), "{}", strict.stderr);
    insta::assert_snapshot!(error(&project, &strict), @r#"
    error: step `boots` did not run: program `qemu-system-x86_64` is missing: install `qemu-system-x86_64`
      hint: this plan has `skips = "strict"`: provide what is missing, or make it `graceful`
    "#);
}
