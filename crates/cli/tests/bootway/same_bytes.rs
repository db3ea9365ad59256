//! Same plan, same bytes: whoever builds it, wherever, with however many at once.

use std::os::unix::process::CommandExt as _;

use crate::project::{digest, offline, run};

#[test]
fn folder_user_umask_locale_zone_and_jobs_make_no_difference() {
    let here = offline();
    assert_eq!(here.bootway(&["build", "test.plan.toml", "--jobs", "1"]).code, 0);
    let there = offline();
    let mut command = there.command(&["build", "test.plan.toml", "--jobs", "4"]);
    command.env("LC_ALL", "C.UTF-8").env("LANG", "de_DE.UTF-8").env("TZ", "Pacific/Auckland");
    if rustix::process::geteuid().is_root() {
        // Another user, who has to be able to write there and to read the program.
        let nobody = rustix::fs::Uid::from_raw(65_534);
        for entry in walkdir::WalkDir::new(there.path()).into_iter().flatten() {
            rustix::fs::chownat(
                rustix::fs::CWD,
                entry.path(),
                Some(nobody),
                None,
                rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
            )
            .unwrap();
        }
        let program = there.path().join("bootway");
        fs_err::copy(env!("CARGO_BIN_EXE_bootway"), &program).unwrap();
        let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        command = crate::project::program(program.as_str());
        command
            .args(args)
            .current_dir(there.path())
            .env("TZ", "Pacific/Auckland")
            .env("HOME", "/")
            .uid(65_534);
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let built = run(&mut command);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    assert_eq!(built.code, 0, "{}", built.stderr);
    for output in [
        "root/tree.manifest",
        "early/initramfs.img",
        "squash/image.squashfs",
        "esp/tree.manifest",
        "disk/disk.raw",
    ] {
        let at = |project: &crate::project::Project| {
            digest(&project.path().join(".bootway/test/out").join(output))
        };
        assert_eq!(at(&here), at(&there), "{output}");
    }
}

/// Pinned: these bytes change only when somebody wants them to.
#[test]
fn the_bytes_of_the_offline_plan_are_pinned() {
    let project = offline();
    assert_eq!(project.bootway(&["build", "test.plan.toml"]).code, 0);
    let out = project.path().join(".bootway/test/out");
    insta::assert_snapshot!(digest(&out.join("root/tree.manifest")), @"becd208a58713646a77b06a3f3135c393b60c7fc9db98dfcd00170f57e360c15");
    insta::assert_snapshot!(digest(&out.join("early/initramfs.img")), @"3ca8aa8217636d3796e99cb6de6abea47d475707ce2f643c450ee93d2fd6ef42");
}

/// The disk of one plan in both formats, through the program: where it is, what it is, and that it is one disk.
#[test]
fn a_disk_is_written_as_qcow2_too() {
    let plan = r#"
[[phase]]
name = "all"
  [[phase.step]]
  name = "raw"
  disk = { partition = [{ label = "ROOT", type = "linux-data", fs = "ext4", content = "./root", size = "32MiB" }] }
  [[phase.step]]
  name = "small"
  disk = { format = "qcow2", partition = [{ label = "ROOT", type = "linux-data", fs = "ext4", content = "./root", size = "32MiB" }] }
  [[phase.step]]
  name = "looks-right"
  inspect = { image = "small", expect = [{ partition = "ROOT", fs = "ext4", path = "etc/issue", contains = "hello" }, { partition = "ROOT", lacks = "etc/motd" }] }
"#;
    let project = crate::project::Project::new(plan);
    project.write("root/etc/issue", "hello\n");
    let run = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let [raw, small] =
        ["raw/disk.raw", "small/disk.qcow2"].map(|name| project.path().join(".bootway/test/out").join(name));
    crate::project::oracle(
        "qemu-img",
        &["compare", "-f", "raw", "-F", "qcow2", raw.as_str(), small.as_str()],
    );
    let said = project.bootway(&["inspect", small.as_str()]).stdout;
    assert!(said.contains("qcow2 of a disk of 34 MiB") && said.contains("linux-data  ROOT"), "{said}");
    // What is in it is looked into as on any other disk.
    let lacks = fs_err::read_to_string(project.path().join("test.plan.toml")).unwrap();
    project.write("test.plan.toml", lacks.replace("lacks = \"etc/motd\"", "lacks = \"etc/issue\""));
    let run = project.bootway(&["build", "test.plan.toml"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("partition ROOT, lacks etc/issue"), "{}", run.stderr);
}
