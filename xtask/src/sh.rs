//! Programs of the developer's machine, run in the open: they share the terminal of the one who asked.
//!
//! `bootway_exec` captures what a program prints, because a build is reported; a chore is watched. So this is the
//! one module that goes past it.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use bootway_plan::{Class, Failure};
use camino::{Utf8Path, Utf8PathBuf};

use crate::Done;

/// How long a watched program may be without a word from us.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A program, run in the root of this repository unless another directory is named.
#[derive(Debug)]
pub(crate) struct Sh {
    argv: Vec<String>,
    env: Vec<(&'static str, String)>,
    dir: Utf8PathBuf,
    stdin: Option<Utf8PathBuf>,
}

/// Runs `program` with `args`.
pub(crate) fn sh<A: Into<String>>(program: &str, args: impl IntoIterator<Item = A>) -> Sh {
    let argv = std::iter::once(program.to_owned()).chain(args.into_iter().map(Into::into)).collect();
    Sh { argv, env: Vec::new(), dir: root(), stdin: None }
}

/// Runs the cargo that runs this.
pub(crate) fn cargo<A: Into<String>>(args: impl IntoIterator<Item = A>) -> Sh {
    let mut cargo = sh("cargo", args);
    if let Ok(program) = env::var("CARGO") {
        cargo.argv[0] = program;
    }
    cargo
}

impl Sh {
    /// Adds arguments.
    pub(crate) fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.argv.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.env.push((key, value.into()));
        self
    }

    /// Runs it in `dir`.
    pub(crate) fn dir(mut self, dir: &Utf8Path) -> Self {
        dir.clone_into(&mut self.dir);
        self
    }

    /// Lets it read `file`.
    pub(crate) fn stdin(mut self, file: &Utf8Path) -> Self {
        self.stdin = Some(file.to_owned());
        self
    }

    /// Says what it runs, and runs it to its end.
    pub(crate) fn run(&self) -> Done {
        println!("$ {}", self.shown());
        let status = self.command().status().map_err(|error| self.not_started(&error))?;
        match status.code() {
            Some(0) => Ok(()),
            Some(code) => {
                Err(Failure::new(Class::Step, format!("`{}` exited with code {code}", self.shown())))
            }
            None => Err(Failure::new(Class::Step, format!("`{}` was killed by a signal", self.shown()))),
        }
    }

    /// Runs it to its end, and passes its exit code on.
    pub(crate) fn code(&self) -> Result<Option<i32>, Failure> {
        println!("$ {}", self.shown());
        Ok(self.command().status().map_err(|error| self.not_started(&error))?.code())
    }

    /// Runs it to its end without a word; what it printed to standard output.
    pub(crate) fn quiet(&self) -> Result<String, Failure> {
        self.said().map(|(output, _)| output)
    }

    /// Runs it to its end without a word; what it printed to standard output and to standard error.
    pub(crate) fn said(&self) -> Result<(String, String), Failure> {
        let output = self.command().output().map_err(|error| self.not_started(&error))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok((text(&output.stdout), text(&output.stderr)));
        }
        Err(self.ended_badly(&output))
    }

    /// Runs it to its end without a word; what it prints to standard output becomes `file`.
    pub(crate) fn write_to(&self, file: &Utf8Path) -> Done {
        let out = fs_err::File::create(file).map_err(io)?;
        let output =
            self.command().stdout(out.into_parts().0).output().map_err(|error| self.not_started(&error))?;
        if output.status.success() { Ok(()) } else { Err(self.ended_badly(&output)) }
    }

    /// Runs it to its end with what it prints in `log`, and says every ten seconds how many lines that are.
    pub(crate) fn watched(&self, what: &str, log: &Utf8Path) -> Done {
        let out = fs_err::File::create(log).map_err(io)?.into_parts().0;
        let errors = out.try_clone().map_err(io)?;
        let started = Instant::now();
        let mut child =
            self.command().stdout(out).stderr(errors).spawn().map_err(|error| self.not_started(&error))?;
        let mut said = started;
        println!("{what}: `{}`", self.shown());
        let status = loop {
            if let Some(status) = child.try_wait().map_err(io)? {
                break status;
            }
            if said.elapsed() >= HEARTBEAT {
                said = Instant::now();
                println!("{what}: {} lines of its log after {} s", lines(log)?, started.elapsed().as_secs());
            }
            thread::sleep(Duration::from_millis(50));
        };
        if status.success() {
            println!("{what}: done after {} s", started.elapsed().as_secs());
            return Ok(());
        }
        let text = String::from_utf8_lossy(&fs_err::read(log).map_err(io)?).into_owned();
        let tail: Vec<&str> = text.lines().rev().take(20).collect();
        let failure = Failure::new(Class::Step, format!("`{}` ended badly: {status}", self.shown()));
        Err(failure.hint(tail.into_iter().rev().collect::<Vec<_>>().join("\n")))
    }

    /// Whether it can be started and ends well; nothing that it prints is shown.
    pub(crate) fn works(&self) -> bool {
        self.command().output().is_ok_and(|output| output.status.success())
    }

    fn command(&self) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "chores share the terminal: see the head of this module"
        )]
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]).current_dir(&self.dir).env("PATH", search_path());
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        if let Some(file) = &self.stdin {
            // A file that is not there is as good as an empty one: whoever reads it complains.
            command.stdin(
                fs_err::File::open(file).map_or_else(|_| Stdio::null(), |file| file.into_parts().0.into()),
            );
        }
        command
    }

    fn shown(&self) -> String {
        let env = self.env.iter().map(|(key, value)| format!("{key}={value} "));
        let program = Utf8Path::new(&self.argv[0]).file_name().unwrap_or(&self.argv[0]);
        env.chain([program.to_owned()]).collect::<String>()
            + &self.argv[1..].iter().map(|arg| format!(" {arg}")).collect::<String>()
    }

    fn ended_badly(&self, output: &std::process::Output) -> Failure {
        let failure = Failure::new(Class::Step, format!("`{}` ended badly: {}", self.shown(), output.status));
        failure.hint(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    fn not_started(&self, error: &std::io::Error) -> Failure {
        Failure::new(Class::Environment, format!("cannot start `{}`: {error}", self.argv[0]))
    }
}

/// Lines of a file that is being written.
fn lines(file: &Utf8Path) -> Result<usize, Failure> {
    Ok(fs_err::read(file).map_err(io)?.split(|byte| *byte == b'\n').count() - 1)
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` gives")]
fn io(error: std::io::Error) -> Failure {
    Failure::new(Class::Environment, error.to_string())
}

/// The root of this repository.
pub(crate) fn root() -> Utf8PathBuf {
    let xtask = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask is in the repository").to_owned()
}

/// `PATH`, and where Debian keeps `mkfs.fat` and its like, which an ordinary user's `PATH` leaves out.
pub(crate) fn search_path() -> std::ffi::OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    for dir in ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    env::join_paths(dirs).unwrap_or(path)
}
