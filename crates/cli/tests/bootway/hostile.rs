//! Steps that mean ill: they fill the disk, and look for what is not theirs.

use camino::Utf8Path;

use crate::{
    project::{Project, Run, oracle, program, run},
    sysroot::{SEED, project, script},
};

/// Runs `text` of a shell as root of a user and mount namespace of its own; `$@` is the program with `args`.
pub(crate) fn in_namespace(project: &Project, text: &str, args: &[&str]) -> Run {
    let mut command = program("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-uc", text, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_bootway")).args(args).current_dir(project.path());
    run(command.env("CI", "1").env("HOME", project.path()))
}

/// The processes of this machine whose command line has `text` in it.
fn running(text: &str) -> Vec<String> {
    oracle("ps", &["-eo", "args"]).lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

#[test]
fn a_package_that_fills_the_disk_is_stopped_before_it_is_full() {
    let project = project(&format!(
        "{SEED}[package.glutton]\nstrategy = \"command\"\n\
         commands = [[\"sh\", \"-c\", \"cp /bin/busybox /bin/busybox-swallow; (while true; do sleep 1; done) & exec /bin/busybox-swallow dd if=/dev/zero of=/fill bs=64k\"]]\n\
         [[phase]]\nname = \"in\"\nnamespace = \"seed\"\n[[phase.step]]\nname = \"all\"\npackages = {{}}\n"
    ));
    fs_err::create_dir(project.path().join("work")).unwrap();
    // A disk of the test's own; what is on it is gone with the namespace, so it is looked at from inside.
    let text = "mount -t tmpfs -o size=900m none work || exit 99; \"$@\"; code=$?; \
                find work -name fill -o -name layer -o -path 'work/failed/*' -o -path 'work/scratch/*'; \
                set -- $(stat -f -c '%a %S' work); echo free $(($1 * $2 / 1048576)); exit $code";
    let run = in_namespace(&project, text, &["build", "test.plan.toml", "--work", "work"]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    let error = crate::project::from_error(&run.stderr);
    let (before, after) = error.split_once("fill the disk: ").unwrap_or_else(|| panic!("{error}"));
    let (left, after) = after.split_once(" are left").unwrap_or_else(|| panic!("{error}"));
    assert_ne!(left, "0 B", "{error}");
    insta::assert_snapshot!(project.redact(&format!("{before}fill the disk: [some] are left{after}")));
    // Nothing of it is kept, so there is room for the next attempt.
    let free = run.stdout.lines().last().and_then(|line| line.strip_prefix("free ")).unwrap_or(&run.stdout);
    assert!(free.parse::<u32>().unwrap() > 800, "{}", run.stdout);
    assert!(!run.stdout.contains("fill") && !run.stdout.contains("layer"), "{}", run.stdout);
    assert!(!Utf8Path::new("/fill").exists() && !project.path().join("seed/fill").exists());
    assert_eq!(running("busybox-swallow"), Vec::<String>::new());
    assert_eq!(running(project.path().as_str()), Vec::<String>::new());
}

#[test]
fn the_keys_of_who_builds_are_not_in_the_root() {
    let secret = "a key that nobody may read";
    let project = project("");
    let home = project.path().join("home");
    let key = project.write("home/.ssh/id_ed25519", secret);
    let steal = format!(
        "for file in {key} ~/.ssh/id_ed25519 /proc/1/root{key} /proc/1/cwd/home/.ssh/id_ed25519; do \
           if cat $file; then exit 9; fi; done; \
         if ls -A {dir}; then exit 10; fi; \
         if env | grep {dir}; then exit 11; fi; \
         if cat /proc/[0-9]*/environ | grep {dir}; then exit 12; fi; \
         for dir in /bin /build /dev/shm /etc /mnt /root /tmp; do \
           if grep -rs 'a key that nobody' $dir; then exit 8; fi; done",
        dir = project.path()
    );
    let head = "format = 1\nname = \"test\"\nepoch = 1735689600\n";
    let steps = script("steal", &steal);
    project.write(
        "test.plan.toml",
        format!("{head}{SEED}[[phase]]\nname = \"in\"\nnamespace = \"seed\"\n{steps}"),
    );
    let build = || run(project.command(&["build", "test.plan.toml"]).env("HOME", &home));
    let run = build();
    assert_eq!(run.code, 0, "{}", run.stderr);
    // What is there for the plan is there, so the program did look.
    project.write("seed/etc/key", secret);
    assert!(oracle("cat", &[key.as_str()]).contains(secret));
    let run = build();
    assert_eq!(run.code, 5, "{}", run.stderr);
}
