//! A directory with a plan, and the program run in it.

use std::{
    io::Read as _,
    process::{Child, Command, Stdio},
};

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

/// A directory with a plan and what it reads.
pub(crate) struct Project {
    dir: TempDir,
}

/// How a run of the program ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Project {
    /// With this text behind the head of `demo.plan.toml`.
    pub(crate) fn new(plan: &str) -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap() };
        project.write("test.plan.toml", format!("format = 1\nname = \"test\"\nepoch = 1735689600\n{plan}"));
        project
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.dir.path()).unwrap()
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Utf8PathBuf {
        let path = self.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = program(env!("CARGO_BIN_EXE_bootway"));
        command.args(args).current_dir(self.path()).env("CI", "1").env_remove("NO_COLOR");
        command
    }

    /// Runs the program to its end.
    pub(crate) fn bootway(&self, args: &[&str]) -> Run {
        run(&mut self.command(args))
    }

    /// `bootway build` of the plan; the exit code, then what it printed, with everything that differs between two
    /// runs replaced.
    #[track_caller]
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        let all: Vec<&str> = ["build", "test.plan.toml"].iter().chain(args).copied().collect();
        let run = self.bootway(&all);
        assert_ne!(run.code, 0, "{}", run.stderr);
        format!("exit code {}\n{}", run.code, self.redact(&from_error(&run.stderr)))
    }

    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(self.path().as_str(), "[dir]")
    }
}

/// What went wrong: from the first `error:` up to the summary, which has times in it.
pub(crate) fn from_error(stderr: &str) -> String {
    let text = &stderr[stderr.find("error:").unwrap_or(0)..];
    text.split("\n\n").next().unwrap_or(text).to_owned() + "\n"
}

#[expect(clippy::disallowed_methods, reason = "a test starts the program from outside")]
pub(crate) fn program(path: &str) -> Command {
    Command::new(path)
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Run {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask setup` installs it", command.get_program().display())
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// Starts a command whose output nobody reads.
pub(crate) fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// What a tool of somebody else says, which must end with code 0.
#[track_caller]
pub(crate) fn oracle(tool: &str, args: &[&str]) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let run = run(program(tool).args(args).env("PATH", path).env("LC_ALL", "C"));
    assert_eq!(run.code, 0, "{tool} {args:?}: {}{}", run.stdout, run.stderr);
    run.stdout + &run.stderr
}

/// The SHA-256 of a file.
pub(crate) fn digest(path: &Utf8Path) -> String {
    let mut digester = bootway_plan::Digester::default();
    let mut file = fs_err::File::open(path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    while let n @ 1.. = file.read(&mut buffer).unwrap() {
        digester.update(&buffer[..n]);
    }
    digester.finish().to_string()
}

/// A plan that uses every kind of step that needs neither network nor guest, on a tree of a few hundred files.
pub(crate) fn offline() -> Project {
    let project = Project::new(
        r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "root"
  tree = { from = ["./root"], edits = [{ write = { path = "etc/motd", text = "hello\n" } }, { chown = { path = "etc/shadow", uid = 0, gid = 42 } }] }
  [[phase.step]]
  name = "squash"
  squashfs = { from = "root" }
  [[phase.step]]
  name = "early"
  initramfs = { from = ["root"] }
  [[phase.step]]
  name = "made"
  command = { argv = ["sh", "-c", "date > $0/it; locale >> $0/it; umask >> $0/it; touch -r $0/it $0/it; sleep 0.2; echo same > $0/it", "${out}"], outputs = { it = { path = "it" } } }
[[phase]]
name = "assemble"
  [[phase.step]]
  name = "esp"
  tree = { from = [{ source = "made", at = "EFI/BOOT/STARTUP.NSH" }, { source = "early", at = "initrd.img" }] }
  [[phase.step]]
  name = "disk"
  [phase.step.disk]
  partition = [
    { label = "ESP", type = "esp", fs = "fat32", content = "esp" },
    { label = "ROOT", type = "root-x86-64", content = "squash" },
    { label = "COPY", type = "linux-data", fs = "ext4", content = "root", size = { percent = 120, plus = "1MiB" } },
    { label = "DATA", type = "linux-data", fs = "ext4", size = "32MiB" },
  ]
"#,
    );
    project.write("root/init", "#!/bin/sh\nexec sh\n");
    for n in 0..300 {
        let text = format!("file {n}\n").repeat(n * 7);
        project.write(&format!("root/usr/share/{}/file-{n}", n % 17), text);
    }
    project.write("root/etc/shadow", "root:*:::::::\n");
    fs_err::os::unix::fs::symlink("usr/share", project.path().join("root/share")).unwrap();
    executable(&project.path().join("root/init"));
    project
}

fn executable(path: &Utf8Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
