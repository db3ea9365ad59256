//! `bootway vm`: a guest that is not good is kept, for whoever comes to look at it.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Stdio,
};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::{
    busybox::{self, is_gone, processes, until},
    project::{Project, Run, program, run},
};

/// Wants what is not so.
const BAD: &str = r#"  check = [{ name = "is two", run = "echo one", equals = "two" }]"#;

/// The program, for a user whose kept guests are those of `home`.
fn command(project: &Project, home: &Utf8Path, args: &[&str]) -> std::process::Command {
    let mut command = project.command(args);
    command.env("XDG_RUNTIME_DIR", home);
    command
}

fn vm(project: &Project, home: &Utf8Path, args: &[&str]) -> Run {
    let args: Vec<&str> = std::iter::once("vm").chain(args.iter().copied()).collect();
    run(&mut command(project, home, &args))
}

/// A kept guest as `vm list --json` tells it.
struct Kept {
    name: String,
    pid: PathBuf,
    console: Utf8PathBuf,
    dir: Utf8PathBuf,
}

fn list(project: &Project, home: &Utf8Path) -> Vec<Kept> {
    let run = vm(project, home, &["list", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let all: Value = serde_json::from_str(&run.stdout).unwrap();
    let text = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
    let kept = |it: &Value| Kept {
        name: text(it, "name"),
        pid: format!("/proc/{}", it["pid"]).into(),
        console: text(it, "console").into(),
        dir: text(it, "dir").into(),
    };
    all.as_array().unwrap().iter().map(kept).collect()
}

/// Reads until `wanted` was there.
fn read_until(from: &mut impl std::io::Read, wanted: &str) -> String {
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    while !seen.contains(wanted) {
        let n = from.read(&mut buffer).unwrap();
        assert!(n > 0, "the console ended before `{wanted}`: {seen}");
        seen += &String::from_utf8_lossy(&buffer[..n]);
    }
    seen
}

#[test]
fn a_guest_that_is_not_good_is_kept_entered_and_stopped_without_a_terminal() {
    let projects = [busybox::project("", BAD), busybox::project("", BAD)];
    let home = tempfile::tempdir().unwrap();
    let home = Utf8Path::from_path(home.path()).unwrap();
    std::thread::scope(|scope| {
        for project in &projects {
            scope.spawn(|| {
                let run = vm(project, home, &["run", "test.plan.toml", "boots", "--debug"]);
                assert_eq!(run.code, 6, "{}", run.stderr);
                for part in ["kept for 30min", "bootway vm attach test-boots", "/console.sock", "pid:"] {
                    assert!(run.stderr.contains(part), "`{part}` is not in {}", run.stderr);
                }
            });
        }
    });
    let project = &projects[0];
    let kept = list(project, home);
    let names: Vec<&str> = kept.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["test-boots", "test-boots-2"]);
    assert!(kept.iter().all(|it| !is_gone(&it.pid)));

    // Over its socket, as `socat` would: the prompt is there at once.
    let mut console = UnixStream::connect(&kept[0].console).unwrap();
    read_until(&mut console, "# ");
    console.write_all(b"echo $((6 * 7)) of $(uname -s)\n").unwrap();
    read_until(&mut console, "42 of Linux");

    // By our own command, with pipes; Ctrl-] leaves.
    let mut attach = command(project, home, &["vm", "attach", "test-boots"]);
    let mut attach = attach.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut typed, mut said) = (attach.stdin.take().unwrap(), attach.stdout.take().unwrap());
    typed.write_all(b"echo $((7 * 8)) bottles\n").unwrap();
    read_until(&mut said, "56 bottles");
    typed.write_all(b"\x1d").unwrap();
    assert_eq!(attach.wait().unwrap().code(), Some(0));

    // At a terminal.
    let line = format!("XDG_RUNTIME_DIR={home} {} vm attach test-boots-2", env!("CARGO_BIN_EXE_bootway"));
    let mut script = program("script");
    let script = script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = script.spawn().expect("install bsdutils: `apt-get install bsdutils`");
    let (mut typed, mut said) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    read_until(&mut said, "Ctrl-] leaves");
    typed.write_all(b"echo $((8 * 9)) bottles\r").unwrap();
    read_until(&mut said, "72 bottles");
    typed.write_all(b"\x1d").unwrap();
    read_until(&mut said, "left test-boots-2, which is kept");
    assert_eq!(script.wait().unwrap().code(), Some(0));

    // Another run in its work directory leaves it alone.
    let run = projects[0].bootway(&["build", "test.plan.toml", "--step", "initrd"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let run = vm(project, home, &["stop"]);
    assert_eq!(run.code, 7);
    insta::assert_snapshot!(run.stderr, @"
    error: 2 guests are kept: test-boots, test-boots-2
      hint: name the one that is meant, or say `--all` to stop all
    ");

    let run = vm(project, home, &["stop", "test-boots"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(is_gone(&kept[0].pid) && !is_gone(&kept[1].pid));
    assert!(!kept[0].dir.exists() && kept[1].dir.exists());
    assert_eq!(read_to_end(&mut console), "the end");
    let names: Vec<String> = list(project, home).into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["test-boots-2"]);
    assert_eq!(vm(project, home, &["stop", "--all"]).code, 0);
    assert!(is_gone(&kept[1].pid));
    let run = vm(project, home, &["attach", "test-boots"]);
    assert_eq!(run.code, 7);
    insta::assert_snapshot!(run.stderr, @"
    error: no guest called `test-boots` is kept
      hint: one that is not good is kept by `bootway vm run --debug`
    ");
    for project in &projects {
        assert_eq!(processes(project.path()), Vec::<String>::new());
        assert!(!project.path().join(".bootway/test/debug").exists());
    }
    assert_eq!(fs_err::read_dir(home.join("bootway")).unwrap().count(), 0);
}

fn read_to_end(console: &mut UnixStream) -> &'static str {
    let mut rest = Vec::new();
    match console.read_to_end(&mut rest) {
        Ok(_) => "the end",
        Err(error) => panic!("{error}"),
    }
}

/// Asks the TPM for eight random bytes: the answer begins with its length. Source: TCG TPM 2.0 Library, part 3.
const ASK: &str = r"printf '\200\001\000\000\000\014\000\000\001\173\000\010' >/ask; exec 3<>/dev/tpm0; cat /ask >&3; dd bs=64 count=1 <&3 2>/dev/null | od -An -tx1 | tr -d '\n'; echo END$((6*7))
";

/// However it ends: by its user, by the clock, or because somebody kills who looks after it.
#[test]
fn a_kept_guest_has_its_tpm_still_which_ends_with_it() {
    let project = busybox::project("tpm = true", BAD);
    let home = tempfile::tempdir().unwrap();
    let home = Utf8Path::from_path(home.path()).unwrap();
    let is_over = || processes(project.path()).is_empty();
    for ends in ["is stopped", "its time is up", "its keeper is killed"] {
        let time = if ends == "its time is up" { "1s" } else { "1h" };
        let run = vm(&project, home, &["run", "test.plan.toml", "boots", "--debug", "--keep-for", time]);
        assert_eq!(run.code, 6, "{}", run.stderr);
        if time == "1s" {
            until(is_over);
            continue;
        }
        let [kept] = &list(&project, home)[..] else { panic!("{}", run.stderr) };
        let mut console = UnixStream::connect(&kept.console).unwrap();
        read_until(&mut console, "# ");
        console.write_all(ASK.as_bytes()).unwrap();
        let said = read_until(&mut console, "END42");
        assert!(said.contains(" 80 01 00 00 00 14 00 00 00 00 00 08"), "{said}");
        let all = processes(project.path());
        assert!(all.iter().any(|it| it.contains(" swtpm socket")), "{all:#?}");
        if ends == "is stopped" {
            assert_eq!(vm(&project, home, &["stop"]).code, 0);
        } else {
            let keeper = all.iter().find(|it| it.contains(" vm keeper ")).unwrap();
            let pid = keeper.trim_start_matches("/proc/").split(' ').next().unwrap().parse().unwrap();
            rustix::process::kill_process(
                rustix::process::Pid::from_raw(pid).unwrap(),
                rustix::process::Signal::KILL,
            )
            .unwrap();
        }
        until(is_over);
    }
    assert_eq!(list(&project, home).len(), 0);
    assert!(!project.path().join(".bootway/test/debug").exists());
}
